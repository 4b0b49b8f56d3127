//! Records and values to bytes, in every form an answer can have. Records of built-in kinds never become trees here.

use crate::negotiate::{Format, Media, MetaVersion, Transform};
use crate::object::{corrupt, decode_at, direct};
use crate::registry::{Codec, ResourceInfo};
use crate::{Result, table};
use bytes::Bytes;
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{Status, Value};
use mvcc::Record;
use schema::TypeId;

fn partial_type() -> TypeId {
    schema::facts::type_named("meta.v1.PartialObjectMetadata").unwrap_or(TypeId(0))
}

/// Appends a record's JSON; `head` for kind and apiVersion (list items of built-in kinds have none).
pub async fn json(info: &ResourceInfo, r: &Record, rv: i64, head: bool, out: &mut Vec<u8>) -> Result<()> {
    if let Some((raw, ty)) = direct(info, r) {
        let head = head.then_some((info.gvk.kind.as_str(), info.api_version.as_str()));
        return schema::transcode::proto_to_json(raw, ty, head, &rv.to_string(), out)
            .map_err(|e| corrupt(info, r, &e.0));
    }
    if let Codec::Custom(c) = &info.codec
        && r.value.starts_with(b"{")
    {
        let bytes = trim(&r.value);
        let stored = member(bytes, "apiVersion").unwrap_or_default();
        let stored = std::str::from_utf8(stored).unwrap_or("").trim_matches('"');
        if stored == info.api_version && c.transparent(stored) && splice_version(bytes, rv, out) {
            return Ok(());
        }
    }
    let v = decode_at(info, r, rv).await?;
    value_json(info, v, head, out)
}

/// Appends a value's JSON in the served version.
pub fn value_json(info: &ResourceInfo, mut v: Value, head: bool, out: &mut Vec<u8>) -> Result<()> {
    match &info.codec {
        Codec::Builtin(b) => {
            if !head && let Some(m) = v.as_object_mut() {
                m.remove("kind");
                m.remove("apiVersion");
            }
            schema::json::encode(&v, b.ty, out);
        }
        Codec::Custom(_) => serde_json::to_writer(out, &v).map_err(Status::internal)?,
    }
    Ok(())
}

/// A record as a bare protobuf message of the served version.
pub async fn proto(info: &ResourceInfo, r: &Record, rv: i64, out: &mut Vec<u8>) -> Result<()> {
    if let Some((raw, _)) = direct(info, r) {
        return schema::transcode::proto_with_version(raw, &rv.to_string(), out)
            .map_err(|e| corrupt(info, r, &e.0));
    }
    let v = decode_at(info, r, rv).await?;
    let ty = info.builtin_type().ok_or_else(|| corrupt(info, r, "no protobuf form"))?;
    out.extend_from_slice(&schema::proto::encode(&v, ty));
    Ok(())
}

/// How long [`proto`] will be, where that is known without encoding.
pub fn proto_len(info: &ResourceInfo, r: &Record, rv: i64) -> Option<usize> {
    let (raw, _) = direct(info, r)?;
    let digits = rv.to_string().len();
    let (tag, rest) = raw.split_first()?;
    if *tag != 0x0a {
        return None;
    }
    let (len, used) = varint(rest)?;
    let meta = rest.get(used..used + len)?;
    let old = version_len(meta)?;
    let new_len = len - old + digits;
    Some(1 + varint_len(new_len) + new_len + raw.len() - 1 - used - len)
}

/// The length of `resourceVersion` (field 6) in an ObjectMeta that has one.
fn version_len(mut meta: &[u8]) -> Option<usize> {
    while !meta.is_empty() {
        let (tag, n) = varint(meta)?;
        meta = meta.get(n..)?;
        match tag & 7 {
            0 => meta = meta.get(varint(meta)?.1..)?,
            2 => {
                let (len, n) = varint(meta)?;
                if tag >> 3 == 6 {
                    return Some(len);
                }
                meta = meta.get(n + len..)?;
            }
            _ => return None,
        }
    }
    None
}

/// A varint and its length.
pub fn varint(b: &[u8]) -> Option<(usize, usize)> {
    let mut v = 0u64;
    for (i, c) in b.iter().take(10).enumerate() {
        v |= u64::from(c & 0x7f) << (7 * i as u32);
        if c & 0x80 == 0 {
            return Some((usize::try_from(v).ok()?, i + 1));
        }
    }
    None
}

pub fn varint_len(v: usize) -> usize {
    let bits = usize::BITS - v.leading_zeros();
    (bits.max(1) as usize).div_ceil(7)
}

pub fn put_varint(mut v: usize, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push((v & 0x7f) as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// The metadata of a record as PartialObjectMetadata, JSON with kind and apiVersion.
pub async fn partial_json(
    info: &ResourceInfo,
    r: &Record,
    rv: i64,
    v: MetaVersion,
    out: &mut Vec<u8>,
) -> Result<()> {
    let head = ("PartialObjectMetadata", v.api_version());
    if let Some((raw, _)) = direct(info, r) {
        let only = first_field(raw).ok_or_else(|| corrupt(info, r, "no metadata"))?;
        return schema::transcode::proto_to_json(only, partial_type(), Some(head), &rv.to_string(), out)
            .map_err(|e| corrupt(info, r, &e.0));
    }
    let obj = decode_at(info, r, rv).await?;
    value_partial_json(&obj, v, out);
    Ok(())
}

/// As [`partial_json`], bare protobuf.
pub async fn partial_proto(info: &ResourceInfo, r: &Record, rv: i64, out: &mut Vec<u8>) -> Result<()> {
    if let Some((raw, _)) = direct(info, r) {
        let only = first_field(raw).ok_or_else(|| corrupt(info, r, "no metadata"))?;
        return schema::transcode::proto_with_version(only, &rv.to_string(), out)
            .map_err(|e| corrupt(info, r, &e.0));
    }
    let obj = decode_at(info, r, rv).await?;
    let only = serde_json::json!({ "metadata": obj.get("metadata") });
    out.extend_from_slice(&schema::proto::encode(&only, partial_type()));
    Ok(())
}

pub fn value_partial_json(obj: &Value, v: MetaVersion, out: &mut Vec<u8>) {
    let only = serde_json::json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": v.api_version(),
        "metadata": obj.get("metadata"),
    });
    schema::json::encode(&only, partial_type(), out);
}

/// Field 1 of a message, whole, if it comes first.
fn first_field(raw: &[u8]) -> Option<&[u8]> {
    let (tag, rest) = raw.split_first()?;
    if *tag != 0x0a {
        return None;
    }
    let (len, used) = varint(rest)?;
    raw.get(..1 + used + len)
}

fn trim(b: &[u8]) -> &[u8] {
    b.strip_suffix(b"\n").unwrap_or(b)
}

/// The text of a top-level member of a JSON object; `None` when absent or not JSON.
fn member<'b>(json: &'b [u8], key: &str) -> Option<&'b [u8]> {
    let r = member_range(json, key)?;
    json.get(r)
}

fn member_range(json: &[u8], key: &str) -> Option<std::ops::Range<usize>> {
    let mut depth = 0usize;
    let (mut i, mut at_key, mut found) = (0, false, None);
    while i < json.len() {
        match json[i] {
            b'"' => {
                let end = string_end(json, i)?;
                if depth == 1 && at_key && json.get(i + 1..end - 1) == Some(key.as_bytes()) {
                    let colon = skip_space(json, end);
                    found = Some(skip_space(json, colon + 1));
                }
                at_key = false;
                i = end;
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                at_key = depth == 1;
            }
            b'}' | b']' => {
                if depth == 1
                    && let Some(s) = found
                {
                    return Some(s..i);
                }
                depth = depth.checked_sub(1)?;
            }
            b',' if depth == 1 => {
                if let Some(s) = found {
                    return Some(s..i);
                }
                at_key = true;
            }
            _ => {}
        }
        i += 1;
    }
    None
}

fn skip_space(json: &[u8], mut i: usize) -> usize {
    while json.get(i).is_some_and(u8::is_ascii_whitespace) {
        i += 1;
    }
    i
}

/// The index after the string that starts at `i`.
fn string_end(json: &[u8], mut i: usize) -> Option<usize> {
    i += 1;
    while i < json.len() {
        match json[i] {
            b'\\' => i += 2,
            b'"' => return Some(i + 1),
            _ => i += 1,
        }
    }
    None
}

/// Appends a stored custom object with `metadata.resourceVersion` put in. False (nothing appended) where that needs a
/// parser.
fn splice_version(json: &[u8], rv: i64, out: &mut Vec<u8>) -> bool {
    let Some(r) = member_range(json, "metadata") else { return false };
    let meta = &json[r.clone()];
    if !meta.starts_with(b"{") || member_range(meta, "resourceVersion").is_some() {
        return false;
    }
    let empty = meta[1..].trim_ascii_start().starts_with(b"}");
    out.extend_from_slice(&json[..=r.start]);
    out.extend_from_slice(format!("\"resourceVersion\":\"{rv}\"").as_bytes());
    if !empty {
        out.push(b',');
    }
    out.extend_from_slice(&json[r.start + 1..]);
    true
}

/// One record as a whole answer.
pub async fn record(
    info: &ResourceInfo,
    r: &Record,
    media: Media,
    include: table::Include,
    now: Timestamp,
) -> Result<Bytes> {
    let rv = r.mod_revision;
    let mut out = Vec::with_capacity(r.value.len() * 2 + 256);
    match (media.transform, media.format) {
        (Transform::Table(v), _) => {
            let t = Box::pin(table::single_record(info, r, v, include, now)).await?;
            return Ok(finish_json(t, media));
        }
        (Transform::Partial(v), Format::Proto) => {
            partial_proto(info, r, rv, &mut out).await?;
            return Ok(schema::proto::wrap(v.api_version(), "PartialObjectMetadata", &out).into());
        }
        (Transform::Partial(v), _) => partial_json(info, r, rv, v, &mut out).await?,
        (_, Format::Proto) => {
            proto(info, r, rv, &mut out).await?;
            return Ok(schema::proto::wrap(&info.api_version, &info.gvk.kind, &out).into());
        }
        (_, _) => json(info, r, rv, true, &mut out).await?,
    }
    Ok(finish_json(out, media))
}

/// One value of the resource's kind as a whole answer.
pub fn value(
    info: &ResourceInfo,
    v: Value,
    media: Media,
    include: table::Include,
    now: Timestamp,
) -> Result<Bytes> {
    let mut out = Vec::with_capacity(2048);
    match (media.transform, media.format) {
        (Transform::Table(tv), _) => out = table::single_value(info, &v, tv, include, now)?,
        (Transform::Partial(mv), Format::Proto) => {
            let only = serde_json::json!({ "metadata": v.get("metadata") });
            let raw = schema::proto::encode(&only, partial_type());
            return Ok(schema::proto::wrap(mv.api_version(), "PartialObjectMetadata", &raw).into());
        }
        (Transform::Partial(mv), _) => value_partial_json(&v, mv, &mut out),
        (_, Format::Proto) => {
            let ty = info.builtin_type().ok_or_else(|| Status::internal("no protobuf form"))?;
            let raw = schema::proto::encode(&v, ty);
            return Ok(schema::proto::wrap(&info.api_version, &info.gvk.kind, &raw).into());
        }
        _ => value_json(info, v, true, &mut out)?,
    }
    Ok(finish_json(out, media))
}

/// An object of any built-in kind (its `kind` and `apiVersion` say which) as a whole answer.
pub fn any_value(v: &Value, media: Media) -> Bytes {
    let (api_version, kind) = (v.str_at("apiVersion"), v.str_at("kind"));
    let ty = meta::GroupVersion::parse(api_version)
        .and_then(|gv| schema::facts::type_of(&gv.group, &gv.version, kind));
    match (ty, media.format) {
        (Some(ty), Format::Proto) => {
            schema::proto::wrap(api_version, kind, &schema::proto::encode(v, ty)).into()
        }
        (Some(ty), _) => {
            let mut out = Vec::with_capacity(512);
            schema::json::encode(v, ty, &mut out);
            finish_json(out, media)
        }
        (None, _) => finish_json(v.to_string().into_bytes(), media),
    }
}

/// Compact JSON in the form the client wants: as it is with a newline, indented, or YAML.
pub fn finish_json(mut json: Vec<u8>, media: Media) -> Bytes {
    if media.format == Format::Yaml {
        return match serde_json::from_slice::<Value>(&json) {
            Ok(v) => schema::yaml::to_string(&v).into(),
            Err(_) => json.into(),
        };
    }
    if media.pretty {
        json = indent(&json);
    }
    json.push(b'\n');
    json.into()
}

/// Compact JSON indented by two spaces, as Go does it.
pub fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let (mut depth, mut i) = (0usize, 0);
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + depth * 2, b' ');
    };
    while i < json.len() {
        match json[i] {
            b'"' => {
                let end = string_end(json, i).unwrap_or(json.len());
                out.extend_from_slice(&json[i..end]);
                i = end;
                continue;
            }
            c @ (b'{' | b'[') => {
                out.push(c);
                if matches!(json.get(i + 1), Some(b'}' | b']')) {
                    out.push(json[i + 1]);
                    i += 2;
                    continue;
                }
                depth += 1;
                newline(&mut out, depth);
            }
            c @ (b'}' | b']') => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            b',' => {
                out.push(b',');
                newline(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            c => out.push(c),
        }
        i += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_spliced_into_stored_json() {
        let cases = [
            (
                r#"{"a":{"metadata":{}},"metadata":{"name":"x"},"z":1}"#,
                Some(r#"{"a":{"metadata":{}},"metadata":{"resourceVersion":"7","name":"x"},"z":1}"#),
            ),
            (r#"{"metadata" : { },"z":1}"#, Some(r#"{"metadata" : {"resourceVersion":"7" },"z":1}"#)),
            (
                r#"{"k":"metadata","metadata":{"a":"}\""}}"#,
                Some(r#"{"k":"metadata","metadata":{"resourceVersion":"7","a":"}\""}}"#),
            ),
            (r#"{"metadata":{"resourceVersion":"1"}}"#, None),
            (r#"{"metadata":null}"#, None),
            (r#"[1]"#, None),
        ];
        for (input, want) in cases {
            let mut out = Vec::new();
            let ok = splice_version(input.as_bytes(), 7, &mut out);
            assert_eq!(ok.then(|| String::from_utf8(out).unwrap()).as_deref(), want, "{input}");
        }
    }

    #[test]
    fn indents_as_go_does() {
        let s = indent(br#"{"a":[],"b":{"c":[1,"x:{"]},"d":{}}"#);
        let want =
            "{\n  \"a\": [],\n  \"b\": {\n    \"c\": [\n      1,\n      \"x:{\"\n    ]\n  },\n  \"d\": {}\n}";
        assert_eq!(String::from_utf8(s).unwrap(), want);
    }

    #[test]
    fn varints() {
        for v in [0, 1, 127, 128, 300, 16383, 16384, 1 << 20] {
            let mut b = Vec::new();
            put_varint(v, &mut b);
            assert_eq!(b.len(), varint_len(v), "{v}");
            assert_eq!(varint(&b), Some((v, b.len())));
        }
    }
}
