//! Discovery: `/api`, `/apis` and below, in the legacy and in the aggregated form.

use crate::aggregate::Remote;
use crate::negotiate::{self, Media, Offer, Transform};
use crate::query::Query;
use crate::registry::{Registry, ResourceInfo, Sub};
use crate::server::{ApiServer, no_such_path};
use crate::{Result, encode, respond};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use meta::{GroupVersion, Value};
use serde_json::json;
use serve::Body;
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Priorities of groups, as the aggregator orders them.
const GROUPS: &[(&str, i64)] = &[
    ("", 18000),
    ("apps", 17800),
    ("events.k8s.io", 17750),
    ("authentication.k8s.io", 17700),
    ("authorization.k8s.io", 17600),
    ("autoscaling", 17500),
    ("batch", 17400),
    ("certificates.k8s.io", 17300),
    ("networking.k8s.io", 17200),
    ("policy", 17100),
    ("rbac.authorization.k8s.io", 17000),
    ("storage.k8s.io", 16800),
    ("apiextensions.k8s.io", 16700),
    ("admissionregistration.k8s.io", 16700),
    ("scheduling.k8s.io", 16600),
    ("coordination.k8s.io", 16500),
    ("node.k8s.io", 16300),
    ("resource.k8s.io", 16200),
    ("discovery.k8s.io", 16200),
    ("flowcontrol.apiserver.k8s.io", 16100),
    ("internal.apiserver.k8s.io", 16000),
    ("storagemigration.k8s.io", 15800),
    ("lifecycle.k8s.io", 15700),
    ("apiregistration.k8s.io", 20000),
];

/// The priorities of a group and of a version in it, as its APIService states them.
pub fn version_priority(group: &str, version: &str) -> (i64, i64) {
    let Some((_, of_group)) = GROUPS.iter().find(|(g, _)| *g == group) else { return (1000, 100) };
    let of_version = match (group, version) {
        ("", _) => 1,
        ("autoscaling", "v2") => 30,
        ("flowcontrol.apiserver.k8s.io" | "resource.k8s.io", "v1") => 21,
        (_, "v1") => 15,
        ("resource.k8s.io", "v1beta2") => 15,
        ("coordination.k8s.io", "v1beta1") => 13,
        ("coordination.k8s.io" | "admissionregistration.k8s.io", "v1alpha2" | "v1beta1") => 12,
        (_, v) if v.contains("beta") => 9,
        _ => 1,
    };
    (*of_group, of_version)
}

/// The groups in the order of discovery, each with its versions, the preferred one first.
fn ordered(reg: &Registry, remotes: &[Arc<Remote>]) -> Vec<(String, Vec<String>)> {
    // Priorities of group and versions.
    let mut groups: BTreeMap<&str, (i64, BTreeMap<&str, i64>)> = BTreeMap::new();
    let own = reg.groups().iter().flat_map(|(g, versions)| {
        versions.keys().map(move |v| (g.as_str(), v.as_str(), version_priority(g, v)))
    });
    let others = remotes
        .iter()
        .map(|r| (r.group.as_str(), r.version.as_str(), (r.group_priority, r.version_priority)));
    for (group, version, (of_group, of_version)) in own.chain(others) {
        let g = groups.entry(group).or_default();
        g.0 = g.0.max(of_group);
        g.1.insert(version, of_version);
    }
    let mut all: Vec<_> = groups.into_iter().collect();
    all.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
    let versions = |of: BTreeMap<&str, i64>| {
        let mut v: Vec<(&str, i64)> = of.into_iter().collect();
        v.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| compare_versions(b.0, a.0)));
        v.into_iter().map(|(v, _)| v.to_owned()).collect()
    };
    all.into_iter().map(|(g, (_, v))| (g.to_owned(), versions(v))).collect()
}

/// Orders versions as Kubernetes does: v2 after v1 after v1beta2 after v1beta1 after v1alpha1 after anything else.
pub fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    fn rank(v: &str) -> Option<(u32, u32, u32)> {
        let rest = v.strip_prefix('v')?;
        let n = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = rest[..n].parse().ok()?;
        let (stage, tail) = match &rest[n..] {
            "" => return Some((2, major, 0)),
            t if t.starts_with("beta") => (1, &t[4..]),
            t if t.starts_with("alpha") => (0, &t[5..]),
            _ => return None,
        };
        Some((stage, major, if tail.is_empty() { 0 } else { tail.parse().ok()? }))
    }
    match (rank(a), rank(b)) {
        (Some(x), Some(y)) => x.cmp(&y),
        (Some(_), None) => std::cmp::Ordering::Greater,
        (None, Some(_)) => std::cmp::Ordering::Less,
        (None, None) => b.cmp(a),
    }
}

fn api_resources(reg: &Registry, group: &str, version: &str) -> Vec<Value> {
    let mut out = Vec::new();
    let Some(resources) = reg.groups().get(group).and_then(|g| g.get(version)) else { return out };
    for r in resources.values() {
        let mut v = json!({
            "name": r.gvr.resource, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.gvk.kind,
            "verbs": r.verbs,
        });
        if !r.short_names.is_empty() {
            v["shortNames"] = json!(r.short_names);
        }
        if !r.categories.is_empty() {
            v["categories"] = json!(r.categories);
        }
        if !r.storage_version_hash.is_empty() {
            v["storageVersionHash"] = r.storage_version_hash.clone().into();
        }
        out.push(v);
        for s in &r.subresources {
            let mut v = json!({
                "name": format!("{}/{}", r.gvr.resource, s.name), "singularName": "",
                "namespaced": r.namespaced, "kind": s.kind, "verbs": s.verbs,
            });
            if foreign(r, s) {
                v["group"] = s.group.clone().into();
                v["version"] = s.version.clone().into();
            }
            out.push(v);
        }
    }
    out.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    out
}

fn foreign(r: &ResourceInfo, s: &Sub) -> bool {
    s.group != r.gvr.group || s.version != r.gvr.version
}

fn gvd(group: &str, version: &str) -> Value {
    json!({ "groupVersion": GroupVersion::new(group, version).to_string(), "version": version })
}

fn api_group(group: &str, versions: &[String]) -> Value {
    let first = versions.first().map_or("", String::as_str);
    json!({
        "name": group,
        "versions": versions.iter().map(|v| gvd(group, v)).collect::<Vec<_>>(),
        "preferredVersion": gvd(group, first),
    })
}

fn aggregated(reg: &Registry, remotes: &[Arc<Remote>], core: bool) -> Value {
    let mut items = Vec::new();
    for (group, versions) in ordered(reg, remotes) {
        if group.is_empty() != core {
            continue;
        }
        let versions: Vec<Value> = versions
            .iter()
            .map(|v| {
                if let Some(r) = remotes.iter().find(|r| r.group == group && r.version == *v) {
                    return r.discovery();
                }
                let resources = reg.groups().get(&group).and_then(|g| g.get(v));
                let resources: Vec<Value> =
                    resources.into_iter().flat_map(|m| m.values()).map(|r| aggregated_resource(r)).collect();
                json!({ "version": v, "resources": resources, "freshness": "Current" })
            })
            .collect();
        let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
        items.push(json!({ "metadata": metadata, "versions": versions }));
    }
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn aggregated_resource(r: &ResourceInfo) -> Value {
    let mut v = json!({
        "resource": r.gvr.resource,
        "responseKind": { "group": "", "version": "", "kind": r.gvk.kind },
        "scope": if r.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": r.singular,
        "verbs": r.verbs,
    });
    if !r.short_names.is_empty() {
        v["shortNames"] = json!(r.short_names);
    }
    if !r.categories.is_empty() {
        v["categories"] = json!(r.categories);
    }
    if !r.subresources.is_empty() {
        let subs: Vec<Value> = r
            .subresources
            .iter()
            .map(|s| {
                let (g, ver) = if foreign(r, s) { (s.group.as_str(), s.version.as_str()) } else { ("", "") };
                json!({
                    "subresource": s.name,
                    "responseKind": { "group": g, "version": ver, "kind": s.kind },
                    "verbs": s.verbs,
                })
            })
            .collect();
        v["subresources"] = subs.into();
    }
    v
}

/// `path` has no slash at its end.
pub fn serve(s: &ApiServer, headers: &HeaderMap, path: &str, query: &Query) -> Result<Response<Body>> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let offer = Offer { discovery: parts.len() == 1, ..Offer::PLAIN };
    let media = negotiate::negotiate(headers, query.get("pretty"), offer)?;
    let (reg, remotes) = (s.registry(), s.remotes.all());
    let addresses = json!([{ "clientCIDR": "0.0.0.0/0",
        "serverAddress": std::net::SocketAddr::new(s.cfg.advertise_address, s.cfg.secure_port).to_string() }]);
    if media.transform == Transform::Discovery {
        return Ok(with_etag(headers, media, &aggregated(&reg, &remotes, parts[0] == "api")));
    }
    let answer = match parts.as_slice() {
        ["api"] => json!({
            "kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"], "serverAddressByClientCIDRs": addresses,
        }),
        ["apis"] => {
            let groups: Vec<Value> = ordered(&reg, &remotes)
                .iter()
                .filter(|(g, _)| !g.is_empty())
                .map(|(g, v)| api_group(g, v))
                .collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
        }
        ["apis", group] => match ordered(&reg, &remotes).iter().find(|(g, _)| g == group && !g.is_empty()) {
            None => return Ok(no_such_path()),
            Some((g, v)) => {
                let mut a = api_group(g, v);
                a["kind"] = "APIGroup".into();
                a["apiVersion"] = "v1".into();
                a
            }
        },
        ["api", version] => match resource_list(&reg, "", version) {
            Some(v) => v,
            None => return Ok(no_such_path()),
        },
        ["apis", group, version] => match resource_list(&reg, group, version) {
            Some(v) => v,
            None => return Ok(no_such_path()),
        },
        _ => return Ok(no_such_path()),
    };
    Ok(respond::value(StatusCode::OK, media, &answer))
}

fn resource_list(reg: &Registry, group: &str, version: &str) -> Option<Value> {
    reg.has_group_version(group, version).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": GroupVersion::new(group, version).to_string(),
            "resources": api_resources(reg, group, version),
        })
    })
}

fn with_etag(headers: &HeaderMap, media: Media, v: &Value) -> Response<Body> {
    let body = encode::any_value(v, media);
    let hash: String = Sha512::digest(&body).iter().map(|b| format!("{b:02X}")).collect();
    let etag = format!("\"{hash}\"");
    let fresh = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()) == Some(etag.as_str());
    let mut r = if fresh {
        let mut r = Response::new(serve::empty());
        *r.status_mut() = StatusCode::NOT_MODIFIED;
        r
    } else {
        let ct = format!("{};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", media.format.media_type());
        let mut r = respond::object_gzip(StatusCode::OK, media, body, headers);
        if let Ok(v) = HeaderValue::from_str(&ct) {
            r.headers_mut().insert(http::header::CONTENT_TYPE, v);
        }
        r
    };
    let h = r.headers_mut();
    if let Ok(v) = HeaderValue::from_str(&etag) {
        h.insert(ETAG, v);
    }
    h.append(VARY, HeaderValue::from_static("Accept"));
    h.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    r
}

/// `/`: the paths there are.
pub fn root_paths(s: &ApiServer) -> String {
    let mut paths: Vec<String> = [
        "/.well-known/openid-configuration",
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/openid/v1/jwks",
        "/readyz",
        "/version",
    ]
    .map(str::to_owned)
    .to_vec();
    if s.cfg.swagger_ui {
        paths.push("/swagger-ui".to_owned());
    }
    for (group, versions) in ordered(&s.registry(), &s.remotes.all()) {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|v| format!("/apis/{group}/{v}")));
        }
    }
    paths.sort();
    serde_json::to_string_pretty(&json!({ "paths": paths })).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered() {
        let mut v = ["v1", "v10", "v1beta1", "foo", "v2", "v1alpha1", "v2beta1", "v1beta2", "v11alpha2"];
        v.sort_by(|a, b| compare_versions(b, a));
        assert_eq!(v, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1beta1", "v11alpha2", "v1alpha1", "foo"]);
    }
}
