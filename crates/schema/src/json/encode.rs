//! Typed encoding: fields in Go struct order, zero values where upstream writes them.

use super::write::{string, write_value};
use crate::Value;
use crate::facts::{Absent, Card, Field, TypeId, Wire, fields, members};
use serde_json::Map;

/// Whether Go's `omitempty` leaves this value of the field out.
pub(crate) fn omitted(f: &Field, v: &Value) -> bool {
    if f.pointer || !f.omit_empty {
        return v.is_null();
    }
    match (f.card, f.wire, v) {
        (_, _, Value::Null) => true,
        (Card::List, _, Value::Array(a)) => a.is_empty(),
        (Card::Map, _, Value::Object(m)) => m.is_empty(),
        (Card::One, Wire::Bool, Value::Bool(b)) => !b,
        (Card::One, Wire::Int32 | Wire::Int64 | Wire::Double, Value::Number(n)) => n.as_f64() == Some(0.0),
        (Card::One, Wire::String | Wire::Bytes, Value::String(s)) => s.is_empty(),
        (Card::One, Wire::Strings, Value::Array(a)) => a.is_empty(),
        _ => false,
    }
}

/// Whether upstream's JSON shows a zero value (no null) when the field is not set.
pub(crate) fn shows_zero(f: &Field) -> bool {
    f.absent == Absent::Zero
}

/// That zero value.
pub(crate) fn zero_value(f: &Field) -> Value {
    match f.wire {
        Wire::Bool => Value::Bool(false),
        Wire::Int32 | Wire::Int64 | Wire::Double | Wire::IntOrString => Value::from(0),
        Wire::Quantity => Value::from("0"),
        Wire::Duration => Value::from("0s"),
        Wire::Struct(t) => {
            let mut m = Map::new();
            super::decode::fill(&mut m, t);
            Value::Object(m)
        }
        _ => Value::String(String::new()),
    }
}

pub(super) fn object(m: Option<&Map<String, Value>>, ty: TypeId, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    let all = members(m, ty);
    for (f, v) in fields(ty).iter().zip(all) {
        let v = v.filter(|v| !omitted(f, v));
        if v.is_none() && f.absent == Absent::Silent {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        out.extend_from_slice(f.key.as_bytes());
        match v {
            Some(v) => field(f, v, out),
            None => zero(f, out),
        }
    }
    out.push(b'}');
}

/// What is written for a field that is not set, after its key.
pub(crate) fn zero(f: &Field, out: &mut Vec<u8>) {
    if f.absent != Absent::Zero {
        out.extend_from_slice(b"null");
        return;
    }
    match f.wire {
        Wire::String => out.extend_from_slice(b"\"\""),
        Wire::Bool => out.extend_from_slice(b"false"),
        Wire::Int32 | Wire::Int64 | Wire::Double | Wire::IntOrString => out.push(b'0'),
        Wire::Quantity => out.extend_from_slice(b"\"0\""),
        Wire::Duration => out.extend_from_slice(b"\"0s\""),
        Wire::Struct(t) => object(None, t, out),
        _ => out.extend_from_slice(b"null"),
    }
}

fn field(f: &Field, v: &Value, out: &mut Vec<u8>) {
    match (f.card, v) {
        (Card::List, Value::Array(a)) => {
            out.push(b'[');
            for (i, x) in a.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                one(f.wire, x, out);
            }
            out.push(b']');
        }
        (Card::Map, Value::Object(m)) => {
            out.push(b'{');
            for (i, (k, x)) in m.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string(k, out);
                out.push(b':');
                one(f.wire, x, out);
            }
            out.push(b'}');
        }
        (_, v) => one(f.wire, v, out),
    }
}

pub(crate) fn one(w: Wire, v: &Value, out: &mut Vec<u8>) {
    match (w, v) {
        (Wire::Struct(t), Value::Object(m))
        | (Wire::SchemaOrBool(t) | Wire::SchemaOrArray(t) | Wire::SchemaOrStrings(t), Value::Object(m)) => {
            object(Some(m), t, out);
        }
        (Wire::SchemaOrArray(t), Value::Array(a)) => {
            out.push(b'[');
            for (i, x) in a.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                object(x.as_object(), t, out);
            }
            out.push(b']');
        }
        (_, v) => write_value(v, out),
    }
}
