//! Certificate requests and signing policy in cfssl's JSON forms.

use super::Files;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csr {
    #[serde(rename = "CN")]
    pub cn: String,
    #[serde(default)]
    pub hosts: Vec<String>,
    pub key: Key,
    #[serde(default)]
    pub names: Vec<Name>,
    #[serde(default)]
    pub ca: Option<Ca>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub algo: String,
    pub size: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Name {
    #[serde(rename = "C")]
    pub country: String,
    #[serde(rename = "ST")]
    pub state: String,
    #[serde(rename = "L")]
    pub locality: String,
    #[serde(rename = "O")]
    pub organization: String,
    #[serde(rename = "OU")]
    pub unit: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ca {
    pub expiry: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub signing: Signing,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    #[serde(default)]
    pub default: Option<Profile>,
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    pub usages: Vec<String>,
    pub expiry: String,
}

/// Hours of `87600h`, in seconds.
pub fn expiry(text: &str) -> Result<i64, String> {
    let hours =
        text.strip_suffix('h').and_then(|h| h.parse::<i64>().ok()).filter(|h| (1..=876_000).contains(h));
    hours.map(|h| h * 3600).ok_or_else(|| format!("{text:?} is no expiry such as 87600h"))
}

fn located(path: &str, e: &serde_json::Error) -> String {
    let text = e.to_string();
    let what = text.split(" at line ").next().unwrap_or(&text);
    format!("{path}:{}: {what}", e.line())
}

/// The requests among files: name (the file's, without `-csr.json`), folder, request.
pub fn requests(files: &Files, prefix: &str) -> Result<Vec<(String, String, Csr)>, String> {
    let mut out = Vec::new();
    for (path, text) in files {
        let Some(name) = path.strip_prefix(prefix).and_then(|p| p.strip_suffix("-csr.json")) else {
            continue;
        };
        let csr: Csr = serde_json::from_str(text).map_err(|e| located(path, &e))?;
        let (folder, name) = name.rsplit_once('/').map_or(("", name), |(f, n)| (f, n));
        if csr.cn.is_empty() {
            return Err(format!("{path}: CN is empty"));
        }
        match (csr.key.algo.as_str(), csr.key.size) {
            ("rsa", 2048 | 3072 | 4096) | ("ecdsa", 256 | 384) => {}
            (a, s) => {
                return Err(format!("{path}: no key of {a} {s} is made: rsa 2048-4096, ecdsa 256 or 384"));
            }
        }
        out.push((name.to_owned(), folder.to_owned(), csr));
    }
    Ok(out)
}

pub fn policy(path: &str, text: &str) -> Result<Profile, String> {
    let p: Policy = serde_json::from_str(text).map_err(|e| located(path, &e))?;
    let mut profile = p
        .signing
        .profiles
        .get("kubernetes")
        .cloned()
        .ok_or_else(|| format!("{path}: there is no profile \"kubernetes\""))?;
    if profile.expiry.is_empty() {
        profile.expiry = p.signing.default.map(|d| d.expiry).unwrap_or_default();
    }
    expiry(&profile.expiry).map_err(|e| format!("{path}: {e}"))?;
    for u in &profile.usages {
        if !matches!(
            u.as_str(),
            "signing" | "digital signature" | "key encipherment" | "server auth" | "client auth"
        ) {
            return Err(format!("{path}: usage {u:?} is not known"));
        }
    }
    Ok(profile)
}

/// Whether what is under `ca/` can be made.
pub fn check(files: &Files) -> Result<(), String> {
    let all = requests(files, "ca/")?;
    if !all.is_empty() && !all.iter().any(|(n, f, _)| n == "ca" && f.is_empty()) {
        return Err("ca/ca-csr.json is missing".into());
    }
    let path = "ca/ca-config.json";
    match files.get(path) {
        Some(t) => policy(path, t).map(drop),
        None if all.is_empty() => Ok(()),
        None => Err(format!("{path} is missing")),
    }
}
