//! Stored bytes to answers without building a tree.

mod stream;

use crate::proto::index::Stop;
use crate::proto::wire::{Payload, Reader, put_bytes, put_message, put_tag, put_varint};
use crate::{DecodeError, TypeId, json, proto};
use stream::Stream;

/// Appends the JSON of a bare protobuf message, with `resource_version` put in `metadata` (empty: left out). `head`
/// gives kind and apiVersion (none inside list items). On an error, `out` is as it was.
pub fn proto_to_json(
    raw: &[u8],
    ty: TypeId,
    head: Option<(&str, &str)>,
    resource_version: &str,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let start = out.len();
    out.reserve(raw.len() * 2);
    let mut s = Stream { raw, head, resource_version, out, places: Vec::with_capacity(192), used: 0 };
    match s.object(ty) {
        Ok(()) => Ok(()),
        Err(Stop::Error(e)) => {
            out.truncate(start);
            Err(e)
        }
        // A message that no encoder of ours writes (parts of one message apart from each other): by way of a tree.
        Err(Stop::Irregular) => {
            out.truncate(start);
            let mut v = proto::decode(raw, ty)?;
            proto::set_version(&mut v, resource_version);
            if let Some((kind, api_version)) = head {
                v["kind"] = kind.into();
                v["apiVersion"] = api_version.into();
            }
            json::encode(&v, ty, out);
            Ok(())
        }
    }
}

/// Appends the bare message with `metadata.resourceVersion` replaced.
pub fn proto_with_version(raw: &[u8], resource_version: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    let mut r = Reader::new(raw);
    loop {
        let at = r.i;
        match r.next() {
            Ok(None) => {
                put_message(1, out, |out| put_bytes(6, resource_version.as_bytes(), out));
                return Ok(());
            }
            Ok(Some((1, Payload::Bytes(b)))) => {
                // Length first: the metadata is written once, without moving it.
                let (head, tail) = match split_version(b) {
                    Ok(x) => x,
                    Err(e) => {
                        out.truncate(start);
                        return Err(e);
                    }
                };
                let n = resource_version.len();
                put_tag(1, 2, out);
                put_varint((head.len() + tail.len() + 1 + varint_len(n) + n) as u64, out);
                out.extend_from_slice(head);
                put_bytes(6, resource_version.as_bytes(), out);
                out.extend_from_slice(tail);
                out.extend_from_slice(&raw[r.i..]);
                return Ok(());
            }
            Ok(Some((n, _))) if n > 1 && at == 0 => {
                // No metadata at all.
                put_message(1, out, |out| put_bytes(6, resource_version.as_bytes(), out));
                out.extend_from_slice(raw);
                return Ok(());
            }
            Ok(Some(_)) => out.extend_from_slice(&raw[at..r.i]),
            Err(e) => {
                out.truncate(start);
                return Err(e);
            }
        }
    }
}

fn varint_len(n: usize) -> usize {
    let bits = usize::BITS - (n | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// What stands before and after field 6 of an ObjectMeta.
fn split_version(b: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut r = Reader::new(b);
    loop {
        let at = r.i;
        match r.next()? {
            None => return Ok((b, &[])),
            Some((6, Payload::Bytes(_))) => return Ok((&b[..at], &b[r.i..])),
            Some((n, _)) if n > 6 => return Ok((&b[..at], &b[at..])),
            Some(_) => {}
        }
    }
}

/// JSON of a stored custom resource with `metadata.resourceVersion` put in (empty: left out); everything else is copied
/// as it stands.
pub fn json_with_version(bytes: &[u8], resource_version: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    json::with_version(bytes, resource_version, out).inspect_err(|_| out.truncate(start))
}

#[cfg(test)]
mod tests;
