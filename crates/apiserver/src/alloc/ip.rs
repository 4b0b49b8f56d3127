//! Cluster IPs: an address is taken by creating its IPAddress object.

use crate::read::store_failure;
use crate::server::ApiServer;
use crate::{Failure, Result, object};
use meta::Status;
use meta::object::ObjectExt;
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use storage::Outcome;

const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const CONTROLLER: &str = "ipallocator.k8s.io";

pub const FULL: &str = "range is full";
pub const TAKEN: &str = "provided IP is already allocated";
const MISMATCH: &str = "the provided network does not match the current range";

/// A range that cluster IPs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    v6: bool,
    network: u128,
    bits: u8,
}

impl Range {
    /// `10.96.0.0/12`
    pub fn parse(s: &str) -> Option<Self> {
        let (ip, bits) = s.split_once('/')?;
        let (ip, bits): (IpAddr, u8) = (ip.parse().ok()?, bits.parse().ok()?);
        let v6 = ip.is_ipv6();
        let width = if v6 { 128 } else { 32 };
        // An IPv6 range may have at most 64 bits of addresses.
        if bits > width || v6 && bits < 64 {
            return None;
        }
        let host = u32::from(width - bits);
        let all = number(&ip);
        let network = if host == 0 { all } else { all >> host << host };
        Some(Self { v6, network, bits })
    }
    pub fn family(&self) -> &'static str {
        if self.v6 { super::families::V6 } else { super::families::V4 }
    }
    fn size(&self) -> u128 {
        1u128 << (if self.v6 { 128 } else { 32 } - u32::from(self.bits))
    }
    fn address(&self, n: u128) -> IpAddr {
        if self.v6 {
            Ipv6Addr::from(n).into()
        } else {
            Ipv4Addr::from(u32::try_from(n).unwrap_or(u32::MAX)).into()
        }
    }
    /// The network's own address.
    pub fn network(&self) -> IpAddr {
        self.address(self.network)
    }
    /// First and last address that may be given away: not the network's own, nor IPv4's broadcast.
    fn bounds(&self) -> (u128, u128) {
        let last = self.network + (self.size() - 1);
        (self.network + 1, if self.v6 { last } else { last.saturating_sub(1) })
    }
    /// The first address: the `kubernetes` Service's.
    pub fn first(&self) -> IpAddr {
        self.address(self.bounds().0)
    }
    fn contains(&self, ip: &IpAddr) -> bool {
        ip.is_ipv6() == self.v6 && {
            let n = number(ip);
            n >= self.network && n - self.network < self.size()
        }
    }
    /// How many addresses at the beginning are left to those who choose their own.
    fn band(&self) -> u128 {
        let size = self.size();
        if size <= 16 { 0 } else { (size / 16).clamp(16, 256) }
    }
    /// All addresses in the order of a dynamic pick: the upper part from a random place on, then the lower band.
    fn candidates(&self, seed: u64) -> impl Iterator<Item = IpAddr> + use<> {
        let (first, last) = self.bounds();
        let this = *self;
        let middle = first + self.band();
        let ring = move |from: u128, to: u128| {
            let n = (to + 1).saturating_sub(from);
            let start = if n == 0 { 0 } else { u128::from(seed) % n };
            (0..n).map(move |i| from + (start + i) % n)
        };
        ring(middle, last).chain(ring(first, middle.min(last + 1) - 1)).map(move |n| this.address(n))
    }
}

fn number(ip: &IpAddr) -> u128 {
    match ip {
        IpAddr::V4(a) => u128::from(u32::from(*a)),
        IpAddr::V6(a) => u128::from(*a),
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.network(), self.bits)
    }
}

/// Why an address was not given.
pub enum Refused {
    /// The text of upstream's allocator.
    Because(String),
    Store(Failure),
}

/// The ranges of a family: of all ServiceCIDR objects that are ready and not on their way out.
fn ranges(s: &ApiServer, family: &str) -> Vec<Range> {
    let mut out: Vec<Range> = Vec::new();
    let l = crate::lookup::Lookup(s);
    for c in admission::Lookup::list(&l, "networking.k8s.io", "servicecidrs", "") {
        let ready = c
            .array_at("status.conditions")
            .iter()
            .any(|x| x.str_at("type") == "Ready" && x.str_at("status") == "True");
        if !ready || c.deletion_timestamp().is_some() {
            continue;
        }
        for cidr in c.array_at("spec.cidrs").iter().filter_map(|v| v.as_str()).filter_map(Range::parse) {
            if cidr.family() == family && !out.contains(&cidr) {
                out.push(cidr);
            }
        }
    }
    if out.is_empty() {
        // Before the server's own object is there, its configuration holds.
        out.extend(s.cfg.service_cidrs.iter().filter(|r| r.family() == family));
    }
    out
}

/// Creates the IPAddress object; false where it exists.
async fn take(s: &Arc<ApiServer>, ip: &IpAddr, namespace: &str, name: &str) -> Result<bool> {
    let info = s
        .registry()
        .any_version("networking.k8s.io", "ipaddresses")
        .cloned()
        .ok_or_else(|| Status::internal("ipaddresses are not served"))?;
    let mut obj = json!({
        "metadata": {
            "name": ip.to_string(),
            "uid": s.uuid(),
            "creationTimestamp": s.now().rfc3339(),
            "labels": { FAMILY: super::families::family_of(ip), MANAGED_BY: CONTROLLER },
        },
        "spec": { "parentRef": { "resource": "services", "namespace": namespace, "name": name } },
    });
    let bytes = object::encode(&info, &mut obj).await?;
    match s.store.put(&info.key("", &ip.to_string()), bytes, Some(0), 0).await {
        Ok(Outcome::Done(_)) => Ok(true),
        Ok(Outcome::Conflict(_)) => Ok(false),
        Err(e) => Err(store_failure(&e)),
    }
}

/// Takes the address of a Service that has it already.
pub async fn retake(s: &Arc<ApiServer>, ip: IpAddr, namespace: &str, name: &str) -> Result<()> {
    take(s, &ip, namespace, name).await.map(|_| ())
}

/// Takes one address for a Service.
pub async fn allocate(
    s: &Arc<ApiServer>,
    ip: IpAddr,
    namespace: &str,
    name: &str,
    dry_run: bool,
) -> std::result::Result<(), Refused> {
    let because = |t: String| Err(Refused::Because(t));
    let ranges = ranges(s, super::families::family_of(&ip));
    let Some(r) = ranges.iter().find(|r| r.contains(&ip)) else { return because(MISMATCH.into()) };
    let (first, last) = r.bounds();
    if !(first..=last).contains(&number(&ip)) {
        return because(format!(
            "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {r}"
        ));
    }
    if dry_run {
        return Ok(());
    }
    match take(s, &ip, namespace, name).await {
        Ok(true) => Ok(()),
        Ok(false) => because(TAKEN.into()),
        Err(e) => Err(Refused::Store(e)),
    }
}

/// Takes any free address of a family.
pub async fn allocate_next(
    s: &Arc<ApiServer>,
    family: &str,
    namespace: &str,
    name: &str,
    dry_run: bool,
) -> std::result::Result<IpAddr, Refused> {
    let ranges = ranges(s, family);
    let Some(info) = s.registry().any_version("networking.k8s.io", "ipaddresses").cloned() else {
        return Err(Refused::Store(Status::internal("ipaddresses are not served").into()));
    };
    for r in &ranges {
        if dry_run {
            return Ok(r.network());
        }
        let snap = s.store.cached();
        for ip in r.candidates(s.random()) {
            if snap.get(&info.key("", &ip.to_string())).is_some() {
                continue;
            }
            match take(s, &ip, namespace, name).await {
                Ok(true) => return Ok(ip),
                Ok(false) => {}
                Err(e) => return Err(Refused::Store(e)),
            }
        }
    }
    Err(Refused::Because(FULL.into()))
}

/// Gives an address back.
pub async fn release_ip(s: &ApiServer, ip: &IpAddr) {
    let Some(info) = s.registry().any_version("networking.k8s.io", "ipaddresses").cloned() else { return };
    match s.store.delete(&info.key("", &ip.to_string()), None).await {
        Ok(_) => {}
        Err(e) => tracing::warn!(%ip, error = %e, "releasing a cluster IP"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_walked_from_the_upper_part() {
        let r = Range::parse("10.0.0.7/28").unwrap();
        assert_eq!(r.network().to_string(), "10.0.0.0");
        let all: Vec<String> = r.candidates(3).map(|a| a.to_string()).collect();
        assert_eq!(all.len(), 14);
        assert_eq!((all[0].as_str(), all[13].as_str()), ("10.0.0.4", "10.0.0.3"));
        let r = Range::parse("10.0.0.0/24").unwrap();
        let all: Vec<String> = r.candidates(0).map(|a| a.to_string()).collect();
        assert_eq!(all.len(), 254);
        assert_eq!((all[0].as_str(), all[238].as_str()), ("10.0.0.17", "10.0.0.1"));
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), 254);
        assert_eq!(Range::parse("10.0.0.0/32").unwrap().candidates(1).count(), 0);
        assert_eq!(Range::parse("fd00::/108").unwrap().first().to_string(), "fd00::1");
        assert_eq!(Range::parse("fd00::/48"), None);
    }
}
