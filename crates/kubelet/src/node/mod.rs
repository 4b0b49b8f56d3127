//! The node as a whole: machine, runtime, registration, status, lease.

pub mod claim;
pub mod eviction;
pub mod lease;
pub mod machine;
pub mod runtime_state;
pub mod status;
