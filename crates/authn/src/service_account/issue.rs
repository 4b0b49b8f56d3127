//! Issuing tokens.

use super::{Claims, Kubernetes, LEGACY_ISSUER, Legacy, Ref};
use crate::Error;
use crate::keys::PrivateKey;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meta::Value;
use meta::object::ObjectExt;
use meta::time::Timestamp;
use serde::Serialize;

/// Tokens that ask for exactly this many seconds are the ones old kubelets project.
pub const WARN_ONLY_EXPIRATION: i64 = 60 * 60 + 7;
/// How long those live in truth.
pub const EXTENDED_EXPIRATION: i64 = 365 * 24 * 60 * 60;

/// What a token is bound to.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Binding {
    #[default]
    None,
    /// A pod, and its node where it has one. A node that does not exist is named without uid.
    Pod(Ref, Option<Ref>),
    Secret(Ref),
    Node(Ref),
}

/// A token that is asked for.
#[derive(Clone, Debug, Default)]
pub struct Issue<'a> {
    pub namespace: &'a str,
    pub service_account: &'a str,
    pub service_account_uid: &'a str,
    pub audiences: &'a [String],
    pub expiration_seconds: i64,
    pub binding: Binding,
    /// Seconds after which use of the token is noted as stale; 0: never. See [`warn_after`].
    pub warn_after: i64,
    pub now: Timestamp,
    /// Sixteen random bytes for the token's id.
    pub seed: [u8; 16],
}

/// A token made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub token: String,
    /// For the audit annotation `authentication.kubernetes.io/issued-credential-id`.
    pub credential_id: String,
}

/// A token asked for by an old kubelet (3607 seconds, for the API, bound to a pod) lives for a year and is only noted as
/// stale after that time: answers `(expiration, warn after)`.
pub fn warn_after(
    requested: i64,
    audiences: &[String],
    api_audiences: &[String],
    for_pod: bool,
    extended: i64,
) -> (i64, i64) {
    let for_api = audiences.iter().all(|a| api_audiences.contains(a));
    if for_pod && requested == WARN_ONLY_EXPIRATION && for_api {
        (extended, requested)
    } else {
        (requested, 0)
    }
}

/// The issuer of tokens.
#[derive(Clone)]
pub struct Signer {
    key: PrivateKey,
    issuer: String,
    header: String,
}

impl Signer {
    pub fn new(key: PrivateKey, issuer: impl Into<String>) -> Self {
        let header =
            format!(r#"{{"alg":"{}","kid":"{}"}}"#, key.public().algorithm_name(), key.public().id());
        Self { header: URL_SAFE_NO_PAD.encode(header), key, issuer: issuer.into() }
    }
    pub fn key(&self) -> &PrivateKey {
        &self.key
    }
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A bound token.
    pub fn issue(&self, i: &Issue<'_>) -> Result<Issued, Error> {
        let mut k = Kubernetes {
            namespace: i.namespace.into(),
            serviceaccount: Ref { name: i.service_account.into(), uid: i.service_account_uid.into() },
            ..Kubernetes::default()
        };
        match &i.binding {
            Binding::None => {}
            Binding::Pod(p, n) => (k.pod, k.node) = (Some(p.clone()), n.clone()),
            Binding::Secret(s) => k.secret = Some(s.clone()),
            Binding::Node(n) => k.node = Some(n.clone()),
        }
        let now = i.now.seconds;
        if i.warn_after != 0 {
            k.warnafter = Some(now + i.warn_after);
        }
        let jti = uuid(i.seed);
        let claims = Claims {
            aud: i.audiences.to_vec(),
            exp: Some(now + i.expiration_seconds),
            iat: Some(now),
            nbf: Some(now),
            iss: self.issuer.clone(),
            jti: jti.clone(),
            sub: subject(i.namespace, i.service_account),
            kubernetes: Some(k),
            legacy: Legacy::default(),
        };
        Ok(Issued { token: self.sign(&claims)?, credential_id: format!("JTI={jti}") })
    }

    /// The token that is kept in a secret of type `kubernetes.io/service-account-token`; it does not expire.
    pub fn issue_legacy(&self, account: &Value, secret: &Value) -> Result<String, Error> {
        let l = Legacy {
            namespace: account.namespace().into(),
            secret: secret.name().into(),
            service_account: account.name().into(),
            service_account_uid: account.uid().into(),
        };
        let sub = subject(&l.namespace, &l.service_account);
        self.sign(&Claims { iss: LEGACY_ISSUER.into(), sub, legacy: l, ..Claims::default() })
    }

    fn sign(&self, claims: &impl Serialize) -> Result<String, Error> {
        // Through a value, so that the names come sorted as upstream's do.
        let payload = serde_json::to_value(claims).map_err(|e| Error::Token(e.to_string()))?;
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = self.key.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{signature}"))
    }
}

fn subject(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// A random UUID (version 4) of these bytes.
fn uuid(mut b: [u8; 16]) -> String {
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let mut s = String::with_capacity(36);
    for (i, x) in b.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            s.push('-');
        }
        s.push_str(&format!("{x:02x}"));
    }
    s
}
