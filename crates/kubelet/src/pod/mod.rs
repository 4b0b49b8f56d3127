//! What a pod needs, as pure functions: what runs ([`observe`]), what to do ([`plan`]), what to report ([`status`]), and
//! the runtime's configuration of sandbox and containers.

pub mod admit;
pub mod backoff;
pub mod config;
pub mod dns;
pub mod env;
pub mod fields;
pub mod helpers;
pub mod hosts;
pub mod observe;
pub mod plan;
pub mod qos;
pub mod resize;
pub mod security;
pub mod status;

#[cfg(test)]
pub mod testing;
