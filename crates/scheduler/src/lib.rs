//! kube-scheduler: the thin loop around the scheduling framework.
//!
//! [`run`] hears of the cluster from informers, lets [`scheduling::Engine`] decide, and carries its decisions out.

mod feed;
mod hands;
pub mod metrics;
mod run;

pub use run::{Config, Error, READY, run};
