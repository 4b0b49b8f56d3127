//! Data of custom resources as values, by their schemas (apiserver `pkg/cel/common/valuesunstructured.go`).

use crate::crd::decl::with_meta;
use crate::escape::escape;
use crate::value::{Key, List, ListKind, Map};
use crate::{Value, json, time};
use base64::Engine;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use structural::{Additional, Schema};

/// A place of an object; `root`: the schema is that of a whole object.
pub fn typed(v: &Json, s: &Schema, root: bool) -> Value {
    if s.int_or_string {
        return json::dynamic(v);
    }
    match (s.ty.as_str(), v) {
        (_, Json::Null) => Value::Null,
        ("object", Json::Object(o)) => {
            let s = if root || s.embedded { with_meta(s) } else { Cow::Borrowed(s) };
            let mut entries = BTreeMap::new();
            for (k, x) in o {
                if let Some(p) = s.properties.get(k) {
                    // What no expression can name still tells objects apart.
                    let key = escape(k).unwrap_or_else(|| format!("\0{k}"));
                    entries.insert(Key::String(key.into()), typed(x, p, p.embedded));
                } else if let Additional::Schema(a) = &s.additional {
                    entries.insert(Key::String(k.as_str().into()), typed(x, a, a.embedded));
                } else if !root {
                    entries.insert(Key::String(format!("\0{k}").into()), json::dynamic(x));
                }
            }
            Value::Map(Arc::new(Map { entries, object: None }))
        }
        ("array", Json::Array(a)) => {
            let Some(items) = &s.items else { return json::dynamic(v) };
            let kind = match s.list_type.as_str() {
                "set" => ListKind::Set,
                "map" => ListKind::Keys(
                    s.list_keys.iter().map(|k| escape(k).unwrap_or_else(|| k.clone()).into()).collect(),
                ),
                _ => ListKind::Plain,
            };
            let items = a.iter().map(|x| typed(x, items, items.embedded)).collect();
            Value::List(Arc::new(List { items, kind }))
        }
        ("string", Json::String(t)) => text(t, &s.format).unwrap_or_else(|| t.as_str().into()),
        ("number", Json::Number(n)) => Value::Double(n.as_f64().unwrap_or(0.0)),
        ("integer", Json::Number(n)) => match n.as_i64() {
            Some(i) => Value::Int(i),
            #[allow(clippy::cast_possible_truncation)]
            None => Value::Int(n.as_f64().unwrap_or(0.0) as i64),
        },
        _ => json::dynamic(v),
    }
}

fn text(t: &str, format: &str) -> Option<Value> {
    match format {
        "duration" => time::parse_duration(t).ok().map(Value::Duration),
        "date" => time::parse_timestamp(&format!("{t}T00:00:00Z")).map(Value::Timestamp),
        "date-time" => time::parse_timestamp(&t.to_uppercase()).map(Value::Timestamp),
        "byte" => base64::engine::general_purpose::STANDARD.decode(t).ok().map(|b| Value::Bytes(b.into())),
        _ => None,
    }
}
