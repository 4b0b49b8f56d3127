//! One file per admission plugin.
//!
//! Plugins are synchronous functions of the request and of what [`Lookup`] answers; webhooks and policies, which wait
//! for the network or evaluate CEL, are the API server's. [`list::NAMES`] has upstream's order, [`Chain`] runs the
//! plugins that are on.

mod chain;
mod config;
pub mod list;
mod plugins;
pub mod pod;
pub mod pod_security;
pub mod quota;
pub mod resources;
mod signers;
mod tolerations;

pub use chain::Chain;
pub use config::Config;
pub use plugins::event_rate_limit::{EventLimit, LimitType};
pub use plugins::pod_toleration_restriction::TolerationConfig;

use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{GroupVersionKind, GroupVersionResource, Status, UserInfo, Value};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    /// `CREATE`
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// One request before it is stored.
pub struct Attributes<'a> {
    pub operation: Operation,
    pub resource: &'a GroupVersionResource,
    pub kind: &'a GroupVersionKind,
    /// Empty for the main endpoint.
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// The name in the path; for a create the object's, which may be empty while it is to be generated.
    pub name: &'a str,
    pub user: &'a UserInfo,
    pub dry_run: bool,
    /// The new object; `None` for a delete.
    pub object: Option<&'a mut Value>,
    /// The stored object; `None` for a create.
    pub old: Option<&'a Value>,
    pub now: Timestamp,
    pub seed: u64,
    pub effects: Effects,
}

/// What plugins want done besides changing the object.
#[derive(Debug, Default)]
pub struct Effects {
    /// Warnings for the client.
    pub warnings: Vec<String>,
    /// Audit annotations.
    pub annotations: Vec<(String, String)>,
    /// Quotas charged for this request. The caller stores all of them (but in a dry run), each with its
    /// resourceVersion as precondition, before the object; where one has changed meanwhile it asks the plugin anew.
    pub reservations: Vec<Value>,
    /// The refusal may pass by itself in a moment, because this object (group, resource, namespace, name) is about to
    /// be made by a controller: the caller may wait for it a little and try again.
    pub await_object: Option<(String, String, String, String)>,
    /// The caller should create this request's namespace first.
    pub provision_namespace: bool,
}

impl Attributes<'_> {
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.resource.group == group && self.resource.resource == resource
    }
    /// The main endpoint of a core resource.
    pub fn is_main(&self, resource: &str) -> bool {
        self.subresource.is_empty() && self.is("", resource)
    }
    pub fn creates(&self) -> bool {
        self.operation == Operation::Create
    }
    pub fn updates(&self) -> bool {
        self.operation == Operation::Update
    }
    /// The new object, null for a delete.
    pub fn obj(&self) -> &Value {
        self.object.as_deref().unwrap_or(&Value::Null)
    }
    /// The stored object, null for a create.
    pub fn old(&self) -> &Value {
        self.old.unwrap_or(&Value::Null)
    }
    /// A 403 about this request's object.
    pub fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        let mut name = self.name;
        for candidate in [self.obj().name(), self.obj().str_at("metadata.generateName"), "Unknown"] {
            if name.is_empty() {
                name = candidate;
            }
        }
        Status::forbidden(&self.resource.group_resource(), name, why)
    }
    /// A number drawn from the request's seed, another one for each `purpose`.
    pub(crate) fn random(&self, purpose: &str) -> u64 {
        let mut h = self.seed ^ 0x9e37_79b9_7f4a_7c15;
        for b in purpose.bytes() {
            h = (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        // Finish as splitmix64 does, so that near seeds give far numbers.
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^ (h >> 31)
    }
}

/// Reads other objects, as of now, for plugins to decide with.
pub trait Lookup {
    /// An object in its stored version's canonical form. Shared, so that the caller can keep the few that every request
    /// asks for (namespaces, service accounts, priority classes).
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// One label of an object, which may be had at less cost than all of it; the outer `None`: there is no such object.
    fn label(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Option<Option<String>> {
        let o = self.get(group, resource, namespace, name)?;
        Some(o.label(key).map(str::to_owned))
    }
    /// All objects of a namespace (empty: of all), by name.
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>>;
    /// Whether `user` may do this (for plugins that ask the authorizer). `resource` may name a subresource:
    /// `deployments/finalizers`.
    fn authorized(
        &self,
        user: &UserInfo,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> bool;
    /// The resources of a kind and whether they are namespaced. The default knows the built-in ones.
    fn resources_of(&self, group: &str, kind: &str) -> Vec<(String, bool)> {
        let all = schema::resources().iter().filter(|r| r.group == group && r.kind == kind);
        let mut out: Vec<(String, bool)> = all.map(|r| (r.resource.to_owned(), r.namespaced)).collect();
        out.dedup();
        out
    }
}

/// An admission plugin.
pub trait Plugin: Send + Sync {
    /// Upstream's name, as in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;
    /// Whether it looks at such operations at all.
    fn handles(&self, op: Operation) -> bool;
    /// Changes the object, or refuses it.
    fn admit(&self, _a: &mut Attributes<'_>, _l: &dyn Lookup) -> Result<(), Status> {
        Ok(())
    }
    /// Looks at the final object.
    fn validate(&self, _a: &mut Attributes<'_>, _l: &dyn Lookup) -> Result<(), Status> {
        Ok(())
    }
}

#[cfg(test)]
mod testing;
