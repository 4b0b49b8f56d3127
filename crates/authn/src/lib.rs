//! Verifiers of a request's identity: certificates, bearer tokens, service accounts; issuing of tokens.
//!
//! [`Authenticator`] is the chain that the API server asks once a request. Nothing here reads a clock or the store: the
//! time is an argument, objects that tokens are bound to come through [`Lookup`].

pub mod anonymous;
pub mod bootstrap_token;
pub mod cert;
mod chain;
pub mod front_proxy;
pub mod impersonate;
pub mod keys;
pub mod oidc;
mod pem;
pub mod service_account;
pub mod static_tokens;
pub mod token;

pub use chain::{Authenticator, Config, Memo, Request, VerifyChain};
pub use service_account::{ServiceAccountTokens, Signer};

use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{UserInfo, Value};

/// Reads the objects that credentials refer to, as of now.
pub trait Lookup {
    /// An object in its stored version's canonical form.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value>;
    /// Whether an object is there, and which one it is. Asked with nearly every request: who can answer without decoding
    /// the object should.
    fn identity(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Identity> {
        let o = self.get(group, resource, namespace, name)?;
        let deletion = o.deletion_timestamp().map(|t| Timestamp::parse(t).unwrap_or_default());
        Some(Identity { uid: o.uid().to_owned(), deletion })
    }
}

/// Which object it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: String,
    /// When it will be, or should have been, gone: its deletionTimestamp.
    pub deletion: Option<Timestamp>,
}

/// A request whose sender is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authenticated {
    pub user: UserInfo,
    /// The audiences that both the token and the question name; empty where the credential knows of none.
    pub audiences: Vec<String>,
    /// Warnings for the client.
    pub warnings: Vec<String>,
    /// Audit annotations.
    pub annotations: Vec<(String, String)>,
    /// The secret whose token was used and lacks today's date in its label `kubernetes.io/legacy-token-last-used`.
    pub last_used: Option<SecretUse>,
}

/// A label that the caller should write (best effort).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretUse {
    pub namespace: String,
    pub name: String,
    pub uid: String,
    /// `2026-01-02`
    pub date: String,
}

impl From<UserInfo> for Authenticated {
    fn from(user: UserInfo) -> Self {
        Self { user, ..Self::default() }
    }
}

/// Why a credential is refused. The client sees `Unauthorized`, the log this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("certificate: {0}")]
    Certificate(String),
    #[error("token: {0}")]
    Token(String),
    #[error("key: {0}")]
    Key(String),
    #[error("invalid bearer token")]
    InvalidBearerToken,
    #[error("token file: {0}")]
    TokenFile(String),
    #[error("impersonation: {0}")]
    Impersonation(String),
}

/// The `extra` key of what identifies the credential itself.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
