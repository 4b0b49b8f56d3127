//! What resources a server has, and which one a word on the command line means (client-go `restmapper`).

use crate::cx::Cx;
use crate::error::Error;
use bytes::Bytes;
use http::Method;
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub name: String,
    pub singular: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub short: Vec<String>,
    pub categories: Vec<String>,
    /// The version that the group prefers.
    pub preferred: bool,
    /// Has a `scale` subresource.
    pub scale: bool,
}

impl Resource {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
    /// `pods`, `deployments.apps`.
    pub fn full(&self) -> String {
        if self.group.is_empty() { self.name.clone() } else { format!("{}.{}", self.name, self.group) }
    }
    /// `pod/x`, `deployment.apps/x`: what commands say they did.
    pub fn said(&self, name: &str) -> String {
        let kind = self.kind.to_lowercase();
        if self.group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{}/{name}", self.group) }
    }
    pub fn collection(&self, namespace: &str) -> String {
        client::url::collection(&self.group, &self.version, &self.name, self.namespaced.then_some(namespace))
    }
    pub fn object(&self, namespace: &str, name: &str, sub: &str) -> String {
        let ns = self.namespaced.then_some(namespace);
        client::url::object(&self.group, &self.version, &self.name, ns, name, sub)
    }
}

#[derive(Debug, Default)]
pub struct Discovery {
    pub all: Vec<Resource>,
    /// In the server's order of preference.
    pub versions: Vec<String>,
}

const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

impl Discovery {
    pub async fn fetch(cx: &Cx) -> Result<Self, Error> {
        let mut d = Self::default();
        for path in ["/api", "/apis"] {
            let v = cx.exchange(Method::GET, path, "", ACCEPT, Bytes::new()).await?;
            if v["kind"] != "APIGroupDiscoveryList" {
                return Err(Error::plain(format!("{path}: the server has no aggregated discovery (v2)")));
            }
            d.add(&v);
        }
        Ok(d)
    }

    pub fn add(&mut self, v: &Value) {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let texts = |v: &Value| v.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        for g in v["items"].as_array().into_iter().flatten() {
            let group = text(&g["metadata"]["name"]);
            for (i, ver) in g["versions"].as_array().into_iter().flatten().enumerate() {
                let version = text(&ver["version"]);
                self.versions.push(if group.is_empty() {
                    version.clone()
                } else {
                    format!("{group}/{version}")
                });
                for r in ver["resources"].as_array().into_iter().flatten() {
                    let kind = text(&r["responseKind"]["kind"]);
                    let name = text(&r["resource"]);
                    let singular = text(&r["singularResource"]);
                    self.all.push(Resource {
                        group: group.clone(),
                        version: version.clone(),
                        singular: if singular.is_empty() { kind.to_lowercase() } else { singular },
                        kind,
                        name,
                        namespaced: r["scope"] == "Namespaced",
                        verbs: texts(&r["verbs"]),
                        short: texts(&r["shortNames"]),
                        categories: texts(&r["categories"]),
                        preferred: i == 0,
                        scale: r["subresources"]
                            .as_array()
                            .is_some_and(|a| a.iter().any(|s| s["subresource"] == "scale")),
                    });
                }
            }
        }
    }

    /// `pods`, `pod`, `po`, `Pod`, `deployments.apps`, `deployments.v1.apps`.
    pub fn find(&self, word: &str) -> Result<&Resource, Error> {
        let lower = word.to_lowercase();
        let named = |r: &Resource, w: &str| r.name == w || r.singular == w || r.kind.to_lowercase() == w;
        if let Some(r) = self.pick(|r| named(r, &lower)) {
            return Ok(r);
        }
        if let Some(r) = self.pick(|r| r.short.contains(&lower)) {
            return Ok(r);
        }
        if let Some((w, group)) = lower.split_once('.') {
            let hit = self
                .pick(|r| named(r, w) && r.group == group)
                .or_else(|| {
                    let (version, group) = group.split_once('.').unwrap_or((group, ""));
                    self.all.iter().find(|r| named(r, w) && r.version == version && r.group == group)
                })
                .or_else(|| self.pick(|r| named(r, w) && r.group.starts_with(group)))
                .or_else(|| self.pick(|r| r.short.iter().any(|s| s == w) && r.group == group));
            if let Some(r) = hit {
                return Ok(r);
            }
        }
        Err(Error::plain(format!("the server doesn't have a resource type {word:?}")))
    }
    /// Every resource that a bare word can mean, the likeliest first.
    pub fn candidates(&self, word: &str) -> Vec<&Resource> {
        let w = word.to_lowercase();
        let named = |r: &&Resource| r.name == w || r.singular == w || r.kind.to_lowercase() == w;
        let mut all: Vec<&Resource> = self.all.iter().filter(named).collect();
        if all.is_empty() {
            all = self.all.iter().filter(|r| r.short.contains(&w)).collect();
        }
        all.sort_by_key(|r| !r.preferred);
        all
    }
    pub fn scalable(&self, r: &Resource) -> bool {
        self.all.iter().any(|o| o.group == r.group && o.version == r.version && o.name == r.name && o.scale)
    }
    fn pick(&self, f: impl Fn(&Resource) -> bool) -> Option<&Resource> {
        let mut hits = self.all.iter().filter(|r| f(r)).peekable();
        let first = hits.peek().copied();
        hits.find(|r| r.preferred).or(first)
    }
    /// The resources of a category (`all`).
    pub fn category(&self, word: &str) -> Vec<&Resource> {
        self.all
            .iter()
            .filter(|r| {
                r.preferred && r.categories.iter().any(|c| c == word) && r.verbs.iter().any(|v| v == "list")
            })
            .collect()
    }
    /// The resource of an object.
    pub fn of(&self, api_version: &str, kind: &str) -> Result<&Resource, String> {
        self.all
            .iter()
            .find(|r| r.kind == kind && r.api_version() == api_version && !r.name.contains('/'))
            .ok_or_else(|| {
                format!(
                    "no matches for kind {kind:?} in version {api_version:?}\nensure CRDs are installed first"
                )
            })
    }
}
