//! Which nodes are lost, which taints nodes get, and how fast zones may be tainted (upstream
//! `node_lifecycle_controller.go`).

use crate::config::Config;
use crate::k8s::core::{Node, NodeCondition, Taint};
use crate::k8s::{Time, Timestamp};
use crate::util::meta::{MetaExt, whole};
use crate::util::taints;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

/// What is looked at of a node at each round.
#[derive(Clone, Debug)]
pub struct View {
    pub name: String,
    pub uid: String,
    pub created: Timestamp,
    pub zone: String,
    /// It does not count when zones are judged.
    pub excluded: bool,
    /// Status and last heartbeat of the Ready condition.
    pub ready: Option<(String, Option<Time>)>,
    pub not_ready_taint: bool,
    pub unreachable_taint: bool,
    /// Resource version of its lease; 0 without one.
    pub lease: u64,
}

fn find<'a>(n: &'a Node, kind: &str) -> Option<&'a NodeCondition> {
    n.status.as_ref()?.conditions.as_ref()?.iter().find(|c| c.type_ == kind)
}

pub fn zone_of(n: &Node) -> String {
    let l = |a: &str, b: &str| n.label(a).or_else(|| n.label(b)).unwrap_or_default().to_owned();
    let region = l("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region");
    let zone = l("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone");
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\0:{zone}") }
}

impl View {
    pub fn of(n: &Node, lease: u64) -> Self {
        let taint = |key: &str| {
            let all = n.spec.iter().flat_map(|s| s.taints.iter().flatten());
            all.into_iter().any(|t| t.key == key && t.effect == "NoExecute")
        };
        Self {
            name: n.name().into(),
            uid: n.uid().into(),
            created: n.created().unwrap_or(Timestamp::UNIX_EPOCH),
            zone: zone_of(n),
            excluded: n.label("node.kubernetes.io/exclude-disruption").is_some(),
            ready: find(n, "Ready").map(|c| (c.status.clone(), c.last_heartbeat_time.clone())),
            not_ready_taint: taint(taints::NOT_READY),
            unreachable_taint: taint(taints::UNREACHABLE),
            lease,
        }
    }
}

/// When a node was last heard of.
struct Health {
    uid: String,
    probe: Timestamp,
    ready: Option<(String, Option<Time>)>,
    lease: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ZoneState {
    Initial,
    Normal,
    Full,
    Partial,
}

/// A zone: how it is, and which of its nodes wait for their NoExecute taint.
struct Zone {
    state: ZoneState,
    rate: f64,
    tokens: f64,
    filled: Timestamp,
    waiting: VecDeque<String>,
}

impl Zone {
    fn refill(&mut self, now: Timestamp) {
        let secs = now.duration_since(self.filled).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + secs * self.rate).min(1.0);
        self.filled = now;
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Op {
    /// An event: node, uid, reason, message.
    Event(String, String, &'static str, String),
    /// The pods of a node that is lost are not ready any more.
    MarkPods(String),
    /// Put this NoExecute taint on a node and take the other one off.
    Taint { node: String, add: &'static str, remove: &'static str },
    /// Take both NoExecute taints off.
    Reachable(String),
}

pub struct Monitor {
    grace: Duration,
    startup: Duration,
    rates: (f64, f64),
    large: usize,
    unhealthy: f64,
    health: HashMap<String, Health>,
    zones: BTreeMap<String, Zone>,
}

fn later(t: Timestamp, d: Duration) -> Timestamp {
    t.checked_add(d).unwrap_or(Timestamp::MAX)
}

impl Monitor {
    pub fn new(c: &Config) -> Self {
        Self {
            grace: c.node_monitor_grace,
            startup: c.node_startup_grace,
            rates: c.eviction_rate,
            large: c.large_cluster,
            unhealthy: c.unhealthy_zone,
            health: HashMap::new(),
            zones: BTreeMap::new(),
        }
    }

    /// Takes note of the nodes as they are; answers those that were not heard of for too long.
    pub fn observe(&mut self, now: Timestamp, nodes: &[View], ops: &mut Vec<Op>) -> Vec<String> {
        let mut lost = Vec::new();
        let there: BTreeSet<&str> = nodes.iter().map(|n| n.name.as_str()).collect();
        self.health.retain(|name, h| {
            let stays = there.contains(name.as_str());
            if !stays {
                ops.push(event(
                    name,
                    &h.uid,
                    "RemovingNode",
                    format!("Removing Node {name} from Controller"),
                ));
            }
            stays
        });
        for n in nodes {
            let rate = self.rates.0;
            self.zones.entry(n.zone.clone()).or_insert_with(|| Zone {
                state: ZoneState::Initial,
                rate,
                tokens: 1.0,
                filled: now,
                waiting: VecDeque::new(),
            });
            if !self.health.contains_key(&n.name) {
                let text = format!("Registered Node {} in Controller", n.name);
                ops.push(event(&n.name, &n.uid, "RegisteredNode", text));
            }
            let h = self.health.entry(n.name.clone()).or_insert_with(|| Health {
                uid: n.uid.clone(),
                probe: if n.ready.is_some() { now } else { n.created },
                ready: n.ready.clone(),
                lease: n.lease,
            });
            let beat = |r: &Option<(String, Option<Time>)>| r.as_ref().map(|r| r.1.clone());
            if h.uid != n.uid || beat(&h.ready) != beat(&n.ready) || n.lease > h.lease {
                h.probe = now;
            }
            h.uid.clone_from(&n.uid);
            h.ready.clone_from(&n.ready);
            h.lease = h.lease.max(n.lease);
            let grace = if n.ready.is_some() { self.grace } else { self.startup };
            if now > later(h.probe, grace) && n.ready.as_ref().is_none_or(|r| r.0 != "Unknown") {
                lost.push(n.name.clone());
            }
        }
        lost
    }

    /// The lease of a node turned out to be newer than the cache knew.
    pub fn heard(&mut self, node: &str, lease: u64, now: Timestamp) {
        if let Some(h) = self.health.get_mut(node) {
            h.lease = h.lease.max(lease);
            h.probe = now;
        }
    }

    /// Decides on taints. `marked` are nodes whose conditions were just made Unknown.
    pub fn judge(&mut self, now: Timestamp, nodes: &[View], marked: &BTreeSet<String>, ops: &mut Vec<Op>) {
        let mut by_zone: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        for n in nodes {
            let status = if marked.contains(&n.name) {
                Some("Unknown")
            } else {
                n.ready.as_ref().map(|r| r.0.as_str())
            };
            if !n.excluded {
                by_zone.entry(n.zone.clone()).or_default().push(status == Some("True"));
            }
            self.taint(n, status, ops);
            if marked.contains(&n.name) && n.ready.as_ref().is_some_and(|r| r.0 == "True") {
                let text = format!("Node {} status is now: NodeNotReady", n.name);
                ops.push(event(&n.name, &n.uid, "NodeNotReady", text));
                ops.push(Op::MarkPods(n.name.clone()));
            }
        }
        self.disruption(now, nodes, &by_zone, ops);
        self.drain(now, nodes, ops);
    }

    fn taint(&mut self, n: &View, status: Option<&str>, ops: &mut Vec<Op>) {
        let Some(zone) = self.zones.get_mut(&n.zone) else { return };
        zone.waiting.retain(|w| *w != n.name || matches!(status, Some("False" | "Unknown")));
        let (has, other, add, remove) = match status {
            Some("False") => (n.not_ready_taint, n.unreachable_taint, taints::NOT_READY, taints::UNREACHABLE),
            Some("Unknown") => {
                (n.unreachable_taint, n.not_ready_taint, taints::UNREACHABLE, taints::NOT_READY)
            }
            Some("True") => {
                if n.not_ready_taint || n.unreachable_taint {
                    ops.push(Op::Reachable(n.name.clone()));
                }
                return;
            }
            _ => return,
        };
        if other {
            // Tainted already: only the reason changes, which needs no rate.
            ops.push(Op::Taint { node: n.name.clone(), add, remove });
        } else if !has && !zone.waiting.contains(&n.name) {
            zone.waiting.push_back(n.name.clone());
        }
    }

    fn state_of(&self, ready: &[bool]) -> ZoneState {
        let bad = ready.iter().filter(|r| !**r).count();
        if bad == ready.len() && bad > 0 {
            ZoneState::Full
        } else if bad > 2 && bad as f64 / ready.len() as f64 >= self.unhealthy {
            ZoneState::Partial
        } else {
            ZoneState::Normal
        }
    }

    fn rate_of(&self, state: ZoneState, size: usize) -> f64 {
        match state {
            ZoneState::Partial if size > self.large => self.rates.1,
            ZoneState::Partial => 0.0,
            _ => self.rates.0,
        }
    }

    /// Zones in which much is broken are tainted slowly or not at all; when everything seems broken, it is rather this
    /// side that is cut off.
    fn disruption(
        &mut self,
        now: Timestamp,
        nodes: &[View],
        by_zone: &BTreeMap<String, Vec<bool>>,
        ops: &mut Vec<Op>,
    ) {
        self.zones.retain(|z, _| by_zone.contains_key(z) || nodes.iter().any(|n| n.zone == *z));
        let new: BTreeMap<&String, ZoneState> = by_zone.iter().map(|(z, r)| (z, self.state_of(r))).collect();
        if new.is_empty() {
            return;
        }
        let all_full = new.values().all(|s| *s == ZoneState::Full);
        let was_full = self
            .zones
            .iter()
            .filter(|(z, _)| by_zone.contains_key(*z))
            .all(|(_, z)| z.state == ZoneState::Full);
        if all_full && was_full {
            return;
        }
        if all_full {
            for n in nodes {
                if n.not_ready_taint || n.unreachable_taint {
                    ops.push(Op::Reachable(n.name.clone()));
                }
            }
            for z in self.zones.values_mut() {
                z.refill(now);
                z.rate = 0.0;
                z.tokens = 0.0;
                z.state = ZoneState::Full;
                z.waiting.clear();
            }
            return;
        }
        if was_full {
            // Back again: everybody gets a full grace period from now.
            for h in self.health.values_mut() {
                h.probe = now;
            }
        }
        let rates: Vec<(String, ZoneState, f64)> =
            new.into_iter().map(|(z, s)| (z.clone(), s, self.rate_of(s, by_zone[z].len()))).collect();
        for (z, state, rate) in rates {
            if let Some(zone) = self.zones.get_mut(&z).filter(|zone| was_full || zone.state != state) {
                zone.refill(now);
                zone.state = state;
                if zone.rate == 0.0 && rate > 0.0 {
                    zone.tokens = 1.0;
                }
                zone.rate = rate;
            }
        }
    }

    /// Taints as many waiting nodes as the rates allow.
    fn drain(&mut self, now: Timestamp, nodes: &[View], ops: &mut Vec<Op>) {
        for zone in self.zones.values_mut() {
            zone.refill(now);
            while zone.rate > 0.0 && zone.tokens >= 1.0 {
                let Some(name) = zone.waiting.pop_front() else { break };
                let Some(h) = self.health.get(&name) else { continue };
                let unknown =
                    nodes.iter().any(|n| n.name == name) && h.ready.as_ref().is_none_or(|r| r.0 != "False");
                let (add, remove) = if unknown {
                    (taints::UNREACHABLE, taints::NOT_READY)
                } else {
                    (taints::NOT_READY, taints::UNREACHABLE)
                };
                zone.tokens -= 1.0;
                ops.push(Op::Taint { node: name, add, remove });
            }
        }
    }

    /// When the next waiting node may be tainted.
    pub fn next(&self) -> Option<Duration> {
        let wait = |z: &Zone| Duration::from_secs_f64(((1.0 - z.tokens).max(0.0) / z.rate).min(1e6));
        self.zones.values().filter(|z| z.rate > 0.0 && !z.waiting.is_empty()).map(wait).min()
    }
}

fn event(node: &str, uid: &str, reason: &'static str, text: String) -> Op {
    let text = if reason == "NodeNotReady" { text } else { format!("Node {node} event: {text}") };
    Op::Event(node.into(), uid.into(), reason, text)
}

/// The status of a node that was not heard of.
pub fn unknown(n: &Node, now: Timestamp) -> Node {
    let mut new = n.clone();
    let all = new.status.get_or_insert_default().conditions.get_or_insert_default();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        match all.iter_mut().find(|c| c.type_ == kind) {
            None => all.push(NodeCondition {
                type_: kind.into(),
                status: "Unknown".into(),
                reason: Some("NodeStatusNeverUpdated".into()),
                message: Some("Kubelet never posted node status.".into()),
                last_heartbeat_time: n.metadata.creation_timestamp.clone(),
                last_transition_time: Some(whole(now)),
            }),
            Some(c) if c.status != "Unknown" => {
                c.status = "Unknown".into();
                c.reason = Some("NodeStatusUnknown".into());
                c.message = Some("Kubelet stopped posting node status.".into());
                c.last_transition_time = Some(whole(now));
            }
            Some(_) => {}
        }
    }
    new
}

/// The taints of a node after its conditions are told as NoSchedule taints; `None` when they are right.
pub fn no_schedule(n: &Node) -> Option<Vec<Taint>> {
    const BY_CONDITION: [(&str, &str, &str); 6] = [
        ("Ready", "False", taints::NOT_READY),
        ("Ready", "Unknown", taints::UNREACHABLE),
        ("MemoryPressure", "True", taints::MEMORY_PRESSURE),
        ("DiskPressure", "True", taints::DISK_PRESSURE),
        ("NetworkUnavailable", "True", taints::NETWORK_UNAVAILABLE),
        ("PIDPressure", "True", taints::PID_PRESSURE),
    ];
    let spec = n.spec.clone().unwrap_or_default();
    let taint = |key: &str| Taint { key: key.into(), effect: "NoSchedule".into(), ..Taint::default() };
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for (kind, status, key) in BY_CONDITION {
        let on = find(n, kind).is_some_and(|c| c.status == status);
        if on { add.push(taint(key)) } else { remove.push(taint(key)) }
    }
    let unschedulable = taint(taints::UNSCHEDULABLE);
    if spec.unschedulable == Some(true) {
        add.push(unschedulable)
    } else {
        remove.push(unschedulable)
    }
    taints::change(spec.taints.as_deref().unwrap_or_default(), &add, &remove)
}

/// Labels that old clients know under other names, as a patch.
pub fn labels(n: &Node) -> Vec<(&'static str, String)> {
    let pairs =
        [("kubernetes.io/os", "beta.kubernetes.io/os"), ("kubernetes.io/arch", "beta.kubernetes.io/arch")];
    pairs
        .into_iter()
        .filter_map(|(new, old)| Some((old, n.label(new).filter(|v| n.label(old) != Some(*v))?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, zone: &str, status: &str, lease: u64) -> View {
        View {
            name: name.into(),
            uid: name.into(),
            created: Timestamp::UNIX_EPOCH,
            zone: zone.into(),
            excluded: false,
            ready: Some((status.into(), None)),
            not_ready_taint: false,
            unreachable_taint: false,
            lease,
        }
    }
    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + s).unwrap()
    }
    fn monitor() -> Monitor {
        Monitor::new(&Config::new(std::sync::Arc::new(|_| unreachable!("no client is needed"))))
    }
    fn round(m: &mut Monitor, s: i64, nodes: &[View]) -> (Vec<String>, Vec<Op>) {
        let mut ops = Vec::new();
        let lost = m.observe(at(s), nodes, &mut ops);
        m.judge(at(s), nodes, &lost.iter().cloned().collect(), &mut ops);
        ops.retain(|o| !matches!(o, Op::Event(..)));
        (lost, ops)
    }
    fn tainted(ops: &[Op]) -> Vec<&str> {
        ops.iter()
            .filter_map(|o| if let Op::Taint { node, .. } = o { Some(node.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn a_silent_node_is_lost_and_tainted() {
        let mut m = monitor();
        let nodes = |lease| [view("a", "z", "True", lease), view("b", "z", "True", lease * 2 + 1)];
        assert_eq!(round(&mut m, 0, &nodes(1)), (vec![], vec![]));
        // b renews, a does not.
        let mut later = nodes(1);
        later[1].lease = 9;
        round(&mut m, 40, &later);
        assert_eq!(round(&mut m, 50, &later).0, Vec::<String>::new());
        let (lost, ops) = round(&mut m, 51, &later);
        assert_eq!(lost, ["a"]);
        assert_eq!(
            ops,
            [
                Op::MarkPods("a".into()),
                Op::Taint { node: "a".into(), add: taints::UNREACHABLE, remove: taints::NOT_READY }
            ]
        );
    }

    #[test]
    fn taints_follow_the_condition() {
        let mut m = monitor();
        let mut n = [view("a", "z", "False", 1), view("b", "z", "True", 1)];
        let add = |add, remove| Op::Taint { node: "a".into(), add, remove };
        assert_eq!(round(&mut m, 0, &n).1, [add(taints::NOT_READY, taints::UNREACHABLE)]);
        n[0].not_ready_taint = true;
        assert_eq!(round(&mut m, 1, &n).1, []);
        n[0].ready = Some(("Unknown".into(), None));
        assert_eq!(round(&mut m, 2, &n).1, [add(taints::UNREACHABLE, taints::NOT_READY)]);
        n[0].ready = Some(("True".into(), None));
        assert_eq!(round(&mut m, 3, &n).1, [Op::Reachable("a".into())]);
    }

    #[test]
    fn zones_are_tainted_at_their_rate() {
        let mut m = monitor();
        let mut nodes: Vec<View> = (0..10).map(|i| view(&format!("n{i}"), "z", "True", 1)).collect();
        round(&mut m, 0, &nodes);
        for n in &mut nodes[..3] {
            n.ready = Some(("False".into(), None));
        }
        assert_eq!(tainted(&round(&mut m, 1, &nodes).1), ["n0"]);
        nodes[0].not_ready_taint = true;
        assert!(m.next().unwrap() <= Duration::from_secs(10));
        assert!(tainted(&round(&mut m, 6, &nodes).1).is_empty());
        assert_eq!(tainted(&round(&mut m, 11, &nodes).1), ["n1"]);
        // More than 55 %: a small zone is left alone.
        nodes.iter_mut().for_each(|n| n.lease += 1);
        for n in &mut nodes[3..6] {
            n.ready = Some(("False".into(), None));
        }
        assert!(tainted(&round(&mut m, 100, &nodes).1).is_empty());
    }

    #[test]
    fn when_all_are_lost_nobody_is_tainted() {
        let mut m = monitor();
        let mut nodes = [view("a", "z1", "True", 1), view("b", "z2", "True", 1)];
        round(&mut m, 0, &nodes);
        nodes[0].ready = Some(("Unknown".into(), None));
        nodes[0].unreachable_taint = true;
        assert!(tainted(&round(&mut m, 1, &nodes).1).is_empty());
        nodes[1].ready = Some(("Unknown".into(), None));
        let ops = round(&mut m, 2, &nodes).1;
        assert_eq!(ops, [Op::Reachable("a".into())]);
        nodes[0].unreachable_taint = false;
        assert!(tainted(&round(&mut m, 100, &nodes).1).is_empty());
        // One is back: the other is tainted.
        nodes[0].ready = Some(("True".into(), None));
        let mut all = Vec::new();
        for s in [101, 106] {
            nodes[0].lease += 1;
            all.extend(
                tainted(&round(&mut m, s, &nodes).1).into_iter().map(str::to_owned).collect::<Vec<_>>(),
            );
        }
        assert_eq!(all, ["b"]);
    }

    #[test]
    fn conditions_become_taints() {
        let n: Node = serde_json::from_value(serde_json::json!({"metadata": {"name": "n", "labels": {"kubernetes.io/os": "linux"}},
            "spec": {"unschedulable": true, "taints": [{"key": taints::MEMORY_PRESSURE, "effect": "NoSchedule"}, {"key": "own", "effect": "NoSchedule"}]},
            "status": {"conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "MemoryPressure", "status": "False"}]}}))
        .unwrap();
        let got: Vec<String> = no_schedule(&n).unwrap().into_iter().map(|t| t.key).collect();
        assert_eq!(got, ["own", taints::UNREACHABLE, taints::UNSCHEDULABLE]);
        assert_eq!(labels(&n), [("beta.kubernetes.io/os", "linux".to_owned())]);
        let mut n = n;
        n.spec.as_mut().unwrap().taints = no_schedule(&n);
        assert_eq!(no_schedule(&n), None);
    }
}
