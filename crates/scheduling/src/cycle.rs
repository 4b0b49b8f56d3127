//! One pod, one decision: filter, score, choose (`schedule_one.go`).

use crate::cluster::{Cluster, VolumePlan};
use crate::framework::{Cx, Filter, Plugin, PreFilter, Profile};
use crate::memo::{self, Memo, Remembered, Verdict};
use crate::node::NodeInfo;
use crate::nominator::Nominator;
use crate::plugins::default_preemption::{self, Victims};
use crate::plugins::volume_binding::State as VolumeState;
use crate::pod::PodInfo;
use crate::rng::Rng;
use crate::status::{Code, Diagnosis, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Fewer nodes are always all looked at.
const MIN_FEASIBLE: usize = 100;
const MIN_PERCENT: i64 = 5;

/// The filters of a cycle, each with the plugin it is of.
pub struct Filters {
    all: Vec<(&'static str, Box<dyn Filter>)>,
    /// So many in front are of local plugins.
    local: usize,
}

impl Filters {
    fn new() -> Self {
        Self { all: Vec::new(), local: 0 }
    }
    fn push(&mut self, p: &dyn Plugin, f: Box<dyn Filter>) {
        if p.local() && self.local == self.all.len() {
            self.local += 1;
        }
        self.all.push((p.name(), f));
    }
    pub fn copy(&self) -> Self {
        Self { all: self.all.iter().map(|(n, f)| (*n, f.copy())).collect(), local: self.local }
    }
    fn check(&mut self, cx: Cx<'_>, node: &NodeInfo) -> Result<(), (&'static str, Refusal)> {
        check(&mut self.all, cx, node)
    }
    pub fn add_pod(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo) {
        self.all.iter_mut().for_each(|f| f.1.add_pod(cx, pod, node));
    }
    pub fn remove_pod(&mut self, cx: Cx<'_>, pod: &PodInfo, node: &NodeInfo) {
        self.all.iter_mut().for_each(|f| f.1.remove_pod(cx, pod, node));
    }
    fn get(&mut self, name: &str) -> Option<&mut Box<dyn Filter>> {
        self.all.iter_mut().find(|f| f.0 == name).map(|f| &mut f.1)
    }
}

fn check(
    some: &mut [(&'static str, Box<dyn Filter>)],
    cx: Cx<'_>,
    node: &NodeInfo,
) -> Result<(), (&'static str, Refusal)> {
    for (name, f) in some {
        f.check(cx, node).map_err(|r| (*name, r))?;
    }
    Ok(())
}

/// Whether a node takes a pod, with and without the pods that have been promised a place there.
pub fn check_with_nominated(
    cx: Cx<'_>,
    filters: &mut Filters,
    node: &NodeInfo,
    nominator: &Nominator,
) -> Result<(), Refusal> {
    checked(cx, filters, node, nominator).map_err(|e| e.1)
}

fn checked(
    cx: Cx<'_>,
    filters: &mut Filters,
    node: &NodeInfo,
    nominator: &Nominator,
) -> Result<(), (&'static str, Refusal)> {
    if !nominator.is_empty() {
        let promised: Vec<&Arc<PodInfo>> = nominator
            .on(node.name())
            .filter(|p| p.priority >= cx.pod.priority && p.uid != cx.pod.uid)
            .collect();
        if !promised.is_empty() {
            let (mut with, mut node) = (filters.copy(), node.clone());
            for p in promised {
                node.add(p.clone());
                with.add_pod(cx, p, &node);
            }
            with.check(cx, &node)?;
        }
    }
    filters.check(cx, node)
}

/// A pod's place.
#[derive(Debug)]
pub struct Placement {
    pub slot: usize,
    pub node: Arc<str>,
    pub volumes: Option<VolumePlan>,
    pub evaluated: usize,
    pub feasible: usize,
}

/// Why there is none.
#[derive(Debug)]
pub enum Failure {
    /// The cluster has no nodes.
    NoNodes,
    Unschedulable {
        message: String,
        plugins: BTreeSet<&'static str>,
        victims: Option<Victims>,
        clear_nomination: bool,
    },
    Error(String),
}

/// Finds a place for a pod. `start` is where the search of nodes begins and is moved on; `memo` is of this profile.
pub fn schedule(
    profile: &Profile,
    cluster: &Cluster,
    nominator: &Nominator,
    memo: &mut Memo,
    pod: &Arc<PodInfo>,
    start: &mut usize,
    rng: &mut Rng,
) -> Result<Placement, Failure> {
    let cx = Cx { cluster, pod };
    let all = cluster.order();
    if all.is_empty() {
        return Err(Failure::NoNodes);
    }
    let mut diagnosis = Diagnosis::default();
    let mut filters = Filters::new();
    let mut only: Option<BTreeSet<String>> = None;
    let mut narrowed: BTreeSet<&'static str> = BTreeSet::new();
    for p in &profile.filters {
        match p.pre_filter(cx) {
            PreFilter::Skip => {}
            PreFilter::Run(f) => filters.push(&**p, f),
            PreFilter::Only(f, names) => {
                filters.push(&**p, f);
                narrowed.insert(p.name());
                only = Some(match only {
                    None => names,
                    Some(had) => had.intersection(&names).cloned().collect(),
                });
                if only.as_ref().is_some_and(BTreeSet::is_empty) {
                    let who: Vec<&str> = narrowed.iter().copied().collect();
                    let why = if who.len() == 1 {
                        format!("node(s) didn't satisfy plugin {}", who[0])
                    } else {
                        format!("node(s) didn't satisfy plugin(s) [{}] simultaneously", who.join(" "))
                    };
                    diagnosis.plugins.extend(&narrowed);
                    return refuse(
                        profile,
                        cx,
                        &filters,
                        diagnosis,
                        nominator,
                        Refusal::unresolvable(why),
                        rng,
                    );
                }
            }
            PreFilter::Refuse(r) if r.code == Code::Error => return Err(Failure::Error(r.message())),
            PreFilter::Refuse(r) => {
                diagnosis.plugins.insert(p.name());
                return refuse(profile, cx, &filters, diagnosis, nominator, r, rng);
            }
        }
    }
    diagnosis.plugins.extend(&narrowed);

    let mut known = memo.of(pod, cluster);
    let mut feasible: Vec<usize> = Vec::new();
    // A promised place is looked at first, and alone.
    if let Some(n) = cluster.find(&pod.nominated).filter(|_| !pod.nominated.is_empty())
        && checked(cx, &mut filters, n, nominator).is_ok()
    {
        feasible.push(n.slot);
    }
    if feasible.is_empty() {
        let named: Vec<usize>;
        let nodes = match &only {
            None => all,
            Some(names) => {
                named = names.iter().filter_map(|n| Some(cluster.find(n)?.slot)).collect();
                let who: Vec<&str> = narrowed.iter().copied().collect();
                let why = format!("node(s) didn't satisfy plugin(s) [{}]", who.join(" "));
                diagnosis.absent = Some(Refusal::unresolvable(why));
                &named
            }
        };
        let place = Search { profile, cx, nominator, nodes, start: *start };
        place.run(&mut filters, &mut known, &mut feasible, &mut diagnosis).map_err(Failure::Error)?;
        *start = (*start + feasible.len() + diagnosis.nodes.len()) % all.len();
    }
    let evaluated = feasible.len() + diagnosis.nodes.len();
    let slot = match feasible.as_slice() {
        [] => return fail(profile, cx, &filters, diagnosis, nominator, rng),
        [one] => *one,
        many => best(profile, cx, &mut filters, &mut known, many, rng),
    };
    let node = cluster.node(slot).spec.name.clone();
    let volumes = filters
        .get("VolumeBinding")
        .and_then(|f| f.as_any().downcast_mut::<VolumeState>().and_then(|s| s.plan(slot, &node)))
        .filter(|p| profile.binds_volumes && !p.is_empty());
    Ok(Placement { slot, node, volumes, evaluated, feasible: feasible.len() })
}

/// How many feasible nodes are enough to choose from.
fn enough(profile: &Profile, all: usize) -> usize {
    if all < MIN_FEASIBLE {
        return all;
    }
    let n = i64::try_from(all).unwrap_or(i64::MAX);
    let percent = match profile.percentage_to_score {
        0 => (50 - n / 125).max(MIN_PERCENT),
        p => p,
    };
    usize::try_from(n * percent / 100).unwrap_or(all).max(MIN_FEASIBLE)
}

/// Where places are looked for.
struct Search<'a> {
    profile: &'a Profile,
    cx: Cx<'a>,
    nominator: &'a Nominator,
    nodes: &'a [usize],
    start: usize,
}

impl Search<'_> {
    fn run(
        &self,
        filters: &mut Filters,
        known: &mut Remembered<'_>,
        feasible: &mut Vec<usize>,
        diagnosis: &mut Diagnosis,
    ) -> Result<(), String> {
        let (cx, nodes) = (self.cx, self.nodes);
        let wanted = if self.profile.scores.is_empty() { 1 } else { enough(self.profile, nodes.len()) };
        feasible.reserve(wanted.min(nodes.len()));
        let mut promised = Vec::new();
        if !self.nominator.is_empty() {
            promised.resize(cx.cluster.slots(), false);
            for n in self.nominator.nodes().filter_map(|n| cx.cluster.find(n)) {
                promised[n.slot] = true;
            }
        }
        let mut last = "";
        let mut refuse = |slot: usize, plugin: &'static str, r: &Refusal| {
            if r.code == Code::Error {
                return Err(r.message());
            }
            if last != plugin {
                diagnosis.plugins.insert(plugin);
                last = plugin;
            }
            diagnosis.nodes.insert(slot, r);
            Ok(())
        };
        let (before, after) = nodes.split_at(self.start % nodes.len().max(1));
        for slot in after.iter().chain(before).copied() {
            let node = cx.cluster.node(slot);
            if promised.get(slot) == Some(&true) {
                if let Err((plugin, r)) = checked(cx, filters, node, self.nominator) {
                    refuse(slot, plugin, &r)?;
                    continue;
                }
            } else {
                match known.get(node) {
                    Some(Ok(_)) => {}
                    Some(Err((plugin, r))) => {
                        refuse(slot, plugin, r)?;
                        continue;
                    }
                    None => {
                        if let Err((plugin, r)) = look(self.profile, cx, filters, known, node) {
                            refuse(slot, plugin, &r)?;
                            continue;
                        }
                    }
                }
                let rest = filters.local;
                if let Err((plugin, r)) = check(&mut filters.all[rest..], cx, node) {
                    refuse(slot, plugin, &r)?;
                    continue;
                }
            }
            feasible.push(slot);
            if feasible.len() == wanted {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Asks the local plugins about a node and remembers what they say.
fn look(
    profile: &Profile,
    cx: Cx<'_>,
    filters: &mut Filters,
    known: &mut Remembered<'_>,
    node: &NodeInfo,
) -> Verdict {
    let local = filters.local;
    let verdict = check(&mut filters.all[..local], cx, node).map(|()| memo::own_score(profile, cx, node));
    if !matches!(&verdict, Err((_, r)) if r.code == Code::Error) {
        known.set(node, verdict.clone());
    }
    verdict
}

/// The node with the highest score; chance decides among equals.
fn best(
    profile: &Profile,
    cx: Cx<'_>,
    filters: &mut Filters,
    known: &mut Remembered<'_>,
    nodes: &[usize],
    rng: &mut Rng,
) -> usize {
    let own = |slot: &usize| {
        let node = cx.cluster.node(*slot);
        match known.get(node) {
            Some(Ok(s)) => s,
            _ => memo::own_score(profile, cx, node),
        }
    };
    let mut totals: Vec<i64> = nodes.iter().map(own).collect();
    let mut scores = Vec::new();
    for (p, weight) in &profile.scores {
        scores.clear();
        scores.resize(nodes.len(), 0_i64);
        if p.score(cx, nodes, filters.get(p.name()), &mut scores) {
            for (t, s) in totals.iter_mut().zip(&scores) {
                *t += s * weight;
            }
        }
    }
    let top = totals.iter().copied().max().unwrap_or(0);
    let ties = totals.iter().filter(|t| **t == top).count();
    let pick = rng.below(ties);
    let chosen = totals.iter().zip(nodes).filter(|t| *t.0 == top).nth(pick);
    chosen.map_or(nodes[0], |c| *c.1)
}

/// No node at all, for one reason.
fn refuse(
    profile: &Profile,
    cx: Cx<'_>,
    filters: &Filters,
    mut diagnosis: Diagnosis,
    nominator: &Nominator,
    why: Refusal,
    rng: &mut Rng,
) -> Result<Placement, Failure> {
    diagnosis.before_filter = why.message();
    diagnosis.absent = Some(why);
    fail(profile, cx, filters, diagnosis, nominator, rng)
}

fn fail(
    profile: &Profile,
    cx: Cx<'_>,
    filters: &Filters,
    mut diagnosis: Diagnosis,
    nominator: &Nominator,
    rng: &mut Rng,
) -> Result<Placement, Failure> {
    let (mut victims, mut clear_nomination) = (None, true);
    if let Some(args) = &profile.preemption {
        let random = rng.below(cx.cluster.order().len());
        let o = default_preemption::preempt(args, cx, filters, &diagnosis, nominator, random);
        diagnosis.after_filter = o.message;
        (victims, clear_nomination) = (o.victims, o.clear_nomination);
    }
    Err(Failure::Unschedulable {
        message: diagnosis.message(cx.cluster.order().len()),
        plugins: diagnosis.plugins,
        victims,
        clear_nomination,
    })
}

/// What every plugin says about every node: for tests and for people who wonder.
#[derive(Debug, Default)]
pub struct Explanation {
    /// Why no node is looked at.
    pub refused: Option<String>,
    /// Nodes that are refused, how finally and why.
    pub nodes: BTreeMap<String, (Code, Vec<String>)>,
    /// Weighted scores of the others, by node and plugin.
    pub scores: BTreeMap<String, BTreeMap<&'static str, i64>>,
}

/// Runs all plugins on all nodes.
pub fn explain(profile: &Profile, cluster: &Cluster, pod: &PodInfo) -> Explanation {
    let cx = Cx { cluster, pod };
    let mut e = Explanation::default();
    let mut filters = Filters::new();
    let mut only: Option<BTreeSet<String>> = None;
    for p in &profile.filters {
        match p.pre_filter(cx) {
            PreFilter::Skip => {}
            PreFilter::Run(f) => filters.push(&**p, f),
            PreFilter::Only(f, names) => {
                filters.push(&**p, f);
                only = Some(names);
            }
            PreFilter::Refuse(r) => {
                e.refused = Some(r.message());
                return e;
            }
        }
    }
    let mut ok = Vec::new();
    for node in cluster.nodes() {
        if only.as_ref().is_some_and(|o| !o.contains(node.name())) {
            let why = vec!["not named".to_owned()];
            e.nodes.insert(node.name().to_owned(), (Code::Unresolvable, why));
            continue;
        }
        match filters.check(cx, node) {
            Ok(()) => ok.push(node.slot),
            Err((_, r)) => {
                let reasons = r.reasons.as_slice().iter().map(ToString::to_string).collect();
                e.nodes.insert(node.name().to_owned(), (r.code, reasons));
            }
        }
    }
    let mut scores = vec![0; ok.len()];
    for (p, weight) in &profile.scores {
        scores.fill(0);
        let own = |slot: &usize| p.own_score(cx, cluster.node(*slot));
        if let Some(all) = ok.iter().map(own).collect::<Option<Vec<i64>>>().filter(|a| !a.is_empty()) {
            scores = all;
        } else if !p.score(cx, &ok, filters.get(p.name()), &mut scores) {
            continue;
        }
        {
            for (slot, s) in ok.iter().zip(&scores) {
                let by = e.scores.entry(cluster.node(*slot).name().to_owned()).or_default();
                by.insert(p.name(), s * weight);
            }
        }
    }
    for slot in ok {
        e.scores.entry(cluster.node(slot).name().to_owned()).or_default();
    }
    e
}
