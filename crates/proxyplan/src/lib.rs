//! Services and EndpointSlices to an nftables ruleset. Pure.
//!
//! [`model`] decides where each frontend (cluster IP, external IP, load balancer IP, node port) leads; [`ruleset`] says
//! it in nftables: verdict maps from frontend to one chain for each *number* of endpoints, which draws one from an
//! endpoint map. So the number of chains does not grow with the number of services, and a change is a few elements.
//! [`state`] keeps the models of all services and tells what a change of some concerns.
//! [`script`] is the text for `nft -f` that turns one ruleset into another, in one transaction.

pub mod model;
pub mod ruleset;
pub mod script;
pub mod state;

pub use model::{Family, Model, Options, model};
pub use ruleset::{Ruleset, ruleset};
pub use script::{diff, full};
pub use state::State;

#[cfg(test)]
mod tests;
