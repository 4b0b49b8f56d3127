//! Serving certificates of kubelets. Upstream leaves their approval to an administrator; here one is approved when the
//! node itself asks, and only for names and addresses that its Node object has.

use crate::k8s::certificates::CertificateSigningRequest;
use crate::k8s::core::Node;
use crate::util::csr::Request;
use crate::util::meta::MetaExt;
use std::net::IpAddr;

/// Why the certificate cannot be approved.
pub fn check(csr: &CertificateSigningRequest, req: &Request, node: Option<&Node>) -> Result<(), String> {
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
    Ok(())
}
