//! Discovery and OpenAPI documents, derived from the facts table and from custom resource schemas.
//!
//! Nothing is kept: a document is made when somebody asks, and the caller caches its bytes. Descriptions come from the
//! `k8s-openapi` crate's sources (see `build.rs`).

pub mod docs;
mod names;
mod paths;
mod schemas;
mod v2;
mod v2pb;
mod v3;

pub use names::definition;
pub use v2::document as v2;
pub use v2pb::encode as v2_protobuf;
pub use v3::{document as v3, index as v3_index};

use meta::Value;
use sha2::{Digest, Sha512};

/// A resource as the documents need it, built-in or custom.
#[derive(Clone, Debug)]
pub struct ResourceDoc {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<SubresourceDoc>,
    pub schema: Schema,
}

/// Group, version, kind.
pub type Gvk = (String, String, String);

/// Name, the kind it takes, verbs.
pub type SubresourceDoc = (String, Gvk, Vec<String>);

/// Where a resource's schema is.
#[derive(Clone, Debug)]
pub enum Schema {
    BuiltIn(schema::TypeId),
    /// A custom resource's OpenAPI v3 schema as its definition has it.
    Custom(Value),
}

impl From<&'static schema::Resource> for ResourceDoc {
    fn from(r: &'static schema::Resource) -> Self {
        Self {
            group: r.group.into(),
            version: r.version.into(),
            resource: r.resource.into(),
            kind: r.kind.into(),
            namespaced: r.namespaced,
            verbs: r.verbs.iter().map(|v| (*v).to_owned()).collect(),
            subresources: r
                .subresources
                .iter()
                .map(|s| {
                    let gvk = (s.group.to_owned(), s.version.to_owned(), s.kind.to_owned());
                    (s.name.to_owned(), gvk, s.verbs.iter().map(|v| (*v).to_owned()).collect())
                })
                .collect(),
            schema: r.type_id.map_or(Schema::Custom(Value::Null), Schema::BuiltIn),
        }
    }
}

/// The hash that `/openapi/v3` puts in URLs and ETags: SHA-512 in upper-case hex, as upstream's.
pub fn hash(document: &[u8]) -> String {
    Sha512::digest(document).iter().map(|b| format!("{b:02X}")).collect()
}

#[cfg(test)]
mod tests;
