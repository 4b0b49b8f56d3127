//! The node's part of the pod network: sysctls, masquerade, the CNI configuration, the ways to the other nodes' pods.

use crate::routes::{self, OVERHEAD, Peer, Underlay};
use crate::{hostport, link, status};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// The whole pod network: what goes from a pod to anywhere else leaves with the host's address.
    pub cluster_cidr: Ipv4Net,
    /// Addresses of Services.
    pub service_cidr: Ipv4Net,
    pub cni_conf_dir: PathBuf,
    /// Where addresses are reserved.
    pub data_dir: PathBuf,
    /// The MTU of pods; 0: what the links between the nodes take.
    pub mtu: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot program the pod network: {0}")]
    Host(String),
    #[error("cannot write the CNI configuration {path}: {source}")]
    Conf { path: String, source: std::io::Error },
}

/// What must be true of this host for a set of nodes: pure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// This node's pods; `None` until it is given.
    pub own: Option<Ipv4Net>,
    pub address: Option<Ipv4Addr>,
    /// Of the link below; pods have less where there are tunnels.
    pub mtu: u32,
    /// The other nodes, sorted.
    pub peers: Vec<Peer>,
}

impl Plan {
    /// The MTU of pods.
    pub fn pod_mtu(&self) -> u32 {
        if self.peers.iter().any(|p| p.tunnel) { self.mtu.saturating_sub(OVERHEAD) } else { self.mtu }
    }
}

/// One node as far as routing goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeNet {
    pub name: String,
    pub pod_cidr: Option<Ipv4Net>,
    pub internal_ip: Option<Ipv4Addr>,
}

/// A node on a link of ours is its pods' gateway; to any other a tunnel leads.
pub fn plan(me: &str, nodes: &[NodeNet], below: &Underlay) -> Plan {
    let mut p = Plan { mtu: below.mtu, ..Plan::default() };
    for n in nodes {
        match (n.pod_cidr, n.internal_ip) {
            (own, address) if n.name == me => (p.own, p.address) = (own, address),
            (Some(net), Some(address)) => {
                let tunnel = !below.subnets.iter().any(|s| s.contains(&address));
                p.peers.push(Peer { net, address, name: n.name.clone(), tunnel });
            }
            _ => {}
        }
    }
    p.peers.sort();
    p.peers.dedup_by_key(|r| r.net);
    p
}

/// The nftables table that gives packets leaving the pod network the host's address.
fn masquerade(cluster: Ipv4Net) -> String {
    format!(
        "add table ip keelson-masquerade
add chain ip keelson-masquerade postrouting {{ type nat hook postrouting priority 100; }}
flush chain ip keelson-masquerade postrouting
add rule ip keelson-masquerade postrouting ip saddr {cluster} ip daddr != {cluster} fib daddr type != local ip daddr != 224.0.0.0/4 masquerade random,persistent
"
    )
}

fn conflist(net: Ipv4Net, cfg: &Config, p: &Plan) -> String {
    let mtu = if cfg.mtu == 0 { p.pod_mtu() } else { cfg.mtu };
    let v = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "keelson",
        "plugins": [{
            "type": "keelson-cni", "podCIDR": net, "mtu": mtu, "dataDir": cfg.data_dir,
            "capabilities": {"portMappings": true},
        }],
    });
    format!("{}\n", serde_json::to_string_pretty(&v).unwrap_or_default())
}

/// Prepares the host: forwarding, masquerade. Safe to repeat.
pub fn prepare(cfg: &Config) -> Result<(), Error> {
    for (path, value) in
        [("/proc/sys/net/ipv4/ip_forward", "1"), ("/proc/sys/net/ipv4/conf/all/rp_filter", "0")]
    {
        if std::fs::read_to_string(path).unwrap_or_default().trim() != value {
            std::fs::write(path, value).map_err(|e| Error::Host(format!("{path} must be {value}: {e}")))?;
        }
    }
    hostport::nft(&masquerade(cfg.cluster_cidr)).map_err(Error::Host)?;
    Ok(())
}

/// Makes the host as the plan says: address, routes, then the CNI configuration (whose presence lets pods start).
pub fn apply(cfg: &Config, p: &Plan) -> Result<(), Error> {
    let (plan, services) = (p.clone(), cfg.service_cidr);
    link::with_netlink(None, move |h| async move {
        if let Some(own) = plan.own {
            let node = Ipv4Addr::from(u32::from(own.network()) + 1);
            link::loopback_address(&h, node).await?;
            link::service_route(&h, services, node).await?;
        }
        routes::sync(&h, plan.own, plan.address, plan.mtu, &plan.peers).await
    })
    .map_err(Error::Host)?;
    if let Err(e) = status::write(&cfg.data_dir, &cfg.node_name, p) {
        tracing::warn!("cannot note the state of the pod network: {e}");
    }
    if let Some(own) = p.own {
        let path = cfg.cni_conf_dir.join("10-keelson.conflist");
        let text = conflist(own, cfg, p);
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            let go = || {
                std::fs::create_dir_all(&cfg.cni_conf_dir)?;
                let tmp = cfg.cni_conf_dir.join(".10-keelson.new");
                std::fs::write(&tmp, &text)?;
                std::fs::rename(&tmp, &path)
            };
            go().map_err(|source| Error::Conf { path: path.display().to_string(), source })?;
        }
    }
    Ok(())
}

/// Follows the nodes and keeps the host as it must be, until the runtime stops.
pub async fn run(cfg: Config, client: client::Client, rt: runtime::Runtime) -> Result<(), Error> {
    prepare(&cfg)?;
    follow(&cfg, client, &rt).await;
    Ok(())
}

/// What routing needs of a node.
fn node_net(n: &Node) -> NodeNet {
    let spec = n.spec.as_ref();
    let v4 = |s: &String| s.parse::<Ipv4Net>().ok();
    let pod_cidr = spec
        .and_then(|s| s.pod_cidrs.as_ref())
        .and_then(|c| c.iter().find_map(v4))
        .or_else(|| spec.and_then(|s| s.pod_cidr.as_ref()).and_then(v4));
    let addresses = n.status.as_ref().and_then(|s| s.addresses.as_ref());
    let internal_ip = addresses
        .into_iter()
        .flatten()
        .filter(|a| a.type_ == "InternalIP")
        .find_map(|a| a.address.parse().ok());
    NodeNet { name: n.metadata.name.clone().unwrap_or_default(), pod_cidr, internal_ip }
}

/// With nothing heard for so long the host is looked at again: a link that went down took its routes with it.
const REPEAT: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(2);

async fn follow(cfg: &Config, client: client::Client, rt: &runtime::Runtime) {
    let nodes = client::InformerFactory::new(client.transport.clone(), rt).informer::<Node>();
    rt.ready.set("pod-network", Err("waiting for this node's podCIDR".to_owned()));
    nodes.synced().await;
    let mut events = nodes.subscribe();
    let mut known: BTreeMap<String, NodeNet> = BTreeMap::new();
    let (mut wait, mut said) = (REPEAT, None);
    loop {
        let mut changed = false;
        let mut next = tokio::select! {
            e = events.next() => Some(e),
            () = tokio::time::sleep(wait) => {
                changed = true;
                None
            }
            () = rt.stopping() => return,
        };
        while let Some(e) = next {
            let name = e.object().header.name.clone();
            let now = match &e {
                client::Event::Deleted(_) => None,
                e => e.object().decode::<Node>().ok().map(|n| node_net(&n)),
            };
            changed |= known.get(&name) != now.as_ref();
            match now {
                Some(n) => drop(known.insert(name, n)),
                None => drop(known.remove(&name)),
            }
            next = events.try_next();
        }
        if !changed {
            continue;
        }
        let nets: Vec<NodeNet> = known.values().cloned().collect();
        let c = cfg.clone();
        let done = tokio::task::spawn_blocking(move || {
            let address = nets.iter().find(|n| n.name == c.node_name).and_then(|n| n.internal_ip);
            let read = |h| async move { routes::underlay(&h, address).await };
            let below = link::with_netlink(None, read).map_err(Error::Host)?;
            let p = plan(&c.node_name, &nets, &below);
            apply(&c, &p)?;
            Ok(p)
        });
        match done.await.unwrap_or_else(|e| Err(Error::Host(e.to_string()))) {
            Ok(p) => {
                if p.own.is_some() {
                    rt.ready.set("pod-network", Ok(()));
                }
                (wait, said) = (REPEAT, None);
            }
            Err(e) => {
                let e = e.to_string();
                if said.as_ref() != Some(&e) {
                    tracing::error!("{e}; trying again");
                }
                rt.ready.set("pod-network", Err(e.clone()));
                (wait, said) = (RETRY, Some(e));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_lead_to_the_others_and_the_own_share_is_told_apart() {
        let n = |name: &str, cidr: &str, ip: &str| NodeNet {
            name: name.into(),
            pod_cidr: cidr.parse().ok(),
            internal_ip: ip.parse().ok(),
        };
        let nodes = [
            n("a", "10.244.0.0/24", "192.0.2.1"),
            n("b", "10.244.1.0/24", "192.0.2.2"),
            n("c", "", "192.0.2.3"),
            n("d", "10.244.3.0/24", ""),
            n("e", "10.244.4.0/24", "192.0.2.200"),
        ];
        let below = Underlay { subnets: vec!["192.0.2.0/25".parse().unwrap()], mtu: 1500 };
        let p = plan("a", &nodes, &below);
        assert_eq!((p.own, p.address), ("10.244.0.0/24".parse().ok(), "192.0.2.1".parse().ok()));
        let ways: Vec<_> = p.peers.iter().map(|p| (p.name.as_str(), p.tunnel)).collect();
        assert_eq!(ways, [("b", false), ("e", true)]);
        assert_eq!(p.pod_mtu(), 1450);
        assert_eq!(plan("a", &nodes[..4], &below).pod_mtu(), 1500);
        assert_eq!(plan("c", &nodes, &below).own, None);
    }
}
