//! One file per built-in kind: defaulting, strategy, validation, table columns.
//!
//! The machinery that calls the hooks is in `apiserver` and compiled once. A kind without a file of its own has the
//! generic behaviour that the facts table describes.

#![allow(
    clippy::type_complexity,
    clippy::too_many_arguments,
    clippy::enum_variant_names,
    clippy::comparison_to_empty,
    clippy::double_ended_iterator_last,
    clippy::nonminimal_bool,
    reason = "tables of rules read better as they stand"
)]

mod admissionregistration;
mod apiextensions;
mod apps;
mod at;
mod autoscaling;
mod batch;
mod certificates;
mod check;
pub mod convert;
mod coordination;
mod core;
pub mod cron;
mod declare;
mod defaults;
mod diff;
mod discovery;
mod flowcontrol;
mod full;
pub mod image;
mod internal;
mod ip;
mod kit;
mod list;
mod networking;
mod node;
mod pem;
mod podspec;
mod policy;
mod rbac;
mod resource;
mod rows;
mod scheduling;
mod signer;
mod storage;
mod val;

pub use defaults::default_object;
pub use list::strategy;

use meta::time::Timestamp;
use meta::{ErrorList, UserInfo, Value};

/// What a hook may know of the request.
#[derive(Clone, Debug)]
pub struct Cx<'a> {
    pub now: Timestamp,
    pub user: &'a UserInfo,
    /// Empty for the main endpoint; `status`, `scale`, …
    pub subresource: &'a str,
    /// Bytes of randomness for this request, for what upstream draws at random.
    pub seed: u64,
}

/// The hooks of one kind. Objects are in canonical form of the request's version, defaulted.
pub trait Strategy: Sync {
    /// Before validation of a create: fields the client may not set are reset, computed ones set. The status has
    /// already been removed where the facts say so, and generation set.
    fn prepare_create(&self, _cx: &Cx<'_>, _obj: &mut Value) {}
    /// Before validation of an update (also of subresources: see `cx.subresource`). The generic part (status or spec
    /// restored from `old`, generation, immutable metadata) has been done.
    fn prepare_update(&self, _cx: &Cx<'_>, _obj: &mut Value, _old: &Value) {}
    /// Validation of a create. ObjectMeta is validated by the caller, with [`Strategy::name_errors`].
    fn validate(&self, _cx: &Cx<'_>, _obj: &Value) -> ErrorList {
        ErrorList::new()
    }
    /// Validation of an update; the default validates the new object as a create does.
    fn validate_update(&self, cx: &Cx<'_>, obj: &Value, _old: &Value) -> ErrorList {
        self.validate(cx, obj)
    }
    /// What is wrong with this name; upstream's sentences.
    fn name_errors(&self, name: &str) -> Vec<String> {
        meta::names::is_dns1123_subdomain(name)
    }
    /// Warnings for the client (`Warning: 299` headers).
    fn warnings(&self, _cx: &Cx<'_>, _obj: &Value, _old: Option<&Value>) -> Vec<String> {
        Vec::new()
    }
    /// The cells of a table row, one for each column of the facts; `None`: the default converter (name, created at).
    fn row(&self, _obj: &Value, _now: Timestamp) -> Option<Vec<Value>> {
        None
    }
    /// The value of a field label (`spec.nodeName`) of this object; `None` where the label is not this kind's.
    fn field_value(&self, _obj: &Value, _label: &str) -> Option<String> {
        None
    }
    /// Where in the object [`Strategy::field_value`] looks, as names from the root: nothing else needs to be decoded for
    /// it. Empty: anywhere.
    fn field_paths(&self) -> &'static [&'static [&'static str]] {
        &[]
    }
}
