//! Protobuf by schema, byte for byte as upstream's gogo encoders write it.

mod de;
mod decode;
mod edit;
mod encode;
pub(crate) mod index;
pub(crate) mod wire;

use crate::{DecodeError, TypeId, Value};
use serde::de::DeserializeOwned;
use wire::{Payload, Reader};

pub use edit::{all_fields, with_entries, with_fields};

pub(crate) use decode::{IntOrString, int_or_string, last_bytes, one, text, time};

/// What precedes an object in protobuf: `k8s\0`.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Decodes a bare message into canonical form. `kind` and `apiVersion` are not in the bytes and not in the value.
pub fn decode(raw: &[u8], ty: TypeId) -> Result<Value, DecodeError> {
    decode::object(raw, ty)
}
/// As [`decode`], only the fields that these paths (names from the root) lead to; what is absent is not filled in. A path
/// leads into every item of a list.
pub fn decode_fields(raw: &[u8], ty: TypeId, paths: &[&[&str]]) -> Result<Value, DecodeError> {
    let mut m = serde_json::Map::new();
    decode::chosen(raw, ty, ty.facts().proto, paths, &mut m, 0)?;
    Ok(Value::Object(m))
}
/// The content of a message's field with this number, the last if there are several.
pub fn bytes_field(raw: &[u8], number: u32) -> Option<&[u8]> {
    last_bytes(raw, number).ok().flatten()
}
/// Encodes a bare message (kind and apiVersion left out).
pub fn encode(v: &Value, ty: TypeId) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    encode::message(v.as_object(), ty, ty.facts().proto, &mut out);
    out
}
/// Decodes a bare message straight into a type that mirrors its JSON form (k8s-openapi), optionally with another
/// `metadata.resourceVersion`.
pub fn from_bytes<T: DeserializeOwned>(
    raw: &[u8],
    ty: TypeId,
    resource_version: Option<&str>,
) -> Result<T, DecodeError> {
    typed(raw, ty, resource_version, false)
}
/// As [`from_bytes`], without `metadata.managedFields`, which are most of many objects and of interest to few. An
/// update without them leaves them as they are.
pub fn from_bytes_unmanaged<T: DeserializeOwned>(
    raw: &[u8],
    ty: TypeId,
    resource_version: Option<&str>,
) -> Result<T, DecodeError> {
    typed(raw, ty, resource_version, true)
}
fn typed<T: DeserializeOwned>(
    raw: &[u8],
    ty: TypeId,
    resource_version: Option<&str>,
    unmanaged: bool,
) -> Result<T, DecodeError> {
    match T::deserialize(de::Message::new(raw, ty, resource_version, unmanaged)) {
        Ok(t) => Ok(t),
        Err(index::Stop::Error(e)) => Err(e),
        // What no encoder of ours writes is written anew.
        Err(index::Stop::Irregular) => {
            let regular = encode(&decode(raw, ty)?, ty);
            let m = de::Message::new(&regular, ty, resource_version, unmanaged);
            T::deserialize(m).map_err(|e| DecodeError(e.to_string()))
        }
    }
}
pub(crate) fn set_version(v: &mut Value, rv: &str) {
    if let Some(Value::Object(m)) = v.get_mut("metadata") {
        if rv.is_empty() {
            m.remove("resourceVersion");
        } else {
            m.insert("resourceVersion".into(), rv.into());
        }
    }
}

/// `k8s\0` and the `runtime.Unknown` around a bare message.
pub fn wrap(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len() + api_version.len() + kind.len() + 32);
    out.extend_from_slice(&MAGIC);
    let mut meta = Vec::with_capacity(api_version.len() + kind.len() + 4);
    wire::put_bytes(1, api_version.as_bytes(), &mut meta);
    wire::put_bytes(2, kind.as_bytes(), &mut meta);
    wire::put_bytes(1, &meta, &mut out);
    wire::put_bytes(2, raw, &mut out);
    // contentEncoding and contentType, both empty.
    out.extend_from_slice(&[0x1a, 0, 0x22, 0]);
    out
}
/// Takes the envelope apart.
pub fn unwrap(bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    let Some(body) = bytes.strip_prefix(&MAGIC) else {
        let why = if bytes.is_empty() {
            "empty data"
        } else {
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        };
        return Err(DecodeError(why.into()));
    };
    if body.is_empty() {
        return Err(DecodeError("empty body".into()));
    }
    let mut e = Envelope { api_version: "", kind: "", raw: &[] };
    let mut r = Reader::new(body);
    while let Some((num, p)) = r.next()? {
        match (num, p) {
            (1, Payload::Bytes(b)) => {
                let mut t = Reader::new(b);
                while let Some((num, p)) = t.next()? {
                    let text =
                        |b| std::str::from_utf8(b).map_err(|_| DecodeError("type is not UTF-8".into()));
                    match (num, p) {
                        (1, Payload::Bytes(b)) => e.api_version = text(b)?,
                        (2, Payload::Bytes(b)) => e.kind = text(b)?,
                        _ => {}
                    }
                }
            }
            (2, Payload::Bytes(b)) => e.raw = b,
            _ => {}
        }
    }
    Ok(e)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
}

#[cfg(test)]
mod tests;
