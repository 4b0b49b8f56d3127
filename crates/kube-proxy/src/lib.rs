//! The service proxy: applies proxyplan's ruleset in nftables.

mod conntrack;
mod health;
pub mod nft;
mod proxy;

pub use proxy::{Config, run};
