//! One file per admission plugin.
//!
//! Plugins are synchronous functions of the request and of what [`Lookup`] answers; webhooks, which wait for the
//! network, are the API server's.

use meta::time::Timestamp;
use meta::{GroupVersionKind, GroupVersionResource, Status, UserInfo, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// One request before it is stored.
pub struct Attributes<'a> {
    pub operation: Operation,
    pub resource: &'a GroupVersionResource,
    pub kind: &'a GroupVersionKind,
    /// Empty for the main endpoint.
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub user: &'a UserInfo,
    pub dry_run: bool,
    /// The new object; `None` for a delete.
    pub object: Option<&'a mut Value>,
    /// The stored object; `None` for a create.
    pub old: Option<&'a Value>,
    pub now: Timestamp,
    pub seed: u64,
    /// Warnings for the client.
    pub warnings: Vec<String>,
    /// Audit annotations.
    pub annotations: Vec<(String, String)>,
}

/// Reads other objects, as of now, for plugins to decide with.
pub trait Lookup {
    /// An object in its stored version's canonical form.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value>;
    /// All objects of a namespace (empty: of all).
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Value>;
    /// Whether `user` may do this (for plugins that ask the authorizer).
    fn authorized(
        &self,
        user: &UserInfo,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> bool;
}

/// An admission plugin.
pub trait Plugin: Sync {
    /// Upstream's name, as in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;
    /// Changes the object, or refuses it.
    fn admit(&self, _a: &mut Attributes<'_>, _l: &dyn Lookup) -> Result<(), Status> {
        Ok(())
    }
    /// Looks at the final object.
    fn validate(&self, _a: &mut Attributes<'_>, _l: &dyn Lookup) -> Result<(), Status> {
        Ok(())
    }
}
