//! The fields of stored bytes that selectors and indexes look at, read without decoding the object.

use crate::DecodeError;
use crate::json::members;
use crate::proto::text;
use crate::proto::wire::{Payload, Reader};
use meta::Value;

/// `metadata` in short. Lists are in the order stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub generation: i64,
    pub labels: Vec<(String, String)>,
    pub annotations: Vec<(String, String)>,
    pub owners: Vec<Owner>,
    pub finalizers: Vec<String>,
    pub deleting: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: bool,
    pub block_owner_deletion: bool,
}

impl Header {
    /// From a bare protobuf message whose field 1 is ObjectMeta.
    pub fn from_proto(raw: &[u8]) -> Result<Self, DecodeError> {
        let mut h = Self::default();
        let mut r = Reader::new(raw);
        while let Some((num, p)) = r.next()? {
            if let (1, Payload::Bytes(b)) = (num, p) {
                h.object_meta(b)?;
            } else if num > 1 && !h.name.is_empty() {
                // Upstream's encoder writes fields in order: nothing of the metadata can follow.
                break;
            }
        }
        h.shrink();
        Ok(h)
    }
    /// Headers are kept as long as their objects.
    fn shrink(&mut self) {
        self.labels.shrink_to_fit();
        self.annotations.shrink_to_fit();
        self.owners.shrink_to_fit();
        self.finalizers.shrink_to_fit();
    }
    fn object_meta(&mut self, b: &[u8]) -> Result<(), DecodeError> {
        let mut r = Reader::new(b);
        while let Some((num, p)) = r.next()? {
            match (num, p) {
                (1, Payload::Bytes(b)) => self.name = text(b),
                (3, Payload::Bytes(b)) => self.namespace = text(b),
                (5, Payload::Bytes(b)) => self.uid = text(b),
                (7, Payload::Varint(v)) => self.generation = v as i64,
                (9, Payload::Bytes(b)) => self.deleting = !b.is_empty(),
                (11, Payload::Bytes(b)) => self.labels.push(pair(b)?),
                (12, Payload::Bytes(b)) => self.annotations.push(pair(b)?),
                (13, Payload::Bytes(b)) => self.owners.push(owner(b)?),
                (14, Payload::Bytes(b)) => self.finalizers.push(text(b)),
                _ => {}
            }
        }
        Ok(())
    }
    /// From JSON (custom resources). Fields of a wrong type are taken for absent.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut h = Self::default();
        members(bytes, "metadata", &mut |k, v| h.json_field(k, v))?;
        h.shrink();
        Ok(h)
    }
    fn json_field(&mut self, k: &str, v: Value) {
        let pairs = |v: &Value| -> Vec<(String, String)> {
            let o = v.as_object().into_iter().flatten();
            o.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
        };
        let string = |v: &Value, k: &str| v.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
        let flag = |v: &Value, k: &str| v.get(k).and_then(Value::as_bool).unwrap_or_default();
        let whole = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        match k {
            "name" => self.name = whole(&v),
            "namespace" => self.namespace = whole(&v),
            "uid" => self.uid = whole(&v),
            "generation" => self.generation = v.as_i64().unwrap_or_default(),
            "deletionTimestamp" => self.deleting = v.is_string(),
            "labels" => self.labels = pairs(&v),
            "annotations" => self.annotations = pairs(&v),
            "finalizers" => {
                self.finalizers =
                    v.as_array().into_iter().flatten().filter_map(|f| Some(f.as_str()?.to_owned())).collect();
            }
            "ownerReferences" => {
                let one = |o: &Value| Owner {
                    api_version: string(o, "apiVersion"),
                    kind: string(o, "kind"),
                    name: string(o, "name"),
                    uid: string(o, "uid"),
                    controller: flag(o, "controller"),
                    block_owner_deletion: flag(o, "blockOwnerDeletion"),
                };
                self.owners = v.as_array().into_iter().flatten().map(one).collect();
            }
            _ => {}
        }
    }
    /// From an object in canonical form.
    pub fn from_value(v: &Value) -> Self {
        let mut h = Self::default();
        for (k, v) in v.get("metadata").and_then(Value::as_object).into_iter().flatten() {
            h.json_field(k, v.clone());
        }
        h
    }
    /// The owner that controls the object.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|o| o.controller)
    }
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

fn pair(b: &[u8]) -> Result<(String, String), DecodeError> {
    let mut kv = (String::new(), String::new());
    let mut r = Reader::new(b);
    while let Some((num, p)) = r.next()? {
        match (num, p) {
            (1, Payload::Bytes(b)) => kv.0 = text(b),
            (2, Payload::Bytes(b)) => kv.1 = text(b),
            _ => {}
        }
    }
    Ok(kv)
}

fn owner(b: &[u8]) -> Result<Owner, DecodeError> {
    let mut o = Owner::default();
    let mut r = Reader::new(b);
    while let Some((num, p)) = r.next()? {
        match (num, p) {
            (1, Payload::Bytes(b)) => o.kind = text(b),
            (3, Payload::Bytes(b)) => o.name = text(b),
            (4, Payload::Bytes(b)) => o.uid = text(b),
            (5, Payload::Bytes(b)) => o.api_version = text(b),
            (6, Payload::Varint(v)) => o.controller = v != 0,
            (7, Payload::Varint(v)) => o.block_owner_deletion = v != 0,
            _ => {}
        }
    }
    Ok(o)
}

#[cfg(test)]
mod tests;
