//! What a request asks for, worked out from its method, path and query (apiserver `pkg/endpoints/request`).

use crate::query::Query;
use http::Method;

/// The attributes of a request that routing, authorization and metrics look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names an API resource (and not `/healthz`, `/apis/apps/v1`, …).
    pub is_resource: bool,
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the method in lower case for
    /// other paths.
    pub verb: String,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// Resource, name, subresource and whatever follows.
    pub parts: Vec<String>,
    /// The selectors of list, watch and deletecollection, as they stand in the query.
    pub field_selector: String,
    pub label_selector: String,
    /// Asked for with a legacy path: `/api/v1/watch/pods`.
    pub legacy_watch: bool,
    /// The name stood in the path (and was not taken from a field selector).
    pub name_in_path: bool,
}

/// The path cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadPath(pub String);

fn is_special_verb(s: &str) -> bool {
    matches!(s, "proxy" | "watch")
}

impl RequestInfo {
    /// `path` is percent-decoded.
    pub fn new(method: &Method, path: &str, query: &Query) -> Result<Self, BadPath> {
        let mut info =
            Self { path: path.to_owned(), verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let trimmed = path.trim_matches('/');
        let all: Vec<&str> = if trimmed.is_empty() { Vec::new() } else { trimmed.split('/').collect() };
        let mut parts: &[&str] = match all.as_slice() {
            ["api", rest @ ..] if rest.len() >= 2 => rest,
            ["apis", group, rest @ ..] if rest.len() >= 2 => {
                info.group = (*group).to_owned();
                rest
            }
            _ => return Ok(info),
        };
        info.is_resource = true;
        info.version = parts[0].to_owned();
        parts = &parts[1..];
        if is_special_verb(parts[0]) {
            if parts.len() < 2 {
                return Err(BadPath(format!("unable to determine kind and namespace from url, {path}")));
            }
            info.verb = parts[0].to_owned();
            info.legacy_watch = info.verb == "watch";
            parts = &parts[1..];
        } else {
            info.verb = match *method {
                Method::POST => "create",
                Method::GET | Method::HEAD => "get",
                Method::PUT => "update",
                Method::PATCH => "patch",
                Method::DELETE => "delete",
                _ => "",
            }
            .to_owned();
        }
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace = parts[1].to_owned();
            if parts.len() > 2 && !matches!(parts[2], "status" | "finalize") {
                parts = &parts[2..];
            }
        }
        info.parts = parts.iter().map(|s| (*s).to_owned()).collect();
        if parts.len() >= 3 && !is_special_verb(&info.verb) {
            info.subresource = parts[2].to_owned();
        }
        if parts.len() >= 2 {
            info.name = parts[1].to_owned();
            info.name_in_path = true;
        }
        info.resource = parts[0].to_owned();

        if info.name.is_empty() && info.verb == "get" {
            let watch = query.get("watch").is_some_and(|w| !matches!(w, "false" | "0" | "False" | "FALSE"));
            info.verb = if watch { "watch" } else { "list" }.to_owned();
            if let Some(name) = single_name(query) {
                info.name = name;
            }
        }
        if info.name.is_empty() && info.verb == "delete" {
            info.verb = "deletecollection".to_owned();
        }
        if !info.legacy_watch && matches!(info.verb.as_str(), "list" | "watch" | "deletecollection") {
            info.field_selector = query.get("fieldSelector").unwrap_or_default().to_owned();
            info.label_selector = query.get("labelSelector").unwrap_or_default().to_owned();
        }
        Ok(info)
    }

    /// Requests that take as long as their client wants: not counted among those in flight, not timed out.
    pub fn long_running(&self) -> bool {
        matches!(self.verb.as_str(), "watch" | "proxy")
            || matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
    }

    /// Whether it changes something, for the limit on requests in flight.
    pub fn mutating(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options" | "proxy")
    }

    /// What follows the subresource (of `proxy`), with its leading slash.
    pub fn subpath(&self) -> String {
        let rest = self.parts.get(3..).unwrap_or_default().join("/");
        let mut p = if rest.is_empty() { String::new() } else { format!("/{rest}") };
        if self.path.ends_with('/') && !p.ends_with('/') {
            p.push('/');
        }
        p
    }
}

/// The one name that `fieldSelector=metadata.name=x` allows.
fn single_name(query: &Query) -> Option<String> {
    let f = meta::selector::FieldSelector::parse(query.get("fieldSelector")?).ok()?;
    let name = f.exact("metadata.name")?;
    meta::names::is_path_segment_name(name).is_empty().then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(method: &str, uri: &str) -> String {
        let (path, q) = uri.split_once('?').unwrap_or((uri, ""));
        let m = Method::from_bytes(method.as_bytes()).unwrap();
        match RequestInfo::new(&m, path, &Query::parse(q)) {
            Err(e) => format!("error: {}", e.0),
            Ok(i) if !i.is_resource => format!("{} {}", i.verb, i.path),
            Ok(i) => format!(
                "{} {}/{} ns={} {}/{} sub={}",
                i.verb, i.group, i.version, i.namespace, i.resource, i.name, i.subresource
            ),
        }
    }

    #[test]
    fn paths() {
        let cases = [
            ("GET", "/healthz", "get /healthz"),
            ("GET", "/api/v1", "get /api/v1"),
            ("GET", "/apis/apps/v1/", "get /apis/apps/v1/"),
            ("GET", "/api/v1/pods", "list /v1 ns= pods/ sub="),
            ("GET", "/api/v1/pods?watch=true", "watch /v1 ns= pods/ sub="),
            ("GET", "/api/v1/pods?watch=0", "list /v1 ns= pods/ sub="),
            ("GET", "/api/v1/namespaces", "list /v1 ns= namespaces/ sub="),
            ("GET", "/api/v1/namespaces/a", "get /v1 ns=a namespaces/a sub="),
            ("PUT", "/api/v1/namespaces/a/finalize", "update /v1 ns=a namespaces/a sub=finalize"),
            ("DELETE", "/api/v1/namespaces/a/pods", "deletecollection /v1 ns=a pods/ sub="),
            ("DELETE", "/api/v1/namespaces/a/pods/b", "delete /v1 ns=a pods/b sub="),
            ("POST", "/api/v1/namespaces/a/pods/b/binding", "create /v1 ns=a pods/b sub=binding"),
            (
                "PATCH",
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "patch apps/v1 ns=a deployments/b sub=scale",
            ),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "watch /v1 ns=a pods/b sub="),
            ("GET", "/api/v1/watch/pods", "watch /v1 ns= pods/ sub="),
            ("GET", "/api/v1/watch", "error: unable to determine kind and namespace from url, /api/v1/watch"),
            ("HEAD", "/api/v1/namespaces/a/pods/b", "get /v1 ns=a pods/b sub="),
        ];
        for (m, u, want) in cases {
            assert_eq!(line(m, u), want, "{m} {u}");
        }
    }
}
