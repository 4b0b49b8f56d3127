//! Links, addresses and routes over netlink. The one place that knows rtnetlink.

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::packet_route::route::{RouteProtocol, RouteScope};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};

/// The gateway every pod sees; no interface has it, a permanent neighbour entry leads to the host.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The protocol number our routes carry, so that they are told from everybody else's.
pub const PROTOCOL: RouteProtocol = RouteProtocol::Other(crate::ROUTE_PROTOCOL);

/// Runs `f` with a netlink connection, inside the network namespace of `netns` when given.
pub fn with_netlink<T, F>(netns: Option<&File>, f: impl FnOnce(Handle) -> F + Send) -> Result<T, String>
where
    F: Future<Output = Result<T, String>>,
    T: Send,
{
    // A thread of its own: its namespace is changed and must not leak to others.
    std::thread::scope(|s| {
        s.spawn(|| {
            if let Some(ns) = netns {
                rustix::thread::move_into_link_name_space(
                    ns.as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .map_err(|e| format!("entering the network namespace: {e}"))?;
            }
            let rt = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|e| e.to_string())?;
            rt.block_on(async {
                let (connection, handle, _) =
                    rtnetlink::new_connection().map_err(|e| format!("netlink: {e}"))?;
                let answer = std::pin::pin!(f(handle));
                let connection = std::pin::pin!(connection);
                match futures::future::select(answer, connection).await {
                    futures::future::Either::Left((r, _)) => r,
                    futures::future::Either::Right(_) => Err("the netlink connection ended".to_owned()),
                }
            })
        })
        .join()
        .map_err(|_| "the netlink thread panicked".to_owned())?
    })
}

pub struct Link {
    pub index: u32,
    pub mac: Vec<u8>,
    pub mtu: u32,
}

pub fn mac_text(mac: &[u8]) -> String {
    mac.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

const ENODEV: i32 = -19;
const ESRCH: i32 = -3;
const ENOENT: i32 = -2;
const EEXIST: i32 = -17;

fn code(e: &rtnetlink::Error) -> Option<i32> {
    if let rtnetlink::Error::NetlinkError(m) = e { m.code.map(|c| c.get()) } else { None }
}

pub(crate) fn gone(e: &rtnetlink::Error) -> bool {
    matches!(code(e), Some(ENODEV | ESRCH | ENOENT))
}

pub async fn get(h: &Handle, name: &str) -> Result<Option<Link>, String> {
    let mut links = h.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await {
        Ok(Some(m)) => {
            let mut l = Link { index: m.header.index, mac: Vec::new(), mtu: 0 };
            for a in m.attributes {
                match a {
                    LinkAttribute::Address(a) => l.mac = a,
                    LinkAttribute::Mtu(n) => l.mtu = n,
                    _ => {}
                }
            }
            Ok(Some(l))
        }
        Ok(None) => Ok(None),
        Err(e) if gone(&e) => Ok(None),
        Err(e) => Err(format!("looking for {name}: {e}")),
    }
}

pub(crate) async fn must_get(h: &Handle, name: &str) -> Result<Link, String> {
    get(h, name).await?.ok_or_else(|| format!("interface {name} is not there"))
}

pub async fn delete(h: &Handle, name: &str) -> Result<(), String> {
    if let Some(l) = get(h, name).await? {
        match h.link().del(l.index).execute().await {
            Ok(()) => {}
            Err(e) if gone(&e) => {}
            Err(e) => return Err(format!("removing {name}: {e}")),
        }
    }
    Ok(())
}

/// Makes a veth pair whose other end is `ifname` in `netns`; answers the host end, which is up. One request does it all: each
/// takes the kernel's one lock for links, and moving an interface afterwards makes it wait for all processors.
pub async fn veth(h: &Handle, host: &str, ifname: &str, mtu: u32, netns: &File) -> Result<Link, String> {
    let make = || {
        let peer = LinkUnspec::new_with_name(ifname).mtu(mtu).setns_by_fd(netns.as_raw_fd()).build();
        LinkVeth::new(host, ifname).set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).mtu(mtu).up().build()
    };
    let mut made = h.link().add(make()).execute().await;
    if matches!(&made, Err(e) if code(e) == Some(EEXIST)) {
        // What an attempt that was cut short left.
        delete(h, host).await?;
        made = h.link().add(make()).execute().await;
    }
    made.map_err(|e| format!("making {host} and the pod's {ifname}: {e}"))?;
    must_get(h, host).await
}

pub async fn set_up(h: &Handle, name: &str) -> Result<(), String> {
    let l = must_get(h, name).await?;
    h.link()
        .set(LinkUnspec::new_with_index(l.index).up().build())
        .execute()
        .await
        .map_err(|e| format!("{name} up: {e}"))
}

/// The pod's side: address, gateway. Answers the pod's interface.
pub async fn configure_pod(h: &Handle, ifname: &str, ip: Ipv4Addr, host_mac: &[u8]) -> Result<Link, String> {
    set_up(h, "lo").await?;
    let l = must_get(h, ifname).await?;
    let up = LinkUnspec::new_with_index(l.index).up().build();
    h.link().set(up).execute().await.map_err(|e| format!("{ifname} up: {e}"))?;
    h.address().add(l.index, IpAddr::V4(ip), 32).execute().await.map_err(|e| format!("address {ip}: {e}"))?;
    neighbour(h, l.index, GATEWAY, host_mac).await?;
    let to_gateway = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(GATEWAY, 32)
        .output_interface(l.index)
        .scope(RouteScope::Link)
        .build();
    h.route().add(to_gateway).execute().await.map_err(|e| format!("route to the gateway: {e}"))?;
    let default = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(GATEWAY)
        .output_interface(l.index)
        .pref_source(ip)
        .build();
    h.route().add(default).execute().await.map_err(|e| format!("default route: {e}"))?;
    Ok(l)
}

/// A neighbour entry that never expires.
pub async fn neighbour(h: &Handle, index: u32, ip: Ipv4Addr, mac: &[u8]) -> Result<(), String> {
    h.neighbours()
        .add(index, IpAddr::V4(ip))
        .link_local_address(mac)
        .state(NeighbourState::Permanent)
        .flags(NeighbourFlags::empty())
        .replace()
        .execute()
        .await
        .map_err(|e| format!("neighbour {ip}: {e}"))
}

/// The host's route to one pod. `source` is what the host's own packets to the pod carry.
pub async fn pod_route(h: &Handle, index: u32, ip: Ipv4Addr, source: Option<Ipv4Addr>) -> Result<(), String> {
    let mut r = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(ip, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .protocol(PROTOCOL);
    if let Some(s) = source {
        r = r.pref_source(s);
    }
    h.route().add(r.build()).replace().execute().await.map_err(|e| format!("route to {ip}: {e}"))
}

/// Whether an address is on the named interface.
pub async fn has_address(h: &Handle, name: &str, ip: Ipv4Addr) -> Result<bool, String> {
    let Some(l) = get(h, name).await? else { return Ok(false) };
    let mut a = h.address().get().set_link_index_filter(l.index).set_address_filter(IpAddr::V4(ip)).execute();
    Ok(a.try_next().await.map_err(|e| e.to_string())?.is_some())
}

/// Puts an address on loopback, so that the host has one in the pod network whatever else it has.
pub async fn loopback_address(h: &Handle, ip: Ipv4Addr) -> Result<(), String> {
    let lo = must_get(h, "lo").await?;
    h.address()
        .add(lo.index, IpAddr::V4(ip), 32)
        .replace()
        .execute()
        .await
        .map_err(|e| format!("address {ip} on lo: {e}"))
}

/// Lets the host's own packets to services leave: a host without a default route has none for these addresses, and the
/// kernel asks for a route before it translates. They go to loopback, are translated on the way out, and routed again;
/// the source is one that pods of every node can answer to.
pub async fn service_route(h: &Handle, net: ipnet::Ipv4Net, source: Ipv4Addr) -> Result<(), String> {
    let lo = must_get(h, "lo").await?;
    let r = RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(net.network(), net.prefix_len())
        .output_interface(lo.index)
        .scope(RouteScope::Link)
        .pref_source(source)
        .protocol(PROTOCOL);
    h.route().add(r.build()).replace().execute().await.map_err(|e| format!("route to services {net}: {e}"))
}
