//! The node agent: pods, volumes, probes, status, streaming server.

pub mod act;
pub mod events;
pub mod images;
pub mod pod;
pub mod probes;
mod rand;
pub mod volumes;
