//! `metadata.managedFields`: who owns which fields (apimachinery `pkg/util/managedfields`, structured-merge-diff
//! `merge/update.go`).
//!
//! [`update`] accounts for a create, update or patch that is already carried out on the object; [`apply`] carries out a
//! server-side apply and accounts for it; [`scale`] translates between a resource and its scale subresource;
//! [`keep_timestamps`] undoes what would be a change of times only.

mod apply;
mod conflict;
mod entry;
mod last_applied;
pub mod scale;
mod update;

pub use apply::{ApplyError, apply};
pub use conflict::{Conflict, Conflicts};
pub use entry::{EntryError, validate};

use crate::fieldset::{FieldSet, Filter};
use crate::number::equal;
use meta::time::Timestamp;
use schema::Node;
use serde_json::Value;

/// What a request says about itself, and what the kind needs.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Of the endpoint: `apps/v1`. Objects are in this version.
    pub api_version: &'a str,
    /// The kind in this version.
    pub schema: Node<'a>,
    /// `fieldManager`, or the user agent up to its first `/`; empty is `unknown`.
    pub manager: &'a str,
    /// Empty for the main endpoint.
    pub subresource: &'a str,
    pub now: Timestamp,
    /// What this endpoint cannot change in this version (upstream's reset fields).
    pub filter: &'a Filter,
    /// The other versions of the kind.
    pub versions: &'a dyn Versions,
}

/// The other versions of a kind, for entries written in them.
pub trait Versions {
    /// The kind's schema in a version; `None` if there is no such version: its entries are dropped.
    fn schema(&self, api_version: &str) -> Option<Node<'_>>;
    /// The object in that version.
    fn convert(&self, object: &Value, api_version: &str) -> Option<Value>;
    /// The endpoint's reset fields in that version.
    fn filter(&self, _api_version: &str) -> Option<&Filter> {
        None
    }
}

/// A kind with one version.
pub struct OneVersion;

impl Versions for OneVersion {
    fn schema(&self, _: &str) -> Option<Node<'_>> {
        None
    }
    fn convert(&self, _: &Value, _: &str) -> Option<Value> {
        None
    }
}

/// Puts the managedFields that follow from a create (`live` is `None`), update or patch into the new object.
///
/// The live object has its managedFields; those in the new object are what the client sent and count as upstream lets
/// them count: an empty list clears, invalid or absent ones are those of the live object, a subresource ignores them.
/// Never fails: where upstream logs an error and keeps the live entries, so does this.
pub fn update(req: &Request<'_>, live: Option<&Value>, new: &mut Value) {
    let sent = new.get_mut("metadata").and_then(Value::as_object_mut).and_then(|m| m.remove(MANAGED));
    let kept = live.and_then(managed_of);
    let entries = match entry::live_or_sent(kept, sent, !req.subresource.is_empty()) {
        Some(e) => e,
        None => return,
    };
    // Fields of an object that was never tracked stay untracked until the first apply.
    let created = live.is_none_or(|l| meta::object::ObjectExt::uid(l).is_empty());
    if entries.is_empty() && !created {
        return;
    }
    let nothing = Value::Object(serde_json::Map::new());
    let out = update::update(req, live.unwrap_or(&nothing), new, entries, req.manager);
    let out = out.map(entry::encode).unwrap_or_else(|_| kept.cloned());
    set_managed(new, out);
}

/// If nothing but times of managedFields changed, puts the old times back, so that the write is none.
pub fn keep_timestamps(old: &Value, new: &mut Value) {
    let (Some(Value::Array(a)), Some(Value::Array(b))) = (managed_of(old), managed_of(new)) else { return };
    if a.len() != b.len() || a.is_empty() || a == b {
        return;
    }
    let same = a.iter().zip(b).all(|(x, y)| match (x, y) {
        (Value::Object(x), Value::Object(y)) => {
            let but_time = |m: &serde_json::Map<String, Value>| m.len() - usize::from(m.contains_key("time"));
            but_time(x) == but_time(y) && x.iter().all(|(k, v)| k == "time" || y.get(k) == Some(v))
        }
        _ => false,
    });
    if same && same_but_managed(old, new) {
        let old = managed_of(old).cloned();
        set_managed(new, old);
    }
}

const MANAGED: &str = "managedFields";

fn managed_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get(MANAGED)
}

fn set_managed(object: &mut Value, entries: Option<Value>) {
    use meta::object::ObjectExt;
    match entries {
        Some(e) => {
            object.metadata_mut().insert(MANAGED.into(), e);
        }
        None => {
            if let Some(Value::Object(m)) = object.get_mut("metadata") {
                m.remove(MANAGED);
            }
        }
    }
}

/// Whether two objects are the same but for their managedFields.
fn same_but_managed(a: &Value, b: &Value) -> bool {
    let (Value::Object(x), Value::Object(y)) = (a, b) else { return a == b };
    let in_metadata = |a: &Value, b: &Value| {
        let (Value::Object(x), Value::Object(y)) = (a, b) else { return equal(a, b) };
        x.iter().filter(|(k, _)| *k != MANAGED).count() == y.iter().filter(|(k, _)| *k != MANAGED).count()
            && x.iter().all(|(k, v)| k == MANAGED || y.get(k).is_some_and(|w| equal(v, w)))
    };
    x.len() == y.len()
        && x.iter().all(|(k, v)| {
            y.get(k).is_some_and(|w| if k == "metadata" { in_metadata(v, w) } else { equal(v, w) })
        })
}

/// Fields nobody owns.
fn strip(set: FieldSet) -> FieldSet {
    static NEVER: std::sync::LazyLock<FieldSet> = std::sync::LazyLock::new(|| {
        FieldSet::of_paths([
            "apiVersion",
            "kind",
            "metadata",
            "metadata.name",
            "metadata.namespace",
            "metadata.creationTimestamp",
            "metadata.selfLink",
            "metadata.uid",
            "metadata.clusterName",
            "metadata.generation",
            "metadata.managedFields",
            "metadata.resourceVersion",
        ])
    });
    set.difference(&NEVER)
}

#[cfg(test)]
mod tests;
