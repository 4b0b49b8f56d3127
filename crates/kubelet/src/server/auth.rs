//! Who calls, and may they: client certificates, tokens by TokenReview, rights by SubjectAccessReview.

use super::Fail;
use crate::config::Auth;
use client::Client;
use http::{Request, StatusCode};
use meta::UserInfo;
use runtime::Clock;
use serde_json::{Value, json};
use serve::Peer;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

const MAX_CACHED: usize = 4096;

fn seconds(d: std::time::Duration) -> i64 {
    i64::try_from(d.as_secs()).unwrap_or(i64::MAX)
}

/// An answer, and until when it is believed (seconds since 1970).
type Believed<T> = (T, i64);

pub struct Gate {
    client: Client,
    auth: Auth,
    node: String,
    clock: Clock,
    tokens: Mutex<HashMap<[u8; 32], Believed<Option<UserInfo>>>>,
    rights: Mutex<HashMap<String, Believed<bool>>>,
}

/// Whether a path is another or below it.
pub fn is_subpath(path: &str, of: &str) -> bool {
    let of = of.trim_end_matches('/');
    path == of || path.strip_prefix(of).is_some_and(|r| r.starts_with('/'))
}

/// The subresources of the node of which one must be allowed (KEP 2862).
fn subresources(path: &str) -> Vec<&'static str> {
    let mut out = vec![];
    for (p, s) in
        [("/pods", "pods"), ("/healthz", "healthz"), ("/configz", "configz"), ("/runningpods", "pods")]
    {
        if is_subpath(path, p) {
            out.push(s);
            break;
        }
    }
    for (p, s) in [
        ("/stats", "stats"),
        ("/metrics", "metrics"),
        ("/logs", "log"),
        ("/checkpoint", "checkpoint"),
        ("/statusz", "statusz"),
        ("/flagz", "configz"),
    ] {
        if is_subpath(path, p) {
            out.push(s);
            return out;
        }
    }
    out.push("proxy");
    out
}

fn verb(m: &http::Method) -> &'static str {
    match m.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

fn unauthorized() -> Fail {
    Fail(StatusCode::UNAUTHORIZED, "Unauthorized".into())
}

impl Gate {
    pub fn new(client: Client, auth: Auth, node: String, clock: Clock) -> Self {
        Self { client, auth, node, clock, tokens: Mutex::default(), rights: Mutex::default() }
    }

    pub(super) async fn check<B>(&self, req: &Request<B>) -> Result<(), Fail> {
        let user = self.user(req).await?;
        if !self.auth.authorize {
            return Ok(());
        }
        let verb = verb(req.method());
        let path = req.uri().path();
        let subs = subresources(path);
        for s in &subs {
            if self.allowed(&user, verb, s).await? {
                return Ok(());
            }
        }
        Err(Fail(
            StatusCode::FORBIDDEN,
            format!(
                "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}])",
                user.name,
                subs.join(" ")
            ),
        ))
    }

    async fn user<B>(&self, req: &Request<B>) -> Result<UserInfo, Fail> {
        let peer = req.extensions().get::<Arc<Peer>>();
        if let Some(p) = peer.filter(|p| p.verified.is_ok())
            && let Some(leaf) = p.certificates.first()
            && let Ok(Some(mut u)) = authn::cert::user_from_der(leaf)
        {
            u.groups.push(meta::user::AUTHENTICATED.into());
            return Ok(u);
        }
        if let Some(t) = authn::token::bearer(req.headers()) {
            if !self.auth.webhook {
                return Err(unauthorized());
            }
            return self.token(t).await?.ok_or_else(unauthorized);
        }
        if self.auth.anonymous { Ok(UserInfo::anonymous()) } else { Err(unauthorized()) }
    }

    async fn token(&self, t: &str) -> Result<Option<UserInfo>, Fail> {
        let key: [u8; 32] = Sha256::digest(t.as_bytes()).into();
        let now = self.clock.unix_seconds();
        {
            let c = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((u, until)) = c.get(&key)
                && now < *until
            {
                return Ok(u.clone());
            }
        }
        let body =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": t}});
        let v = self
            .client
            .request(http::Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews", Some(&body))
            .await
            .map_err(|e| Fail(StatusCode::UNAUTHORIZED, format!("Unauthorized: {e}")))?;
        let user = review_user(&v);
        let mut c = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if c.len() >= MAX_CACHED {
            c.clear();
        }
        c.insert(key, (user.clone(), now + seconds(self.auth.token_ttl)));
        Ok(user)
    }

    async fn allowed(&self, u: &UserInfo, verb: &str, sub: &str) -> Result<bool, Fail> {
        let key = format!("{}\0{:?}\0{:?}\0{verb}\0{sub}", u.name, u.groups, u.extra);
        let now = self.clock.unix_seconds();
        {
            let c = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((a, until)) = c.get(&key)
                && now < *until
            {
                return Ok(*a);
            }
        }
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": u.name, "uid": u.uid, "groups": u.groups, "extra": u.extra,
                "resourceAttributes": {"verb": verb, "version": "v1", "resource": "nodes", "subresource": sub, "name": self.node},
            },
        });
        let v = self
            .client
            .request(http::Method::POST, "/apis/authorization.k8s.io/v1/subjectaccessreviews", Some(&body))
            .await
            .map_err(|e| {
                Fail::internal(format!(
                    "Authorization error (user={}, verb={verb}, resource=nodes, subresource={sub}): {e}",
                    u.name
                ))
            })?;
        let allowed = v.pointer("/status/allowed").and_then(Value::as_bool) == Some(true);
        let mut c = self.rights.lock().unwrap_or_else(PoisonError::into_inner);
        if c.len() >= MAX_CACHED {
            c.clear();
        }
        c.insert(
            key,
            (allowed, now + seconds(if allowed { self.auth.allowed_ttl } else { self.auth.denied_ttl })),
        );
        Ok(allowed)
    }
}

fn review_user(v: &Value) -> Option<UserInfo> {
    if v.pointer("/status/authenticated").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let u = v.pointer("/status/user")?;
    let text = |k: &str| u.get(k).and_then(Value::as_str).unwrap_or("").to_owned();
    let strings = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    Some(UserInfo {
        name: text("username"),
        uid: text("uid"),
        groups: u.get("groups").map(strings).unwrap_or_default(),
        extra: u
            .get("extra")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), strings(v)))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subresources_of_paths() {
        for (path, want) in [
            ("/exec/ns/p/c", vec!["proxy"]),
            ("/pods", vec!["pods", "proxy"]),
            ("/pods/", vec!["pods", "proxy"]),
            ("/podsx", vec!["proxy"]),
            ("/stats/summary", vec!["stats"]),
            ("/metrics", vec!["metrics"]),
            ("/metrics/resource", vec!["metrics"]),
            ("/logs/x", vec!["log"]),
            ("/healthz", vec!["healthz", "proxy"]),
            ("/configz", vec!["configz", "proxy"]),
        ] {
            assert_eq!(subresources(path), want, "{path}");
        }
    }
}
