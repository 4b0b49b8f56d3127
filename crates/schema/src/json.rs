//! JSON by schema: strict-aware decoding into canonical form, encoding in upstream's field order.

use crate::{DecodeError, Decoded, TypeId, Value};

/// Decodes an object of a built-in type. Values of a wrong JSON type are an error with upstream's Go-like text; unknown
/// and duplicate fields are dropped and reported. `kind` and `apiVersion` stay in the value.
pub fn decode(_bytes: &[u8], _ty: TypeId) -> Result<Decoded, DecodeError> {
    todo!()
}
/// Brings a parsed value into canonical form, as [`decode`] does (a patch result, a YAML document).
pub fn canonicalize(_v: Value, _ty: TypeId) -> Result<Decoded, DecodeError> {
    todo!()
}
/// Parses JSON without a schema (custom resources), reporting duplicate keys.
pub fn decode_untyped(_bytes: &[u8]) -> Result<Decoded, DecodeError> {
    todo!()
}
/// Appends the object in upstream's order: kind, apiVersion, then fields in Go struct order, required zero values filled in.
pub fn encode(_v: &Value, _ty: TypeId, _out: &mut Vec<u8>) {
    todo!()
}
