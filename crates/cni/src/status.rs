//! How the pod network of this node is: what the agent last made of it, and what of that the kernel and the peers say now
//! (`keelson net status`).

use crate::agent::Plan;
use crate::link;
use crate::routes::{self, Peer};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kubelet of every node answers there, on the node's address and on its first one in the pod network.
const KUBELET: u16 = 10250;
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Noted {
    node: String,
    address: Option<Ipv4Addr>,
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<Ipv4Net>,
    mtu: u32,
    peers: Vec<Peer>,
}

/// Beside the folder of reservations, which holds nothing but those.
fn path(addresses: &Path) -> PathBuf {
    addresses.with_file_name("network.json")
}

/// Whether an agent with this folder of reservations has been here; the folder itself comes with the first pod.
pub fn kept(addresses: &Path) -> bool {
    path(addresses).exists()
}

pub(crate) fn write(addresses: &Path, node: &str, p: &Plan) -> std::io::Result<()> {
    let noted = Noted {
        node: node.to_owned(),
        address: p.address,
        pod_cidr: p.own,
        mtu: p.pod_mtu(),
        peers: p.peers.clone(),
    };
    let text = serde_json::to_string_pretty(&noted)?;
    let at = path(addresses);
    if std::fs::read_to_string(&at).is_ok_and(|t| t == text) {
        return Ok(());
    }
    if let Some(dir) = at.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let tmp = at.with_extension("new");
    std::fs::write(&tmp, text)?;
    std::fs::rename(tmp, at)
}

fn answers(ip: Ipv4Addr) -> Result<(), String> {
    let at = SocketAddr::from((ip, KUBELET));
    match TcpStream::connect_timeout(&at, PATIENCE) {
        Ok(_) => Ok(()),
        // No kubelet there, but the host answers: the network does what it should.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
        Err(e) => Err(e.to_string()),
    }
}

/// The state as a table, and whether all is well. `addresses` is the agent's folder of reservations.
pub fn report(addresses: &Path) -> Result<(String, bool), String> {
    let at = path(addresses);
    let text = std::fs::read_to_string(&at)
        .map_err(|e| format!("{}: {e}; is this a node of a keelson cluster?", at.display()))?;
    let n: Noted = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", at.display()))?;
    let have = link::with_netlink(None, |h| async move { routes::present(&h).await })?;
    // All peers are asked at once: those that are down take their time.
    let asked: Vec<(Result<(), String>, Result<(), String>)> = std::thread::scope(|s| {
        let begin = |p: &Peer| {
            let (node, pods) = (p.address, Ipv4Addr::from(u32::from(p.net.network()) + 1));
            s.spawn(move || (answers(node), answers(pods)))
        };
        let all: Vec<_> = n.peers.iter().map(begin).collect();
        all.into_iter().map(|t| t.join().unwrap_or_else(|_| (Err("?".into()), Err("?".into())))).collect()
    });
    let text = |o: Option<String>| o.unwrap_or_else(|| "none yet".to_owned());
    let mut out = if n.address.is_none() && n.pod_cidr.is_none() {
        format!("{}: no node (yet): this host has routes to the pods of nodes, and none itself\n", n.node)
    } else {
        format!(
            "node {}: address {}, pods {}, MTU of pods {}\n",
            n.node,
            text(n.address.map(|a| a.to_string())),
            text(n.pod_cidr.map(|a| a.to_string())),
            n.mtu
        )
    };
    // A host that is no node is well with its routes.
    let mut well = n.pod_cidr.is_some() || n.address.is_none();
    if n.peers.is_empty() {
        out.push_str("no other nodes\n");
        return Ok((out, well));
    }
    let mut rows =
        vec![["PEER", "ADDRESS", "PODS", "WAY", "ROUTE", "NODE", "POD NETWORK"].map(str::to_owned)];
    let word = |r: &Result<(), String>| match r {
        Ok(()) => "up".to_owned(),
        Err(e) => format!("down ({e})"),
    };
    for (p, (node, pods)) in n.peers.iter().zip(&asked) {
        let route = have.contains(&(p.net, routes::gateway(p)));
        well &= route && pods.is_ok();
        rows.push([
            p.name.clone(),
            p.address.to_string(),
            p.net.to_string(),
            if p.tunnel { "tunnel".to_owned() } else { "direct".to_owned() },
            if route { "present".to_owned() } else { "missing".to_owned() },
            word(node),
            word(pods),
        ]);
    }
    let width = |i: usize| rows.iter().map(|r| r[i].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    for r in &rows {
        let line: String = r.iter().zip(&widths).map(|(c, w)| format!("{c:w$}   ")).collect();
        let _ = writeln!(out, "{}", line.trim_end());
    }
    Ok((out, well))
}
