//! The way to other nodes' pods: a route through the node itself where it is on a link of ours, else through a VXLAN
//! tunnel to it.
//!
//! The tunnel needs nothing told between nodes: an end's hardware address follows from the node's address, and behind
//! each end is one address, the first of the node's pod network, which routes name as their gateway.

use crate::link::{self, PROTOCOL};
use futures::TryStreamExt;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, LinkUnspec, LinkVxlan, RouteMessageBuilder};
use std::net::{IpAddr, Ipv4Addr};

pub const TUNNEL: &str = "keelson-vx";
/// The network's number in the tunnel, and its port (IANA's).
const VNI: u32 = 0x6b65;
const PORT: u16 = 4789;
/// What the tunnel's headers take of each packet: Ethernet, IPv4, UDP, VXLAN.
pub const OVERHEAD: u32 = 50;
pub const DEFAULT_MTU: u32 = 1500;

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    #[serde(rename = "podCIDR")]
    pub net: Ipv4Net,
    pub address: Ipv4Addr,
    pub name: String,
    /// Whether it is reached through the tunnel.
    pub tunnel: bool,
}

/// What this host's own links are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Underlay {
    /// Networks that are on a link.
    pub subnets: Vec<Ipv4Net>,
    /// The largest packet of the link with the node's address.
    pub mtu: u32,
}

/// The hardware address of the tunnel's end at a node.
pub fn mac(node: Ipv4Addr) -> Vec<u8> {
    let [a, b, c, d] = node.octets();
    // The first byte says: one receiver, locally administered.
    vec![0x0a, 0x6b, a, b, c, d]
}

/// Reads the host's links; `node` is the node's address.
pub async fn underlay(h: &Handle, node: Option<Ipv4Addr>) -> Result<Underlay, String> {
    let mut u = Underlay { subnets: Vec::new(), mtu: DEFAULT_MTU };
    let tunnel = link::get(h, TUNNEL).await?.map(|l| l.index);
    let mut all = h.address().get().execute();
    let mut of_node = None;
    while let Some(m) = all.try_next().await.map_err(|e| format!("reading addresses: {e}"))? {
        let index = m.header.index;
        for a in &m.attributes {
            let AddressAttribute::Local(IpAddr::V4(ip)) = a else { continue };
            if Some(*ip) == node {
                of_node = Some(index);
            }
            if m.header.prefix_len < 32
                && !ip.is_loopback()
                && Some(index) != tunnel
                && let Ok(net) = Ipv4Net::new(*ip, m.header.prefix_len)
            {
                u.subnets.push(net.trunc());
            }
        }
    }
    u.subnets.sort_unstable();
    u.subnets.dedup();
    if let Some(index) = of_node {
        let mut links = h.link().get().match_index(index).execute();
        if let Ok(Some(m)) = links.try_next().await
            // A node whose address is on loopback can be reached over any link.
            && !m.header.flags.contains(LinkFlags::Loopback)
            && let Some(n) = m.attributes.iter().find_map(|a| match a {
                LinkAttribute::Mtu(n) => Some(*n),
                _ => None,
            })
        {
            u.mtu = n.clamp(576, 65_535);
        }
    }
    Ok(u)
}

/// Makes the tunnel as it must be, with its ends; answers its index.
async fn tunnel(h: &Handle, node: Ipv4Addr, mtu: u32, peers: &[Peer]) -> Result<u32, String> {
    let have = link::get(h, TUNNEL).await?;
    let have = match have {
        // Another address of this node: the tunnel begins elsewhere.
        Some(l) if l.mac != mac(node) => {
            link::delete(h, TUNNEL).await?;
            None
        }
        other => other,
    };
    let l = match have {
        Some(l) => l,
        None => {
            let make = LinkVxlan::new(TUNNEL, VNI)
                .local(node)
                .port(PORT)
                .learning(false)
                .address(mac(node))
                .mtu(mtu);
            let add = h.link().add(make.up().build()).execute().await;
            add.map_err(|e| format!("making the tunnel {TUNNEL}: {e}; is the kernel module vxlan there?"))?;
            link::must_get(h, TUNNEL).await?
        }
    };
    if l.mtu != mtu {
        let set = h.link().set(LinkUnspec::new_with_index(l.index).mtu(mtu).build()).execute().await;
        set.map_err(|e| format!("setting the MTU of {TUNNEL} to {mtu}: {e}"))?;
    }
    let _ = std::fs::write(format!("/proc/sys/net/ipv4/conf/{TUNNEL}/rp_filter"), "0");
    for p in peers {
        let end = mac(p.address);
        link::neighbour(h, l.index, p.net.network(), &end).await?;
        let forward = h.neighbours().add_bridge(l.index, &end).destination(IpAddr::V4(p.address));
        let forward = forward.state(NeighbourState::Permanent).flags(NeighbourFlags::Own).replace();
        forward.execute().await.map_err(|e| format!("the tunnel to {}: {e}", p.address))?;
    }
    // Ends that are no more.
    for family in [AddressFamily::Inet, AddressFamily::Bridge] {
        let mut get = h.neighbours().get();
        get.message_mut().header.family = family;
        let mut all = get.execute();
        let mut dead: Vec<NeighbourMessage> = Vec::new();
        while let Some(m) = all.try_next().await.map_err(|e| format!("reading neighbours: {e}"))? {
            let mut end = None;
            let mut to = None;
            for a in &m.attributes {
                match a {
                    NeighbourAttribute::LinkLocalAddress(mac) => end = Some(mac.clone()),
                    NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => to = Some(*ip),
                    NeighbourAttribute::Destination(NeighbourAddress::Other(b)) => {
                        to = <[u8; 4]>::try_from(b.as_slice()).ok().map(Ipv4Addr::from);
                    }
                    _ => {}
                }
            }
            let known = peers.iter().any(|p| {
                end.as_ref() == Some(&mac(p.address))
                    && to == Some(if family == AddressFamily::Inet { p.net.network() } else { p.address })
            });
            if m.header.ifindex == l.index && m.header.state == NeighbourState::Permanent && !known {
                dead.push(m);
            }
        }
        for m in dead {
            match h.neighbours().del(m).execute().await {
                Ok(()) => {}
                Err(e) if link::gone(&e) => {}
                Err(e) => return Err(format!("removing an end of the tunnel: {e}")),
            }
        }
    }
    Ok(l.index)
}

/// One of our routes: destination, gateway, whether it is there to refuse.
type Route = (Ipv4Net, Option<Ipv4Addr>, bool);

async fn ours(h: &Handle) -> Result<Vec<(Route, RouteMessage)>, String> {
    let mut have = Vec::new();
    let mut all = h.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
    while let Some(r) = all.try_next().await.map_err(|e| format!("reading routes: {e}"))? {
        if r.header.protocol != PROTOCOL {
            continue;
        }
        let (mut dst, mut via) = (None, None);
        for a in &r.attributes {
            match a {
                RouteAttribute::Destination(RouteAddress::Inet(d)) => dst = Some(*d),
                RouteAttribute::Gateway(RouteAddress::Inet(g)) => via = Some(*g),
                _ => {}
            }
        }
        let refuses = r.header.kind == RouteType::Unreachable;
        if let Some(d) = dst
            && let Ok(net) = Ipv4Net::new(d, r.header.destination_prefix_length)
            && (via.is_some() || refuses)
        {
            have.push(((net, via, refuses), r));
        }
    }
    Ok(have)
}

/// The gateways to other nodes' pods that the kernel has.
pub async fn present(h: &Handle) -> Result<Vec<(Ipv4Net, Ipv4Addr)>, String> {
    Ok(ours(h).await?.into_iter().filter_map(|((net, via, _), _)| Some((net, via?))).collect())
}

/// The gateway of the route to a node's pods.
pub fn gateway(p: &Peer) -> Ipv4Addr {
    if p.tunnel { p.net.network() } else { p.address }
}

/// Makes our routes to other nodes exactly these; routes of other protocols are left alone.
pub async fn sync(
    h: &Handle,
    own: Option<Ipv4Net>,
    node: Option<Ipv4Addr>,
    mtu: u32,
    peers: &[Peer],
) -> Result<(), String> {
    let ends: Vec<Peer> = peers.iter().filter(|p| p.tunnel).cloned().collect();
    let tunnel = match (ends.is_empty(), node) {
        (false, Some(node)) => Some(tunnel(h, node, mtu.saturating_sub(OVERHEAD), &ends).await?),
        _ => {
            link::delete(h, TUNNEL).await?;
            None
        }
    };
    let have = ours(h).await?;
    let has = |r: &Route| have.iter().any(|(k, _)| k == r);
    let mut want: Vec<Route> = Vec::new();
    if let Some(own) = own {
        // An address of ours that no pod has is nowhere: its packets must not go back to where the default route leads.
        want.push((own, None, true));
        if !has(&(own, None, true)) {
            let r = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(own.network(), own.prefix_len())
                .kind(RouteType::Unreachable)
                .protocol(PROTOCOL);
            let add = h.route().add(r.build()).replace().execute().await;
            add.map_err(|e| format!("the route of {own}: {e}"))?;
        }
    }
    for p in peers.iter().filter(|p| !p.tunnel || tunnel.is_some()) {
        let route = (p.net, Some(gateway(p)), false);
        want.push(route);
        if has(&route) {
            continue;
        }
        let mut r = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(p.net.network(), p.net.prefix_len())
            .gateway(gateway(p))
            .protocol(PROTOCOL);
        if let (true, Some(index)) = (p.tunnel, tunnel) {
            r = r.output_interface(index).onlink();
            if let Some(own) = own {
                // The answers come back through the tunnel as well.
                r = r.pref_source(Ipv4Addr::from(u32::from(own.network()) + 1));
            }
        }
        let add = h.route().add(r.build()).replace().execute().await;
        add.map_err(|e| format!("the route to {} ({}): {e}", p.net, p.name))?;
    }
    for (route, message) in have.into_iter().filter(|(r, _)| !want.contains(r)) {
        match h.route().del(message).execute().await {
            Ok(()) => {}
            // Replaced by another way there.
            Err(e) if link::gone(&e) => {}
            Err(e) => return Err(format!("removing the route to {}: {e}", route.0)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_the_tunnel_follows_from_the_address() {
        assert_eq!(link::mac_text(&mac("192.0.2.7".parse().unwrap())), "0a:6b:c0:00:02:07");
    }

    #[test]
    fn gateways() {
        let p = |tunnel| Peer {
            net: "10.244.3.0/24".parse().unwrap(),
            address: "192.0.2.7".parse().unwrap(),
            name: "n".into(),
            tunnel,
        };
        assert_eq!(
            [gateway(&p(false)).to_string(), gateway(&p(true)).to_string()],
            ["192.0.2.7", "10.244.3.0"]
        );
    }
}
