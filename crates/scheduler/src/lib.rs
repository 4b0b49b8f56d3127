//! kube-scheduler: the thin loop around the scheduling framework.
//!
//! [`run`] hears of the cluster from informers, lets [`scheduling::Engine`] decide, and carries its decisions out.
//! [`run_applet`] is that as a program, with upstream's flags, health checks and metrics.

mod applet;
mod feed;
mod flags;
mod hands;
pub mod metrics;
mod run;
mod upstream;

pub use applet::run_applet;
pub use flags::Flags;
pub use run::{Config, Error, READY, run};
