//! Structural schemas of custom resources: pruning, defaulting, validation.
//!
//! [`Schema::parse`] reads `openAPIV3Schema` once, when the definition arrives; a request then goes [`Schema::prune`] →
//! [`Schema::fill_defaults`] → [`Schema::validate`]. The schema is also a [`schema::node::CustomNode`], so patching and field
//! management treat custom resources as they treat built-in ones.

mod check;
mod embedded;
mod jsonpath;
mod node;
mod prune;
mod schema_type;
mod validate;

pub use check::check;
pub use embedded::coerce_metadata;
pub use jsonpath::JsonPath;
pub use schema_type::{Additional, Schema};

#[cfg(test)]
mod tests;

/// Schemas nested deeper than this are refused.
pub const MAX_DEPTH: usize = 100;
