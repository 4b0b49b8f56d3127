//! A pod's resolver configuration, within the limits of libc.

use super::helpers::{host_network, namespace, spec};
use cri::v1::DnsConfig;
use k8s_openapi::api::core::v1::Pod;

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_CHARS: usize = 2048;
const MAX_DOMAIN: usize = 253;

/// The node's settings.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    pub cluster_dns: &'a [String],
    pub cluster_domain: &'a str,
    /// The resolver file's text; `None` when the node has been told to use none.
    pub resolv_conf: Option<&'a str>,
}

/// The configuration and what to warn about.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub dns: DnsConfig,
    pub warnings: Vec<(&'static str, String)>,
}

/// Parses a resolver file: servers add up, the last search line wins, options overwrite by name.
pub fn parse(text: &str) -> DnsConfig {
    let mut out = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => out.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                out.searches = words
                    .filter(|w| *w != ".")
                    .map(|w| w.strip_suffix('.').unwrap_or(w).to_owned())
                    .collect();
            }
            Some("options") => {
                for w in words {
                    set_option(&mut out.options, w);
                }
            }
            _ => {}
        }
    }
    out
}

fn option_name(o: &str) -> &str {
    o.split(':').next().unwrap_or(o)
}

fn set_option(list: &mut Vec<String>, o: &str) {
    match list.iter_mut().find(|x| option_name(x) == option_name(o)) {
        Some(x) => *x = o.to_owned(),
        None => list.push(o.to_owned()),
    }
}

fn unique(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|x| seen.insert(x.clone()));
}

pub fn pod_dns(pod: &Pod, node: &Node<'_>) -> Answer {
    let s = spec(pod);
    let mut out = Answer::default();
    let mut dns = node.resolv_conf.map(parse).unwrap_or_default();
    let policy = s.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "None" => {
            dns = DnsConfig::default();
            false
        }
        "Default" => false,
        "ClusterFirstWithHostNet" => true,
        _ => !host_network(s),
    };
    if cluster && !node.cluster_dns.is_empty() {
        dns.servers = node.cluster_dns.to_vec();
        if !node.cluster_domain.is_empty() {
            let domain = node.cluster_domain;
            let mut searches =
                vec![format!("{}.svc.{domain}", namespace(pod)), format!("svc.{domain}"), domain.to_owned()];
            searches.append(&mut dns.searches);
            dns.searches = searches;
            unique(&mut dns.searches);
        }
        dns.options = vec!["ndots:5".into()];
    } else if policy != "None" {
        if cluster {
            out.warnings.push((
                "MissingClusterDNS",
                format!(
                    "pod: {:?}. kubelet does not have ClusterDNS IP configured and cannot create Pod using \"ClusterFirst\" policy. Falling back to \"Default\" policy.",
                    super::helpers::format(pod)
                ),
            ));
        }
        if node.resolv_conf.is_none() {
            dns.servers = vec!["127.0.0.1".into()];
            dns.searches = vec![".".into()];
        }
    }
    if let Some(c) = &s.dns_config {
        dns.servers.extend(c.nameservers.iter().flatten().cloned());
        unique(&mut dns.servers);
        dns.searches.extend(c.searches.iter().flatten().cloned());
        unique(&mut dns.searches);
        for o in c.options.iter().flatten() {
            let name = o.name.as_deref().unwrap_or("");
            match o.value.as_deref().filter(|v| !v.is_empty()) {
                Some(v) => set_option(&mut dns.options, &format!("{name}:{v}")),
                None => set_option(&mut dns.options, name),
            }
        }
    }
    fit(&mut dns, &mut out.warnings);
    out.dns = dns;
    out
}

fn fit(dns: &mut DnsConfig, warnings: &mut Vec<(&'static str, String)>) {
    if dns.servers.len() > MAX_SERVERS {
        dns.servers.truncate(MAX_SERVERS);
        warnings.push((
            "DNSConfigForming",
            format!(
                "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: {}",
                dns.servers.join(" ")
            ),
        ));
    }
    let before = dns.searches.len();
    dns.searches.truncate(MAX_SEARCHES);
    dns.searches.retain(|s| s.len() <= MAX_DOMAIN);
    while dns.searches.join(" ").len() > MAX_SEARCH_CHARS {
        dns.searches.pop();
    }
    if dns.searches.len() < before {
        warnings.push((
            "DNSConfigForming",
            format!(
                "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: {}",
                dns.searches.join(" ")
            ),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;
    use serde_json::{Value, json};

    fn check(spec: Value, want: &str) {
        let dns = ["10.0.0.10".to_owned()];
        let node = Node {
            cluster_dns: &dns,
            cluster_domain: "cluster.local",
            resolv_conf: Some(
                "# c\nnameserver 9.9.9.9\nsearch old\nsearch corp.example. .\noptions timeout:1\n",
            ),
        };
        let d = pod_dns(&pod(spec.clone()), &node).dns;
        let got = format!("{} / {} / {}", d.servers.join(" "), d.searches.join(" "), d.options.join(" "));
        assert_eq!(got, want, "{spec}");
    }

    #[test]
    fn policies() {
        check(
            json!({"containers": []}),
            "10.0.0.10 / ns.svc.cluster.local svc.cluster.local cluster.local corp.example / ndots:5",
        );
        check(json!({"containers": [], "hostNetwork": true}), "9.9.9.9 / corp.example / timeout:1");
        check(json!({"containers": [], "dnsPolicy": "Default"}), "9.9.9.9 / corp.example / timeout:1");
        check(
            json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
            "10.0.0.10 / ns.svc.cluster.local svc.cluster.local cluster.local corp.example / ndots:5",
        );
        check(
            json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {
                "nameservers": ["1.1.1.1"], "searches": ["a"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            "1.1.1.1 / a / ndots:2 edns0",
        );
        check(
            json!({"containers": [], "dnsConfig": {"nameservers": ["10.0.0.10", "1.1.1.1"], "options": [{"name": "ndots", "value": "1"}]}}),
            "10.0.0.10 1.1.1.1 / ns.svc.cluster.local svc.cluster.local cluster.local corp.example / ndots:1",
        );
    }

    #[test]
    fn limits_and_fallbacks() {
        let p = pod(
            json!({"containers": [], "dnsConfig": {"nameservers": ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]}, "dnsPolicy": "None"}),
        );
        let a = pod_dns(&p, &Node::default());
        assert_eq!(a.dns.servers.len(), 3);
        assert_eq!(a.warnings[0].0, "DNSConfigForming");
        let a = pod_dns(&pod(json!({"containers": []})), &Node::default());
        assert_eq!(
            (a.dns.servers.as_slice(), a.warnings[0].0),
            (["127.0.0.1".to_owned()].as_slice(), "MissingClusterDNS")
        );
    }
}
