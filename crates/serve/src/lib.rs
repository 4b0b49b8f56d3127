//! TLS and HTTP serving: HTTP/1.1 and HTTP/2 on one port, upgrades, graceful shutdown, limits.
//!
//! The caller owns the listener ([`Listener::bind`] makes one) and the shutdown (the [`runtime::Runtime`] it passes in).
//! A handler is an async function from a request to a response; the request's extensions carry a [`Peer`]: address,
//! client certificates, and whether they chain to the configured authority. Certificates are asked for and never
//! required, and a bad one does not end the handshake: the handler decides, as upstream's authenticators do.

mod conn;
mod gather;
mod listen;
mod tls;

pub use conn::{Limits, Peer, Server};
pub use listen::{Addr, BindError, Listener};
pub use tls::{CertSource, ClientCa, TlsError, TlsSettings, parse_certs, parse_key, provider};

use bytes::Bytes;
use http_body_util::BodyExt;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A response body: boxed, not necessarily `Sync`, so that any stream fits.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A body that is all there.
pub fn full(b: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(b.into()).map_err(|e| match e {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    http_body_util::Empty::new().map_err(|e| match e {}).boxed_unsync()
}
