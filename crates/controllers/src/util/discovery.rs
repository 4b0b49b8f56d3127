//! What the server serves: all resources of all groups, in each group's preferred version.

use client::{Client, Error, ListWatch};
use serde_json::Value;
use std::collections::HashSet;

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// A served resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub kind: String,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<String>,
}

impl Resource {
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
    pub fn path(&self, namespace: &str, name: &str) -> String {
        client::url::object(&self.group, &self.version, &self.resource, Some(namespace), name, "")
    }
    pub fn collection(&self, namespace: &str) -> String {
        client::url::collection(&self.group, &self.version, &self.resource, Some(namespace))
    }
    /// `deployments.apps`
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.resource, self.group)
    }
    /// The headers of all its objects.
    pub fn headers(&self, namespace: &str) -> ListWatch {
        ListWatch {
            group: self.group.clone(),
            version: self.version.clone(),
            resource: self.resource.clone(),
            namespace: namespace.to_owned(),
            metadata_only: true,
            ..ListWatch::default()
        }
    }
}

/// Everything served, and the groups (with versions) that could not be asked.
#[derive(Clone, Debug, Default)]
pub struct Served {
    pub resources: Vec<Resource>,
    pub failed: Vec<String>,
}

/// Asks the server.
pub async fn discover(c: &Client) -> Result<Served, Error> {
    let mut served = Served::default();
    let mut seen = HashSet::new();
    for path in ["/api", "/apis"] {
        let v = c.get_as(path, AGGREGATED).await?;
        if v["kind"] != "APIGroupDiscoveryList" {
            return Err(Error::Decode(format!("{path}: the server has no aggregated discovery")));
        }
        for group in v["items"].as_array().into_iter().flatten() {
            parse(group, &mut served, &mut seen);
        }
    }
    Ok(served)
}

fn text(v: &Value, path: &str) -> String {
    v.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn parse(group: &Value, served: &mut Served, seen: &mut HashSet<(String, String)>) {
    let name = text(group, "/metadata/name");
    for version in group["versions"].as_array().into_iter().flatten() {
        let v = text(version, "/version");
        if version["freshness"] == "Stale" {
            served.failed.push(if name.is_empty() { v.clone() } else { format!("{name}/{v}") });
        }
        for r in version["resources"].as_array().into_iter().flatten() {
            let resource = text(r, "/resource");
            if resource.is_empty() || !seen.insert((name.clone(), resource.clone())) {
                continue;
            }
            let verbs = r["verbs"].as_array().into_iter().flatten();
            let subs = r["subresources"].as_array().into_iter().flatten();
            served.resources.push(Resource {
                group: name.clone(),
                version: v.clone(),
                resource,
                kind: text(r, "/responseKind/kind"),
                namespaced: r["scope"] == "Namespaced",
                verbs: verbs.filter_map(Value::as_str).map(str::to_owned).collect(),
                subresources: subs.map(|s| text(s, "/subresource")).collect(),
            });
        }
    }
}

#[cfg(test)]
pub mod testdata {
    //! A discovery answer for tests.

    use serde_json::{Value, json};

    /// Resources as `group/version resource Kind Scope`, one a line.
    pub fn answers(lines: &[&str]) -> (Value, Value) {
        let mut groups: Vec<(String, Value)> = Vec::new();
        for line in lines {
            let f: Vec<&str> = line.split(' ').collect();
            let (group, version) = f[0].rsplit_once('/').unwrap_or(("", f[0]));
            let r = json!({"resource": f[1], "responseKind": {"kind": f[2]}, "scope": f[3],
                "verbs": ["get", "list", "watch", "delete", "deletecollection"]});
            let at = groups.iter().position(|(g, _)| g == group).unwrap_or_else(|| {
                let g =
                    json!({"metadata": {"name": group}, "versions": [{"version": version, "resources": []}]});
                groups.push((group.to_owned(), g));
                groups.len() - 1
            });
            groups[at].1["versions"][0]["resources"].as_array_mut().unwrap().push(r);
        }
        let list = |core: bool| {
            let items: Vec<_> =
                groups.iter().filter(|(g, _)| g.is_empty() == core).map(|(_, v)| v.clone()).collect();
            json!({"kind": "APIGroupDiscoveryList", "items": items})
        };
        (list(true), list(false))
    }
}
