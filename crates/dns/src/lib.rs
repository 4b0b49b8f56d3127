//! Cluster DNS: the UDP and TCP loop around dnsplan.

mod follow;
pub mod forward;
pub mod message;
pub mod server;

pub use server::{Config, Error, run};
