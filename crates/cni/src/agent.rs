//! The node's part of the pod network: sysctls, masquerade, the CNI configuration, routes to the other nodes' pods.

use crate::{hostport, link};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Config {
    pub node_name: String,
    /// The whole pod network: what goes from a pod to anywhere else leaves with the host's address.
    pub cluster_cidr: Ipv4Net,
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
    let plan = p.clone();
    link::with_netlink(None, move |h| async move {
        if let Some(own) = plan.own {
            link::loopback_address(&h, Ipv4Addr::from(u32::from(own.network()) + 1)).await?;
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
    let _ = (client, rt);
    Ok(())
}
