//! Stored bytes to answers without building a tree.

use crate::{DecodeError, TypeId};

/// Appends the JSON of a bare protobuf message, with `resource_version` put in `metadata` (empty: left out). `head`
/// gives kind and apiVersion (none inside list items).
pub fn proto_to_json(
    _raw: &[u8],
    _ty: TypeId,
    _head: Option<(&str, &str)>,
    _resource_version: &str,
    _out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    todo!()
}
/// Appends the bare message with `metadata.resourceVersion` replaced.
pub fn proto_with_version(
    _raw: &[u8],
    _resource_version: &str,
    _out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    todo!()
}
