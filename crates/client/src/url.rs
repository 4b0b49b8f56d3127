//! Paths and queries of API requests.

use std::fmt::Write;

/// The path of a collection: `/api/v1/namespaces/ns/pods`, `/apis/apps/v1/deployments`.
pub fn collection(group: &str, version: &str, resource: &str, namespace: Option<&str>) -> String {
    let mut p = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    if let Some(ns) = namespace.filter(|n| !n.is_empty()) {
        p.push_str("/namespaces/");
        p.push_str(&escape_segment(ns));
    }
    p.push('/');
    p.push_str(resource);
    p
}

/// The path of an object, or of a subresource of it when that is not empty.
pub fn object(
    group: &str,
    version: &str,
    resource: &str,
    namespace: Option<&str>,
    name: &str,
    subresource: &str,
) -> String {
    let mut p = collection(group, version, resource, namespace);
    p.push('/');
    p.push_str(&escape_segment(name));
    if !subresource.is_empty() {
        p.push('/');
        p.push_str(subresource);
    }
    p
}

/// Appends `?k=v&…`, leaving out pairs with an empty value.
pub fn with_query(mut path: String, pairs: &[(&str, &str)]) -> String {
    let mut sep = if path.contains('?') { '&' } else { '?' };
    for (k, v) in pairs.iter().filter(|(_, v)| !v.is_empty()) {
        path.push(sep);
        path.push_str(k);
        path.push('=');
        path.push_str(&escape_query(v));
        sep = '&';
    }
    path
}

fn escape(s: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(s.len());
    for b in s.bytes() {
        if b.is_ascii_alphanumeric() || keep.contains(&b) {
            out.push(b as char);
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

/// One segment of a path.
pub fn escape_segment(s: &str) -> String {
    escape(s, b"-_.~$&+=:@")
}

/// A value in a query.
pub fn escape_query(s: &str) -> String {
    escape(s, b"-_.~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let cases = [
            (collection("", "v1", "pods", None), "/api/v1/pods"),
            (collection("", "v1", "pods", Some("a")), "/api/v1/namespaces/a/pods"),
            (collection("apps", "v1", "deployments", Some("")), "/apis/apps/v1/deployments"),
            (object("", "v1", "nodes", None, "n1", "status"), "/api/v1/nodes/n1/status"),
            (
                object("rbac.authorization.k8s.io", "v1", "clusterroles", None, "system:node", ""),
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
            ),
            (object("", "v1", "x", None, "a/b%?", ""), "/api/v1/x/a%2Fb%25%3F"),
            (
                with_query("/p".into(), &[("a", ""), ("b", "x=1,y in (z)"), ("c", "d")]),
                "/p?b=x%3D1%2Cy%20in%20%28z%29&c=d",
            ),
            (with_query("/p".into(), &[("a", "")]), "/p"),
        ];
        for (got, want) in cases {
            assert_eq!(got, want);
        }
    }
}
