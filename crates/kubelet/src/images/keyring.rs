//! Registry credentials: pull secrets and the node's own file, matched with an image's repository
//! (upstream `pkg/credentialprovider/keyring.go`).

use base64::Engine;
use cri::v1::AuthConfig;
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;

/// Credentials by the registry pattern they are for.
#[derive(Clone, Debug, Default)]
pub struct Keyring(Vec<(String, AuthConfig)>);

impl Keyring {
    /// Adds the entries of a docker configuration (`{"auths": {...}}`, or the old form without `auths`).
    pub fn add_config(&mut self, json: &[u8]) -> Result<(), String> {
        let v: Value = serde_json::from_slice(json).map_err(|e| format!("docker configuration: {e}"))?;
        let map = v.get("auths").unwrap_or(&v);
        for (registry, entry) in map.as_object().into_iter().flatten() {
            if let Some(auth) = auth(entry) {
                self.0.push((pattern(registry), auth));
            }
        }
        // The most specific pattern first.
        self.0.sort_by(|a, b| b.0.cmp(&a.0));
        Ok(())
    }
    /// Adds a pull secret; secrets of other types are left out.
    pub fn add_secret(&mut self, s: &Secret) -> Result<(), String> {
        let data = |k: &str| s.data.as_ref().and_then(|d| d.get(k)).map(|b| b.0.clone());
        match s.type_.as_deref() {
            Some("kubernetes.io/dockerconfigjson") => {
                data(".dockerconfigjson").map_or(Ok(()), |b| self.add_config(&b))
            }
            Some("kubernetes.io/dockercfg") => data(".dockercfg").map_or(Ok(()), |b| self.add_config(&b)),
            _ => Ok(()),
        }
    }
    /// All credentials that fit, the most specific first.
    pub fn lookup(&self, repository: &str) -> Vec<AuthConfig> {
        let mut out: Vec<AuthConfig> =
            self.0.iter().filter(|(p, _)| matches(p, repository)).map(|(_, a)| a.clone()).collect();
        if out.is_empty() && repository.starts_with("docker.io/") {
            out = self
                .0
                .iter()
                .filter(|(p, _)| p == "index.docker.io/v1" || p == "index.docker.io")
                .map(|(_, a)| a.clone())
                .collect();
        }
        out.dedup();
        out
    }
}

fn auth(entry: &Value) -> Option<AuthConfig> {
    let get = |k: &str| entry.get(k).and_then(Value::as_str).unwrap_or("").to_owned();
    let (mut username, mut password) = (get("username"), get("password"));
    if let Some(text) = entry.get("auth").and_then(Value::as_str).filter(|t| !t.is_empty()) {
        let engine = &base64::engine::general_purpose::STANDARD;
        let raw = engine.decode(text.trim()).ok()?;
        let raw = String::from_utf8_lossy(&raw).into_owned();
        let (u, p) = raw.split_once(':')?;
        username = u.to_owned();
        password = p.to_owned();
    }
    let (identity_token, registry_token) = (get("identitytoken"), get("registrytoken"));
    if username.is_empty() && identity_token.is_empty() && registry_token.is_empty() {
        return None;
    }
    Some(AuthConfig { username, password, identity_token, registry_token, ..Default::default() })
}

/// `https://index.docker.io/v1/` → `index.docker.io/v1`; `reg.example:5000` stays.
fn pattern(registry: &str) -> String {
    let r =
        registry.strip_prefix("https://").or_else(|| registry.strip_prefix("http://")).unwrap_or(registry);
    let r = r.trim_end_matches('/');
    match r.split_once('/') {
        Some((host, path)) if path == "v1" || path == "v2" => {
            if host == "index.docker.io" {
                r.to_owned()
            } else {
                host.to_owned()
            }
        }
        Some((host, path)) => {
            let path = path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path);
            format!("{host}/{path}")
        }
        None => r.to_owned(),
    }
}

fn matches(pattern: &str, repository: &str) -> bool {
    let (ph, pp) = pattern.split_once('/').unwrap_or((pattern, ""));
    let (rh, rp) = repository.split_once('/').unwrap_or((repository, ""));
    let (ph, pport) = ph.split_once(':').unwrap_or((ph, ""));
    let (rh, rport) = rh.split_once(':').unwrap_or((rh, ""));
    if pport != rport {
        return false;
    }
    let (p, r): (Vec<&str>, Vec<&str>) = (ph.split('.').collect(), rh.split('.').collect());
    p.len() == r.len() && p.iter().zip(&r).all(|(p, r)| glob(p, r)) && rp.starts_with(pp)
}

/// `*` and `?` within one label.
fn glob(p: &str, s: &str) -> bool {
    match p.chars().next() {
        None => s.is_empty(),
        Some('*') => (0..=s.len()).filter(|i| s.is_char_boundary(*i)).any(|i| glob(&p[1..], &s[i..])),
        Some(c) => match s.chars().next() {
            Some(x) if c == '?' || c == x => glob(&p[c.len_utf8()..], &s[x.len_utf8()..]),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        for (p, r, want) in [
            ("reg.example", "reg.example/a", true),
            ("reg.example/team", "reg.example/team/x", true),
            ("reg.example/team", "reg.example/other/x", false),
            ("*.example", "reg.example/a", true),
            ("*.example", "a.b.example/a", false),
            ("reg.example:5000", "reg.example/a", false),
            ("reg.example:5000", "reg.example:5000/a", true),
        ] {
            assert_eq!(matches(p, r), want, "{p} {r}");
        }
    }

    #[test]
    fn configs() {
        let mut k = Keyring::default();
        k.add_config(br#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpwOnE="}, "reg.example": {"username": "a", "password": "b"}, "reg.example/x": {"username": "c", "password": "d"}}}"#).unwrap();
        let names = |r: &str| {
            k.lookup(r).into_iter().map(|a| format!("{}:{}", a.username, a.password)).collect::<Vec<_>>()
        };
        assert_eq!(names("docker.io/library/busybox"), ["u:p:q"]);
        assert_eq!(names("reg.example/x/y"), ["c:d", "a:b"]);
        assert!(names("other.example/x").is_empty());
        assert!(k.add_config(b"nonsense").is_err());
    }
}
