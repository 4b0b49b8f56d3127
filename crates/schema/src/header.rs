//! The fields of stored bytes that selectors and indexes look at, read without decoding the object.

use crate::DecodeError;

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
    pub fn from_proto(_raw: &[u8]) -> Result<Self, DecodeError> {
        todo!()
    }
    /// From JSON (custom resources).
    pub fn from_json(_bytes: &[u8]) -> Result<Self, DecodeError> {
        todo!()
    }
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}
