//! A pod's hostname and its `/etc/hosts`.

use super::helpers::{name, namespace, spec};
use k8s_openapi::api::core::v1::{HostAlias, Pod};

const HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HEADER_HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).\n";
const MAX_HOSTNAME: usize = 63;
const MAX_FQDN: usize = 64;

/// The hostname and the domain (empty without a subdomain).
pub fn hostname(pod: &Pod, cluster_domain: &str) -> Result<(String, String), String> {
    let s = spec(pod);
    if let Some(h) = &s.hostname_override {
        return Ok((truncate(h)?, String::new()));
    }
    let h = truncate(s.hostname.as_deref().filter(|h| !h.is_empty()).unwrap_or(name(pod)))?;
    let domain = match s.subdomain.as_deref().filter(|d| !d.is_empty()) {
        Some(sub) => format!("{sub}.{}.svc.{cluster_domain}", namespace(pod)),
        None => String::new(),
    };
    Ok((h, domain))
}

fn truncate(h: &str) -> Result<String, String> {
    if h.len() <= MAX_HOSTNAME {
        return Ok(h.to_owned());
    }
    let cut: String = h.chars().take(MAX_HOSTNAME).collect();
    let cut = cut.trim_end_matches(['-', '.']).to_owned();
    if cut.is_empty() { Err(format!("hostname for pod was invalid: {h:?}")) } else { Ok(cut) }
}

/// The name that the kernel is told.
pub fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let (h, domain) = hostname(pod, cluster_domain)?;
    if domain.is_empty() || spec(pod).set_hostname_as_fqdn != Some(true) {
        return Ok(h);
    }
    let fqdn = format!("{h}.{domain}");
    if fqdn.len() > MAX_FQDN {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({MAX_FQDN} characters is the max, {} characters requested)",
            fqdn.len()
        ));
    }
    Ok(fqdn)
}

/// The text of `/etc/hosts` of a pod with its own network.
pub fn pod_hosts(ips: &[String], host: &str, domain: &str, aliases: &[HostAlias]) -> String {
    let mut out = String::from(HEADER);
    out.push_str(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
    );
    for ip in ips {
        if domain.is_empty() {
            out.push_str(&format!("{ip}\t{host}\n"));
        } else {
            out.push_str(&format!("{ip}\t{host}.{domain}\t{host}\n"));
        }
    }
    push_aliases(&mut out, aliases);
    out
}

/// The text for a pod on the node's network: the node's file and the aliases.
pub fn node_hosts(node_file: &str, aliases: &[HostAlias]) -> String {
    let mut out = format!("{HEADER_HOST_NETWORK}{node_file}");
    push_aliases(&mut out, aliases);
    out
}

fn push_aliases(out: &mut String, aliases: &[HostAlias]) {
    if aliases.is_empty() {
        return;
    }
    out.push_str("\n# Entries added by HostAliases.\n");
    for a in aliases {
        out.push_str(&format!("{}\t{}\n", a.ip, a.hostnames.as_deref().unwrap_or(&[]).join("\t")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::json;

    #[test]
    fn names() {
        let plain = pod(json!({"containers": []}));
        assert_eq!(hostname(&plain, "cluster.local"), Ok(("p".into(), String::new())));
        let full =
            pod(json!({"containers": [], "hostname": "h", "subdomain": "sub", "setHostnameAsFQDN": true}));
        assert_eq!(kernel_hostname(&full, "cluster.local"), Ok("h.sub.ns.svc.cluster.local".into()));
        assert_eq!(hostname(&full, "cluster.local"), Ok(("h".into(), "sub.ns.svc.cluster.local".into())));
        let mut long = pod(json!({"containers": []}));
        long.metadata.name = Some(format!("{}--x", "a".repeat(61)));
        assert_eq!(hostname(&long, "d").unwrap().0, "a".repeat(61));
    }

    #[test]
    fn file() {
        let alias = HostAlias { ip: "1.2.3.4".into(), hostnames: Some(vec!["a".into(), "b".into()]) };
        let text = pod_hosts(&["10.0.0.5".into()], "h", "sub.ns.svc.cluster.local", &[alias]);
        expect_test::expect![[r#"
            # Kubernetes-managed hosts file.
            127.0.0.1	localhost
            ::1	localhost ip6-localhost ip6-loopback
            fe00::0	ip6-localnet
            fe00::0	ip6-mcastprefix
            fe00::1	ip6-allnodes
            fe00::2	ip6-allrouters
            10.0.0.5	h.sub.ns.svc.cluster.local	h

            # Entries added by HostAliases.
            1.2.3.4	a	b
        "#]]
        .assert_eq(&text);
    }
}
