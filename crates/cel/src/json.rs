//! Values from JSON and back.

use crate::value::{Key, Map};
use crate::{Value, time};
use base64::Engine;
use schema::TypeId;
use schema::facts::{Card, Wire};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::sync::Arc;

/// JSON as a value of no declared type.
pub fn dynamic(v: &Json) -> Value {
    match v {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => number(n),
        Json::String(s) => s.as_str().into(),
        Json::Array(a) => a.iter().map(dynamic).collect::<Vec<_>>().into(),
        Json::Object(o) => o
            .iter()
            .map(|(k, v)| (Key::String(k.as_str().into()), dynamic(v)))
            .collect::<BTreeMap<_, _>>()
            .into(),
    }
}

pub fn number(n: &serde_json::Number) -> Value {
    match (n.as_i64(), n.as_u64()) {
        (Some(i), _) => Value::Int(i),
        (None, Some(u)) => Value::Uint(u),
        _ => Value::Double(n.as_f64().unwrap_or(0.0)),
    }
}

/// An object with the given members.
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let entries = members.into_iter().map(|(k, v)| (Key::String(k.into()), v)).collect();
    Value::Map(Arc::new(Map { entries, object: None }))
}

/// The JSON of a value; what JSON has no word for is an error.
pub fn to_json(v: &Value) -> Result<Json, String> {
    Ok(match v {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(i) => (*i).into(),
        Value::Uint(u) => (*u).into(),
        Value::Double(d) => serde_json::Number::from_f64(*d).map(Json::Number).ok_or("not a number")?,
        Value::String(s) => Json::String(s.to_string()),
        Value::Bytes(b) => Json::String(base64::engine::general_purpose::STANDARD.encode(b)),
        Value::Duration(_) | Value::Timestamp(_) => Json::String(v.show()),
        Value::List(l) => Json::Array(l.items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Map(m) => {
            let mut out = serde_json::Map::new();
            for (k, v) in &m.entries {
                let Key::String(k) = k else { return Err(format!("key {} is no string", k.value().show())) };
                out.insert(k.to_string(), to_json(v)?);
            }
            Json::Object(out)
        }
        Value::Opaque(o) => match o.as_ref() {
            crate::value::Opaque::Quantity(q) => Json::String(q.to_string()),
            o => return Err(format!("type conversion error from '{}'", o.type_of().name())),
        },
        Value::Optional(_) | Value::Type(_) => {
            return Err(format!("type conversion error from '{}'", v.type_of().name()));
        }
    })
}

/// JSON of a built-in type: times, durations and bytes become values of their own.
pub fn builtin(v: &Json, ty: TypeId) -> Value {
    if let Some(w) = ty.facts().special {
        return element(v, w);
    }
    let Json::Object(o) = v else { return dynamic(v) };
    let entries = o.iter().map(|(k, x)| {
        let value = match ty.field(k) {
            None => dynamic(x),
            Some(f) => match (f.card, x) {
                (Card::List, Json::Array(a)) => {
                    a.iter().map(|x| element(x, f.wire)).collect::<Vec<_>>().into()
                }
                (Card::Map, Json::Object(m)) => m
                    .iter()
                    .map(|(k, x)| (Key::String(k.as_str().into()), element(x, f.wire)))
                    .collect::<BTreeMap<_, _>>()
                    .into(),
                (_, x) => element(x, f.wire),
            },
        };
        (Key::String(k.as_str().into()), value)
    });
    entries.collect::<BTreeMap<_, _>>().into()
}

fn element(v: &Json, w: Wire) -> Value {
    match (w, v) {
        (Wire::Struct(t), _) => builtin(v, t),
        (Wire::Time | Wire::MicroTime, Json::String(s)) => {
            time::parse_timestamp(s).map_or_else(|| dynamic(v), Value::Timestamp)
        }
        (Wire::Duration, Json::String(s)) => {
            time::parse_duration(s).map_or_else(|_| dynamic(v), Value::Duration)
        }
        (Wire::Bytes, Json::String(s)) => {
            let b = base64::engine::general_purpose::STANDARD.decode(s);
            b.map_or_else(|_| dynamic(v), |b| Value::Bytes(b.into()))
        }
        (Wire::Double, Json::Number(n)) => Value::Double(n.as_f64().unwrap_or(0.0)),
        _ => dynamic(v),
    }
}
