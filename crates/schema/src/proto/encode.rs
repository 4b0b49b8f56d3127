//! Canonical form to bytes: fields by number, map entries by key, every scalar that is no pointer.

use super::wire::{put_bytes, put_message, put_tag, put_varint};
use crate::facts::{Card, Field, Members, Wire, fields, members, proto_node};
use crate::json::write;
use crate::{TypeId, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use meta::time::Timestamp;
use serde_json::Map;

pub(super) fn message(m: Option<&Map<String, Value>>, ty: TypeId, node: u16, out: &mut Vec<u8>) {
    part(&members(m, ty), ty, node, out);
}

fn part(m: &Members<'_>, ty: TypeId, node: u16, out: &mut Vec<u8>) {
    let fs = fields(ty);
    for (num, slot) in proto_node(node).slots.iter().enumerate() {
        let num = num as u8;
        match slot {
            0 => {}
            inline if inline & 0x8000 != 0 => {
                let inner = inline & 0x7fff;
                if !proto_node(inner).pointer || any_set(m, inner) {
                    put_message(num, out, |out| part(m, ty, inner, out));
                }
            }
            slot => {
                let i = usize::from(*slot) - 1;
                field(num, &fs[i], m[i], out);
            }
        }
    }
}

fn any_set(m: &Members<'_>, node: u16) -> bool {
    proto_node(node).slots.iter().any(|s| match s {
        0 => false,
        inline if inline & 0x8000 != 0 => any_set(m, inline & 0x7fff),
        s => m[usize::from(*s) - 1].is_some(),
    })
}

fn field(num: u8, f: &Field, v: Option<&Value>, out: &mut Vec<u8>) {
    let v = v.filter(|v| !v.is_null());
    match (f.card, v) {
        (Card::List, Some(Value::Array(a))) => a.iter().for_each(|x| one(num, f.wire, x, out)),
        (Card::Map, Some(Value::Object(o))) => {
            for (k, x) in o {
                put_message(num, out, |out| {
                    put_bytes(1, k.as_bytes(), out);
                    one(2, f.wire, x, out);
                });
            }
        }
        (Card::One, Some(v)) => one(num, f.wire, v, out),
        (Card::One, None) if !f.pointer && !matches!(f.wire, Wire::Bytes | Wire::Strings) => {
            one(num, f.wire, &Value::Null, out);
        }
        _ => {}
    }
}

/// One value; null is the zero value.
fn one(num: u8, w: Wire, v: &Value, out: &mut Vec<u8>) {
    match w {
        Wire::String => put_bytes(num, v.as_str().unwrap_or_default().as_bytes(), out),
        Wire::Bytes => {
            let b = STANDARD.decode(v.as_str().unwrap_or_default()).unwrap_or_default();
            put_bytes(num, &b, out);
        }
        Wire::Bool => {
            put_tag(num, 0, out);
            out.push(u8::from(v.as_bool().unwrap_or_default()));
        }
        Wire::Int32 => {
            put_tag(num, 0, out);
            put_varint(i64::from(v.as_i64().unwrap_or_default() as i32) as u64, out);
        }
        Wire::Int64 => {
            put_tag(num, 0, out);
            put_varint(v.as_i64().unwrap_or_default() as u64, out);
        }
        Wire::Double => {
            put_tag(num, 1, out);
            out.extend_from_slice(&v.as_f64().unwrap_or_default().to_le_bytes());
        }
        Wire::Struct(t) => put_message(num, out, |out| message(v.as_object(), t, t.facts().proto, out)),
        Wire::Time | Wire::MicroTime => put_message(num, out, |out| {
            let t = match (w, v.as_str()) {
                (_, None) => return,
                (Wire::Time, Some(s)) => Timestamp::parse(s).map(|t| Timestamp { nanos: 0, ..t }),
                (_, Some(s)) => Timestamp::parse(s).map(|t| Timestamp { nanos: t.nanos / 1000 * 1000, ..t }),
            };
            if let Some(t) = t.filter(|t| !t.is_go_zero()) {
                out.push(0x08);
                put_varint(t.seconds as u64, out);
                out.push(0x10);
                put_varint(u64::from(t.nanos), out);
            }
        }),
        Wire::Duration => put_message(num, out, |out| {
            let n = v.as_str().and_then(|s| s.strip_suffix("ns")?.parse::<i64>().ok()).unwrap_or_default();
            out.push(0x08);
            put_varint(n as u64, out);
        }),
        Wire::Quantity => put_message(num, out, |out| match v {
            Value::String(s) => put_bytes(1, s.as_bytes(), out),
            Value::Null => put_bytes(1, b"0", out),
            v => put_bytes(1, v.to_string().as_bytes(), out),
        }),
        Wire::IntOrString => put_message(num, out, |out| {
            out.push(0x08);
            out.push(u8::from(v.is_string()));
            out.push(0x10);
            put_varint(i64::from(v.as_i64().unwrap_or_default() as i32) as u64, out);
            put_bytes(3, v.as_str().unwrap_or_default().as_bytes(), out);
        }),
        Wire::Raw => put_message(num, out, |out| {
            if !v.is_null() {
                put_message(1, out, |out| write::write_raw(v, out));
            }
        }),
        Wire::Strings => put_message(num, out, |out| strings(1, v, out)),
        Wire::SchemaOrBool(t) => put_message(num, out, |out| {
            out.push(0x08);
            out.push(u8::from(v.is_object() || v.as_bool().unwrap_or_default()));
            schema(2, t, v, out);
        }),
        Wire::SchemaOrArray(t) => put_message(num, out, |out| {
            schema(1, t, v, out);
            for x in v.as_array().into_iter().flatten() {
                put_message(2, out, |out| message(x.as_object(), t, t.facts().proto, out));
            }
        }),
        Wire::SchemaOrStrings(t) => put_message(num, out, |out| {
            schema(1, t, v, out);
            strings(2, v, out);
        }),
    }
}

fn schema(num: u8, t: TypeId, v: &Value, out: &mut Vec<u8>) {
    if let Value::Object(m) = v {
        put_message(num, out, |out| message(Some(m), t, t.facts().proto, out));
    }
}
fn strings(num: u8, v: &Value, out: &mut Vec<u8>) {
    for s in v.as_array().into_iter().flatten() {
        put_bytes(num, s.as_str().unwrap_or_default().as_bytes(), out);
    }
}
