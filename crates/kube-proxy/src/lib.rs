//! The service proxy: applies proxyplan's ruleset in nftables; and the enforcer of network policies, policyplan's.

mod applet;
mod conntrack;
mod flags;
mod health;
pub mod nft;
pub mod policy;
mod proxy;
mod status;

pub use applet::run_applet;
pub use proxy::{Config, run};
