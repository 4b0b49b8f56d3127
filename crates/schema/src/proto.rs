//! Protobuf by schema, byte for byte as upstream's gogo encoders write it.

use crate::{DecodeError, TypeId, Value};

/// What precedes an object in protobuf: `k8s\0`.
pub const MAGIC: [u8; 4] = *b"k8s\0";

/// Decodes a bare message into canonical form. `kind` and `apiVersion` are not in the bytes and not in the value.
pub fn decode(_raw: &[u8], _ty: TypeId) -> Result<Value, DecodeError> {
    todo!()
}
/// Encodes a bare message (kind and apiVersion left out).
pub fn encode(_v: &Value, _ty: TypeId) -> Vec<u8> {
    todo!()
}
/// `k8s\0` and the `runtime.Unknown` around a bare message.
pub fn wrap(_api_version: &str, _kind: &str, _raw: &[u8]) -> Vec<u8> {
    todo!()
}
/// Takes the envelope apart.
pub fn unwrap(_bytes: &[u8]) -> Result<Envelope<'_>, DecodeError> {
    todo!()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    pub api_version: &'a str,
    pub kind: &'a str,
    pub raw: &'a [u8],
}
