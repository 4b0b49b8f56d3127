//! Stored records and what is worked out from them once: header, raw bytes, watch frames, selectable fields.

use crate::registry::{Codec, ResourceInfo};
use crate::{Failure, Result};
use bytes::Bytes;
use meta::object::ObjectExt;
use meta::{Status, Value};
use mvcc::Record;
use schema::{Header, TypeId};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// An object at rest, taken apart as far as no schema is needed.
#[derive(Debug)]
pub enum Form {
    /// A bare protobuf message and the `apiVersion` of its envelope.
    Proto {
        raw: Bytes,
        api_version: String,
    },
    Json(Bytes),
    Corrupt(String),
}

/// Which frame of a record: event type, encoding, version of the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameKey {
    pub event: u8,
    pub encoding: u8,
    pub info: u32,
}

/// The values of one record's selectable fields, in little memory: every record that somebody selects by a field has them.
#[derive(Debug, Default)]
pub struct Fields {
    /// The fields that have a value here, one behind the other: number of the label, and where the value ends.
    at: Box<[(u16, u32)]>,
    text: Box<str>,
}

impl Fields {
    fn new(values: impl Iterator<Item = Option<String>>) -> Self {
        let (mut at, mut text) = (Vec::new(), String::new());
        for (i, v) in values.enumerate() {
            if let (Some(v), Ok(i)) = (v.filter(|v| !v.is_empty()), u16::try_from(i)) {
                text.push_str(&v);
                at.push((i, u32::try_from(text.len()).unwrap_or(u32::MAX)));
            }
        }
        Self { at: at.into(), text: text.into() }
    }
    /// The value of the field with this number among the resource's labels; empty when it has none.
    pub fn get(&self, label: usize) -> &str {
        let mut from = 0;
        for (i, to) in &self.at {
            let to = *to as usize;
            if usize::from(*i) == label {
                return self.text.get(from..to).unwrap_or("");
            }
            from = to;
        }
        ""
    }
}

/// What the API server keeps beside a record (in [`Record::ext`]).
pub struct Ext {
    pub header: Arc<Header>,
    pub form: Form,
    frames: Mutex<Vec<(FrameKey, Bytes)>>,
    fields: OnceLock<(u32, Arc<Fields>)>,
    /// The object, for the few kinds that nearly every request looks at.
    pub tree: OnceLock<Arc<Value>>,
}

impl Ext {
    fn new(value: &Bytes) -> Self {
        let (form, header) = if value.starts_with(&schema::proto::MAGIC) {
            match schema::proto::unwrap(value) {
                Ok(env) => {
                    let raw = value.slice_ref(env.raw);
                    let header = Header::from_proto(&raw);
                    (Form::Proto { raw, api_version: env.api_version.to_owned() }, header)
                }
                Err(e) => (Form::Corrupt(e.0.clone()), Err(e)),
            }
        } else {
            (Form::Json(value.clone()), Header::from_json(value))
        };
        match header {
            Ok(h) => Self::with(form, h),
            Err(e) => Self::with(Form::Corrupt(e.0), Header::default()),
        }
    }
    fn with(form: Form, header: Header) -> Self {
        Self {
            header: Arc::new(header),
            form,
            frames: Mutex::default(),
            fields: OnceLock::new(),
            tree: OnceLock::new(),
        }
    }
    pub fn frame(&self, key: FrameKey) -> Option<Bytes> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().find(|(k, _)| *k == key).map(|(_, b)| b.clone())
    }
    pub fn keep_frame(&self, key: FrameKey, frame: Bytes) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.iter().all(|(k, _)| *k != key) {
            frames.push((key, frame));
        }
    }
    pub fn drop_frames(&self) {
        *self.frames.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }
}

/// The extension of a record, made on first use.
pub fn ext(r: &Record) -> &Ext {
    let any = r.ext.get_or_init(|| Box::new(Ext::new(&r.value)));
    match any.downcast_ref::<Ext>() {
        Some(e) => e,
        // Nobody else writes this slot; a foreign content would be a bug, answered as an undecodable object.
        None => {
            static FOREIGN: OnceLock<Ext> = OnceLock::new();
            FOREIGN.get_or_init(|| Ext::with(Form::Corrupt("foreign extension".into()), Header::default()))
        }
    }
}

/// The failure of an object that cannot be read.
pub fn corrupt(info: &ResourceInfo, r: &Record, why: &str) -> Failure {
    let _ = info;
    Status::internal(format_args!("unable to decode the stored object {}: {why}", r.key)).into()
}

/// A stored object in the served version's canonical form, with kind, apiVersion and resourceVersion.
pub async fn decode(info: &ResourceInfo, r: &Record) -> Result<Value> {
    decode_at(info, r, r.mod_revision).await
}

/// As [`decode`], with another resource version in it (of the deletion, in DELETED events).
pub async fn decode_at(info: &ResourceInfo, r: &Record, revision: i64) -> Result<Value> {
    let mut v = match (&ext(r).form, &info.codec) {
        (Form::Corrupt(why), _) => return Err(corrupt(info, r, why)),
        (_, Codec::Builtin(_)) => {
            let (v, converted) = decode_builtin(info, r)?;
            if converted { v } else { from_storage(info, v) }
        }
        (Form::Json(b), Codec::Custom(c)) => {
            let d = schema::json::decode_untyped(b).map_err(|e| corrupt(info, r, &e.0))?;
            c.read(d.value).await?
        }
        (Form::Proto { .. }, Codec::Custom(_)) => {
            return Err(corrupt(info, r, "protobuf in a custom resource"));
        }
    };
    stamp(info, &mut v, revision);
    Ok(v)
}

/// A built-in object as stored, with its `apiVersion`; true where it already is in the served version.
pub fn decode_builtin(info: &ResourceInfo, r: &Record) -> Result<(Value, bool)> {
    let Codec::Builtin(b) = &info.codec else {
        return Err(corrupt(info, r, "not a built-in kind"));
    };
    match &ext(r).form {
        Form::Proto { raw, api_version } => {
            let ty = if *api_version == b.row.storage {
                b.stored
            } else {
                meta::GroupVersion::parse(api_version)
                    .and_then(|gv| schema::facts::type_of(&gv.group, &gv.version, &info.gvk.kind))
                    .unwrap_or(b.stored)
            };
            let mut v = schema::proto::decode(raw, ty).map_err(|e| corrupt(info, r, &e.0))?;
            if let Some(m) = v.as_object_mut() {
                m.insert("apiVersion".into(), api_version.clone().into());
            }
            Ok((v, *api_version == info.api_version))
        }
        Form::Json(bytes) => {
            let v = schema::json::decode_untyped(bytes).map_err(|e| corrupt(info, r, &e.0))?.value;
            let v = kinds::convert::from_storage(b.row, v);
            let v = schema::json::canonicalize(v, b.ty).map_err(|e| corrupt(info, r, &e.0))?.value;
            Ok((v, true))
        }
        Form::Corrupt(why) => Err(corrupt(info, r, why)),
    }
}

/// Of a built-in object as stored at least these fields (names from the root), without filling in what is absent.
pub fn decode_fields(info: &ResourceInfo, r: &Record, paths: &[&[&str]]) -> Result<Value> {
    if let (Form::Proto { raw, api_version }, Codec::Builtin(b)) = (&ext(r).form, &info.codec)
        && *api_version == b.row.storage
    {
        return schema::proto::decode_fields(raw, b.stored, paths).map_err(|e| corrupt(info, r, &e.0));
    }
    decode_builtin(info, r).map(|v| v.0)
}

fn from_storage(info: &ResourceInfo, v: Value) -> Value {
    match &info.codec {
        Codec::Builtin(b) => kinds::convert::from_storage(b.row, v),
        Codec::Custom(_) => v,
    }
}

/// Sets kind, apiVersion and resourceVersion (0: none).
pub fn stamp(info: &ResourceInfo, v: &mut Value, revision: i64) {
    if let Some(m) = v.as_object_mut() {
        m.insert("kind".into(), info.gvk.kind.clone().into());
        m.insert("apiVersion".into(), info.api_version.clone().into());
    }
    set_resource_version(v, revision);
}

pub fn set_resource_version(v: &mut Value, revision: i64) {
    let m = v.metadata_mut();
    if revision > 0 {
        m.insert("resourceVersion".into(), revision.to_string().into());
    } else {
        m.remove("resourceVersion");
    }
}

/// The bytes to store, in the storage version; without resourceVersion and selfLink, which are no state.
pub async fn encode(info: &ResourceInfo, v: &mut Value) -> Result<Bytes> {
    let m = v.metadata_mut();
    m.remove("selfLink");
    let version = m.remove("resourceVersion");
    let done = encode_state(info, v).await;
    if let Some(r) = version {
        v.metadata_mut().insert("resourceVersion".into(), r);
    }
    done
}

async fn encode_state(info: &ResourceInfo, v: &Value) -> Result<Bytes> {
    match &info.codec {
        Codec::Builtin(b) => {
            let converted =
                (b.row.storage != info.api_version).then(|| kinds::convert::to_storage(b.row, v.clone()));
            if b.json {
                let mut out = Vec::with_capacity(1024);
                match &converted {
                    Some(v) => serde_json::to_writer(&mut out, v).map_err(Status::internal)?,
                    None => schema::json::encode(v, b.stored, &mut out),
                }
                out.push(b'\n');
                return Ok(out.into());
            }
            let raw = schema::proto::encode(converted.as_ref().unwrap_or(v), b.stored);
            Ok(schema::proto::wrap(b.row.storage, &info.gvk.kind, &raw).into())
        }
        Codec::Custom(c) => {
            let v = c.to_stored(v.clone()).await?;
            let mut out = serde_json::to_vec(&v).map_err(Status::internal)?;
            out.push(b'\n');
            Ok(out.into())
        }
    }
}

/// Whether the stored bytes are the served version's message, so that answers need no tree.
pub fn direct<'r>(info: &ResourceInfo, r: &'r Record) -> Option<(&'r Bytes, TypeId)> {
    match (&ext(r).form, &info.codec) {
        (Form::Proto { raw, api_version }, Codec::Builtin(b)) if *api_version == info.api_version => {
            Some((raw, b.ty))
        }
        _ => None,
    }
}

/// The values of the resource's selectable fields.
pub async fn fields(info: &ResourceInfo, r: &Record) -> Arc<Fields> {
    let e = ext(r);
    if let Some((have, f)) = e.fields.get()
        && *have == info.id
    {
        return f.clone();
    }
    let f = Arc::new(compute_fields(info, r).await);
    if e.fields.set((info.id, f.clone())).is_err() {
        tracing::trace!(key = %r.key, "selectable fields were worked out twice");
    }
    f
}

async fn compute_fields(info: &ResourceInfo, r: &Record) -> Fields {
    let labels = info.field_labels.iter().map(|(_, canonical)| canonical);
    match &info.codec {
        Codec::Builtin(b) => {
            // Built-in kinds select on the stored form, whatever version is asked for.
            let strategy = kinds::strategy(&info.gvr.group, &info.gvr.resource);
            let paths = strategy.field_paths();
            if let (false, Form::Proto { raw, api_version }) = (paths.is_empty(), &ext(r).form)
                && *api_version == b.row.storage
                && let Ok(v) = schema::proto::decode_fields(raw, b.stored, paths)
            {
                return Fields::new(labels.map(|l| strategy.field_value(&v, l)));
            }
            let Ok((v, _)) = decode_builtin(info, r) else { return Fields::default() };
            let group =
                meta::GroupVersion::parse(v.str_at("apiVersion")).map(|g| g.group).unwrap_or_default();
            let strategy = kinds::strategy(&group, &info.gvr.resource);
            Fields::new(labels.map(|l| strategy.field_value(&v, l)))
        }
        Codec::Custom(c) => {
            let Ok(v) = decode(info, r).await else { return Fields::default() };
            Fields::new(labels.map(|l| c.field_value(&v, l)))
        }
    }
}

#[cfg(test)]
mod tests;
