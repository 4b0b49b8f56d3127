//! A serde deserializer over protobuf bytes: typed structs (k8s-openapi) without a tree in between. What it presents is
//! the object's JSON form.

use super::index::{self, Stop, index};
use super::wire::{Payload, Reader};
use super::{IntOrString, int_or_string, last_bytes, time};
use crate::facts::{Card, Field, Wire, fields};
use crate::json::{shows_zero, zero_element};
use crate::{DecodeError, TypeId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::value::{BorrowedStrDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error(e) => write!(f, "{e}"),
            Self::Irregular => f.write_str("fields are out of order"),
        }
    }
}
impl std::error::Error for Stop {}
impl de::Error for Stop {
    fn custom<T: std::fmt::Display>(msg: T) -> Self {
        Self::Error(DecodeError(msg.to_string()))
    }
}

type R<T> = Result<T, Stop>;

/// Typed values nest no deeper than this.
const MAX_TYPED_DEPTH: usize = 128;

/// What all parts of one object share.
#[derive(Clone, Copy)]
struct Doc<'a> {
    raw: &'a [u8],
    version: Option<&'a str>,
    /// Whether `metadata.managedFields` are left out.
    unmanaged: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Meta,
    /// An item whose apiVersion and kind the server sets.
    Template(&'static str, &'static str),
    Inner,
}

/// A message of a type.
pub(super) struct Message<'a> {
    doc: Doc<'a>,
    msg: &'a [u8],
    ty: TypeId,
    depth: usize,
    place: Place,
}

impl<'a> Message<'a> {
    pub(super) fn new(raw: &'a [u8], ty: TypeId, version: Option<&'a str>, unmanaged: bool) -> Self {
        Self { doc: Doc { raw, version, unmanaged }, msg: raw, ty, depth: 0, place: Place::Root }
    }
}

impl<'de> Deserializer<'de> for Message<'de> {
    type Error = Stop;
    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        // The frames of generated visitors are large.
        if self.depth >= MAX_TYPED_DEPTH {
            return Err(de::Error::custom("exceeded max depth"));
        }
        let mut places = vec![index::Place::default(); fields(self.ty).len()];
        let mut found = index::Found::default();
        index(self.doc.raw, self.msg, self.ty, self.ty.facts().proto, &mut places, &mut found, self.depth)?;
        v.visit_map(Members { m: self, places, visible: found.visible, next: 0, value: None })
    }
    fn deserialize_option<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        v.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, v: V) -> R<V::Value> {
        v.visit_newtype_struct(self)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        v.visit_unit()
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

struct Members<'a> {
    m: Message<'a>,
    places: Vec<index::Place>,
    visible: u64,
    next: usize,
    value: Option<FieldValue<'a>>,
}

enum FieldValue<'a> {
    /// From outside.
    Text(&'a str),
    /// The field begins here.
    There(&'static Field, &'a [u8], Place),
    /// Not set: its zero value.
    Zero(&'static Field),
}

impl<'a> Members<'a> {
    fn member(&self, f: &'static Field) -> R<Option<FieldValue<'a>>> {
        let doc = self.m.doc;
        if self.m.place == Place::Meta
            && f.name == "resourceVersion"
            && let Some(v) = doc.version
        {
            return Ok((!v.is_empty()).then_some(FieldValue::Text(v)));
        }
        match (self.m.place, f.name) {
            (Place::Meta, "managedFields") if doc.unmanaged => return Ok(None),
            (Place::Template(api_version, _), "apiVersion") => {
                return Ok(Some(FieldValue::Text(api_version)));
            }
            (Place::Template(_, kind), "kind") => return Ok(Some(FieldValue::Text(kind))),
            _ => {}
        }
        let meta = self.m.place == Place::Root && f.name == "metadata";
        if self.visible & (1 << self.next) == 0 {
            if !shows_zero(f) {
                return Ok(None);
            }
            return Ok(Some(if meta { FieldValue::There(f, &[], Place::Meta) } else { FieldValue::Zero(f) }));
        }
        let at = self.places[self.next];
        if f.card == Card::One {
            let hidden = match (f.wire, at.payload(doc.raw)) {
                (Wire::Time, Payload::Bytes(b)) => time(b, false)?.is_none(),
                (Wire::MicroTime, Payload::Bytes(b)) => time(b, true)?.is_none(),
                (Wire::Raw, Payload::Bytes(b)) => {
                    last_bytes(b, 1)?.is_none_or(|r| r.trim_ascii() == b"null" || r.is_empty())
                }
                _ => false,
            };
            if hidden {
                return Ok(None);
            }
        }
        Ok(Some(FieldValue::There(f, at.rest(doc.raw), if meta { Place::Meta } else { Place::Inner })))
    }
}

impl<'de> de::MapAccess<'de> for Members<'de> {
    type Error = Stop;
    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> R<Option<K::Value>> {
        let fs = fields(self.m.ty);
        while let Some(f) = fs.get(self.next) {
            let v = self.member(f)?;
            self.next += 1;
            if v.is_some() {
                self.value = v;
                return seed.deserialize(BorrowedStrDeserializer::new(f.name)).map(Some);
            }
        }
        Ok(None)
    }
    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> R<S::Value> {
        let (doc, depth) = (self.m.doc, self.m.depth);
        match self.value.take() {
            None => Err(de::Error::custom("a value before its key")),
            Some(FieldValue::Text(s)) => {
                seed.deserialize(serde_json::Value::String(s.to_owned())).map_err(json_error)
            }
            Some(FieldValue::Zero(f)) => match f.wire {
                Wire::Struct(ty) => {
                    let msg = &doc.raw[..0];
                    seed.deserialize(Message { doc, msg, ty, depth: depth + 1, place: Place::Inner })
                }
                w => seed.deserialize(zero_element(w)).map_err(json_error),
            },
            Some(FieldValue::There(f, rest, place)) => {
                let mut r = Reader::new(rest);
                // Metadata that is not there is an empty message.
                let (num, p) = r.next()?.unwrap_or((0, Payload::Bytes(&doc.raw[..0])));
                match f.card {
                    Card::One => seed.deserialize(One { doc, f, p, depth, place }),
                    Card::List | Card::Map => seed.deserialize(Many { doc, f, num, next: Some(p), r, depth }),
                }
            }
        }
    }
}

fn json_error(e: serde_json::Error) -> Stop {
    de::Error::custom(e)
}

/// All occurrences of a repeated field.
struct Many<'a> {
    doc: Doc<'a>,
    f: &'static Field,
    num: u32,
    next: Option<Payload<'a>>,
    r: Reader<'a>,
    depth: usize,
}

impl<'a> Many<'a> {
    fn step(&mut self) -> R<Option<Payload<'a>>> {
        let p = self.next.take();
        if p.is_some() {
            self.next = match self.r.next()? {
                Some((n, p)) if n == self.num => Some(p),
                _ => None,
            };
        }
        Ok(p)
    }
}

impl<'de> Deserializer<'de> for Many<'de> {
    type Error = Stop;
    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        if self.f.card == Card::List {
            // Packed numbers.
            if let (Wire::Int32 | Wire::Int64 | Wire::Bool, Some(Payload::Bytes(_))) =
                (self.f.wire, self.next)
            {
                return Err(Stop::Irregular);
            }
            v.visit_seq(self)
        } else {
            v.visit_map(Entries { many: self, value: None })
        }
    }
    fn deserialize_option<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        v.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, v: V) -> R<V::Value> {
        v.visit_newtype_struct(self)
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        v.visit_unit()
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier
    }
}

impl<'de> de::SeqAccess<'de> for Many<'de> {
    type Error = Stop;
    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> R<Option<T::Value>> {
        let (doc, f, depth) = (self.doc, self.f, self.depth);
        match self.step()? {
            Some(p) => {
                let place = f.template.map_or(Place::Inner, |(a, k)| Place::Template(a, k));
                seed.deserialize(One { doc, f, p, depth, place }).map(Some)
            }
            None => Ok(None),
        }
    }
}

struct Entries<'a> {
    many: Many<'a>,
    value: Option<Option<Payload<'a>>>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Stop;
    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> R<Option<K::Value>> {
        let Some(p) = self.many.step()? else { return Ok(None) };
        let Payload::Bytes(b) = p else { return Err(Stop::Irregular) };
        let (mut k, mut v) = (&b""[..], None);
        let mut e = Reader::new(b);
        while let Some((n, p)) = e.next()? {
            match (n, p) {
                (1, Payload::Bytes(b)) => k = b,
                (2, p) => v = Some(p),
                _ => {}
            }
        }
        self.value = Some(v);
        match std::str::from_utf8(k) {
            Ok(s) => seed.deserialize(BorrowedStrDeserializer::new(s)).map(Some),
            Err(_) => Err(Stop::Irregular),
        }
    }
    fn next_value_seed<S: de::DeserializeSeed<'de>>(&mut self, seed: S) -> R<S::Value> {
        let Many { doc, f, depth, .. } = self.many;
        match self.value.take().flatten() {
            Some(p) => seed.deserialize(One { doc, f, p, depth, place: Place::Inner }),
            None => seed.deserialize(zero_element(f.wire)).map_err(json_error),
        }
    }
}

/// One value.
struct One<'a> {
    doc: Doc<'a>,
    f: &'static Field,
    p: Payload<'a>,
    depth: usize,
    place: Place,
}

impl<'a> One<'a> {
    fn text<V: Visitor<'a>>(b: &'a [u8], v: V) -> R<V::Value> {
        match String::from_utf8_lossy(b) {
            Cow::Borrowed(s) => v.visit_borrowed_str(s),
            Cow::Owned(s) => v.visit_string(s),
        }
    }
}

impl<'de> Deserializer<'de> for One<'de> {
    type Error = Stop;
    fn deserialize_any<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        let Self { doc, f, p, depth, place } = self;
        match (f.wire, p) {
            (Wire::Struct(ty), Payload::Bytes(msg)) => {
                Message { doc, msg, ty, depth: depth + 1, place }.deserialize_any(v)
            }
            (Wire::String, Payload::Bytes(b)) => Self::text(b, v),
            (Wire::Bool, Payload::Varint(x)) => v.visit_bool(x != 0),
            (Wire::Int32, Payload::Varint(x)) => v.visit_i64(i64::from(x as i32)),
            (Wire::Int64, Payload::Varint(x)) => v.visit_i64(x as i64),
            (Wire::Bytes, Payload::Bytes(b)) => v.visit_string(STANDARD.encode(b)),
            (Wire::Time, Payload::Bytes(b)) => match time(b, false)? {
                Some(t) => v.visit_string(t.rfc3339()),
                None => v.visit_unit(),
            },
            (Wire::MicroTime, Payload::Bytes(b)) => match time(b, true)? {
                Some(t) => v.visit_string(t.rfc3339_micro()),
                None => v.visit_unit(),
            },
            (Wire::Quantity, Payload::Bytes(b)) => {
                let s = String::from_utf8_lossy(last_bytes(b, 1)?.filter(|s| !s.is_empty()).unwrap_or(b"0"));
                let q = meta::quantity::normalize(&s).map_err(DecodeError)?;
                v.visit_str(&q)
            }
            (Wire::IntOrString, Payload::Bytes(b)) => match int_or_string(b)? {
                IntOrString::Int(i) => v.visit_i64(i64::from(i)),
                IntOrString::Str(s) => Self::text(s, v),
            },
            (Wire::Raw, Payload::Bytes(b)) => match last_bytes(b, 1)? {
                None | Some(b"") => v.visit_unit(),
                Some(raw) => {
                    // By way of a value: numbers and depth are what they are everywhere.
                    crate::json::decode_untyped(raw)?.value.deserialize_any(v).map_err(json_error)
                }
            },
            (_, p) => match super::one(f, p, depth)? {
                Some(x) => x.deserialize_any(v).map_err(json_error),
                None => v.visit_unit(),
            },
        }
    }
    fn deserialize_option<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        v.visit_some(self)
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, v: V) -> R<V::Value> {
        v.visit_newtype_struct(self)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        v: V,
    ) -> R<V::Value> {
        match (self.f.wire, self.p) {
            (Wire::String, Payload::Bytes(b)) => {
                let s = String::from_utf8_lossy(b);
                let d: StrDeserializer<'_, Stop> = s.as_ref().into_deserializer();
                v.visit_enum(d)
            }
            _ => Err(Stop::Irregular),
        }
    }
    fn deserialize_ignored_any<V: Visitor<'de>>(self, v: V) -> R<V::Value> {
        v.visit_unit()
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}
