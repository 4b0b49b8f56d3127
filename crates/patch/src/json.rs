//! JSON Patch (RFC 6902) as upstream's library applies it (gopkg.in/evanphx/json-patch.v4): negative indices count from
//! the end, `replace` of an absent key adds it, a null value is a value.

use crate::PatchError;
use serde_json::{Map, Value};

/// Operations a patch may have (apiserver `handlers/patch.go`).
const MAX_OPERATIONS: usize = 10_000;
/// Bytes that `copy` operations may add.
const MAX_COPY: usize = 3 * 1024 * 1024;

/// Applies the operations in order; all of them or none.
pub fn json_patch(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let ops = match patch {
        Value::Array(a) => a.as_slice(),
        Value::Null => &[],
        v => {
            return Err(PatchError::Malformed(format!(
                "json: cannot unmarshal {} into Go value of type jsonpatch.Patch",
                go_kind(v)
            )));
        }
    };
    let mut decoded: Vec<Option<&Map<String, Value>>> = Vec::with_capacity(ops.len().min(MAX_OPERATIONS));
    for op in ops {
        decoded.push(match op {
            Value::Object(m) => Some(m),
            Value::Null => None,
            v => {
                return Err(PatchError::Malformed(format!(
                    "json: cannot unmarshal {} into Go value of type jsonpatch.Operation",
                    go_kind(v)
                )));
            }
        });
    }
    if ops.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            ops.len()
        )));
    }
    let mut doc = doc.clone();
    let mut copied = 0;
    for op in decoded {
        let op = Op(op);
        apply(&mut doc, &op, &mut copied).map_err(PatchError::Failed)?;
    }
    Ok(doc)
}

fn go_kind(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

struct Op<'a>(Option<&'a Map<String, Value>>);

impl<'a> Op<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0?.get(key)
    }
    fn kind(&self) -> &'a str {
        self.get("op").and_then(Value::as_str).unwrap_or("unknown")
    }
    fn path(&self, kind: &str) -> Result<&'a str, String> {
        self.get("path")
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{kind} operation failed to decode path: missing value"))
    }
    fn from(&self, kind: &str) -> Result<&'a str, String> {
        self.get("from")
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{kind} operation failed to decode from: missing value"))
    }
    /// An operation without a value has null.
    fn value(&self) -> Value {
        self.get("value").cloned().unwrap_or(Value::Null)
    }
}

fn apply(doc: &mut Value, op: &Op<'_>, copied: &mut usize) -> Result<(), String> {
    let kind = op.kind();
    match kind {
        "add" => {
            let path = op.path(kind)?;
            let (c, key) = parent(doc, path).ok_or_else(|| {
                format!("add operation does not apply: doc is missing path: \"{path}\": missing value")
            })?;
            add(c, &key, op.value()).map_err(|e| format!("error in add for path: '{path}': {e}"))
        }
        "remove" => {
            let path = op.path(kind)?;
            let (c, key) = parent(doc, path).ok_or_else(|| {
                format!("remove operation does not apply: doc is missing path: \"{path}\": missing value")
            })?;
            remove(c, &key).map_err(|e| format!("error in remove for path: '{path}': {e}"))?;
            Ok(())
        }
        "replace" => {
            let path = op.path(kind)?;
            if path.is_empty() {
                let v = op.value();
                if !v.is_object() && !v.is_array() {
                    return Err("replace operation value must be object or array".into());
                }
                *doc = v;
                return Ok(());
            }
            let (c, key) = parent(doc, path).ok_or_else(|| {
                format!("replace operation does not apply: doc is missing path: {path}: missing value")
            })?;
            match c {
                Value::Object(m) => {
                    m.insert(key, op.value());
                }
                Value::Array(a) => {
                    let i = index(&key, a.len()).map_err(|_| {
                        format!("replace operation does not apply: doc is missing key: {path}: missing value")
                    })?;
                    a[i] = op.value();
                }
                _ => {}
            }
            Ok(())
        }
        "move" => {
            let from = op.from(kind)?;
            let (c, key) = parent(doc, from).ok_or_else(|| {
                format!("move operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            let v = remove(c, &key).map_err(|e| format!("error in move for path: '{key}': {e}"))?;
            let path = op.path(kind)?;
            let (c, key) = parent(doc, path).ok_or_else(|| {
                format!(
                    "move operation does not apply: doc is missing destination path: {path}: missing value"
                )
            })?;
            add(c, &key, v).map_err(|e| format!("error in move for path: '{path}': {e}"))
        }
        "copy" => {
            let from = op.from(kind)?;
            let (c, key) = parent(doc, from).ok_or_else(|| {
                format!("copy operation does not apply: doc is missing from path: {from}: missing value")
            })?;
            let v = get(c, &key).map_err(|e| format!("error in copy for from: '{from}': {e}"))?;
            let v = v.cloned().unwrap_or(Value::Null);
            *copied = copied.saturating_add(v.to_string().len());
            if *copied > MAX_COPY {
                return Err(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPY}"
                ));
            }
            let path = op.path(kind)?;
            let (c, key) = parent(doc, path).ok_or_else(|| {
                format!(
                    "copy operation does not apply: doc is missing destination path: {path}: missing value"
                )
            })?;
            add(c, &key, v).map_err(|e| format!("error while adding value during copy: {e}"))
        }
        "test" => {
            let path = op.path(kind)?;
            let failed = || format!("testing value {path} failed: test failed");
            let expected = op.value();
            if path.is_empty() {
                return if *doc == expected { Ok(()) } else { Err(failed()) };
            }
            let (c, key) = parent(doc, path).ok_or_else(|| {
                format!("test operation does not apply: is missing path: {path}: missing value")
            })?;
            let v = get(c, &key).map_err(|e| format!("error in test for path: '{path}': {e}"))?;
            // Absent, null and a test without a value are all the same.
            if v.unwrap_or(&Value::Null) == &expected { Ok(()) } else { Err(failed()) }
        }
        other => Err(format!("Unexpected kind: {other}")),
    }
}

/// The container of a path and the key in it.
fn parent<'d>(doc: &'d mut Value, path: &str) -> Option<(&'d mut Value, String)> {
    let mut parts = path.split('/').skip(1);
    let mut last = parts.next()?;
    let mut at = doc;
    for p in parts {
        let key = unescape(last);
        at = match at {
            Value::Object(m) => m.get_mut(&key)?,
            Value::Array(a) => {
                let i = index(&key, a.len()).ok()?;
                &mut a[i]
            }
            _ => return None,
        };
        last = p;
    }
    if at.is_object() || at.is_array() { Some((at, unescape(last))) } else { None }
}

/// One pass, as upstream: `~01` is `~1`.
fn unescape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut rest = s;
    while let Some(i) = rest.find('~') {
        out.push_str(&rest[..i]);
        let (c, n) = match rest.as_bytes().get(i + 1) {
            Some(b'1') => ('/', 2),
            Some(b'0') => ('~', 2),
            _ => ('~', 1),
        };
        out.push(c);
        rest = &rest[i + n..];
    }
    out.push_str(rest);
    out
}

/// An index into a list of this length, counted from its end when negative.
fn index(key: &str, len: usize) -> Result<usize, String> {
    let i: i64 = key
        .parse()
        .map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", meta::field::quote(key)))?;
    let bad = || format!("Unable to access invalid index: {i}: invalid index referenced");
    let at = if i < 0 { i.checked_add(len as i64).ok_or_else(bad)? } else { i };
    usize::try_from(at).ok().filter(|a| *a < len).ok_or_else(bad)
}

fn get<'d>(c: &'d Value, key: &str) -> Result<Option<&'d Value>, String> {
    match c {
        Value::Object(m) => Ok(m.get(key)),
        Value::Array(a) => Ok(Some(&a[index(key, a.len())?])),
        _ => Ok(None),
    }
}

fn add(c: &mut Value, key: &str, v: Value) -> Result<(), String> {
    match c {
        Value::Object(m) => {
            m.insert(key.to_owned(), v);
        }
        Value::Array(a) if key == "-" => a.push(v),
        Value::Array(a) => {
            if key.parse::<i64>().is_err() {
                return Err(format!("value was not a proper array index: '{key}'"));
            }
            // One past the end is a place to insert at, also when counting from there.
            let i = index(key, a.len() + 1)?;
            a.insert(i, v);
        }
        _ => {}
    }
    Ok(())
}

fn remove(c: &mut Value, key: &str) -> Result<Value, String> {
    match c {
        Value::Object(m) => {
            m.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: missing value"))
        }
        Value::Array(a) => {
            let i = index(key, a.len())?;
            Ok(a.remove(i))
        }
        _ => Ok(Value::Null),
    }
}

#[cfg(test)]
mod tests;
