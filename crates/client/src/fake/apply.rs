//! The patches of the test server: merge, JSON, and as much of strategic merge as controllers use.

use meta::Status;
use serde_json::{Map, Value};

pub fn patch(old: &Value, content_type: &str, patch: &Value) -> Result<Value, Status> {
    let mut v = old.clone();
    match content_type {
        "application/json-patch+json" => {
            for op in patch.as_array().into_iter().flatten() {
                json_op(&mut v, op).ok_or_else(|| Status::bad_request(format!("cannot apply {op}")))?;
            }
        }
        "application/strategic-merge-patch+json" => merge(&mut v, patch, true),
        _ => merge(&mut v, patch, false),
    }
    Ok(v)
}

/// By which field the items of a list are told apart.
fn merge_key(field: &str) -> Option<&'static str> {
    Some(match field {
        "ownerReferences" => "uid",
        "conditions" => "type",
        "containers" | "initContainers" | "volumes" | "env" => "name",
        _ => return None,
    })
}

fn merge(v: &mut Value, p: &Value, strategic: bool) {
    let Value::Object(p) = p else {
        *v = p.clone();
        return;
    };
    if !v.is_object() {
        *v = Value::Object(Map::new());
    }
    let Value::Object(m) = v else { return };
    for (k, pv) in p {
        if let Some(field) = k.strip_prefix("$deleteFromPrimitiveList/") {
            if let Some(Value::Array(a)) = m.get_mut(field) {
                a.retain(|x| !pv.as_array().is_some_and(|gone| gone.contains(x)));
                if a.is_empty() {
                    m.remove(field);
                }
            }
        } else if k.starts_with('$') {
        } else if pv.is_null() {
            m.remove(k);
        } else if strategic && k == "finalizers" {
            let list = m.entry(k.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if let (Value::Array(list), Value::Array(more)) = (list, pv) {
                for x in more {
                    if !list.contains(x) {
                        list.push(x.clone());
                    }
                }
            }
        } else if let (true, Some(key), Value::Array(items)) = (strategic, merge_key(k), pv) {
            let list = m.entry(k.clone()).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                merge_list(list, items, key);
                if list.is_empty() {
                    m.remove(k);
                }
            }
        } else {
            merge(m.entry(k.clone()).or_insert(Value::Null), pv, strategic);
        }
    }
}

fn merge_list(list: &mut Vec<Value>, items: &[Value], key: &str) {
    for p in items {
        let at = list.iter().position(|x| x[key] == p[key]);
        match (at, p["$patch"] == "delete") {
            (Some(i), true) => drop(list.remove(i)),
            (None, true) => {}
            (Some(i), false) => merge(&mut list[i], p, true),
            (None, false) => list.push(p.clone()),
        }
    }
}

fn json_op(v: &mut Value, op: &Value) -> Option<()> {
    let path = op["path"].as_str()?;
    let (parent, last) = path.rsplit_once('/')?;
    let last = last.replace("~1", "/").replace("~0", "~");
    if op["op"] == "test" {
        return (v.pointer(path) == Some(&op["value"])).then_some(());
    }
    match v.pointer_mut(parent)? {
        Value::Object(m) => match op["op"].as_str()? {
            "add" | "replace" => drop(m.insert(last, op["value"].clone())),
            "remove" => drop(m.remove(&last)?),
            _ => return None,
        },
        Value::Array(a) => match op["op"].as_str()? {
            "add" if last == "-" => a.push(op["value"].clone()),
            "add" => a.insert(last.parse::<usize>().ok().filter(|i| *i <= a.len())?, op["value"].clone()),
            "replace" => *a.get_mut(last.parse::<usize>().ok()?)? = op["value"].clone(),
            "remove" => drop(a.remove(last.parse::<usize>().ok().filter(|i| *i < a.len())?)),
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}
