//! Serving certificates of kubelets. Upstream leaves their approval to an administrator; here one is approved when the
//! node itself asks, and only for names and addresses that its Node object has.

use crate::k8s::certificates::CertificateSigningRequest;
use crate::k8s::core::Node;
use crate::util::csr::Request;
use crate::util::meta::MetaExt;
use std::net::IpAddr;

/// Why the certificate cannot be approved. A node writes its addresses itself: what another node has too, or what the
/// cluster's own servers answer to, is nobody's to claim.
pub fn check(
    csr: &CertificateSigningRequest,
    req: &Request,
    node: Option<&Node>,
    others: &[Node],
) -> Result<(), String> {
    if csr.spec.username.as_deref() != Some(&req.common_name) {
        return Err(format!("it is for {:?}, but {:?} asks", req.common_name, csr.spec.username));
    }
    if !csr.spec.groups.iter().flatten().any(|g| g == "system:nodes") {
        return Err("who asks is not in the group system:nodes".into());
    }
    let Some(node) = node else { return Err("there is no such node".into()) };
    let addresses = node.status.iter().flat_map(|s| s.addresses.iter().flatten());
    let (mut ips, mut names) = (Vec::<IpAddr>::new(), vec![node.name()]);
    for a in addresses {
        match a.address.parse() {
            Ok(ip) => ips.push(ip),
            Err(_) => names.push(&a.address),
        }
    }
    if let Some(ip) = req.addresses().find(|ip| !ips.contains(ip)) {
        return Err(format!("{ip} is not an address of the node"));
    }
    if let Some(n) = req.dns_names().find(|n| !names.iter().any(|x| x.eq_ignore_ascii_case(n))) {
        return Err(format!("{n:?} is not a name of the node"));
    }
    let local = |ip: &IpAddr| ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
    if let Some(ip) = req.addresses().find(local) {
        return Err(format!("{ip} is every host's"));
    }
    if let Some(n) = req.dns_names().find(|n| reserved(n)) {
        return Err(format!("{n:?} is a name of the cluster's own servers"));
    }
    for o in others.iter().filter(|o| o.name() != node.name()) {
        let has = |text: &str| {
            let taken = o.status.iter().flat_map(|s| s.addresses.iter().flatten());
            o.name().eq_ignore_ascii_case(text)
                || taken.into_iter().any(|a| a.address.eq_ignore_ascii_case(text))
        };
        let asked = req.addresses().map(|ip| ip.to_string()).chain(req.dns_names().map(str::to_owned));
        if let Some(x) = asked.into_iter().find(|x| has(x)) {
            return Err(format!("{x} is an address of node {} too", o.name()));
        }
    }
    Ok(())
}

/// Names by which servers of the cluster are known, and services.
fn reserved(name: &str) -> bool {
    let n = name.trim_end_matches('.').to_ascii_lowercase();
    n == "localhost"
        || n == "kubernetes"
        || n.starts_with("kubernetes.default")
        || n.ends_with(".svc")
        || n.contains(".svc.")
}
