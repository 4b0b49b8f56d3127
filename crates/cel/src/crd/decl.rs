//! Types of custom resources, from their schemas, and how large their data can be (apiserver
//! `pkg/cel/common/schemas.go`, apiextensions-apiserver `pkg/apiserver/schema/cel/compilation.go`).

use crate::cost::{Range, Sizes};
use crate::escape::escape;
use crate::types::{Provider, Type};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use structural::{Additional, Schema};

/// The largest request: no text in it can be longer, no list have more items than fit.
pub const MAX_REQUEST: i64 = 3 * 1024 * 1024;
const NAME_MAX: u64 = 253;

/// A place of a schema as expressions see it.
#[derive(Clone, Debug)]
pub struct Decl {
    pub ty: Type,
    pub max: i64,
    /// Bytes the smallest data takes in JSON.
    pub min_size: i64,
    pub fields: BTreeMap<String, Decl>,
    pub elem: Option<Box<Decl>>,
    /// For maps only.
    pub key: bool,
}

fn simple(ty: Type, min_size: i64, max: i64) -> Decl {
    Decl { ty, max, min_size, fields: BTreeMap::new(), elem: None, key: false }
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn text(max_length: Option<u64>) -> Schema {
    Schema { ty: "string".to_owned(), max_length, ..Schema::default() }
}

/// The schema of a whole object: with `apiVersion`, `kind` and the names in its metadata.
pub fn with_meta(s: &Schema) -> Cow<'_, Schema> {
    let mut out = s.clone();
    let names = s.properties.get("metadata").map(|m| &m.properties);
    let capped = |k: &str, max: u64| {
        let own = names.and_then(|n| n.get(k)).and_then(|s| s.max_length);
        text(Some(own.map_or(max, |o| o.min(max))))
    };
    let meta = Schema {
        ty: "object".to_owned(),
        properties: [
            ("name".to_owned(), capped("name", NAME_MAX)),
            ("generateName".to_owned(), capped("generateName", NAME_MAX - 1)),
        ]
        .into(),
        ..Schema::default()
    };
    out.properties.insert("metadata".to_owned(), meta);
    for k in ["apiVersion", "kind"] {
        out.properties.insert(k.to_owned(), text(None));
    }
    Cow::Owned(out)
}

/// Reads a schema; `root`: it is that of a whole object. `None`: expressions cannot see it.
pub fn decl(s: &Schema, root: bool, name: &str) -> Option<Decl> {
    let longest = MAX_REQUEST - 2;
    if s.int_or_string {
        return Some(simple(Type::Dyn, 1, s.max_length.map_or(longest, |m| count(m).saturating_mul(4))));
    }
    let s = if root { with_meta(s) } else { Cow::Borrowed(s) };
    let elem_name = format!("{name}.@elem");
    Some(match s.ty.as_str() {
        "array" => {
            let items = s.items.as_ref()?;
            let elem = decl(items, items.embedded, &elem_name)?;
            let max = s.max_items.map_or(longest / (elem.min_size + 1), count);
            Decl {
                ty: Type::list(elem.ty.clone()),
                max,
                min_size: 2,
                fields: BTreeMap::new(),
                elem: Some(Box::new(elem)),
                key: false,
            }
        }
        "object" => {
            if let Additional::Schema(a) = &s.additional {
                let elem = decl(a, a.embedded, &elem_name)?;
                let max = s.max_properties.map_or(longest / (elem.min_size + 6), count);
                return Some(Decl {
                    ty: Type::map(Type::String, elem.ty.clone()),
                    max,
                    min_size: 2,
                    fields: BTreeMap::new(),
                    elem: Some(Box::new(elem)),
                    key: true,
                });
            }
            let mut out = simple(Type::object(name), 2, 0);
            for (k, p) in &s.properties {
                let escaped = escape(k);
                let own = format!("{name}.{}", escaped.as_deref().unwrap_or("-"));
                let Some(f) = decl(p, p.embedded, &own) else { continue };
                if p.default.is_none() && s.required.contains(k) {
                    out.min_size += count(k.len() as u64) + f.min_size + 4;
                }
                if let Some(e) = escaped {
                    out.fields.insert(e, f);
                }
            }
            out
        }
        "string" => match s.format.as_str() {
            "byte" => simple(Type::Bytes, 2, s.max_length.map_or(longest, count)),
            "duration" => simple(Type::Duration, 3, 32),
            "date" => simple(Type::Timestamp, 12, 12),
            "date-time" => simple(Type::Timestamp, 21, 32),
            _ => {
                let of_enum = || {
                    let all = s.enumeration.iter().filter_map(|e| e.as_str());
                    (!s.enumeration.is_empty()).then(|| count(all.map(str::len).max().unwrap_or(0) as u64))
                };
                let max = match s.max_length {
                    Some(m) => count(m).saturating_mul(4),
                    None => of_enum().unwrap_or(longest),
                };
                simple(Type::String, 2, max)
            }
        },
        "boolean" => simple(Type::Bool, 4, 0),
        "number" => simple(Type::Double, 1, 0),
        "integer" => simple(Type::Int, 1, 0),
        _ => return None,
    })
}

/// The fields of all objects in a declaration, by type.
#[derive(Debug, Default)]
pub struct Fields(HashMap<String, HashMap<String, Type>>);

impl Fields {
    pub fn of(d: &Decl) -> Self {
        let mut out = Self::default();
        out.add(d);
        out
    }

    fn add(&mut self, d: &Decl) {
        if let Type::Struct(name) = &d.ty {
            let fields = d.fields.iter().map(|(k, f)| (k.clone(), f.ty.clone())).collect();
            self.0.insert(name.to_string(), fields);
        }
        d.fields.values().for_each(|f| self.add(f));
        d.elem.iter().for_each(|e| self.add(e));
    }
}

impl Provider for Fields {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
    fn field(&self, name: &str, field: &str) -> Option<Type> {
        self.0.get(name)?.get(field).cloned()
    }
}

impl Sizes for Decl {
    fn size(&self, path: Option<&[String]>, _: &Type) -> Option<Range> {
        let mut at = self;
        let key = simple(Type::String, 2, 0);
        for step in path?.split_first()?.1 {
            at = match step.as_str() {
                "@items" | "@values" => at.elem.as_deref()?,
                "@keys" if at.key => &key,
                name => at.fields.get(name)?,
            };
        }
        Some(Range { min: 0, max: u64::try_from(at.max).unwrap_or(0) })
    }
}
