//! What a custom resource brings along at run time. Implemented beside the definitions of custom resources; the generic
//! path knows only this.

use crate::Failure;
use futures::future::BoxFuture;
use kinds::Cx;
use meta::time::Timestamp;
use meta::{ErrorList, Value};
use schema::Node;

/// One served version of a custom resource.
pub trait CustomResource: Send + Sync {
    /// The schema, for patches and managed fields.
    fn node(&self) -> Node<'_>;
    /// The schema as the definition has it (`openAPIV3Schema`), for OpenAPI documents.
    fn openapi(&self) -> Value;
    /// Whether stored JSON of this `apiVersion` may be answered as it stands (with the resource version spliced in):
    /// no conversion, nothing to prune or default.
    fn transparent(&self, stored_api_version: &str) -> bool;
    /// Brings a decoded body into form: prunes unknown fields (reporting them in `unknown` as strict decoding would),
    /// fills in defaults, coerces metadata.
    fn admit(&self, obj: &mut Value, unknown: &mut Vec<String>) -> Result<(), Failure>;
    /// A stored object (any version) in this version, defaulted.
    fn read<'a>(&'a self, stored: Value) -> BoxFuture<'a, Result<Value, Failure>>;
    /// An object of this version in the storage version.
    fn to_stored<'a>(&'a self, obj: Value) -> BoxFuture<'a, Result<Value, Failure>>;
    fn validate(&self, cx: &Cx<'_>, obj: &Value, old: Option<&Value>) -> ErrorList;
    /// The cells of a row, one for each column.
    fn row(&self, obj: &Value, now: Timestamp) -> Vec<Value>;
    /// The value of a selectable field (`spec.color`).
    fn field_value(&self, obj: &Value, field: &str) -> Option<String>;
    /// Paths of the scale subresource, when there is one.
    fn scale(&self) -> Option<ScalePaths<'_>>;
    /// Changes when the definition does: watches of the old one end.
    fn identity(&self) -> &str;
    /// What every user of this version is told (it is deprecated).
    fn warning(&self) -> Option<&str>;
    /// The definition is being deleted: no new objects.
    fn terminating(&self) -> bool;
}

/// Where a custom resource keeps what `scale` shows: dotted paths without the leading dot.
#[derive(Clone, Copy, Debug)]
pub struct ScalePaths<'a> {
    pub spec_replicas: &'a str,
    pub status_replicas: &'a str,
    /// Empty when there is none.
    pub label_selector: &'a str,
}
