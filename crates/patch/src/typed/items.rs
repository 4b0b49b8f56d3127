//! The items of associative lists and how they are addressed.

use super::{Invalid, Place};
use crate::fieldset::PathElement;
use serde_json::Value;

/// How to address an item; the error is upstream's text.
pub(super) fn element(place: &Place, item: &Value) -> Result<PathElement, String> {
    match place {
        Place::Keyed(keys) => {
            let m = match item {
                Value::Object(m) => m,
                Value::Null => return Err("associative list with keys may not have a null element".into()),
                _ => return Err("associative list with keys may not have non-map elements".into()),
            };
            let mut found = Vec::with_capacity(keys.len());
            for (name, default) in keys {
                if let Some(v) = m.get(name).or(default.as_ref()) {
                    found.push((name.as_str().into(), v.clone()));
                }
            }
            if found.is_empty() {
                let names: Vec<String> = keys.iter().map(|k| meta::field::quote(&k.0)).collect();
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    names.join(" ")
                ));
            }
            Ok(PathElement::Key(found.into_boxed_slice()))
        }
        _ => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
            v => Ok(PathElement::Value(Box::new(v.clone()))),
        },
    }
}

/// All items with their elements, in the order of the list.
pub(super) fn index<'v>(place: &Place, list: &'v [Value]) -> Result<Vec<(PathElement, &'v Value)>, Invalid> {
    let mut out = Vec::with_capacity(list.len());
    for (i, v) in list.iter().enumerate() {
        out.push((element(place, v).map_err(|e| Invalid::here(format!("element {i}: {e}")))?, v));
    }
    Ok(out)
}

pub(super) fn list(v: Option<&Value>) -> &[Value] {
    match v {
        Some(Value::Array(a)) => a,
        _ => &[],
    }
}
