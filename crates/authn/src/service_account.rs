//! Service account tokens: verification (bound tokens and those of secrets) and issuing
//! (pkg/serviceaccount: jwt.go, claims.go, legacy.go).

mod claims;
mod issue;
mod validate;

pub use claims::{Claims, Kubernetes, Legacy, Ref};
pub use issue::{Binding, EXTENDED_EXPIRATION, Issue, Issued, Signer, WARN_ONLY_EXPIRATION, warn_after};

use crate::keys::PublicKey;
use crate::{Authenticated, Error, Lookup};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meta::time::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The issuer of tokens that are kept in secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// Longer tokens are not looked at.
const MAX_TOKEN: usize = 64 << 10;
/// How many verified tokens are remembered.
const CACHE: usize = 4096;

type Key = [u8; 32];

/// The verifier of service account tokens.
pub struct ServiceAccountTokens {
    keys: Vec<PublicKey>,
    /// `--service-account-issuer`, first the one that signs.
    issuers: Vec<String>,
    /// `--api-audiences`
    audiences: Vec<String>,
    /// `--service-account-lookup`: whether tokens of secrets are checked against their secret.
    lookup: bool,
    /// Claims of tokens whose signature has been found good. That does not change with time, the rest is checked anew.
    verified: Mutex<HashMap<Key, Arc<Claims>>>,
}

#[derive(Deserialize)]
struct Header {
    alg: jsonwebtoken::Algorithm,
    #[serde(default)]
    kid: String,
}

#[derive(Deserialize)]
struct IssuerOnly {
    #[serde(default)]
    iss: String,
}

fn refuse<T>(why: impl Into<String>) -> Result<T, Error> {
    Err(Error::Token(why.into()))
}

impl ServiceAccountTokens {
    /// The API audiences default to the first issuer, as `--api-audiences` does.
    pub fn new(keys: Vec<PublicKey>, issuers: Vec<String>, audiences: Vec<String>, lookup: bool) -> Self {
        let audiences =
            if audiences.is_empty() { issuers.iter().take(1).cloned().collect() } else { audiences };
        Self { keys, issuers, audiences, lookup, verified: Mutex::default() }
    }
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }
    /// The API's own audiences.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Verifies a token: `None` where it is not of our issuers, an error where it is and is no good. `wanted` are the
    /// audiences in question; the API's own where nobody asked for others.
    pub fn authenticate(
        &self,
        token: &str,
        wanted: Option<&[String]>,
        now: Timestamp,
        lookup: &dyn Lookup,
    ) -> Result<Option<Authenticated>, Error> {
        let Some(claims) = self.claims(token)? else { return Ok(None) };
        let mut out = Authenticated::default();
        let implicit = claims.aud.is_empty();
        if implicit {
            out.annotations.push(("authentication.k8s.io/legacy-token".into(), claims.sub.clone()));
        }
        let of_token = if implicit { &self.audiences } else { &claims.aud };
        let wanted = wanted.unwrap_or(&self.audiences);
        out.audiences = of_token.iter().filter(|a| wanted.contains(a)).cloned().collect();
        if out.audiences.is_empty() && !self.audiences.is_empty() {
            return refuse(format!(
                "token audiences {of_token:?} is invalid for the target audiences {wanted:?}"
            ));
        }
        if claims.iss == LEGACY_ISSUER {
            validate::legacy(&claims, token, self.lookup, now, lookup, &mut out)?;
        } else {
            validate::bound(&claims, now, lookup, &mut out)?;
        }
        crate::cert::add_authenticated(&mut out.user);
        Ok(Some(out))
    }

    /// The claims of a token whose issuer is ours and whose signature is good; nothing else is checked.
    pub fn claims(&self, token: &str) -> Result<Option<Arc<Claims>>, Error> {
        if token.len() > MAX_TOKEN {
            return Ok(None);
        }
        let digest: Key = Sha256::digest(token).into();
        if let Some(c) = self.verified.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Some(c.clone()));
        }
        let Some((signed, signature)) = token.rsplit_once('.') else { return Ok(None) };
        let Some((header, payload)) = signed.split_once('.') else { return Ok(None) };
        let Ok(payload) = URL_SAFE_NO_PAD.decode(payload) else { return Ok(None) };
        let Ok(IssuerOnly { iss }) = serde_json::from_slice(&payload) else { return Ok(None) };
        if iss != LEGACY_ISSUER && !self.issuers.contains(&iss) {
            return Ok(None);
        }
        let header = URL_SAFE_NO_PAD.decode(header).ok();
        let Some(Ok(header)) = header.map(|h| serde_json::from_slice::<Header>(&h)) else { return Ok(None) };
        let mut keys = self.keys.iter().filter(|k| header.kid.is_empty() || k.id() == header.kid).peekable();
        if keys.peek().is_none() {
            return refuse("invalid signature, no keys found");
        }
        if !keys.any(|k| k.verifies(signed.as_bytes(), signature, header.alg)) {
            return refuse("invalid signature");
        }
        let claims: Claims = match serde_json::from_slice(&payload) {
            Ok(c) => c,
            Err(e) => return refuse(format!("claims: {e}")),
        };
        let claims = Arc::new(claims);
        let mut cache = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE {
            cache.clear();
        }
        cache.insert(digest, claims.clone());
        Ok(Some(claims))
    }
}

#[cfg(test)]
mod tests;
