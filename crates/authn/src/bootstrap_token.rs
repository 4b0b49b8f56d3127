//! Bootstrap tokens: `ID.SECRET`, kept in secrets of kube-system
//! (plugin/pkg/auth/authenticator/token/bootstrap, cluster-bootstrap `util/secrets`).

use crate::Lookup;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{UserInfo, Value};
use std::collections::BTreeSet;

/// The user of a token, when its secret exists, agrees, has not expired, and is meant for authentication.
pub fn user(token: &str, now: Timestamp, lookup: &dyn Lookup) -> Option<UserInfo> {
    let (id, secret) = parse(token)?;
    let obj = lookup.get("", "secrets", "kube-system", &format!("bootstrap-token-{id}"))?;
    if obj.deletion_timestamp().is_some() || obj.str_at("type") != "bootstrap.kubernetes.io/token" {
        return None;
    }
    let stored = data(&obj, "token-secret");
    if !same(stored.as_bytes(), secret.as_bytes())
        || data(&obj, "token-id") != id
        || expired(&obj, now)
        || data(&obj, "usage-bootstrap-authentication") != "true"
    {
        return None;
    }
    let mut groups = BTreeSet::from(["system:bootstrappers".to_owned()]);
    let extra = data(&obj, "auth-extra-groups");
    if !extra.is_empty() {
        for g in extra.split(',') {
            if !valid_group(g) {
                return None;
            }
            groups.insert(g.to_owned());
        }
    }
    Some(UserInfo {
        name: format!("system:bootstrap:{id}"),
        groups: groups.into_iter().collect(),
        ..UserInfo::default()
    })
}

/// The two parts of a well-formed token.
pub fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let ok =
        |s: &str, n: usize| s.len() == n && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (ok(id, 6) && ok(secret, 16)).then_some((id, secret))
}

/// Whether the secret's `expiration` has passed; one that cannot be read counts as passed.
pub fn expired(secret: &Value, now: Timestamp) -> bool {
    match data(secret, "expiration").as_str() {
        "" => false,
        t => Timestamp::parse(t).is_none_or(|t| t <= now),
    }
}

/// `system:bootstrappers:…`
pub fn valid_group(g: &str) -> bool {
    let Some(rest) = g.strip_prefix("system:bootstrappers:") else { return false };
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    rest.len() <= 256
        && rest.bytes().last().is_some_and(word)
        && rest.bytes().all(|b| word(b) || b == b':' || b == b'-')
}

/// A value of a secret's data as text; empty when absent or no text.
pub(crate) fn data(secret: &Value, key: &str) -> String {
    let v = secret.get("data").and_then(|d| d.get(key)).and_then(Value::as_str).unwrap_or("");
    STANDARD.decode(v).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default()
}

/// Compares in time that depends on the lengths only.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct One(Value);
    impl Lookup for One {
        fn get(&self, g: &str, r: &str, ns: &str, name: &str) -> Option<Value> {
            ((g, r, ns, name) == ("", "secrets", "kube-system", "bootstrap-token-abcdef"))
                .then(|| self.0.clone())
        }
    }
    fn secret(changes: &[(&str, &str)]) -> One {
        let mut v = json!({"type": "bootstrap.kubernetes.io/token", "data": {}});
        let all = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ];
        for (k, t) in all.iter().chain(changes) {
            v["data"][*k] = STANDARD.encode(t).into();
        }
        One(v)
    }

    #[test]
    fn knows_its_tokens() {
        let now = Timestamp { seconds: 1_000_000_000, nanos: 0 };
        let ask = |l: &One, t: &str| user(t, now, l);
        let good = "abcdef.0123456789abcdef";
        let u = ask(&secret(&[("auth-extra-groups", "system:bootstrappers:z,system:bootstrappers:a")]), good)
            .unwrap();
        assert_eq!(u.name, "system:bootstrap:abcdef");
        assert_eq!(u.groups, ["system:bootstrappers", "system:bootstrappers:a", "system:bootstrappers:z"]);
        assert!(ask(&secret(&[]), "abcdef.0123456789abcdeX").is_none());
        assert!(ask(&secret(&[]), "abcdef.0123456789abcde0").is_none());
        assert!(ask(&secret(&[]), "abcdeg.0123456789abcdef").is_none());
        assert!(ask(&secret(&[("usage-bootstrap-authentication", "false")]), good).is_none());
        assert!(ask(&secret(&[("auth-extra-groups", "system:masters")]), good).is_none());
        assert!(ask(&secret(&[("token-id", "other1")]), good).is_none());
        let mut typed = secret(&[]);
        typed.0["type"] = "Opaque".into();
        assert!(ask(&typed, good).is_none());
    }

    #[test]
    fn expires() {
        let l = secret(&[("expiration", "2001-09-09T01:46:40Z")]);
        let at = |s: i64| user("abcdef.0123456789abcdef", Timestamp { seconds: s, nanos: 0 }, &l).is_some();
        assert!(at(999_999_999) && !at(1_000_000_000));
        assert!(expired(&secret(&[("expiration", "soon")]).0, Timestamp::default()));
    }
}
