//! Typed calls for `k8s-openapi` kinds.

use crate::raw::{Error, Transport};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{DeleteOptions, ObjectMeta};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// A built-in kind of `k8s-openapi` that is a resource with metadata.
pub trait Kind:
    k8s_openapi::Resource
    + k8s_openapi::Metadata<Ty = ObjectMeta>
    + Serialize
    + DeserializeOwned
    + Clone
    + Send
    + Sync
    + 'static
{
}
impl<T> Kind for T where
    T: k8s_openapi::Resource
        + k8s_openapi::Metadata<Ty = ObjectMeta>
        + Serialize
        + DeserializeOwned
        + Clone
        + Send
        + Sync
        + 'static
{
}

#[derive(Clone, Debug, Default)]
pub struct ListParams {
    pub label_selector: String,
    pub field_selector: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply; the field manager is the client's user agent name unless given, `force` is set.
    Apply,
}

/// A client of one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub transport: Arc<dyn Transport>,
}

impl Client {
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }
    /// `namespace` is `None` for cluster-scoped kinds.
    pub async fn get<K: Kind>(&self, _namespace: Option<&str>, _name: &str) -> Result<K, Error> {
        todo!()
    }
    /// `namespace` `None`: all namespaces.
    pub async fn list<K: Kind>(&self, _namespace: Option<&str>, _p: &ListParams) -> Result<Vec<K>, Error> {
        todo!()
    }
    /// Namespace from the object's metadata.
    pub async fn create<K: Kind>(&self, _obj: &K) -> Result<K, Error> {
        todo!()
    }
    /// PUT of the main endpoint; name, namespace and resourceVersion from the metadata.
    pub async fn replace<K: Kind>(&self, _obj: &K) -> Result<K, Error> {
        todo!()
    }
    /// PUT of the `status` subresource.
    pub async fn replace_status<K: Kind>(&self, _obj: &K) -> Result<K, Error> {
        todo!()
    }
    /// PATCH; `subresource` may be empty.
    pub async fn patch<K: Kind>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _subresource: &str,
        _kind: PatchKind,
        _patch: &Value,
    ) -> Result<K, Error> {
        todo!()
    }
    pub async fn delete<K: Kind>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _opts: &DeleteOptions,
    ) -> Result<(), Error> {
        todo!()
    }
    /// POST to a subresource (`binding`, `eviction`, `token`); answers the JSON that came back.
    pub async fn post_subresource<K: Kind>(
        &self,
        _namespace: Option<&str>,
        _name: &str,
        _subresource: &str,
        _body: &Value,
    ) -> Result<Value, Error> {
        todo!()
    }
    /// Any request with a JSON body; answers the JSON that came back, or the failure as [`Error::Status`].
    pub async fn request(
        &self,
        _method: http::Method,
        _path: &str,
        _body: Option<&Value>,
    ) -> Result<Value, Error> {
        todo!()
    }
}
