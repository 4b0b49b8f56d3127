//! What this host is called and where it is reached.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The node's name: the host name in lower case, as upstream takes it.
pub fn host_name() -> String {
    let n = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let n = n.trim().to_ascii_lowercase();
    if n.is_empty() { "localhost".to_owned() } else { n }
}

/// The address other hosts reach this one at: the source address of the default route, else the first one that is
/// neither loopback nor link-local, else loopback (a machine with no network at all can still run a cluster).
pub fn host_ip() -> IpAddr {
    by_default_route().or_else(first_interface_address).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Connecting a datagram socket sends nothing: the kernel only picks the route.
fn by_default_route() -> Option<IpAddr> {
    let s = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    s.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    s.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

/// From the kernel's table of local addresses (`/proc/net/fib_trie`): the line before `/32 host LOCAL`.
fn first_interface_address() -> Option<IpAddr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").ok()?;
    let mut last = None;
    for line in table.lines() {
        if let Some(a) = line.split("-- ").nth(1) {
            last = a.trim().parse::<Ipv4Addr>().ok();
        } else if line.contains("/32 host LOCAL")
            && let Some(a) = last
            && !a.is_loopback()
            && !a.is_link_local()
        {
            return Some(IpAddr::V4(a));
        }
    }
    None
}
