//! The node agent: pods, volumes, probes, status, streaming server.

pub mod pod;
