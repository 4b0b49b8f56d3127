//! Typed decoding into canonical form, from text or from a parsed value.

use super::encode::{omitted, zero_value};
use super::source::{Ev, Num, Source, Untyped, join, too_deep};
use super::{go_type, short};
use crate::facts::{Card, Field, Wire, fields};
use crate::{DecodeError, MAX_DEPTH, TypeId, Value};
use base64::Engine as _;
use meta::time::Timestamp;
use serde_json::Map;
use std::borrow::Cow;
use std::marker::PhantomData;

/// At most this many strict errors are kept, as upstream does.
const MAX_STRICT: usize = 100;

/// A value of a wrong JSON type. The way to it is put in front while unwinding.
struct Mismatch {
    found: String,
    go_type: String,
    owner: &'static str,
    /// Innermost first.
    path: Vec<&'static str>,
}

/// A field that is unknown or came twice.
struct Strict {
    unknown: bool,
    path: String,
}

pub(super) struct Decoder<'a, S> {
    src: S,
    strict: Vec<Strict>,
    mismatch: Option<Mismatch>,
    /// Below a schema-or-something, where upstream's decoding is not strict.
    lenient: usize,
    _source: PhantomData<&'a ()>,
}

type R<T> = Result<T, DecodeError>;

/// The same engine for reading as Go's StdEncoding: trailing bits are ignored.
const BASE64: base64::engine::GeneralPurpose = base64::engine::GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    base64::engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Fills in what upstream's JSON always shows.
pub(crate) fn fill(m: &mut Map<String, Value>, ty: TypeId) {
    fill_but(m, ty, 0);
}
/// The same where some fields (bits) are known to be there.
pub(crate) fn fill_but(m: &mut Map<String, Value>, ty: TypeId, there: u64) {
    let fs = fields(ty);
    let mut todo = ty.facts().zeros & !there;
    while todo != 0 {
        let f = &fs[todo.trailing_zeros() as usize];
        todo &= todo - 1;
        if !m.contains_key(f.name) {
            m.insert(f.name.to_owned(), zero_value(f));
        }
    }
}

impl<'a, S: Source<'a>> Decoder<'a, S> {
    pub(super) fn new(src: S) -> Self {
        Self { src, strict: Vec::new(), mismatch: None, lenient: 0, _source: PhantomData }
    }

    pub(super) fn document(&mut self, ty: TypeId) -> R<Value> {
        let v = match self.src.value()? {
            Ev::Obj => Value::Object(self.object(ty, 0)?),
            Ev::Null => {
                let mut m = Map::new();
                fill(&mut m, ty);
                Value::Object(m)
            }
            ev => {
                self.src.rest(&ev, 0)?;
                self.src.end()?;
                return Err(DecodeError(format!(
                    "json: cannot unmarshal {} into Go value of type {}",
                    ev.name(),
                    short(ty.name())
                )));
            }
        };
        self.src.end()?;
        match self.mismatch.take() {
            None => Ok(v),
            Some(m) => {
                let path: Vec<&str> = m.path.iter().rev().copied().collect();
                Err(DecodeError(format!(
                    "json: cannot unmarshal {} into Go struct field {}.{} of type {}",
                    m.found,
                    m.owner,
                    path.join("."),
                    m.go_type
                )))
            }
        }
    }

    /// What strict decoding has against the document: each thing once, at most a hundred.
    pub(super) fn strict(&mut self) -> Vec<String> {
        let mut out: Vec<String> = Vec::new();
        for s in self.strict.drain(..) {
            let text = format!(
                "{} field {}",
                if s.unknown { "unknown" } else { "duplicate" },
                meta::field::quote(&s.path)
            );
            if out.len() < MAX_STRICT && !out.contains(&text) {
                out.push(text);
            }
        }
        out
    }

    fn note(&mut self, unknown: bool, name: &str) {
        if self.lenient == 0 && self.strict.len() < 10 * MAX_STRICT {
            self.strict.push(Strict { unknown, path: name.to_owned() });
        }
    }
    fn prefix(&mut self, mark: usize, with: &dyn std::fmt::Display) {
        for s in &mut self.strict[mark..] {
            s.path = join(with, &s.path);
        }
    }

    #[cold]
    fn context(&mut self, ty: TypeId, f: &'static Field) {
        if let Some(e) = &mut self.mismatch {
            if e.owner.is_empty() {
                e.owner = ty.short_name();
            }
            e.path.push(f.name);
            e.path.extend(f.meta.via.iter().rev());
        }
    }

    /// The members of an object whose brace has been taken.
    fn object(&mut self, ty: TypeId, depth: usize) -> R<Map<String, Value>> {
        if depth >= MAX_DEPTH {
            return Err(too_deep());
        }
        let fs = fields(ty);
        let mut m = Map::new();
        let (mut seen, mut there) = (0u64, 0u64);
        let mut first = true;
        while let Some(k) = self.src.key(first)? {
            first = false;
            let Some(i) = ty.field_index(&k) else {
                self.note(true, &k);
                self.src.skip(depth + 1)?;
                continue;
            };
            let f = &fs[i];
            if seen & (1 << i) != 0 {
                self.note(false, f.name);
                m.remove(f.name);
                there &= !(1 << i);
            }
            seen |= 1 << i;
            let mark = self.strict.len();
            let clean = self.mismatch.is_none();
            if let Some(v) = self.field(f, depth)? {
                m.insert(f.name.to_owned(), v);
                there |= 1 << i;
            }
            if self.strict.len() > mark {
                self.prefix(mark, &f.name);
            }
            if clean && self.mismatch.is_some() {
                self.context(ty, f);
            }
        }
        fill_but(&mut m, ty, there);
        Ok(m)
    }

    // Recursion runs through `object`, `field`, `list`, `map` and `element`, which are kept small: what they share a stack
    // with is 512 of them. What does not recurse is in `leaf`.

    fn field(&mut self, f: &'static Field, depth: usize) -> R<Option<Value>> {
        match (f.card, self.src.value()?) {
            (_, Ev::Null) => Ok(None),
            (Card::One, Ev::Obj) => self.nested(f, depth),
            (Card::List, Ev::Arr) => self.list(f, depth),
            (Card::Map, Ev::Obj) => self.map(f, depth),
            (Card::One, ev) => self.one(f, ev, depth),
            (_, ev) => self.misfit(f, ev, false, depth),
        }
    }

    /// An object where the field has one value.
    fn nested(&mut self, f: &'static Field, depth: usize) -> R<Option<Value>> {
        match f.wire {
            Wire::Struct(t) => Ok(Some(Value::Object(self.object(t, depth + 1)?))),
            Wire::SchemaOrBool(t) | Wire::SchemaOrArray(t) | Wire::SchemaOrStrings(t) => {
                self.lenient += 1;
                let m = self.object(t, depth + 1)?;
                self.lenient -= 1;
                Ok(Some(Value::Object(m)))
            }
            _ => self.leaf(f, Ev::Obj, depth),
        }
    }

    fn one(&mut self, f: &'static Field, ev: Ev<'a>, depth: usize) -> R<Option<Value>> {
        match (f.wire, ev) {
            (Wire::SchemaOrArray(t), Ev::Arr) => self.schemas(t, depth),
            (_, ev) => Ok(self.leaf(f, ev, depth)?.filter(|v| f.card != Card::One || !omitted(f, v))),
        }
    }

    fn list(&mut self, f: &'static Field, depth: usize) -> R<Option<Value>> {
        let mut a = Vec::new();
        while self.src.elem(a.is_empty())? {
            let mark = self.strict.len();
            let mut v = self.element(f, depth + 1)?;
            if self.strict.len() > mark {
                self.prefix(mark, &format_args!("[{}]", a.len()));
            }
            set_template(f, &mut v);
            a.push(v);
        }
        Ok(if a.is_empty() && f.omit_empty && !f.pointer { None } else { Some(Value::Array(a)) })
    }

    fn map(&mut self, f: &'static Field, depth: usize) -> R<Option<Value>> {
        let mut m = Map::new();
        let mut first = true;
        while let Some(k) = self.src.key(first)? {
            first = false;
            if m.contains_key(&*k) {
                self.note(false, &k);
            }
            let mark = self.strict.len();
            let v = self.element(f, depth + 1)?;
            if self.strict.len() > mark {
                self.prefix(mark, &k);
            }
            m.insert(k.into_owned(), v);
        }
        Ok(if m.is_empty() && f.omit_empty && !f.pointer { None } else { Some(Value::Object(m)) })
    }

    /// An element of a list or map: null and what does not fit are the zero value.
    fn element(&mut self, f: &'static Field, depth: usize) -> R<Value> {
        let v = match self.src.value()? {
            Ev::Null => None,
            Ev::Obj => self.nested(f, depth)?,
            ev => self.one(f, ev, depth)?,
        };
        Ok(v.unwrap_or_else(|| zero_element(f.wire)))
    }

    fn schemas(&mut self, t: TypeId, depth: usize) -> R<Option<Value>> {
        self.lenient += 1;
        let mut a = Vec::new();
        while self.src.elem(a.is_empty())? {
            let m = match self.src.value()? {
                Ev::Obj => self.object(t, depth + 2)?,
                ev => {
                    self.mismatched(ev.name().to_owned(), short(t.name()));
                    self.src.rest(&ev, depth + 2)?;
                    Map::new()
                }
            };
            a.push(Value::Object(m));
        }
        self.lenient -= 1;
        Ok((!a.is_empty()).then_some(Value::Array(a)))
    }

    #[cold]
    fn wrong(&mut self, f: &'static Field, ev: &Ev<'a>, element: bool, depth: usize) -> R<()> {
        let found = match ev {
            Ev::Num(n)
                if matches!(f.wire, Wire::Int32 | Wire::Int64 | Wire::Double)
                    && (element || f.card == Card::One) =>
            {
                format!("number {}", n.text())
            }
            ev => ev.name().to_owned(),
        };
        self.mismatched(found, go_type(f, element));
        self.src.rest(ev, depth + 1)
    }
    fn mismatched(&mut self, found: String, go_type: String) {
        if self.mismatch.is_none() {
            self.mismatch = Some(Mismatch { found, go_type, owner: "", path: Vec::new() });
        }
    }

    /// One value that holds no others by schema; `None` when it does not fit (and has been noted).
    #[inline(never)]
    fn leaf(&mut self, f: &'static Field, ev: Ev<'a>, depth: usize) -> R<Option<Value>> {
        Ok(match (f.wire, ev) {
            (Wire::String | Wire::Duration, Ev::Str(s)) => Some(Value::String(s.into_owned())),
            (Wire::Bool, Ev::Bool(b)) => Some(Value::Bool(b)),
            (Wire::Int32 | Wire::Int64, Ev::Num(n)) => match n.int() {
                Some(i) if f.wire == Wire::Int64 || i32::try_from(i).is_ok() => Some(i.into()),
                _ => self.misfit(f, Ev::Num(n), true, depth)?,
            },
            (Wire::Double, Ev::Num(n)) => {
                match n.text().parse::<f64>().ok().and_then(super::write::to_number) {
                    Some(x) => Some(Value::Number(x)),
                    None => self.misfit(f, Ev::Num(n), true, depth)?,
                }
            }
            (Wire::Bytes, Ev::Str(s)) => Some(bytes(&s)?),
            (Wire::Quantity, ev) => Some(self.quantity(&ev)?),
            (Wire::Time, Ev::Str(s)) => {
                let t = Timestamp::parse_time(&s).map_err(DecodeError)?;
                (!t.is_go_zero()).then(|| {
                    if in_normal_form(&s, 20) { Value::String(s.into_owned()) } else { t.rfc3339().into() }
                })
            }
            (Wire::MicroTime, Ev::Str(s)) => {
                let t = Timestamp::parse_micro(&s).map_err(DecodeError)?;
                (!t.is_go_zero()).then(|| {
                    if in_normal_form(&s, 27) {
                        Value::String(s.into_owned())
                    } else {
                        t.rfc3339_micro().into()
                    }
                })
            }
            (Wire::Time | Wire::MicroTime, ev) => {
                self.mismatched(ev.name().to_owned(), "string".into());
                self.src.rest(&ev, depth + 1)?;
                None
            }
            (Wire::IntOrString, Ev::Str(s)) => Some(Value::String(s.into_owned())),
            (Wire::IntOrString, ev) => self.int_of(ev, depth)?,
            (Wire::Raw, ev) => Some(self.raw(ev, depth)?),
            (Wire::Strings, Ev::Arr) => {
                let mut a = Vec::new();
                while self.src.elem(a.is_empty())? {
                    let v = match self.src.value()? {
                        Ev::Str(s) => s.into_owned(),
                        Ev::Null => String::new(),
                        ev => {
                            self.mismatched(ev.name().to_owned(), "string".into());
                            self.src.rest(&ev, depth + 2)?;
                            String::new()
                        }
                    };
                    a.push(Value::String(v));
                }
                Some(Value::Array(a))
            }
            (Wire::SchemaOrBool(_), Ev::Bool(b)) => Some(Value::Bool(b)),
            (Wire::SchemaOrBool(_), _) => return Err(DecodeError("boolean or JSON schema expected".into())),
            (Wire::SchemaOrStrings(_), Ev::Arr) => {
                let mut a = Vec::new();
                while self.src.elem(a.is_empty())? {
                    match self.src.value()? {
                        Ev::Str(s) => a.push(Value::String(s.into_owned())),
                        ev => {
                            self.mismatched(ev.name().to_owned(), "string".into());
                            self.src.rest(&ev, depth + 2)?;
                        }
                    }
                }
                (!a.is_empty()).then_some(Value::Array(a))
            }
            // Upstream takes anything else for nothing.
            (Wire::SchemaOrArray(_) | Wire::SchemaOrStrings(_), ev) => {
                self.src.rest(&ev, depth + 1)?;
                None
            }
            (_, ev) => self.misfit(f, ev, true, depth)?,
        })
    }

    fn misfit(&mut self, f: &'static Field, ev: Ev<'a>, element: bool, depth: usize) -> R<Option<Value>> {
        self.wrong(f, &ev, element, depth)?;
        Ok(None)
    }
    fn raw(&mut self, ev: Ev<'a>, depth: usize) -> R<Value> {
        let mut u = Untyped { report: false, duplicates: Vec::new() };
        u.build(&mut self.src, ev, depth + 1)
    }
    fn int_of(&mut self, ev: Ev<'a>, depth: usize) -> R<Option<Value>> {
        if let Ev::Num(n) = &ev
            && let Some(i) = n.int().filter(|i| i32::try_from(*i).is_ok())
        {
            return Ok(Some(i.into()));
        }
        let found = if let Ev::Num(n) = &ev { format!("number {}", n.text()) } else { ev.name().to_owned() };
        self.mismatched(found, "int32".into());
        self.src.rest(&ev, depth + 1)?;
        Ok(None)
    }
    fn quantity(&mut self, ev: &Ev<'a>) -> R<Value> {
        let text: Cow<'_, str> = match ev {
            Ev::Str(s) => Cow::Borrowed(s),
            Ev::Num(n @ Num::Text(_) | n @ Num::Parsed(_)) => n.text(),
            _ => return Err(DecodeError(meta::quantity::ERR_FORMAT.into())),
        };
        let q = meta::quantity::normalize(&text).map_err(DecodeError)?;
        Ok(Value::String(q.into_owned()))
    }
}

/// Gives an item of a list the type that upstream's server gives it.
pub(crate) fn set_template(f: &Field, v: &mut Value) {
    if let (Some((api_version, kind)), Value::Object(m)) = (f.template, v) {
        m.insert("apiVersion".into(), api_version.into());
        m.insert("kind".into(), kind.into());
    }
}

/// Whether a time that parses is written as it would be printed: `Z`, no fraction beyond the form's, two-digit hour.
pub(super) fn in_normal_form(s: &str, len: usize) -> bool {
    s.len() == len && s.ends_with('Z') && !s.contains(',')
}

fn bytes(s: &str) -> R<Value> {
    let clean: Cow<'_, str> =
        if s.contains(['\r', '\n']) { Cow::Owned(s.replace(['\r', '\n'], "")) } else { Cow::Borrowed(s) };
    match BASE64.decode(clean.as_bytes()) {
        Ok(b) => Ok(Value::String(base64::engine::general_purpose::STANDARD.encode(b))),
        Err(e) => {
            let at = match e {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                    s.len() / 4 * 4
                }
            };
            Err(DecodeError(format!("illegal base64 data at input byte {at}")))
        }
    }
}

/// What stands in a list or map where the document has null.
pub(crate) fn zero_element(w: Wire) -> Value {
    match w {
        Wire::String | Wire::Bytes => Value::String(String::new()),
        Wire::Bool => Value::Bool(false),
        Wire::Int32 | Wire::Int64 | Wire::Double | Wire::IntOrString => Value::from(0),
        Wire::Quantity => Value::from("0"),
        Wire::Duration => Value::from("0s"),
        Wire::Strings => Value::Array(Vec::new()),
        Wire::Struct(t) => {
            let mut m = Map::new();
            fill(&mut m, t);
            Value::Object(m)
        }
        Wire::SchemaOrBool(_) => Value::Bool(false),
        Wire::Time | Wire::MicroTime | Wire::Raw | Wire::SchemaOrArray(_) | Wire::SchemaOrStrings(_) => {
            Value::Null
        }
    }
}
