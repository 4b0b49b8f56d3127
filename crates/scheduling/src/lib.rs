//! The scheduling framework: queue, cluster, cycle, and one file per plugin. Pure: time is an argument, chance has a seed.
//!
//! [`Engine`] is the whole scheduler but for its hands; the component `scheduler` feeds it from informers and carries out
//! its decisions. [`config::Config`] is what a `KubeSchedulerConfiguration` says.

pub mod cluster;
pub mod config;
pub mod cycle;
pub mod engine;
pub mod event;
pub mod framework;
pub mod matching;
pub mod memo;
pub mod node;
pub mod nominator;
pub mod plugins;
pub mod pod;
pub mod queue;
pub mod resources;
pub mod rng;
pub mod status;

pub use config::Config;
pub use engine::{Decision, Engine, Failed};
pub use node::NodeSpec;
pub use pod::PodInfo;
