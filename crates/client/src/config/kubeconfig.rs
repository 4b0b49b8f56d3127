//! kubeconfig files: reading, merging, choosing a context (client-go `tools/clientcmd`).

use super::Config;
use super::exec::ExecConfig;
use crate::Error;
use base64::Engine;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion", default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub clusters: Vec<NamedCluster>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub contexts: Vec<NamedContext>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub users: Vec<NamedUser>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub current_context: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

fn null_is_default<'de, T: Default + Deserialize<'de>, D: serde::Deserializer<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedCluster {
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub cluster: Cluster,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedContext {
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub context: Context,
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NamedUser {
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: AuthInfo,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cluster {
    #[serde(default)]
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insecure_skip_tls_verify: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disable_compression: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    #[serde(default)]
    pub cluster: String,
    #[serde(default)]
    pub user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AuthInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key_data: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(rename = "tokenFile", default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#as: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_groups: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_user_extra: Option<BTreeMap<String, Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_provider: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecConfig>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Value>,
}

/// What the command line says in place of the files; empty strings say nothing.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub context: String,
    pub cluster: String,
    pub user: String,
    pub namespace: String,
    pub server: String,
    pub token: String,
    pub certificate_authority: String,
    pub client_certificate: String,
    pub client_key: String,
    pub username: String,
    pub password: String,
    pub tls_server_name: String,
    pub insecure_skip_tls_verify: bool,
    pub impersonate: super::Impersonate,
}

/// Standard base64, with or without white space.
pub fn base64_data(s: &str) -> Result<Vec<u8>, String> {
    let s: String = s.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(s).map_err(|e| e.to_string())
}

impl Kubeconfig {
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(text).map_err(|e| Error::Config(e.to_string()))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text).map_err(|e| Error::Config(e.to_string()))
    }
    /// Reads a file; relative paths in it are made relative to its folder.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let name = path.display();
        let text = std::fs::read(path)
            .map_err(|e| Error::Config(format!("error loading config file \"{name}\": {e}")))?;
        let mut k = Self::parse(&text)
            .map_err(|e| Error::Config(format!("error loading config file \"{name}\": {e}")))?;
        let dir =
            std::path::absolute(path).ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or_default();
        let fix = |p: &mut Option<PathBuf>| {
            if let Some(p) = p.as_mut().filter(|p| !p.as_os_str().is_empty()) {
                *p = dir.join(&p);
            }
        };
        for c in &mut k.clusters {
            fix(&mut c.cluster.certificate_authority);
        }
        for u in &mut k.users {
            fix(&mut u.user.client_certificate);
            fix(&mut u.user.client_key);
            fix(&mut u.user.token_file);
            if let Some(e) = &mut u.user.exec {
                // Only a command with a separator is a path; a bare one is looked up in PATH.
                if e.command.contains('/') {
                    e.command = dir.join(&e.command).display().to_string();
                }
            }
        }
        Ok(k)
    }
    /// `--kubeconfig`, else the files of `KUBECONFIG`, else `~/.kube/config`; files that are missing count as empty,
    /// but for an explicit one. What comes first wins, by name.
    pub fn load(explicit: Option<&Path>) -> Result<Self, Error> {
        if let Some(p) = explicit {
            return Self::read(p);
        }
        let mut merged = Self::default();
        for p in Self::default_paths() {
            if p.exists() {
                merged.merge(Self::read(&p)?);
            }
        }
        Ok(merged)
    }
    pub fn default_paths() -> Vec<PathBuf> {
        match std::env::var_os("KUBECONFIG").filter(|v| !v.is_empty()) {
            Some(v) => std::env::split_paths(&v).filter(|p| !p.as_os_str().is_empty()).collect(),
            None => {
                std::env::var_os("HOME").map(|h| Path::new(&h).join(".kube/config")).into_iter().collect()
            }
        }
    }
    /// Adds what `other` has and this one has not.
    pub fn merge(&mut self, other: Self) {
        for c in other.clusters {
            if !self.clusters.iter().any(|x| x.name == c.name) {
                self.clusters.push(c);
            }
        }
        for c in other.contexts {
            if !self.contexts.iter().any(|x| x.name == c.name) {
                self.contexts.push(c);
            }
        }
        for u in other.users {
            if !self.users.iter().any(|x| x.name == u.name) {
                self.users.push(u);
            }
        }
        if self.current_context.is_empty() {
            self.current_context = other.current_context;
        }
    }
    fn is_empty(&self) -> bool {
        self.clusters.is_empty()
            && self.contexts.is_empty()
            && self.users.is_empty()
            && self.current_context.is_empty()
    }
    /// The configuration of one context.
    pub fn resolve(&self, o: &Overrides) -> Result<Config, Error> {
        let invalid = |why: String| Error::Config(format!("invalid configuration: {why}"));
        let pick = |over: &str, own: &str| if over.is_empty() { own.to_owned() } else { over.to_owned() };
        let name = pick(&o.context, &self.current_context);
        let ctx = if name.is_empty() {
            Context::default()
        } else {
            match self.contexts.iter().find(|c| c.name == name) {
                Some(c) => c.context.clone(),
                None if o.context.is_empty() => {
                    return Err(invalid(format!("context was not found for specified context: {name}")));
                }
                None => return Err(Error::Config(format!("context {name:?} does not exist"))),
            }
        };
        let cluster_name = pick(&o.cluster, &ctx.cluster);
        let user_name = pick(&o.user, &ctx.user);
        let mut cluster = match self.clusters.iter().find(|c| c.name == cluster_name) {
            Some(c) => c.cluster.clone(),
            None if !o.cluster.is_empty() => {
                return Err(Error::Config(format!("cluster {cluster_name:?} does not exist")));
            }
            None => Cluster::default(),
        };
        let mut user = match self.users.iter().find(|u| u.name == user_name) {
            Some(u) => u.user.clone(),
            None if !o.user.is_empty() => {
                return Err(Error::Config(format!("auth info {user_name:?} does not exist")));
            }
            None => AuthInfo::default(),
        };
        o.apply(&mut cluster, &mut user);
        if cluster.server.is_empty() {
            return Err(invalid(if self.is_empty() {
                "no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
                    .into()
            } else if cluster_name.is_empty() {
                "no server was given: set a current context or pass --server".into()
            } else {
                format!("no server found for cluster {cluster_name:?}")
            }));
        }
        let ns = pick(&o.namespace, ctx.namespace.as_deref().unwrap_or_default());
        Config::from_parts(&cluster, &user, &ns)
    }
}

impl Overrides {
    fn apply(&self, cluster: &mut Cluster, user: &mut AuthInfo) {
        let given = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        if let Some(s) = given(&self.server) {
            cluster.server = if s.contains("://") { s } else { format!("http://{s}") };
        }
        if let Some(ca) = given(&self.certificate_authority) {
            cluster.certificate_authority = Some(ca.into());
            cluster.certificate_authority_data = None;
        }
        if self.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = Some(true);
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        if let Some(n) = given(&self.tls_server_name) {
            cluster.tls_server_name = Some(n);
        }
        if let Some(c) = given(&self.client_certificate) {
            user.client_certificate = Some(c.into());
            user.client_certificate_data = None;
        }
        if let Some(k) = given(&self.client_key) {
            user.client_key = Some(k.into());
            user.client_key_data = None;
        }
        if let Some(t) = given(&self.token) {
            user.token = Some(t);
            user.token_file = None;
        }
        if let Some(u) = given(&self.username) {
            user.username = Some(u);
            user.password = Some(self.password.clone());
        }
        let i = &self.impersonate;
        if let Some(u) = given(&i.user) {
            user.r#as = Some(u);
        }
        if let Some(u) = given(&i.uid) {
            user.as_uid = Some(u);
        }
        if !i.groups.is_empty() {
            user.as_groups = Some(i.groups.clone());
        }
        if !i.extra.is_empty() {
            user.as_user_extra = Some(i.extra.iter().cloned().collect());
        }
    }
}
