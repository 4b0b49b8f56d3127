//! The node's part of the pod network: sysctls, masquerade, the CNI configuration, routes to the other nodes' pods.

use crate::{hostport, link};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use std::net::Ipv4Addr;
use std::path::PathBuf;

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
    /// Other nodes' pods and the address they are behind, sorted.
    pub routes: Vec<(Ipv4Net, Ipv4Addr)>,
}

/// One node as far as routing goes.
#[derive(Clone, Debug)]
pub struct NodeNet {
    pub name: String,
    pub pod_cidr: Option<Ipv4Net>,
    pub internal_ip: Option<Ipv4Addr>,
}

pub fn plan(me: &str, nodes: &[NodeNet]) -> Plan {
    let mut p = Plan::default();
    for n in nodes {
        match (n.pod_cidr, n.internal_ip) {
            (own, _) if n.name == me => p.own = own,
            (Some(net), Some(ip)) => p.routes.push((net, ip)),
            _ => {}
        }
    }
    p.routes.sort();
    p.routes.dedup_by_key(|r| r.0);
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

fn conflist(net: Ipv4Net, cfg: &Config) -> String {
    let mtu = cfg.mtu;
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
        crate::link::sync_routes(&h, &plan.routes).await
    })
    .map_err(Error::Host)?;
    if let Some(own) = p.own {
        let path = cfg.cni_conf_dir.join("10-keelson.conflist");
        let text = conflist(own, cfg);
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

async fn follow(cfg: &Config, client: client::Client, rt: &runtime::Runtime) {
    let nodes = client::InformerFactory::new(client.transport.clone(), rt).informer::<Node>();
    rt.ready.set("pod-network", Err("waiting for this node's podCIDR".to_owned()));
    nodes.synced().await;
    let mut events = nodes.subscribe();
    let mut known: std::collections::BTreeMap<String, NodeNet> = std::collections::BTreeMap::new();
    let mut applied = None;
    loop {
        let retry = async {
            match &applied {
                Some(_) => std::future::pending().await,
                None => tokio::time::sleep(std::time::Duration::from_secs(2)).await,
            }
        };
        let mut next = tokio::select! {
            e = events.next() => Some(e),
            () = retry => None,
            () = rt.stopping() => return,
        };
        while let Some(e) = next {
            match &e {
                client::Event::Deleted(o) => drop(known.remove(&o.header.name)),
                e => {
                    if let Ok(n) = e.object().decode::<Node>() {
                        known.insert(e.object().header.name.clone(), node_net(&n));
                    }
                }
            }
            next = events.try_next();
        }
        let nets: Vec<NodeNet> = known.values().cloned().collect();
        let want = plan(&cfg.node_name, &nets);
        if applied.as_ref() == Some(&want) {
            continue;
        }
        let (c, w) = (cfg.clone(), want.clone());
        let done = tokio::task::spawn_blocking(move || apply(&c, &w)).await;
        match done.unwrap_or_else(|e| Err(Error::Host(e.to_string()))) {
            Ok(()) => {
                if want.own.is_some() {
                    rt.ready.set("pod-network", Ok(()));
                }
                applied = Some(want);
            }
            Err(e) => {
                tracing::error!("{e}; trying again");
                rt.ready.set("pod-network", Err(e.to_string()));
                applied = None;
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
        ];
        let p = plan("a", &nodes);
        assert_eq!(p.own, "10.244.0.0/24".parse().ok());
        assert_eq!(p.routes, [("10.244.1.0/24".parse().unwrap(), "192.0.2.2".parse().unwrap())]);
        assert_eq!(plan("c", &nodes).own, None);
    }
}
