//! The container runtime interface v1 client (generated types committed).
