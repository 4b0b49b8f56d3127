//! Certificates, keys, kubeconfigs and data directory of a cluster.
//!
//! Everything lives under one data directory and is made once; a second start reuses it, and renews leaf certificates
//! that are near their end or lack a name. Private files are 0600, private folders 0700.

pub mod files;
pub mod gen_config;
pub mod kubeconfig;
pub mod pki;
pub mod shared;
pub mod token;

pub use pki::{Identity, Pki};
pub use shared::{ServerToken, Shared};
pub use token::JoinToken;

/// What went wrong, and with which file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {what} {path}: {source}; {hint}")]
    File { what: &'static str, path: String, source: std::io::Error, hint: &'static str },
    #[error("{path} is not what keelson wrote there: {why}; move it away to have it made anew")]
    Malformed { path: String, why: String },
    #[error("cannot make certificate {name}: {why}")]
    Certificate { name: String, why: String },
    #[error("{0}")]
    Token(String),
}
