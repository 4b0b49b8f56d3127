//! YAML as upstream reads it (YAML 1.1 octals and booleans where sigs.k8s.io/yaml has them) and writes it (keys sorted).

mod read;
mod write;

use crate::{DecodeError, Decoded, Value};

/// Parses one document; of several the first. No document is null.
pub fn parse(bytes: &[u8]) -> Result<Value, DecodeError> {
    Ok(decode(bytes)?.value)
}
/// Parses one document and reports keys that came twice, in the words of upstream's strict YAML decoder.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let mut first = None;
    read::documents(bytes, &mut |d| {
        first = Some(d);
        false
    })?;
    Ok(first.unwrap_or(Decoded { value: Value::Null, strict: Vec::new() }))
}
/// Parses a stream of documents separated by `---`; empty documents are skipped.
pub fn parse_all(bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let mut all = Vec::new();
    read::documents(bytes, &mut |d| {
        if !d.value.is_null() {
            all.push(d.value);
        }
        true
    })?;
    Ok(all)
}
/// Writes a document as `kubectl -o yaml` does: keys in go-yaml's natural order, lines folded at 80 columns.
pub fn to_string(v: &Value) -> String {
    write::document(v)
}

#[cfg(test)]
mod tests;
