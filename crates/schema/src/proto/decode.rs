//! Bytes to canonical form.

use super::index::scalar_zero;
use super::wire::{Payload, Reader};
use crate::facts::{Card, Field, Wire, fields, proto_node};
use crate::json::{fill, fill_but, set_template, write, zero_element};
use crate::{DecodeError, MAX_DEPTH, TypeId, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::time::Timestamp;
use serde_json::Map;

type R<T> = Result<T, DecodeError>;

pub(super) fn object(raw: &[u8], ty: TypeId) -> R<Value> {
    whole(raw, ty, 0).map(Value::Object)
}

/// A message in canonical form.
fn whole(raw: &[u8], ty: TypeId, depth: usize) -> R<Map<String, Value>> {
    let mut m = Map::new();
    let mut seen = 0;
    message(raw, ty, ty.facts().proto, &mut m, &mut seen, depth)?;
    fill_but(&mut m, ty, seen);
    Ok(m)
}

/// What comes next in a message.
enum Next<'a> {
    /// The field of this index.
    Field(usize, Payload<'a>),
    /// A message whose fields are those of the message around it, and its node.
    Inline(u16, &'a [u8]),
}

/// The next thing in a message that its node knows.
#[inline]
fn known<'a>(r: &mut Reader<'a>, node: u16) -> R<Option<Next<'a>>> {
    let slots = proto_node(node).slots;
    while let Some((num, p)) = r.next()? {
        let slot = slots.get(num as usize).copied().unwrap_or(0);
        if slot == 0 {
            continue;
        }
        if slot & 0x8000 == 0 {
            return Ok(Some(Next::Field(usize::from(slot) - 1, p)));
        }
        let Payload::Bytes(b) = p else { return Err(DecodeError("proto: wrong wireType".into())) };
        return Ok(Some(Next::Inline(slot & 0x7fff, b)));
    }
    Ok(None)
}

/// Adds the fields of a message that one of the paths leads to. `depth` is where the paths' next names stand.
pub(super) fn chosen(
    raw: &[u8],
    ty: TypeId,
    node: u16,
    paths: &[&[&str]],
    m: &mut Map<String, Value>,
    depth: usize,
) -> R<()> {
    if depth >= MAX_DEPTH {
        return Err(too_deep());
    }
    let mut r = Reader::new(raw);
    while let Some(next) = known(&mut r, node)? {
        let (i, p) = match next {
            Next::Inline(node, b) => {
                chosen(b, ty, node, paths, m, depth)?;
                continue;
            }
            Next::Field(i, p) => (i, p),
        };
        let f = &fields(ty)[i];
        let mut below = paths.iter().filter(|p| p.get(depth) == Some(&f.name)).peekable();
        let Some(first) = below.peek() else { continue };
        match (f.card, f.wire, p) {
            (Card::One, Wire::Struct(t), Payload::Bytes(b)) if first.len() > depth + 1 => {
                let below: Vec<&[&str]> = below.copied().collect();
                let inner = m.entry(f.name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(inner) = inner else { return Err(wrong(f)) };
                chosen(b, t, t.facts().proto, &below, inner, depth + 1)?;
            }
            (Card::List, Wire::Struct(t), Payload::Bytes(b)) if first.len() > depth + 1 => {
                let below: Vec<&[&str]> = below.copied().collect();
                let mut item = Map::new();
                chosen(b, t, t.facts().proto, &below, &mut item, depth + 1)?;
                let list = m.entry(f.name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(list) = list else { return Err(wrong(f)) };
                list.push(Value::Object(item));
            }
            (Card::One, ..) => {
                m.remove(f.name);
                single(f, p, m, false, depth)?;
            }
            (Card::List, ..) => list_item(f, p, m, depth)?,
            (Card::Map, ..) => map_entry(f, p, m, depth)?,
        }
    }
    Ok(())
}

fn too_deep() -> DecodeError {
    DecodeError("exceeded max depth".into())
}

fn wrong(f: &Field) -> DecodeError {
    DecodeError(format!("proto: wrong wireType for field {}", f.name))
}

/// Adds a message's fields; `seen` are those (bits) that have come.
fn message(
    raw: &[u8],
    ty: TypeId,
    node: u16,
    m: &mut Map<String, Value>,
    seen: &mut u64,
    depth: usize,
) -> R<()> {
    if depth >= MAX_DEPTH {
        return Err(too_deep());
    }
    let mut r = Reader::new(raw);
    while let Some(next) = known(&mut r, node)? {
        let (i, p) = match next {
            Next::Inline(node, b) => {
                message(b, ty, node, m, seen, depth + 1)?;
                continue;
            }
            Next::Field(i, p) => (i, p),
        };
        let f = &fields(ty)[i];
        let again = *seen & (1 << i) != 0;
        *seen |= 1 << i;
        match f.card {
            Card::One => single(f, p, m, again, depth)?,
            Card::List => list_item(f, p, m, depth)?,
            Card::Map => map_entry(f, p, m, depth)?,
        }
    }
    Ok(())
}

#[inline(never)]
fn list_item(f: &'static Field, p: Payload<'_>, m: &mut Map<String, Value>, depth: usize) -> R<()> {
    if !m.contains_key(f.name) {
        m.insert(f.name.to_owned(), Value::Array(Vec::new()));
    }
    let Some(Value::Array(a)) = m.get_mut(f.name) else { return Err(wrong(f)) };
    if let (Wire::Int32 | Wire::Int64 | Wire::Bool, Payload::Bytes(b)) = (f.wire, p) {
        // Packed.
        let mut r = Reader::new(b);
        while r.i < b.len() {
            let v = Payload::Varint(r.varint()?);
            a.extend(one(f, v, depth)?);
        }
        return Ok(());
    }
    let mut v = one(f, p, depth)?.unwrap_or_else(|| zero_element(f.wire));
    set_template(f, &mut v);
    a.push(v);
    Ok(())
}

#[inline(never)]
fn map_entry(f: &'static Field, p: Payload<'_>, m: &mut Map<String, Value>, depth: usize) -> R<()> {
    let Payload::Bytes(b) = p else { return Err(wrong(f)) };
    let (mut k, mut v) = (String::new(), None);
    let mut r = Reader::new(b);
    while let Some((num, p)) = r.next()? {
        match (num, p) {
            (1, Payload::Bytes(b)) => k = text(b),
            (2, p) => v = one(f, p, depth)?,
            _ => {}
        }
    }
    if !m.contains_key(f.name) {
        m.insert(f.name.to_owned(), Value::Object(Map::new()));
    }
    let Some(Value::Object(map)) = m.get_mut(f.name) else { return Err(wrong(f)) };
    map.insert(k, v.unwrap_or_else(|| zero_element(f.wire)));
    Ok(())
}

#[inline(never)]
fn single(f: &'static Field, p: Payload<'_>, m: &mut Map<String, Value>, again: bool, depth: usize) -> R<()> {
    if again {
        // A message that comes in parts is merged; of values the last holds.
        if let (Wire::Struct(t), Payload::Bytes(b), Some(Value::Object(old))) = (f.wire, p, m.get_mut(f.name))
        {
            let mut seen = u64::MAX;
            message(b, t, t.facts().proto, old, &mut seen, depth + 1)?;
            fill(old, t);
            return Ok(());
        }
        m.remove(f.name);
    }
    if f.omit_empty && !f.pointer && scalar_zero(f.wire, p) {
        return Ok(());
    }
    if let Some(v) = one(f, p, depth)? {
        m.insert(f.name.to_owned(), v);
    }
    Ok(())
}

pub(crate) fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

/// One value; `None` where JSON would show null.
pub(crate) fn one(f: &'static Field, p: Payload<'_>, depth: usize) -> R<Option<Value>> {
    match (f.wire, p) {
        (Wire::Struct(t), Payload::Bytes(b)) => whole(b, t, depth + 1).map(|m| Some(Value::Object(m))),
        (
            w @ (Wire::SchemaOrBool(t) | Wire::SchemaOrArray(t) | Wire::SchemaOrStrings(t)),
            Payload::Bytes(b),
        ) => schema_or(w, t, b, depth),
        (_, p) => leaf(f, p),
    }
}

#[inline(never)]
fn leaf(f: &'static Field, p: Payload<'_>) -> R<Option<Value>> {
    Ok(Some(match (f.wire, p) {
        (Wire::String, Payload::Bytes(b)) => Value::String(text(b)),
        (Wire::Bool, Payload::Varint(v)) => Value::Bool(v != 0),
        (Wire::Int32, Payload::Varint(v)) => Value::from(v as i32),
        (Wire::Int64, Payload::Varint(v)) => Value::from(v as i64),
        (Wire::Double, Payload::Fixed64(v)) => match write::to_number(f64::from_bits(v)) {
            Some(n) => Value::Number(n),
            None => return Err(DecodeError("json: unsupported value: a number that is not finite".into())),
        },
        (Wire::Bytes, Payload::Bytes(b)) => Value::String(STANDARD.encode(b)),
        (_, Payload::Bytes(b)) => return special(f, b),
        _ => return Err(wrong(f)),
    }))
}

/// The messages of types whose JSON is written by hand.
fn special(f: &'static Field, b: &[u8]) -> R<Option<Value>> {
    Ok(match f.wire {
        Wire::Time => time(b, false)?.map(|t| t.rfc3339().into()),
        Wire::MicroTime => time(b, true)?.map(|t| t.rfc3339_micro().into()),
        Wire::Quantity => {
            let s = match last_bytes(b, 1)? {
                None | Some(b"") => return Ok(Some("0".into())),
                Some(s) => text(s),
            };
            let s = meta::quantity::normalize(&s).map_err(DecodeError)?.into_owned();
            Some(Value::String(s))
        }
        Wire::IntOrString => Some(match int_or_string(b)? {
            IntOrString::Int(i) => Value::from(i),
            IntOrString::Str(s) => Value::String(text(s)),
        }),
        Wire::Raw => match last_bytes(b, 1)? {
            None | Some(b"") => None,
            Some(raw) => Some(crate::json::decode_untyped(raw)?.value),
        },
        Wire::Duration => {
            let mut n = 0;
            let mut r = Reader::new(b);
            while let Some((num, p)) = r.next()? {
                if let (1, Payload::Varint(v)) = (num, p) {
                    n = v as i64;
                }
            }
            Some(Value::String(format!("{}ns", n)))
        }
        Wire::Strings => {
            let mut a = Vec::new();
            let mut r = Reader::new(b);
            while let Some((num, p)) = r.next()? {
                if let (1, Payload::Bytes(s)) = (num, p) {
                    a.push(Value::String(text(s)));
                }
            }
            Some(Value::Array(a))
        }
        _ => return Err(wrong(f)),
    })
}

/// `JSONSchemaPropsOrBool`, `OrArray`, `OrStringArray`.
fn schema_or(w: Wire, t: TypeId, b: &[u8], depth: usize) -> R<Option<Value>> {
    let (mut allows, mut schema, mut list) = (false, None, Vec::new());
    let mut r = Reader::new(b);
    let decode = |b: &[u8]| whole(b, t, depth + 2).map(Value::Object);
    while let Some((num, p)) = r.next()? {
        match (w, num, p) {
            (Wire::SchemaOrBool(_), 1, Payload::Varint(v)) => allows = v != 0,
            (Wire::SchemaOrBool(_), 2, Payload::Bytes(b)) | (_, 1, Payload::Bytes(b)) => {
                schema = Some(decode(b)?)
            }
            (Wire::SchemaOrArray(_), 2, Payload::Bytes(b)) => list.push(decode(b)?),
            (Wire::SchemaOrStrings(_), 2, Payload::Bytes(b)) => list.push(Value::String(text(b))),
            _ => {}
        }
    }
    Ok(match w {
        Wire::SchemaOrBool(_) => Some(schema.unwrap_or(Value::Bool(allows))),
        _ if !list.is_empty() => Some(Value::Array(list)),
        _ => schema,
    })
}

/// The last bytes field of this number.
pub(crate) fn last_bytes(b: &[u8], wanted: u32) -> R<Option<&[u8]>> {
    let mut found = None;
    let mut r = Reader::new(b);
    while let Some((num, p)) = r.next()? {
        if num == wanted {
            let Payload::Bytes(b) = p else { return Err(DecodeError("proto: wrong wireType".into())) };
            found = Some(b);
        }
    }
    Ok(found)
}

pub(crate) enum IntOrString<'a> {
    Int(i32),
    Str(&'a [u8]),
}
pub(crate) fn int_or_string(b: &[u8]) -> R<IntOrString<'_>> {
    let (mut ty, mut i, mut s) = (0, 0, &b""[..]);
    let mut r = Reader::new(b);
    while let Some((num, p)) = r.next()? {
        match (num, p) {
            (1, Payload::Varint(v)) => ty = v as i64,
            (2, Payload::Varint(v)) => i = v as i32,
            (3, Payload::Bytes(b)) => s = b,
            _ => {}
        }
    }
    match ty {
        0 => Ok(IntOrString::Int(i)),
        1 => Ok(IntOrString::Str(s)),
        _ => Err(DecodeError("impossible IntOrString.Type".into())),
    }
}

/// A time; `None` for the zero time. Whole seconds unless `micro`.
pub(crate) fn time(b: &[u8], micro: bool) -> R<Option<Timestamp>> {
    if b.is_empty() {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0i64, 0i32);
    let mut r = Reader::new(b);
    while let Some((num, p)) = r.next()? {
        match (num, p) {
            (1, Payload::Varint(v)) => seconds = v as i64,
            (2, Payload::Varint(v)) => nanos = v as i32,
            _ => {}
        }
    }
    // The years 1 to 9999: others have no JSON form that can be read again.
    if !(meta::time::GO_ZERO_SECONDS..=253_402_300_799).contains(&seconds) {
        return Err(DecodeError("time is out of range".into()));
    }
    let nanos = if micro { u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000) } else { Some(0) };
    let Some(nanos) = nanos else { return Err(DecodeError("time is out of range".into())) };
    let t = Timestamp { seconds, nanos };
    Ok((!t.is_go_zero()).then_some(t))
}
