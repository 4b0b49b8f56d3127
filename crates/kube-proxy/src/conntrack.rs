//! Forgetting flows of datagrams that would go on to endpoints that are gone: for UDP the kernel keeps sending to the
//! endpoint a flow began with, as long as packets come. Which flows those are follows Kubernetes `pkg/proxy/conntrack`:
//! those to a changed frontend that do not lead to one of its serving endpoints.

use proxyplan::Model;
use proxyplan::model::{Key, Protocol};
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// A flow as `conntrack -L` lists it: what the client sent, and who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    source: IpAddr,
    destination: IpAddr,
    sport: u16,
    dport: u16,
    answers: (IpAddr, u16),
}

impl Flow {
    fn parse(line: &str) -> Option<Self> {
        let words = |key: &str| -> Vec<&str> {
            line.split_whitespace().filter_map(|w| w.strip_prefix(key)?.strip_prefix('=')).collect()
        };
        let (src, dst, sport, dport) = (words("src"), words("dst"), words("sport"), words("dport"));
        Some(Self {
            source: src.first()?.parse().ok()?,
            destination: dst.first()?.parse().ok()?,
            sport: sport.first()?.parse().ok()?,
            dport: dport.first()?.parse().ok()?,
            answers: (src.get(1)?.parse().ok()?, sport.get(1)?.parse().ok()?),
        })
    }

    fn arguments(&self) -> Vec<String> {
        let family = if self.source.is_ipv6() { "ipv6" } else { "ipv4" };
        let (s, d, sp, dp) = (self.source, self.destination, self.sport, self.dport);
        let text = format!("-D -f {family} -p udp --orig-src {s} --orig-dst {d} --sport {sp} --dport {dp}");
        text.split(' ').map(str::to_owned).collect()
    }
}

/// Whether a change is about datagrams at all: only then flows are listed.
pub fn concerned(old: &Model, new: &Model) -> bool {
    let serving = |m: &Model, k: &Key| m.frontends.get(k).map(|f| f.serving.clone()).unwrap_or_default();
    let mut keys = old.frontends.keys().chain(new.frontends.keys()).filter(|k| k.protocol() == Protocol::Udp);
    keys.any(|k| serving(old, k) != serving(new, k))
}

type Endpoints = HashSet<(IpAddr, u16)>;

/// Of all flows those to forget when `old` becomes `new` (the parts of the models that changed).
pub fn stale(old: &Model, new: &Model, flows: impl Iterator<Item = Flow>) -> Vec<Flow> {
    let nobody = Vec::new();
    let mut addresses: HashMap<(IpAddr, u16), Endpoints> = HashMap::new();
    // What answers a node port, and what did: flows to other hosts' ports of that number are not ours to forget.
    let mut node_ports: HashMap<u16, (Endpoints, Endpoints)> = HashMap::new();
    for key in old.frontends.keys().chain(new.frontends.keys()) {
        let serving = |m: &Model| -> Endpoints {
            m.frontends.get(key).map_or(&nobody, |f| &f.serving).iter().copied().collect()
        };
        match key {
            Key::Address(ip, Protocol::Udp, port) => _ = addresses.insert((*ip, *port), serving(new)),
            Key::NodePort(Protocol::Udp, port) => _ = node_ports.insert(*port, (serving(new), serving(old))),
            _ => {}
        }
    }
    flows
        .filter(|f| {
            if let Some(now) = addresses.get(&(f.destination, f.dport)) {
                return !now.contains(&f.answers);
            }
            let Some((now, before)) = node_ports.get(&f.dport) else { return false };
            !now.contains(&f.answers) && (!now.is_empty() || before.contains(&f.answers))
        })
        .collect()
}

async fn conntrack(arguments: &[String]) -> std::io::Result<std::process::Output> {
    tokio::process::Command::new(crate::nft::program("conntrack"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .await
}

/// Lists the flows, and forgets the stale ones; answers how many those were.
pub async fn forget(old: &Model, new: &Model, v6: bool) -> usize {
    if !concerned(old, new) {
        return 0;
    }
    let family = if v6 { "ipv6" } else { "ipv4" };
    let list: Vec<String> = ["-L", "-f", family, "-p", "udp"].map(str::to_owned).into();
    let listed = match conntrack(&list).await {
        Ok(o) if o.status.success() => String::from_utf8_lossy(&o.stdout).into_owned(),
        Ok(o) => {
            tracing::warn!("conntrack cannot list flows: {}", String::from_utf8_lossy(&o.stderr).trim());
            return 0;
        }
        Err(e) => {
            tracing::warn!(
                "cannot run conntrack (Debian package conntrack): {e}; UDP clients may stay with endpoints that are gone"
            );
            return 0;
        }
    };
    let gone = stale(old, new, listed.lines().filter_map(Flow::parse));
    for f in &gone {
        // A flow that ended by itself meanwhile is as good.
        let _ = conntrack(&f.arguments()).await;
    }
    gone.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxyplan::model::{Frontend, Masquerade, Otherwise};

    fn model(key: Key, endpoints: &[&str]) -> Model {
        let list: Vec<_> = endpoints.iter().map(|e| (e.parse().unwrap(), 53)).collect();
        let f = Frontend {
            service: "a/b:".into(),
            endpoints: list.clone(),
            masquerade: Masquerade::Never,
            affinity: None,
            sources: Vec::new(),
            otherwise: Otherwise::Reject,
            inside: None,
            serving: list,
        };
        let mut m = Model::default();
        m.frontends.insert(key, f);
        m
    }

    const LIST: &str = "\
udp      17 29 src=10.244.0.9 dst=10.96.0.10 sport=4001 dport=53 src=10.244.0.2 dst=10.244.0.9 sport=53 dport=4001 mark=0 use=1
udp      17 29 src=10.244.0.9 dst=10.96.0.10 sport=4002 dport=53 src=10.244.0.3 dst=10.244.0.9 sport=53 dport=4002 mark=0 use=1
udp      17 29 src=10.244.0.9 dst=10.96.0.10 sport=4003 dport=53 [UNREPLIED] src=10.96.0.10 dst=10.244.0.9 sport=53 dport=4003 mark=0 use=1
udp      17 29 src=10.244.0.9 dst=192.0.2.1 sport=4004 dport=30053 src=192.0.2.1 dst=10.244.0.9 sport=30053 dport=4004 mark=0 use=1
udp      17 29 src=10.244.0.9 dst=192.0.2.2 sport=4005 dport=30053 src=10.244.0.2 dst=10.244.0.9 sport=53 dport=4005 mark=0 use=1
rubbish";

    #[test]
    fn flows_that_lead_nowhere_are_forgotten() {
        let dns = || Key::Address("10.96.0.10".parse().unwrap(), Protocol::Udp, 53);
        let find = |old: &Model, new: &Model| {
            let f = stale(old, new, LIST.lines().filter_map(Flow::parse));
            f.iter().map(|f| f.sport).collect::<Vec<_>>()
        };
        let (two, one) = (model(dns(), &["10.244.0.2", "10.244.0.3"]), model(dns(), &["10.244.0.3"]));
        let nothing = Model::default();
        assert_eq!(find(&two, &one), [4001, 4003]);
        assert_eq!(find(&nothing, &two), [4003]);
        assert_eq!(find(&two, &nothing), [4001, 4002, 4003]);
        let port = || Key::NodePort(Protocol::Udp, 30053);
        assert_eq!(find(&model(port(), &["10.244.0.2"]), &model(port(), &["10.244.0.3"])), [4004, 4005]);
        assert_eq!(find(&model(port(), &["10.244.0.2"]), &nothing), [4005]);
        assert!(concerned(&two, &one) && !concerned(&one, &one));
        let tcp = Key::Address("10.96.0.10".parse().unwrap(), Protocol::Tcp, 53);
        assert!(!concerned(&model(tcp, &["10.244.0.3"]), &nothing));
    }

    #[test]
    fn a_flow_is_named_exactly() {
        let f = Flow::parse(LIST.lines().next().unwrap()).unwrap();
        assert_eq!(
            f.arguments().join(" "),
            "-D -f ipv4 -p udp --orig-src 10.244.0.9 --orig-dst 10.96.0.10 --sport 4001 --dport 53"
        );
    }
}
