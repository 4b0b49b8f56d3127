//! Cluster DNS: the UDP and TCP loop around dnsplan.

pub mod forward;
pub mod message;
pub mod server;

pub use server::{Config, Error, run};
