//! A pod as scheduling sees it: everything that plugins ask for, parsed once.

use crate::matching::{Labels, NodeTerm, RequiredNode, Term, Toleration, label_selector};
use crate::plugins::node_declared_features;
use crate::resources::{self, Resources};
use k8s_openapi::api::core::v1 as core;
use meta::selector::{Op, Requirement, Selector};
use std::sync::Arc;

/// A pod and the node it is on. Shared, never changed.
#[derive(Clone, Debug)]
pub struct PodInfo {
    /// Empty while unscheduled.
    pub node: Arc<str>,
    facts: Arc<PodFacts>,
}

impl std::ops::Deref for PodInfo {
    type Target = PodFacts;
    fn deref(&self) -> &PodFacts {
        &self.facts
    }
}

/// A pod, parsed.
#[derive(Debug)]
pub struct PodFacts {
    pub uid: Arc<str>,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub resource_version: String,
    pub generation: i64,
    pub labels: Labels,
    pub nominated: String,
    pub scheduler: String,
    pub priority: i32,
    pub never_preempts: bool,
    /// By the spec.
    pub requests: Resources,
    /// What counts on the node.
    pub charged: Resources,
    /// CPU and memory with defaults for containers that ask for none.
    pub non_zero: (i64, i64),
    /// What counts when nodes are compared by how full they would be.
    pub scored: Resources,
    pub ports: Vec<HostPort>,
    pub tolerations: Vec<Toleration>,
    pub required_node: RequiredNode,
    pub preferred_nodes: Vec<(i32, NodeTerm)>,
    pub affinity: Vec<Arc<Term>>,
    pub anti_affinity: Vec<Arc<Term>>,
    /// Weights are negative for anti-affinity.
    pub preferred_pods: Vec<(i32, Arc<Term>)>,
    pub spread: Vec<Arc<Spread>>,
    pub claims: Vec<ClaimRef>,
    pub disks: Vec<Disk>,
    /// Of containers and image volumes, with a tag.
    pub images: Vec<String>,
    pub gates: Vec<String>,
    /// Asks for devices by resource claims.
    pub wants_devices: bool,
    /// Features that the node has to declare.
    pub features: Vec<&'static str>,
    pub deleting: bool,
    /// Being deleted because a scheduler preempted it.
    pub preempted: bool,
    /// Unix nanoseconds.
    pub started: Option<i64>,
    /// API version, kind and name.
    pub controller: Option<(String, String, String)>,
    /// The `PodScheduled` condition it has.
    pub scheduled_condition: Option<Condition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub ip: String,
    pub protocol: String,
    pub port: i32,
}

/// A claim that a volume names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRef {
    pub name: String,
    /// Made for this pod alone.
    pub ephemeral: bool,
}

/// Volumes that cannot be in two places (`volumerestrictions`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disk {
    Gce { name: String, read_only: bool },
    Aws { id: String },
    Iscsi { iqn: String, read_only: bool },
    Rbd { monitors: Vec<String>, pool: String, image: String, read_only: bool },
}

impl Disk {
    pub fn conflicts(&self, o: &Self) -> bool {
        match (self, o) {
            (Self::Gce { name: a, read_only: r }, Self::Gce { name: b, read_only: s }) => {
                a == b && !(*r && *s)
            }
            (Self::Aws { id: a }, Self::Aws { id: b }) => a == b,
            (Self::Iscsi { iqn: a, read_only: r }, Self::Iscsi { iqn: b, read_only: s }) => {
                a == b && !(*r && *s)
            }
            (
                Self::Rbd { monitors: a, pool: p, image: i, read_only: r },
                Self::Rbd { monitors: b, pool: q, image: j, read_only: s },
            ) => a.iter().any(|m| b.contains(m)) && p == q && i == j && !(*r && *s),
            _ => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    pub max_skew: i64,
    pub topology_key: String,
    /// `DoNotSchedule`, not `ScheduleAnyway`.
    pub hard: bool,
    pub selector: Selector,
    pub min_domains: i64,
    /// Only nodes that the pod's node affinity allows count.
    pub honor_affinity: bool,
    /// Only nodes whose taints the pod tolerates count.
    pub honor_taints: bool,
}

impl Spread {
    pub fn of(c: &core::TopologySpreadConstraint, labels: &Labels) -> Self {
        let mut selector = label_selector(c.label_selector.as_ref());
        let keys = c.match_label_keys.iter().flatten();
        let more: Vec<Requirement> = keys
            .filter_map(|k| {
                let v = labels.get(k)?;
                Some(Requirement { key: k.clone(), op: Op::In, values: vec![v.clone()], equality: true })
            })
            // The API server has merged the keys into the selector already.
            .filter(|r| !selector.requirements.iter().any(|x| x.key == r.key && x.values == r.values))
            .collect();
        if !more.is_empty() && !selector.nothing {
            selector.requirements.extend(more);
            selector = Selector::of(selector.requirements);
        }
        Self {
            max_skew: i64::from(c.max_skew),
            topology_key: c.topology_key.clone(),
            hard: c.when_unsatisfiable == "DoNotSchedule",
            selector,
            min_domains: i64::from(c.min_domains.unwrap_or(1)),
            honor_affinity: c.node_affinity_policy.as_deref() != Some("Ignore"),
            honor_taints: c.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}

/// A pod condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
    /// RFC 3339.
    pub transition: Option<String>,
}

impl PodInfo {
    pub fn of(pod: &core::Pod) -> Self {
        let m = &pod.metadata;
        let none = core::PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&none);
        let status = pod.status.as_ref();
        let namespace = m.namespace.as_deref().unwrap_or_default();
        let labels = m.labels.clone().unwrap_or_default();
        let affinity = spec.affinity.as_ref();
        let node = affinity.and_then(|a| a.node_affinity.as_ref());
        let (with, without) = (
            affinity.and_then(|a| a.pod_affinity.as_ref()),
            affinity.and_then(|a| a.pod_anti_affinity.as_ref()),
        );
        let required = |l: Option<&Vec<core::PodAffinityTerm>>| {
            l.into_iter().flatten().map(|t| Arc::new(Term::of(t, namespace))).collect::<Vec<_>>()
        };
        let preferred = |l: Option<&Vec<core::WeightedPodAffinityTerm>>, sign: i32| {
            let one = |t: &core::WeightedPodAffinityTerm| {
                (t.weight.saturating_mul(sign), Arc::new(Term::of(&t.pod_affinity_term, namespace)))
            };
            l.into_iter().flatten().map(one).collect::<Vec<_>>()
        };
        let mut preferred_pods =
            preferred(with.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()), 1);
        preferred_pods.extend(preferred(
            without.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref()),
            -1,
        ));
        let conditions = || status.iter().flat_map(|s| s.conditions.iter().flatten());
        let deleting = m.deletion_timestamp.is_some();
        let (claims, disks, volume_images) = volumes(m.name.as_deref().unwrap_or_default(), spec);
        let demands = resources::demands(pod);
        let facts = PodFacts {
            uid: m.uid.as_deref().unwrap_or_default().into(),
            namespace: namespace.into(),
            name: m.name.as_deref().unwrap_or_default().into(),
            resource_version: m.resource_version.clone().unwrap_or_default(),
            generation: m.generation.unwrap_or(0),
            nominated: status.and_then(|s| s.nominated_node_name.clone()).unwrap_or_default(),
            scheduler: spec.scheduler_name.clone().unwrap_or_else(|| "default-scheduler".into()),
            priority: spec.priority.unwrap_or(0),
            never_preempts: spec.preemption_policy.as_deref() == Some("Never"),
            requests: demands.requests,
            charged: demands.charged,
            non_zero: demands.non_zero,
            scored: demands.scored,
            ports: host_ports(spec),
            tolerations: spec.tolerations.iter().flatten().filter_map(Toleration::of).collect(),
            required_node: RequiredNode::of(spec),
            preferred_nodes: node
                .and_then(|n| n.preferred_during_scheduling_ignored_during_execution.as_ref())
                .into_iter()
                .flatten()
                .filter(|t| t.weight != 0)
                .map(|t| (t.weight, NodeTerm::of(&t.preference)))
                .collect(),
            affinity: required(
                with.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            anti_affinity: required(
                without.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref()),
            ),
            preferred_pods,
            spread: spec
                .topology_spread_constraints
                .iter()
                .flatten()
                .map(|c| Arc::new(Spread::of(c, &labels)))
                .collect(),
            claims,
            disks,
            images: spec
                .init_containers
                .iter()
                .flatten()
                .chain(&spec.containers)
                .map(|c| image_name(c.image.as_deref().unwrap_or_default()))
                .chain(volume_images)
                .collect(),
            gates: spec.scheduling_gates.iter().flatten().map(|g| g.name.clone()).collect(),
            wants_devices: spec.resource_claims.as_ref().is_some_and(|c| !c.is_empty()),
            features: node_declared_features::needed(spec),
            deleting,
            preempted: deleting
                && conditions().any(|c| {
                    c.type_ == "DisruptionTarget"
                        && c.status == "True"
                        && c.reason.as_deref() == Some("PreemptionByScheduler")
                }),
            started: status
                .and_then(|s| s.start_time.as_ref())
                .map(|t| i64::try_from(t.0.as_nanosecond()).unwrap_or(i64::MAX)),
            controller: m
                .owner_references
                .iter()
                .flatten()
                .find(|o| o.controller == Some(true))
                .map(|o| (o.api_version.clone(), o.kind.clone(), o.name.clone())),
            scheduled_condition: conditions().find(|c| c.type_ == "PodScheduled").map(|c| Condition {
                status: c.status.clone(),
                reason: c.reason.clone().unwrap_or_default(),
                message: c.message.clone().unwrap_or_default(),
                transition: c.last_transition_time.as_ref().map(|t| t.0.to_string()),
            }),
            labels,
        };
        Self { node: spec.node_name.as_deref().unwrap_or_default().into(), facts: Arc::new(facts) }
    }
    /// The pod as it would be on a node.
    #[must_use]
    pub fn on(&self, node: Arc<str>) -> Self {
        Self { node, facts: self.facts.clone() }
    }
    /// Whether plugins that look at nothing but the pod's demands and one node ([`crate::framework::Plugin::local`])
    /// see the same pod in both.
    pub fn same_demands(&self, o: &Self) -> bool {
        Arc::ptr_eq(&self.facts, &o.facts)
            || (self.charged == o.charged
                && self.requests == o.requests
                && self.scored == o.scored
                && self.ports == o.ports
                && self.features == o.features
                && self.tolerations == o.tolerations
                && self.required_node == o.required_node)
    }
    /// Whether it belongs to a node, or may soon.
    pub fn placed(&self) -> bool {
        !self.node.is_empty() || !self.nominated.is_empty()
    }
}

/// Images without a tag are `latest`.
pub fn image_name(image: &str) -> String {
    if image.rfind(':') <= image.rfind('/') { format!("{image}:latest") } else { image.to_owned() }
}

fn host_ports(spec: &core::PodSpec) -> Vec<HostPort> {
    // Sidecars keep their ports, other init containers are done with theirs.
    let sidecars =
        spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let mut out = Vec::new();
    for p in spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten()) {
        if let Some(port) = p.host_port.filter(|p| *p > 0) {
            out.push(HostPort {
                ip: p.host_ip.clone().filter(|i| !i.is_empty()).unwrap_or_else(|| "0.0.0.0".into()),
                protocol: p.protocol.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "TCP".into()),
                port,
            });
        }
    }
    out
}

fn volumes(pod: &str, spec: &core::PodSpec) -> (Vec<ClaimRef>, Vec<Disk>, Vec<String>) {
    let (mut claims, mut disks, mut images) = (Vec::new(), Vec::new(), Vec::new());
    for v in spec.volumes.iter().flatten() {
        if let Some(c) = &v.persistent_volume_claim {
            claims.push(ClaimRef { name: c.claim_name.clone(), ephemeral: false });
        } else if v.ephemeral.is_some() {
            claims.push(ClaimRef { name: format!("{pod}-{}", v.name), ephemeral: true });
        } else if let Some(i) = &v.image {
            images.push(image_name(i.reference.as_deref().unwrap_or_default()));
        } else if let Some(d) = &v.gce_persistent_disk {
            disks.push(Disk::Gce { name: d.pd_name.clone(), read_only: d.read_only.unwrap_or(false) });
        } else if let Some(d) = &v.aws_elastic_block_store {
            disks.push(Disk::Aws { id: d.volume_id.clone() });
        } else if let Some(d) = &v.iscsi {
            disks.push(Disk::Iscsi { iqn: d.iqn.clone(), read_only: d.read_only.unwrap_or(false) });
        } else if let Some(d) = &v.rbd {
            disks.push(Disk::Rbd {
                monitors: d.monitors.clone(),
                pool: d.pool.clone().unwrap_or_default(),
                image: d.image.clone(),
                read_only: d.read_only.unwrap_or(false),
            });
        }
    }
    (claims, disks, images)
}
