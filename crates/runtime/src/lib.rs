//! The only place that spawns, reads the clock, handles signals and exits.

pub mod args;
pub mod clock;
pub mod log;
pub mod notify;
pub mod ready;
pub mod tasks;

pub use clock::Clock;
pub use ready::Readiness;
pub use tasks::Runtime;
