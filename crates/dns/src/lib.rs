//! Cluster DNS: the UDP and TCP loop around dnsplan.

mod applet;
mod cache;
mod follow;
pub mod forward;
pub mod message;
pub mod server;

pub use applet::run_applet;
pub use server::{Config, Error, run};
