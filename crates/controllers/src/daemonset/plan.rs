//! Which nodes need a daemon, which daemons must go, and the status.

use crate::k8s::Timestamp;
use crate::k8s::apps::{DaemonSet, DaemonSetStatus};
use crate::k8s::core::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    PodTemplateSpec, Toleration,
};
use crate::util::meta::MetaExt;
use crate::util::{history, pods, taints};
use scheduling::matching::RequiredNode;
use std::collections::BTreeMap;
use std::time::Duration;

const TEMPLATE_GENERATION: &str = "pod-template-generation";
const GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

pub struct Input<'a> {
    pub set: &'a DaemonSet,
    pub hash: &'a str,
    pub nodes: &'a [Node],
    /// Those the set controls.
    pub pods: &'a [Pod],
    /// Asked for each failed pod's node: how long to wait before it is replaced.
    pub backoff: &'a mut dyn FnMut(&str) -> Option<Duration>,
    pub now: Timestamp,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Nodes to make a pod for.
    pub create: Vec<String>,
    /// Places in the list of pods.
    pub delete: Vec<usize>,
    /// Warning or not, reason, message.
    pub events: Vec<(bool, &'static str, String)>,
    pub retry: Option<Duration>,
}

pub fn is_rolling(s: &DaemonSet) -> bool {
    s.spec.update_strategy.as_ref().and_then(|u| u.type_.as_deref()).unwrap_or("RollingUpdate")
        == "RollingUpdate"
}

/// The node a pod is on, or is pinned to by its affinity.
pub fn target_node(p: &Pod) -> Option<&str> {
    let spec = p.spec.as_ref()?;
    if let Some(n) = spec.node_name.as_deref().filter(|n| !n.is_empty()) {
        return Some(n);
    }
    let required = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let terms = &required.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    terms.iter().flat_map(|t| t.match_fields.iter().flatten()).find_map(|r| {
        let one = r.values.as_deref().filter(|v| v.len() == 1)?;
        (r.key == "metadata.name" && r.operator == "In").then_some(one[0].as_str())
    })
}

/// Pins a pod to a node: the scheduler binds it there and nowhere else.
pub fn pin(p: &mut Pod, node: &str) {
    let name = NodeSelectorRequirement {
        key: "metadata.name".into(),
        operator: "In".into(),
        values: Some(vec![node.to_owned()]),
    };
    let spec = p.spec.get_or_insert_default();
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let node_affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    let selector: &mut NodeSelector =
        node_affinity.required_during_scheduling_ignored_during_execution.get_or_insert_default();
    // Other requirements of the template were checked when the node was chosen.
    selector.node_selector_terms =
        vec![NodeSelectorTerm { match_fields: Some(vec![name]), match_expressions: None }];
}

fn add_tolerations(spec: &mut PodSpec) {
    let mut want = vec![
        (taints::NOT_READY, "NoExecute"),
        (taints::UNREACHABLE, "NoExecute"),
        (taints::DISK_PRESSURE, "NoSchedule"),
        (taints::MEMORY_PRESSURE, "NoSchedule"),
        (taints::PID_PRESSURE, "NoSchedule"),
        (taints::UNSCHEDULABLE, "NoSchedule"),
    ];
    if spec.host_network == Some(true) {
        want.push((taints::NETWORK_UNAVAILABLE, "NoSchedule"));
    }
    let list = spec.tolerations.get_or_insert_default();
    for (key, effect) in want {
        let t = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Toleration::default()
        };
        // One for the same taint is replaced: it might be limited in time.
        let same = |x: &Toleration| {
            x.key == t.key && x.effect == t.effect && x.operator == t.operator && x.value == t.value
        };
        match list.iter_mut().find(|x| same(x)) {
            Some(x) => *x = t,
            None => list.push(t),
        }
    }
}

fn generation(s: &DaemonSet) -> Option<i64> {
    // A server that does not count leaves it at zero.
    s.annotation(GENERATION_ANNOTATION)?.parse().ok().filter(|g| *g > 0)
}

/// The template of the set's pods.
pub fn template(s: &DaemonSet, hash: &str) -> PodTemplateSpec {
    let mut t = s.spec.template.clone();
    add_tolerations(t.spec.get_or_insert_default());
    let labels = t.metadata.get_or_insert_default().labels.get_or_insert_default();
    if let Some(g) = generation(s) {
        labels.insert(TEMPLATE_GENERATION.into(), g.to_string());
    }
    labels.insert(history::HASH.into(), hash.to_owned());
    t
}

pub fn is_updated(s: &DaemonSet, p: &Pod, hash: &str) -> bool {
    let of_generation =
        generation(s).is_some_and(|g| p.label(TEMPLATE_GENERATION) == Some(g.to_string().as_str()));
    p.label(history::HASH) == Some(hash) || of_generation
}

/// Whether a daemon should run on a node, and whether one that runs may stay.
pub struct Fit {
    /// The one node that it may run on.
    named: Option<String>,
    required: RequiredNode,
    tolerations: Vec<Toleration>,
}

impl Fit {
    pub fn new(s: &DaemonSet) -> Self {
        let mut spec = s.spec.template.spec.clone().unwrap_or_default();
        let required = RequiredNode::of(&spec);
        add_tolerations(&mut spec);
        let named = spec.node_name.filter(|x| !x.is_empty());
        Self { named, required, tolerations: spec.tolerations.unwrap_or_default() }
    }
    pub fn of(&self, n: &Node) -> (bool, bool) {
        let none = BTreeMap::new();
        let labels = n.metadata.labels.as_ref().unwrap_or(&none);
        if self.named.as_ref().is_some_and(|x| x != n.name()) || !self.required.matches(labels, n.name()) {
            return (false, false);
        }
        let untolerated = |effects: &[&str]| {
            let all = n.spec.iter().flat_map(|s| s.taints.iter().flatten());
            all.filter(|t| effects.contains(&t.effect.as_str()))
                .any(|t| !taints::tolerated(&self.tolerations, t))
        };
        (!untolerated(&["NoSchedule", "NoExecute"]), !untolerated(&["NoExecute"]))
    }
}

/// Pods by the node they are on or meant for; those that ended and are being deleted do not count.
pub fn by_node(all: &[Pod]) -> BTreeMap<&str, Vec<usize>> {
    let mut map: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, p) in all.iter().enumerate() {
        if !(pods::is_terminal(p) && p.deleting())
            && let Some(n) = target_node(p)
        {
            map.entry(n).or_default().push(i);
        }
    }
    for list in map.values_mut() {
        list.sort_by(|a, b| older(&all[*a], &all[*b]));
    }
    map
}

/// Bound ones first, then the oldest.
fn older(a: &Pod, b: &Pod) -> std::cmp::Ordering {
    pods::node_name(a)
        .is_empty()
        .cmp(&pods::node_name(b).is_empty())
        .then(a.created().cmp(&b.created()))
        .then(a.name().cmp(b.name()))
}

pub fn max_surge(s: &DaemonSet, total: i32) -> i32 {
    let r = s.spec.update_strategy.as_ref().filter(|_| is_rolling(s)).and_then(|u| u.rolling_update.as_ref());
    r.and_then(|r| r.max_surge.as_ref())
        .and_then(|m| crate::util::intstr::scaled(m, total, true).ok())
        .unwrap_or(0)
}

pub fn plan(input: Input<'_>) -> Plan {
    let Input { set, hash, nodes, pods: all, backoff, now } = input;
    let mut plan = Plan::default();
    let fit = Fit::new(set);
    let map = by_node(all);
    let surge = max_surge(set, 1) > 0;
    for n in nodes {
        let (should, stay) = fit.of(n);
        let here = map.get(n.name()).map(Vec::as_slice).unwrap_or_default();
        if !stay {
            plan.delete.extend(here.iter().filter(|i| !all[**i].deleting()));
        } else if should && here.is_empty() {
            plan.create.push(n.name().to_owned());
        } else {
            one_node(set, hash, n.name(), all, here, surge, backoff, now, &mut plan);
        }
    }
    // Pods that wait for a node that is gone.
    for (node, list) in &map {
        if !nodes.iter().any(|n| n.name() == *node) {
            plan.delete.extend(
                list.iter().filter(|i| pods::node_name(&all[**i]).is_empty() && !all[**i].deleting()),
            );
        }
    }
    plan
}

#[allow(clippy::too_many_arguments)]
fn one_node(
    set: &DaemonSet,
    hash: &str,
    node: &str,
    all: &[Pod],
    here: &[usize],
    surge: bool,
    backoff: &mut dyn FnMut(&str) -> Option<Duration>,
    now: Timestamp,
    plan: &mut Plan,
) {
    let mut running = Vec::new();
    for &i in here.iter().filter(|i| !all[**i].deleting()) {
        let p = &all[i];
        match pods::phase(p) {
            "Failed" => match backoff(node) {
                Some(wait) => plan.retry = Some(plan.retry.map_or(wait, |r| r.min(wait))),
                None => {
                    let text =
                        format!("Found failed daemon pod {} on node {node}, will try to kill it", p.key());
                    plan.events.push((true, "FailedDaemonPod", text));
                    plan.delete.push(i);
                }
            },
            "Succeeded" => {
                let text =
                    format!("Found succeeded daemon pod {} on node {node}, will try to delete it", p.key());
                plan.events.push((false, "SucceededDaemonPod", text));
                plan.delete.push(i);
            }
            _ => running.push(i),
        }
    }
    if running.len() <= 1 {
        return;
    }
    if !surge {
        plan.delete.extend(&running[1..]);
        return;
    }
    // During a surge one old and one new pod may be side by side.
    let (mut new, mut old) = (None, None);
    for i in running {
        let slot = if is_updated(set, &all[i], hash) { &mut new } else { &mut old };
        if slot.is_none() { *slot = Some(i) } else { plan.delete.push(i) }
    }
    if let (Some(new), Some(old)) = (new, old) {
        let min = set.spec.min_ready_seconds.unwrap_or(0);
        if !pods::is_ready(&all[old]) || pods::is_available(&all[new], min, now) {
            plan.delete.push(old);
        }
    }
}

/// The set with its status, if that is another one. The generation counts as observed only if everything was done.
pub fn status(
    set: &DaemonSet,
    hash: &str,
    nodes: &[Node],
    all: &[Pod],
    observed: bool,
    now: Timestamp,
) -> Option<DaemonSet> {
    let fit = Fit::new(set);
    let map = by_node(all);
    let min = set.spec.min_ready_seconds.unwrap_or(0);
    let old = set.status.clone().unwrap_or_default();
    let (mut desired, mut current, mut stray, mut ready, mut available, mut updated) = (0, 0, 0, 0, 0, 0);
    for n in nodes {
        let here = map.get(n.name());
        if !fit.of(n).0 {
            stray += i32::from(here.is_some());
            continue;
        }
        desired += 1;
        let Some(p) = here.and_then(|l| l.first()).map(|i| &all[*i]) else { continue };
        current += 1;
        ready += i32::from(pods::is_ready(p));
        available += i32::from(pods::is_available(p, min, now));
        updated += i32::from(is_updated(set, p, hash));
    }
    let some = |n: i32| (n != 0).then_some(n);
    let new = DaemonSetStatus {
        desired_number_scheduled: desired,
        current_number_scheduled: current,
        number_misscheduled: stray,
        number_ready: ready,
        updated_number_scheduled: some(updated),
        number_available: some(available),
        number_unavailable: some(desired - available),
        observed_generation: if observed { Some(set.generation()) } else { old.observed_generation },
        collision_count: old.collision_count,
        conditions: old.conditions.clone(),
    };
    (new != old).then(|| DaemonSet { status: Some(new), ..set.clone() })
}
