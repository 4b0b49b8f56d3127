//! NetworkPolicies to an nftables ruleset. Pure.
//!
//! [`model`] reads pods and policies into what matters here; [`ruleset`] works out the rules for the pods of one node:
//! each pod that some policy selects is led, by its address, to a chain that all pods with the same policies share;
//! what a policy's selectors choose is a set of addresses, so that pods coming and going change elements and no rules.
//! [`script`] is the text for `nft -f`, whole or as a change.

pub mod model;
pub mod ruleset;
pub mod script;

pub use model::{Cluster, Pod, Policy, Protocol};
pub use ruleset::{Ruleset, TABLE, ruleset};
pub use script::{diff, full, none};

#[cfg(test)]
mod tests;
