//! The downward API: a pod's fields and resources as text.

use super::helpers::{find_container, init_containers, name, namespace, spec, uid};
use super::qos::{self, List};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::collections::BTreeMap;

/// What only the node knows.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub host_ips: &'a [String],
    pub pod_ips: &'a [String],
    /// Resources that stand in for limits that are not set.
    pub allocatable: Option<&'a List>,
}

/// A field by its path.
pub fn field(pod: &Pod, path: &str, node: &Node<'_>) -> Result<String, String> {
    let s = spec(pod);
    let meta = &pod.metadata;
    if let Some((map, key)) = subscript(path) {
        return match map {
            "metadata.annotations" => {
                Ok(meta.annotations.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default())
            }
            "metadata.labels" => {
                Ok(meta.labels.as_ref().and_then(|m| m.get(key)).cloned().unwrap_or_default())
            }
            _ => Err(format!("fieldPath {path:?} does not support subscript")),
        };
    }
    Ok(match path {
        "metadata.name" => name(pod).to_owned(),
        "metadata.namespace" => namespace(pod).to_owned(),
        "metadata.uid" => uid(pod).to_owned(),
        "metadata.annotations" => format_map(meta.annotations.as_ref()),
        "metadata.labels" => format_map(meta.labels.as_ref()),
        "spec.nodeName" => s.node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => s.service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => node.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => node.host_ips.join(","),
        "status.podIP" => node.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => node.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

/// `metadata.labels['a']` → (`metadata.labels`, `a`).
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    (!map.is_empty()).then_some((map, key))
}

/// `key="value"` lines sorted by key, values quoted as Go does.
fn format_map(m: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = m.into_iter().flatten().map(|(k, v)| format!("{k}={}", go_quote(v))).collect();
    lines.join("\n")
}

/// strconv.Quote.
pub fn go_quote(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A container's request or limit in units of the divisor, rounded up.
pub fn resource(
    pod: &Pod,
    current: Option<&Container>,
    container: &str,
    res: &str,
    divisor: &str,
    node: &Node<'_>,
) -> Result<String, String> {
    let found;
    let c = if container.is_empty() {
        current.ok_or_else(|| "no container for the resource".to_owned())?
    } else {
        found =
            find_container(spec(pod), container).ok_or_else(|| format!("container {container} not found"))?;
        &found
    };
    let (which, name) = res.split_once('.').unwrap_or((res, ""));
    let limit = |k: &str| -> Option<meta::quantity::Quantity> {
        let own = qos::limits(c).and_then(|l| l.get(k)).and_then(qos::parse).filter(|q| !q.is_zero());
        let pods = spec(pod)
            .resources
            .as_ref()
            .and_then(|r| r.limits.as_ref())
            .and_then(|l| l.get(k))
            .and_then(qos::parse)
            .filter(|q| !q.is_zero());
        own.or(pods).or_else(|| node.allocatable.and_then(|l| l.get(k)).and_then(qos::parse))
    };
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    let q = match which {
        _ if !known => return Err(format!("unsupported container resource : {res}")),
        "limits" => limit(name),
        "requests" => qos::requests(c).and_then(|l| l.get(name)).and_then(qos::parse),
        _ => return Err(format!("unsupported container resource : {res}")),
    };
    let d = meta::quantity::Quantity::parse(if divisor.is_empty() || divisor == "0" { "1" } else { divisor })
        .map_err(|e| format!("divisor {divisor:?}: {e}"))?;
    let (value, by) = if name == "cpu" {
        (q.map_or(0, |q| q.milli_value()), d.milli_value())
    } else {
        (q.map_or(0, |q| q.value()), d.value())
    };
    Ok(i128::from(value)
        .div_euclid(i128::from(by.max(1)))
        .checked_add(i128::from(value % by.max(1) != 0))
        .unwrap_or(0)
        .to_string())
}

/// Whether a container of that name exists, main or init.
pub fn has_container(pod: &Pod, name: &str) -> bool {
    let s = spec(pod);
    s.containers.iter().chain(init_containers(s)).any(|c| c.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    #[test]
    fn fields() {
        let mut p = pod(json!({"nodeName": "n1", "serviceAccountName": "sa", "containers": []}));
        p.metadata.labels =
            Some(BTreeMap::from([("a".into(), "1".into()), ("b".into(), "x \"y\"\n".into())]));
        let ips = ["10.1.0.9".to_owned(), "fd00::9".to_owned()];
        let node = Node { host_ips: &["192.0.2.1".to_owned()], pod_ips: &ips, allocatable: None };
        for (path, want) in [
            ("metadata.name", Ok("p")),
            ("metadata.labels['a']", Ok("1")),
            ("metadata.labels['zz']", Ok("")),
            ("metadata.labels", Ok("a=\"1\"\nb=\"x \\\"y\\\"\\n\"")),
            ("spec.nodeName", Ok("n1")),
            ("status.podIP", Ok("10.1.0.9")),
            ("status.podIPs", Ok("10.1.0.9,fd00::9")),
            ("status.hostIP", Ok("192.0.2.1")),
            ("spec.containers", Err("unsupported fieldPath: spec.containers")),
            ("metadata.name['x']", Err("fieldPath \"metadata.name['x']\" does not support subscript")),
        ] {
            let got = field(&p, path, &node);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{path}");
        }
    }

    #[test]
    fn resources() {
        let p = pod(json!({"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1500m"}}}]}));
        let allocatable = List::from([(
            "memory".to_owned(),
            k8s_openapi::apimachinery::pkg::api::resource::Quantity("4Gi".into()),
        )]);
        let node = Node { allocatable: Some(&allocatable), ..Default::default() };
        let c = &spec(&p).containers[0];
        for (res, divisor, want) in [
            ("limits.cpu", "", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.cpu", "1m", "250"),
            ("requests.cpu", "0", "1"),
            ("requests.memory", "1Mi", "32"),
            ("limits.memory", "1Mi", "4096"),
        ] {
            assert_eq!(resource(&p, Some(c), "", res, divisor, &node).unwrap(), want, "{res} {divisor}");
        }
        assert!(resource(&p, None, "c", "limits.gpu", "", &node).is_err());
    }
}
