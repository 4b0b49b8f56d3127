//! Turns `api/v1.37.json` into static tables (`$OUT_DIR/tables.rs`), so that a start parses nothing.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::{env, fmt, fs, path::Path};

/// JSON with the order of its keys kept: field order is upstream's output order.
#[derive(Debug, Clone)]
enum J {
    Null,
    Bool(bool),
    Num(f64),
    Str(String),
    Arr(Vec<J>),
    Obj(Vec<(String, J)>),
}

impl<'de> serde::Deserialize<'de> for J {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> serde::de::Visitor<'de> for V {
            type Value = J;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<J, E> {
                Ok(J::Null)
            }
            fn visit_bool<E>(self, v: bool) -> Result<J, E> {
                Ok(J::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<J, E> {
                Ok(J::Num(v as f64))
            }
            fn visit_u64<E>(self, v: u64) -> Result<J, E> {
                Ok(J::Num(v as f64))
            }
            fn visit_f64<E>(self, v: f64) -> Result<J, E> {
                Ok(J::Num(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<J, E> {
                Ok(J::Str(v.to_owned()))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut a: A) -> Result<J, A::Error> {
                let mut v = Vec::new();
                while let Some(x) = a.next_element()? {
                    v.push(x);
                }
                Ok(J::Arr(v))
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut a: A) -> Result<J, A::Error> {
                let mut v = Vec::new();
                while let Some(x) = a.next_entry()? {
                    v.push(x);
                }
                Ok(J::Obj(v))
            }
        }
        d.deserialize_any(V)
    }
}

impl J {
    fn get(&self, k: &str) -> Option<&J> {
        self.obj().iter().find(|(n, _)| n == k).map(|(_, v)| v)
    }
    fn obj(&self) -> &[(String, J)] {
        if let J::Obj(o) = self { o } else { &[] }
    }
    fn arr(&self) -> &[J] {
        if let J::Arr(a) = self { a } else { &[] }
    }
    fn str(&self) -> &str {
        if let J::Str(s) = self { s } else { "" }
    }
    fn at(&self, k: &str) -> &str {
        self.get(k).map_or("", J::str)
    }
    fn is(&self, k: &str) -> bool {
        match self.get(k) {
            Some(J::Bool(b)) => *b,
            Some(J::Num(n)) => *n != 0.0,
            _ => false,
        }
    }
    fn strings(&self, k: &str) -> String {
        let v: Vec<String> =
            self.get(k).map_or(&[][..], J::arr).iter().map(|s| format!("{:?}", s.str())).collect();
        format!("&[{}]", v.join(", "))
    }
}

impl fmt::Display for J {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            J::Null => f.write_str("null"),
            J::Bool(b) => write!(f, "{b}"),
            J::Num(n) => write!(f, "{n}"),
            J::Str(s) => write!(f, "{}", serde_json::to_string(s).expect("a string is JSON")),
            J::Arr(a) => {
                let v: Vec<String> = a.iter().map(J::to_string).collect();
                write!(f, "[{}]", v.join(","))
            }
            J::Obj(o) => {
                let v: Vec<String> = o.iter().map(|(k, v)| format!("{k:?}:{v}")).collect();
                write!(f, "{{{}}}", v.join(","))
            }
        }
    }
}

/// A place in a type's protobuf form: the message itself, or a message embedded in it that JSON inlines.
#[derive(Default)]
struct ProtoNode {
    slots: BTreeMap<u8, Slot>,
    pointer: bool,
}
enum Slot {
    Field(usize),
    Inline(usize),
}

/// What upstream's JSON shows for a field that is not set.
fn absent(wire: &str, card: &str, f: &J) -> &'static str {
    let null_or_silent = if f.is("oe") { "Silent" } else { "Null" };
    if f.is("ptr") || card != "One" {
        return null_or_silent;
    }
    match wire {
        "Wire::String" | "Wire::Bool" | "Wire::Int32" | "Wire::Int64" | "Wire::Double" => {
            if f.is("oe") {
                "Silent"
            } else {
                "Zero"
            }
        }
        "Wire::IntOrString" | "Wire::Quantity" | "Wire::Duration" => "Zero",
        "Wire::Time" | "Wire::MicroTime" => {
            if f.is("oz") {
                "Silent"
            } else {
                "Null"
            }
        }
        "Wire::Raw" => "Null",
        "Wire::Bytes" | "Wire::Strings" => null_or_silent,
        w if w.starts_with("Wire::Struct(") => "Zero",
        _ => "Silent",
    }
}

struct Gen<'a> {
    ids: HashMap<&'a str, usize>,
    types: &'a [(String, J)],
    metas: Vec<String>,
    meta_ids: HashMap<String, usize>,
    protos: Vec<String>,
    fields: String,
    out: String,
}

impl<'a> Gen<'a> {
    fn id(&self, name: &str) -> usize {
        *self.ids.get(name).unwrap_or_else(|| panic!("type {name} is not in the table"))
    }

    /// Wire type of one element.
    fn wire(&self, t: &str) -> String {
        match t {
            "string" => "Wire::String".into(),
            "bytes" => "Wire::Bytes".into(),
            "bool" => "Wire::Bool".into(),
            "int32" => "Wire::Int32".into(),
            "int64" => "Wire::Int64".into(),
            "double" => "Wire::Double".into(),
            _ => self.special(t).unwrap_or_else(|| format!("Wire::Struct(TypeId({}))", self.id(t))),
        }
    }
    fn special(&self, t: &str) -> Option<String> {
        let ty = &self.types[self.id(t)].1;
        let schema = || {
            let pkg = t.rsplit_once('.').expect("a package").0;
            format!("(TypeId({}))", self.id(&format!("{pkg}.JSONSchemaProps")))
        };
        Some(match ty.at("json") {
            "rfc3339 seconds" => "Wire::Time".into(),
            "rfc3339 micros" => "Wire::MicroTime".into(),
            "go duration string" => "Wire::Duration".into(),
            "quantity string" => "Wire::Quantity".into(),
            "int or string" => "Wire::IntOrString".into(),
            "raw json" => "Wire::Raw".into(),
            "object or bool" => format!("Wire::SchemaOrBool{}", schema()),
            "object or array" => format!("Wire::SchemaOrArray{}", schema()),
            "object or string array" => format!("Wire::SchemaOrStrings{}", schema()),
            "" if ty.at("alias") == "[]string" => "Wire::Strings".into(),
            _ => return None,
        })
    }

    fn meta(&mut self, ty: &str, f: &J) -> usize {
        let via: Vec<String> = f
            .at("via")
            .split('.')
            .filter(|s| !s.is_empty())
            .map(|s| format!("{:?}", s.trim_end_matches('*')))
            .collect();
        let text = format!(
            "FieldMeta {{ list_type: {:?}, list_keys: {}, map_type: {:?}, patch_strategy: {:?}, patch_key: {:?}, enumeration: {:?}, default: {:?}, markers: {}, gates: {:?}, go_type: {:?}, via: &[{}] }}",
            f.at("lt"),
            f.strings("lk"),
            f.at("mt"),
            f.at("ps"),
            f.at("pk"),
            f.at("e"),
            f.get("d").map(J::to_string).unwrap_or_default(),
            f.strings("v"),
            f.at("fg"),
            ty,
            via.join(", "),
        );
        let n = self.metas.len();
        *self.meta_ids.entry(text.clone()).or_insert_with(|| {
            self.metas.push(text);
            n
        })
    }

    fn ty(&mut self, name: &str, t: &J) {
        let first_field = self.fields.matches('\n').count();
        let fields = t.get("f").map_or(&[][..], J::obj);
        let mut nodes = vec![ProtoNode::default()];
        assert!(fields.len() <= 64, "{name} has too many fields for a mask");
        let (mut zeros, mut shown) = (0u64, 0u64);
        for (i, (fname, f)) in fields.iter().enumerate() {
            let mut wire_name = f.at("t");
            if let Some(bad) = wire_name.strip_prefix('?') {
                // A type that only v1 of this group defines.
                wire_name = Box::leak(bad.replace("v1beta1", "v1").into_boxed_str());
            }
            let full = wire_name;
            let mut card = "One";
            let mut strings = f.at("pt").ends_with("Verbs");
            if let Some(e) = wire_name.strip_prefix("map:") {
                (card, wire_name) = ("Map", e);
                strings = wire_name == "[]string";
            } else if !strings && let Some(e) = wire_name.strip_prefix("[]") {
                (card, wire_name) = ("List", e);
            }
            let wire = if strings { "Wire::Strings".into() } else { self.wire(wire_name) };
            let path: Vec<u8> = match f.get("p") {
                Some(J::Num(n)) => vec![*n as u8],
                Some(J::Str(s)) => s.split('.').map(|x| x.parse().expect("a number")).collect(),
                _ => Vec::new(),
            };
            if let Some((last, pre)) = path.split_last() {
                let mut at = 0;
                let via: Vec<&str> = f.at("via").split('.').collect();
                for (depth, p) in pre.iter().enumerate() {
                    let next = nodes.len();
                    let slot = nodes[at].slots.entry(*p).or_insert(Slot::Inline(next));
                    let Slot::Inline(n) = slot else { panic!("{name}.{fname}: number {p} is taken") };
                    at = *n;
                    if at == next {
                        nodes.push(ProtoNode { pointer: via[depth].ends_with('*'), ..ProtoNode::default() });
                    }
                }
                let old = nodes[at].slots.insert(*last, Slot::Field(i));
                assert!(old.is_none(), "{name}.{fname}: number {last} is taken");
            }
            let meta = self.meta(full, f);
            let key = format!("{fname:?}:");
            let absent = absent(&wire, card, f);
            zeros |= u64::from(absent == "Zero") << i;
            shown |= u64::from(absent != "Silent") << i;
            writeln!(
                self.fields,
                "Field {{ name: {fname:?}, key: {key:?}, absent: Absent::{absent}, wire: {wire}, card: Card::{card}, pointer: {}, omit_empty: {}, omit_zero: {}, required: {}, path: &{path:?}, template: {}, meta: &META[{meta}] }},",
                f.is("ptr"),
                f.is("oe"),
                f.is("oz"),
                f.is("r"),
                // Set by hand in upstream's conversion (pkg/apis/apps/v1/conversion.go).
                if name == "apps.v1.StatefulSetSpec" && fname == "volumeClaimTemplates" {
                    r#"Some(("v1", "PersistentVolumeClaim"))"#
                } else {
                    "None"
                },
            )
            .expect("writing to a string");
        }
        let root = self.protos.len();
        for n in &nodes {
            let top = n.slots.keys().max().map_or(0, |m| usize::from(*m) + 1);
            let mut slots = vec![0u16; top];
            for (num, s) in &n.slots {
                slots[usize::from(*num)] = match s {
                    Slot::Field(i) => *i as u16 + 1,
                    Slot::Inline(n) => 0x8000 | (root + n) as u16,
                };
            }
            self.protos.push(format!("ProtoNode {{ slots: &{slots:?}, pointer: {} }}", n.pointer));
        }
        let mut by_name = vec![0usize; (2 * fields.len()).next_power_of_two()];
        for (i, f) in fields.iter().enumerate() {
            let mut at = hash(&f.0) & (by_name.len() - 1);
            while by_name[at] != 0 {
                at = (at + 1) & (by_name.len() - 1);
            }
            by_name[at] = i + 1;
        }
        let special = self.special(name).map_or("None".to_owned(), |w| format!("Some({w})"));
        let gvks: String = match t.get("gvk") {
            Some(J::Arr(_)) => t.strings("gvk"),
            _ => "&[]".into(),
        };
        let oa = t.get("oa");
        let unions: Vec<String> = t
            .get("union")
            .map_or(&[][..], J::arr)
            .iter()
            .map(|u| format!("({:?}, {})", u.at("disc"), u.strings("fields")))
            .collect();
        writeln!(
            self.out,
            "Type {{ name: {name:?}, start: {first_field}, len: {}, by_name: &{by_name:?}, proto: {root}, zeros: {zeros:#x}, shown: {shown:#x}, special: {special}, gvks: {gvks}, alias: {:?}, map_type: {:?}, openapi: {}, openapi_type: {:?}, openapi_format: {:?}, markers: {}, unions: &[{}] }},",
            fields.len(),
            t.at("alias"),
            t.at("mt"),
            !t.is("x"),
            oa.map_or("", |o| o.at("type")),
            oa.map_or("", |o| o.at("format")),
            t.strings("v"),
            unions.join(", "),
        )
        .expect("writing to a string");
    }

    fn opt_type(&self, kinds: &HashMap<String, usize>, gv: &str, kind: &str) -> String {
        kinds.get(&format!("{gv}/{kind}")).map_or("None".into(), |i| format!("Some(TypeId({i}))"))
    }

    fn resource(&mut self, kinds: &HashMap<String, usize>, key: &str, r: &J) {
        let (gv, resource) = key.rsplit_once('/').expect("gv/resource");
        let (group, version) = gv.split_once('/').unwrap_or(("", gv));
        let mut subs = String::new();
        for (n, s) in r.get("sub").map_or(&[][..], J::obj) {
            let sgv = if s.at("gv").is_empty() { gv } else { s.at("gv") };
            let (g, v) = sgv.split_once('/').unwrap_or(("", sgv));
            let ty = self.opt_type(kinds, sgv, s.at("kind"));
            write!(
                subs,
                "Subresource {{ name: {n:?}, kind: {:?}, group: {g:?}, version: {v:?}, verbs: {}, type_id: {ty} }}, ",
                s.at("kind"),
                s.strings("verbs")
            )
            .expect("writing to a string");
        }
        let empty = J::Obj(Vec::new());
        let store = r.get("store").unwrap_or(&empty);
        let mut reset = String::new();
        for (n, _) in store.get("reset").map_or(&[][..], J::obj) {
            let paths = store.get("reset").expect("is there").strings(n);
            write!(reset, "({n:?}, {paths}), ").expect("writing to a string");
        }
        let mut cols = String::new();
        for c in r.get("cols").map_or(&[][..], J::arr) {
            let c = c.arr();
            let s = |i: usize| c.get(i).map_or("", J::str);
            let priority = if let Some(J::Num(n)) = c.get(3) { *n as i32 } else { 0 };
            write!(
                cols,
                "Column {{ name: {:?}, ty: {:?}, format: {:?}, priority: {priority} }}, ",
                s(0),
                s(1),
                s(2)
            )
            .expect("writing to a string");
        }
        let generation = store.get("generation").map_or(&[][..], J::arr);
        writeln!(
            self.out,
            "Resource {{ group: {group:?}, version: {version:?}, resource: {resource:?}, singular: {:?}, kind: {:?}, short_names: {}, categories: {}, namespaced: {}, verbs: {}, subresources: &[{subs}], default: {}, storage: {:?}, storage_version_hash: {:?}, key: {:?}, create_on_update: {}, unconditional_update: {}, generation: {}, generation_bumped: {}, delete_returns_object: {}, gc: {:?}, reset: &[{reset}], columns: &[{cols}], field_labels: {}, type_id: {}, list_type_id: {} }},",
            r.at("sing"),
            r.at("kind"),
            r.strings("short"),
            r.strings("cat"),
            r.is("ns"),
            r.strings("verbs"),
            r.is("default"),
            r.at("storage"),
            r.at("svh"),
            r.at("key"),
            store.is("createOnUpdate"),
            store.is("unconditionalUpdate"),
            generation.iter().any(|g| matches!(g, J::Num(_))),
            generation.iter().any(|g| g.str() == "+"),
            store.is("deleteReturnsObject"),
            store.at("gc"),
            r.strings("fl"),
            self.opt_type(kinds, gv, r.at("kind")),
            self.opt_type(kinds, gv, &format!("{}List", r.at("kind"))),
        )
        .expect("writing to a string");
    }
}

#[path = "src/facts/hash.rs"]
mod hash;
use hash::hash;

fn main() {
    let facts =
        Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join("../../api/v1.37.json");
    println!("cargo::rerun-if-changed={}", facts.display());
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/facts/hash.rs");
    let text = fs::read_to_string(&facts).expect("api/v1.37.json is in the repository");
    let root: J = serde_json::from_str(&text).expect("api/v1.37.json is JSON");
    let mut types = root.get("types").expect("types").obj().to_vec();
    types.sort_by(|a, b| a.0.cmp(&b.0));
    let ids = types.iter().enumerate().map(|(i, (n, _))| (n.as_str(), i)).collect();
    let mut g = Gen {
        ids,
        types: &types,
        metas: Vec::new(),
        meta_ids: HashMap::new(),
        protos: Vec::new(),
        fields: String::new(),
        out: String::new(),
    };
    writeln!(g.out, "pub(crate) static TYPES: &[Type] = &[").expect("writing to a string");
    for (n, t) in &types {
        g.ty(n, t);
    }
    let mut kinds: HashMap<String, usize> = HashMap::new();
    for (i, (n, t)) in types.iter().enumerate() {
        for k in t.get("gvk").map_or(&[][..], J::arr) {
            kinds.insert(k.str().to_owned(), i);
        }
        if n.starts_with("meta.v1.PartialObjectMetadata") {
            kinds.insert(format!("meta.k8s.io/v1/{}", &n["meta.v1.".len()..]), i);
        }
    }
    // Kinds that discovery does not tell of: the group and version are those of their package's other kinds.
    let mut packages: HashMap<&str, String> = HashMap::new();
    for (n, t) in &types {
        let (pkg, kind) = n.rsplit_once('.').expect("a package");
        let version = pkg.rsplit('.').next().expect("a version");
        for k in t.get("gvk").map_or(&[][..], J::arr) {
            let (gv, k) = k.str().rsplit_once('/').expect("gv/kind");
            if k == kind && gv.rsplit('/').next() == Some(version) && pkg != "meta.v1" && kind != "Scale" {
                packages.insert(pkg, gv.to_owned());
            }
        }
    }
    for pkg in ["admission.v1", "admission.v1beta1", "imagepolicy.v1alpha1", "audit.v1"] {
        let (g, v) = pkg.split_once('.').expect("group.version");
        packages.entry(pkg).or_insert(format!("{g}.k8s.io/{v}"));
    }
    for (i, (n, t)) in types.iter().enumerate() {
        let (pkg, kind) = n.rsplit_once('.').expect("a package");
        let typed = t
            .get("f")
            .map_or(&[][..], J::obj)
            .iter()
            .filter(|(f, x)| (f == "kind" || f == "apiVersion") && x.get("p").is_none())
            .count()
            == 2;
        if let Some(gv) = packages.get(pkg).filter(|_| typed) {
            kinds.entry(format!("{gv}/{kind}")).or_insert(i);
        }
    }
    kinds.entry("v1/List".into()).or_insert(g.id("core.v1.List"));
    writeln!(g.out, "];\npub(crate) static RESOURCES: &[Resource] = &[").expect("writing to a string");
    for (k, r) in root.get("resources").expect("resources").obj() {
        g.resource(&kinds, k, r);
    }
    let mut sorted: Vec<_> = kinds.iter().collect();
    sorted.sort();
    let list: String = sorted.iter().map(|(k, i)| format!("({k:?}, TypeId({i})),\n")).collect();
    writeln!(g.out, "];\npub(crate) static KINDS: &[(&str, TypeId)] = &[\n{list}];")
        .expect("writing to a string");
    let section = |k: &str| {
        let mut v = root.get(k).expect("a section of the facts").obj().to_vec();
        v.sort_by(|a, b| a.0.cmp(&b.0));
        v
    };
    let enums: String = section("enums")
        .iter()
        .map(|(k, v)| {
            let vs: Vec<String> = v
                .arr()
                .iter()
                .map(|x| format!("{:?}", if let J::Str(s) = x { s.clone() } else { x.to_string() }))
                .collect();
            format!("({k:?}, &[{}]),\n", vs.join(", "))
        })
        .collect();
    writeln!(g.out, "pub(crate) static ENUMS: &[(&str, &[&str])] = &[\n{enums}];")
        .expect("writing to a string");
    let gates: String = section("gates")
        .iter()
        .map(|(k, v)| {
            let a = v.arr();
            let on = matches!(a.first(), Some(J::Bool(true)));
            format!("Gate {{ name: {k:?}, on: {on}, stage: {:?}, locked: {} }},\n", a[1].str(), a.len() > 2)
        })
        .collect();
    writeln!(g.out, "pub(crate) static GATES: &[Gate] = &[\n{gates}];").expect("writing to a string");
    let defaults = root.get("defaults").expect("defaults");
    let mut dk: Vec<usize> =
        defaults.get("kinds").map_or(&[][..], J::arr).iter().map(|k| g.id(k.str())).collect();
    dk.sort_unstable();
    let dk: String = dk.iter().map(|i| format!("TypeId({i}), ")).collect();
    writeln!(g.out, "pub(crate) static DEFAULTED_KINDS: &[TypeId] = &[{dk}];").expect("writing to a string");
    let mut per: BTreeMap<usize, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for (t, fs) in defaults.get("types").map_or(&[][..], J::obj) {
        // `ResourceList` is a map with a name, not a type of the table: `facts::defaults_for` says so.
        let Some(id) = g.ids.get(t.as_str()) else { continue };
        let e = per.entry(*id).or_default();
        e.0.extend(fs.arr().iter().map(|f| format!("{:?}", f.str().trim_end_matches("()"))));
    }
    for (path, lit) in defaults.get("fields").map_or(&[][..], J::obj) {
        let (t, f) = path.rsplit_once('.').expect("type.field");
        per.entry(g.id(t)).or_default().1.push(format!("({f:?}, {:?})", lit.to_string()));
    }
    let per: String = per
        .iter()
        .map(|(i, (f, l))| format!("(TypeId({i}), &[{}], &[{}]),\n", f.join(", "), l.join(", ")))
        .collect();
    writeln!(g.out, "pub(crate) static DEFAULTS: &[Defaults] = &[\n{per}];").expect("writing to a string");
    writeln!(g.out, "pub(crate) static FIELDS: &[Field] = &[\n{}];", g.fields).expect("writing to a string");
    writeln!(g.out, "static META: &[FieldMeta] = &[\n{},\n];", g.metas.join(",\n"))
        .expect("writing to a string");
    writeln!(g.out, "pub(crate) static PROTOS: &[ProtoNode] = &[\n{},\n];", g.protos.join(",\n"))
        .expect("writing to a string");
    writeln!(g.out, "pub(crate) const VERSION: &str = {:?};", root.at("version"))
        .expect("writing to a string");
    let dest = Path::new(&env::var("OUT_DIR").expect("set by cargo")).join("tables.rs");
    fs::write(dest, g.out).expect("writing the tables");
}
