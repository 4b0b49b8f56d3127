//! The service proxy: applies proxyplan's ruleset in nftables.

pub mod nft;
