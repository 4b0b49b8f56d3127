//! Secrets that hold bootstrap tokens.

use super::meta::MetaExt;
use crate::k8s::Timestamp;
use crate::k8s::core::Secret;
use client::ListWatch;

/// All bootstrap tokens.
pub fn all() -> ListWatch {
    ListWatch {
        namespace: "kube-system".into(),
        field_selector: "type=bootstrap.kubernetes.io/token".into(),
        ..ListWatch::default()
    }
}

pub fn data<'a>(s: &'a Secret, key: &str) -> &'a str {
    s.data.as_ref().and_then(|d| std::str::from_utf8(&d.get(key)?.0).ok()).unwrap_or_default()
}

/// Seconds until the token expires: none for one that does not; 0 and less when it has, or nobody can tell.
pub fn expires_in(s: &Secret, now: Timestamp) -> Option<i64> {
    match data(s, "expiration") {
        "" => None,
        t => Some(t.parse::<Timestamp>().map_or(0, |t| t.as_second() - now.as_second())),
    }
}

/// Id and secret of a token that may be used to sign.
pub fn for_signing(s: &Secret, now: Timestamp) -> Option<(String, String)> {
    let (id, secret) = (data(s, "token-id"), data(s, "token-secret"));
    let named = s.name().strip_prefix("bootstrap-token-") == Some(id) && id.len() == 6;
    let alive = expires_in(s, now).is_none_or(|t| t > 0);
    let ok = named && alive && !secret.is_empty() && data(s, "usage-bootstrap-signing") == "true";
    ok.then(|| (id.to_owned(), secret.to_owned()))
}
