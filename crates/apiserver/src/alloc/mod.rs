//! What Services are given: cluster IPs, one IPAddress object each, and node ports, a bitmap in the store
//! (kubernetes `pkg/registry/core/service/{storage,ipallocator,portallocator}`).

pub mod families;
mod ip;
mod ports;
mod service;

pub use ip::{Range, release_ip, retake};
pub use ports::repair;
pub use service::{Claim, begin_create, begin_update, ips_of, ports_of, release_all};
