//! What several controllers share.

pub mod batch;
pub mod bootstrap_token;
pub mod claim;
pub mod cron;
pub mod csr;
pub mod discovery;
pub mod hash;
pub mod history;
pub mod intstr;
pub mod jobs;
pub mod meta;
pub mod nodes;
pub mod pods;
pub mod protect;
pub mod services;
pub mod taints;
pub mod trigger;
pub mod volumes;
pub mod wake;
pub mod written;
