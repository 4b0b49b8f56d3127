//! Arguments of plugins (`pluginConfig`).

use super::Fields;
use crate::matching::{NodeTerm, node_selector};
use crate::plugins::balanced_allocation::BalancedAllocation;
use crate::plugins::default_preemption::DefaultPreemption;
use crate::plugins::inter_pod_affinity::InterPodAffinity;
use crate::plugins::node_affinity::NodeAffinity;
use crate::plugins::resources_fit::{NodeResourcesFit, Strategy};
use crate::plugins::topology_spread::PodTopologySpread;
use crate::plugins::volume_binding::VolumeBinding;
use crate::pod::Spread;
use k8s_openapi::api::core::v1 as core;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Args<'a> {
    pub profile: &'a str,
    pub all: &'a BTreeMap<String, Value>,
}

static NONE: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(Map::new()));

/// Points of utilization and score, scores of 0 to 10 made 0 to 100.
fn shape(at: &str, list: &[Value]) -> Result<Vec<(i64, i64)>, String> {
    let mut out = Vec::new();
    for (i, p) in list.iter().enumerate() {
        let f = Fields::of(&format!("{at}[{i}]"), p, &["utilization", "score"])?;
        let (u, s) = (f.int("utilization")?.unwrap_or(0), f.int("score")?.unwrap_or(0));
        if !(0..=100).contains(&u) || !(0..=10).contains(&s) {
            return Err(format!("{at}[{i}]: Invalid value: utilization 0 to 100, score 0 to 10"));
        }
        if out.last().is_some_and(|l: &(i64, i64)| l.0 >= u) {
            return Err(format!(
                "{at}[{i}].utilization: Invalid value: {u}: utilization values must be sorted in increasing order"
            ));
        }
        out.push((u, s * 10));
    }
    Ok(out)
}

fn resources(at: &str, list: &[Value]) -> Result<Vec<(String, i64)>, String> {
    let mut out = Vec::new();
    for (i, r) in list.iter().enumerate() {
        let f = Fields::of(&format!("{at}[{i}]"), r, &["name", "weight"])?;
        let weight = f.int("weight")?.filter(|w| *w != 0).unwrap_or(1);
        if !(1..=100).contains(&weight) {
            return Err(format!("{at}[{i}].weight: Invalid value: {weight}: not in valid range [1-100]"));
        }
        out.push((f.text("name")?.unwrap_or_default().to_owned(), weight));
    }
    Ok(out)
}

fn texts(f: &Fields<'_>, k: &str) -> Result<Vec<String>, String> {
    let one =
        |v: &Value| v.as_str().map(str::to_owned).ok_or_else(|| format!("{}: expected strings", f.path(k)));
    f.list(k)?.iter().map(one).collect()
}

impl<'a> Args<'a> {
    fn of(&self, name: &str, known: &[&str]) -> Result<Fields<'a>, String> {
        let mut all = vec!["apiVersion", "kind"];
        all.extend(known);
        let v = self.all.get(name).filter(|v| !v.is_null()).unwrap_or(&NONE);
        Fields::of(&format!("profile {}: {name}Args", self.profile), v, &all)
    }
    pub fn default_preemption(&self) -> Result<DefaultPreemption, String> {
        let f =
            self.of("DefaultPreemption", &["minCandidateNodesPercentage", "minCandidateNodesAbsolute"])?;
        let d = DefaultPreemption::default();
        let p = f.int("minCandidateNodesPercentage")?.unwrap_or(d.min_candidates_percent);
        let n = f.int("minCandidateNodesAbsolute")?.unwrap_or(d.min_candidates);
        if !(0..=100).contains(&p) || n < 0 || (p == 0 && n == 0) {
            return Err(format!(
                "{}: minCandidateNodesPercentage must be in [0, 100], minCandidateNodesAbsolute not negative, and not both zero",
                f.at
            ));
        }
        Ok(DefaultPreemption { min_candidates_percent: p, min_candidates: n })
    }
    pub fn node_affinity(&self) -> Result<NodeAffinity, String> {
        let f = self.of("NodeAffinity", &["addedAffinity"])?;
        let Some(a) = f.get("addedAffinity") else { return Ok(NodeAffinity::default()) };
        let a: core::NodeAffinity =
            serde_json::from_value(a.clone()).map_err(|e| format!("{}.addedAffinity: {e}", f.at))?;
        Ok(NodeAffinity {
            added_required: a
                .required_during_scheduling_ignored_during_execution
                .map(|s| Arc::new(node_selector(&s))),
            added_preferred: a
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .map(|t| (t.weight, NodeTerm::of(&t.preference)))
                .collect(),
        })
    }
    pub fn resources_fit(&self) -> Result<NodeResourcesFit, String> {
        let f =
            self.of("NodeResourcesFit", &["ignoredResources", "ignoredResourceGroups", "scoringStrategy"])?;
        let mut p = NodeResourcesFit {
            ignored: Arc::new(texts(&f, "ignoredResources")?),
            ignored_groups: Arc::new(texts(&f, "ignoredResourceGroups")?),
            ..NodeResourcesFit::default()
        };
        if let Some(s) = f.get("scoringStrategy") {
            let at = f.path("scoringStrategy");
            let s = Fields::of(&at, s, &["type", "resources", "requestedToCapacityRatio"])?;
            p.strategy = match s.text("type")?.unwrap_or_default() {
                "LeastAllocated" => Strategy::LeastAllocated,
                "MostAllocated" => Strategy::MostAllocated,
                "RequestedToCapacityRatio" => {
                    let r = s.get("requestedToCapacityRatio").unwrap_or(&NONE);
                    let at = s.path("requestedToCapacityRatio");
                    let r = Fields::of(&at, r, &["shape"])?;
                    let points = shape(&r.path("shape"), r.list("shape")?)?;
                    if points.is_empty() {
                        return Err(format!(
                            "{at}.shape: Required value: at least one point must be specified"
                        ));
                    }
                    Strategy::RequestedToCapacityRatio(points)
                }
                t => return Err(format!("{at}.type: Unsupported value: \"{t}\"")),
            };
            let list = resources(&s.path("resources"), s.list("resources")?)?;
            if !list.is_empty() {
                p.resources = list;
            }
        }
        Ok(p)
    }
    pub fn balanced_allocation(&self) -> Result<BalancedAllocation, String> {
        let f = self.of("NodeResourcesBalancedAllocation", &["resources"])?;
        let list = resources(&f.path("resources"), f.list("resources")?)?;
        if list.is_empty() {
            return Ok(BalancedAllocation::default());
        }
        Ok(BalancedAllocation { resources: list.into_iter().map(|r| r.0).collect() })
    }
    pub fn volume_binding(&self) -> Result<VolumeBinding, String> {
        let f = self.of("VolumeBinding", &["bindTimeoutSeconds", "shape"])?;
        if f.int("bindTimeoutSeconds")?.is_some_and(|t| t < 0) {
            return Err(format!("{}.bindTimeoutSeconds: Invalid value: must not be negative", f.at));
        }
        let points = shape(&f.path("shape"), f.list("shape")?)?;
        Ok(if points.is_empty() { VolumeBinding::default() } else { VolumeBinding { shape: points } })
    }
    pub fn inter_pod_affinity(&self) -> Result<InterPodAffinity, String> {
        let known = ["hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"];
        let f = self.of("InterPodAffinity", &known)?;
        let w = f.int("hardPodAffinityWeight")?.unwrap_or(1);
        if !(0..=100).contains(&w) {
            return Err(format!(
                "{}.hardPodAffinityWeight: Invalid value: {w}: not in valid range [0-100]",
                f.at
            ));
        }
        Ok(InterPodAffinity {
            hard_weight: w,
            ignore_preferred_of_existing: f.bool("ignorePreferredTermsOfExistingPods")?.unwrap_or(false),
        })
    }
    pub fn topology_spread(&self) -> Result<PodTopologySpread, String> {
        let f = self.of("PodTopologySpread", &["defaultConstraints", "defaultingType"])?;
        let list = f.list("defaultConstraints")?;
        match f.text("defaultingType")?.unwrap_or("System") {
            "System" if list.is_empty() => Ok(PodTopologySpread::default()),
            "System" => Err(format!(
                "{}.defaultConstraints: Invalid value: when .defaultingType is System, must be empty",
                f.at
            )),
            "List" => {
                let mut defaults = Vec::new();
                for (i, c) in list.iter().enumerate() {
                    let at = format!("{}[{i}]", f.path("defaultConstraints"));
                    let c: core::TopologySpreadConstraint =
                        serde_json::from_value(c.clone()).map_err(|e| format!("{at}: {e}"))?;
                    if c.label_selector.is_some() {
                        return Err(format!(
                            "{at}.labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod"
                        ));
                    }
                    defaults.push(Spread::of(&c, &BTreeMap::new()));
                }
                Ok(PodTopologySpread { defaults, system: false })
            }
            t => Err(format!("{}.defaultingType: Unsupported value: \"{t}\"", f.at)),
        }
    }
}
