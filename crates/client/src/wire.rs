//! Answers taken apart into raw objects: protobuf and JSON lists, watch frames, failures.

use crate::raw::{Error, RawEvent, RawList, RawObject};
use bytes::{Buf, Bytes, BytesMut};
use meta::Status;
use meta::status::ListMeta;
use schema::Header;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Frames and objects beyond this are refused.
const MAX_FRAME: usize = 64 << 20;

fn bad(what: impl std::fmt::Display) -> Error {
    Error::Decode(what.to_string())
}

/// The length-delimited fields of a protobuf message, in order; other fields are skipped.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            v |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(v);
            }
        }
        None
    }
    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        let n = usize::try_from(n).ok().filter(|n| *n <= self.0.len())?;
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        Some(head)
    }
    /// The next field's number and bytes; `Ok(None)` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, &'a [u8])>, Error> {
        while !self.0.is_empty() {
            let short = || bad("protobuf: the message ends in the middle of a field");
            let tag = self.varint().ok_or_else(short)?;
            match tag & 7 {
                0 => drop(self.varint().ok_or_else(short)?),
                1 => drop(self.take(8).ok_or_else(short)?),
                5 => drop(self.take(4).ok_or_else(short)?),
                2 => {
                    let n = self.varint().ok_or_else(short)?;
                    return Ok(Some((tag >> 3, self.take(n).ok_or_else(short)?)));
                }
                t => return Err(bad(format!("protobuf: wire type {t}"))),
            }
        }
        Ok(None)
    }
    /// The last occurrence of a field.
    pub fn find(mut self, number: u64) -> Result<Option<&'a [u8]>, Error> {
        let mut found = None;
        while let Some((n, b)) = self.next()? {
            if n == number {
                found = Some(b);
            }
        }
        Ok(found)
    }
}

fn text(b: Option<&[u8]>) -> &str {
    b.and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
}

/// `metadata.resourceVersion` of a bare object.
fn proto_version(raw: &[u8]) -> Result<u64, Error> {
    let meta = Fields(raw).find(1)?.unwrap_or_default();
    Ok(text(Fields(meta).find(6)?).parse().unwrap_or(0))
}

fn proto_object(raw: &[u8]) -> Result<RawObject, Error> {
    Ok(RawObject {
        header: Arc::new(Header::from_proto(raw).map_err(bad)?),
        resource_version: proto_version(raw)?,
        body: Bytes::copy_from_slice(raw),
        json: false,
    })
}

#[derive(Deserialize, Default)]
struct JsonMeta {
    #[serde(default)]
    metadata: JsonVersion,
}
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct JsonVersion {
    #[serde(default)]
    resource_version: String,
}

fn json_object(raw: &[u8]) -> Result<RawObject, Error> {
    let m: JsonMeta = serde_json::from_slice(raw).map_err(bad)?;
    Ok(RawObject {
        header: Arc::new(Header::from_json(raw).map_err(bad)?),
        resource_version: m.metadata.resource_version.parse().unwrap_or(0),
        body: Bytes::copy_from_slice(raw),
        json: true,
    })
}

/// One page of a list: its objects go to the end of `into`; answers the continue token.
pub fn list_page(body: &[u8], into: &mut RawList) -> Result<String, Error> {
    if !body.starts_with(&schema::proto::MAGIC) {
        return json_list_page(body, into);
    }
    let env = schema::proto::unwrap(body).map_err(bad)?;
    let mut fields = Fields(env.raw);
    let mut token = String::new();
    while let Some((n, b)) = fields.next()? {
        match n {
            1 => {
                into.resource_version = text(Fields(b).find(2)?).parse().unwrap_or(0);
                token = text(Fields(b).find(3)?).to_owned();
            }
            2 => into.items.push(proto_object(b)?),
            _ => {}
        }
    }
    Ok(token)
}

fn json_list_page(body: &[u8], into: &mut RawList) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct List<'a> {
        #[serde(default)]
        metadata: ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let l: List<'_> = serde_json::from_slice(body).map_err(bad)?;
    into.resource_version = l.metadata.resource_version.parse().unwrap_or(0);
    for item in l.items.unwrap_or_default() {
        into.items.push(json_object(item.get().as_bytes())?);
    }
    Ok(l.metadata.continue_token)
}

/// The `Status` in a body, JSON or protobuf.
pub fn status(body: &[u8]) -> Option<Status> {
    if !body.starts_with(&schema::proto::MAGIC) {
        let s: Status = serde_json::from_slice(body).ok()?;
        return (s.kind == "Status").then_some(s);
    }
    let env = schema::proto::unwrap(body).ok()?;
    if env.kind != "Status" {
        return None;
    }
    let ty = schema::facts::type_of("", "v1", "Status")?;
    let v = schema::proto::decode(env.raw, ty).ok()?;
    serde_json::from_value(v).ok()
}

/// How the events of a watch are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Length-prefixed protobuf `WatchEvent`s.
    Proto,
    /// One JSON object after the other.
    Json,
}

impl Framing {
    pub fn of(content_type: &str) -> Self {
        if content_type.starts_with("application/vnd.kubernetes.protobuf") { Self::Proto } else { Self::Json }
    }
}

/// Takes a stream of bytes apart into events.
pub struct Frames {
    framing: Framing,
    buf: BytesMut,
    /// Up to here there is no end of a JSON line.
    seen: usize,
}

impl Frames {
    pub fn new(framing: Framing) -> Self {
        Self { framing, buf: BytesMut::new(), seen: 0 }
    }
    pub fn push(&mut self, chunk: &[u8]) {
        self.buf.extend_from_slice(chunk);
    }
    /// The next whole event.
    pub fn next(&mut self) -> Result<Option<RawEvent>, Error> {
        match self.framing {
            Framing::Proto => self.next_proto(),
            Framing::Json => self.next_json(),
        }
    }
    fn next_proto(&mut self) -> Result<Option<RawEvent>, Error> {
        let Some(head) = self.buf.get(..4) else { return Ok(None) };
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if len > MAX_FRAME {
            return Err(bad(format!("a watch event of {len} bytes")));
        }
        if self.buf.len() < 4 + len {
            return Ok(None);
        }
        self.buf.advance(4);
        let frame = self.buf.split_to(len);
        proto_event(&frame).map(Some)
    }
    fn next_json(&mut self) -> Result<Option<RawEvent>, Error> {
        loop {
            let Some(at) = self.buf[self.seen..].iter().position(|b| *b == b'\n') else {
                self.seen = self.buf.len();
                if self.seen > MAX_FRAME {
                    return Err(bad(format!("a watch event of more than {MAX_FRAME} bytes")));
                }
                return Ok(None);
            };
            let line = self.buf.split_to(self.seen + at + 1);
            self.seen = 0;
            if !line.trim_ascii().is_empty() {
                return json_event(&line).map(Some);
            }
        }
    }
}

fn proto_event(frame: &[u8]) -> Result<RawEvent, Error> {
    let ty = text(Fields(frame).find(1)?);
    let ext = Fields(frame).find(2)?.unwrap_or_default();
    let object = Fields(ext).find(1)?.unwrap_or_default();
    if ty == "ERROR" {
        return Ok(RawEvent::Error(Box::new(status(object).unwrap_or_else(|| unknown_error(object)))));
    }
    let raw = schema::proto::unwrap(object).map_err(bad)?.raw;
    if ty == "BOOKMARK" {
        return Ok(RawEvent::Bookmark(proto_version(raw)?));
    }
    change(ty, proto_object(raw)?)
}

fn json_event(line: &[u8]) -> Result<RawEvent, Error> {
    #[derive(Deserialize)]
    struct Event<'a> {
        r#type: &'a str,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let e: Event<'_> = serde_json::from_slice(line).map_err(bad)?;
    let object = e.object.get().as_bytes();
    match e.r#type {
        "ERROR" => Ok(RawEvent::Error(Box::new(status(object).unwrap_or_else(|| unknown_error(object))))),
        "BOOKMARK" => {
            let m: JsonMeta = serde_json::from_slice(object).map_err(bad)?;
            Ok(RawEvent::Bookmark(m.metadata.resource_version.parse().unwrap_or(0)))
        }
        ty => change(ty, json_object(object)?),
    }
}

fn change(ty: &str, o: RawObject) -> Result<RawEvent, Error> {
    match ty {
        "ADDED" => Ok(RawEvent::Added(o)),
        "MODIFIED" => Ok(RawEvent::Modified(o)),
        "DELETED" => Ok(RawEvent::Deleted(o)),
        other => Err(bad(format!("unknown watch event type {other:?}"))),
    }
}

fn unknown_error(object: &[u8]) -> Status {
    Status::internal(format!("an error event that is no Status ({} bytes)", object.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(n: u8, b: &[u8]) -> Vec<u8> {
        let mut out = vec![n << 3 | 2, u8::try_from(b.len()).unwrap()];
        out.extend_from_slice(b);
        out
    }

    #[test]
    fn walks_fields_and_refuses_cut_ones() {
        let mut m = vec![0x18, 0x96, 0x01];
        m.extend(field(1, &field(6, b"42")));
        assert_eq!(proto_version(&m).unwrap(), 42);
        for cut in 1..m.len() {
            if cut != 3 {
                assert!(proto_version(&m[..cut]).is_err(), "{cut}");
            }
        }
        assert!(Fields(&[0x0f]).find(1).is_err());
        assert!(
            Fields(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).find(1).is_err()
        );
    }

    #[test]
    fn protobuf_lists_and_frames() {
        use k8s_openapi::api::core::v1::Pod;
        let pod = serde_json::json!({"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7"},
            "spec": {"containers": [{"name": "c", "image": "i"}], "nodeName": "x"}});
        let ty = |k| schema::facts::type_of("", "v1", k).unwrap();
        let raw = schema::proto::encode(&pod, ty("Pod"));
        let list = serde_json::json!({"metadata": {"resourceVersion": "9", "continue": "t"}, "items": [pod]});
        let list = schema::proto::wrap("v1", "PodList", &schema::proto::encode(&list, ty("PodList")));
        let mut into = RawList { resource_version: 0, items: Vec::new() };
        assert_eq!(list_page(&list, &mut into).unwrap(), "t");
        assert_eq!((into.resource_version, into.items[0].resource_version), (9, 7));
        let p: Pod = into.items[0].decode().unwrap();
        assert_eq!(p.spec.unwrap().node_name.as_deref(), Some("x"));
        assert_eq!(p.metadata.resource_version.as_deref(), Some("7"));

        let event = |ty: &str, object: &[u8]| {
            let len = |n: usize| {
                if n < 128 { vec![n as u8] } else { vec![(n & 0x7f) as u8 | 0x80, (n >> 7) as u8] }
            };
            let ext = [&[0x0a][..], &len(object.len()), object].concat();
            let body = [&field(1, ty.as_bytes())[..], &[0x12], &len(ext.len()), &ext].concat();
            [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], &body].concat()
        };
        let pod = schema::proto::wrap("v1", "Pod", &raw);
        let gone = serde_json::to_value(Status::expired("old")).unwrap();
        let gone = schema::proto::wrap("v1", "Status", &schema::proto::encode(&gone, ty("Status")));
        let all = [event("ADDED", &pod), event("BOOKMARK", &pod), event("ERROR", &gone)].concat();
        for cut in 0..all.len() {
            let mut f = Frames::new(Framing::Proto);
            let mut got = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                f.push(part);
                while let Some(e) = f.next().unwrap() {
                    got.push(e);
                }
            }
            assert!(
                matches!(&got[..], [RawEvent::Added(o), RawEvent::Bookmark(7), RawEvent::Error(s)]
                    if o.header.name == "a" && s.code == 410 && s.message == "old"),
                "{cut}"
            );
        }
    }

    #[test]
    fn json_frames_may_be_cut_anywhere() {
        let all = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}

{"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","message":"old","code":410}}
"#;
        for cut in 0..all.len() {
            let mut f = Frames::new(Framing::Json);
            let mut got = Vec::new();
            for part in [&all[..cut], &all[cut..]] {
                f.push(part);
                while let Some(e) = f.next().unwrap() {
                    got.push(e);
                }
            }
            assert!(
                matches!(&got[..], [RawEvent::Bookmark(7), RawEvent::Error(s)] if s.code == 410),
                "{cut}"
            );
        }
    }

    #[test]
    fn oversized_frames_are_refused() {
        let mut f = Frames::new(Framing::Proto);
        f.push(&[0xff, 0, 0, 0]);
        assert!(f.next().is_err());
    }
}
