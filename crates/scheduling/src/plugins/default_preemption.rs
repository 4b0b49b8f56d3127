//! `DefaultPreemption`: a pod that fits nowhere may take the place of less important ones.
//!
//! For nodes where removing pods may help, all less important pods are taken away in thought, and put back one by one as
//! long as the pod still fits: what stays away are the victims. The node whose victims cost least is chosen.

use crate::cluster::{Budget, Owners};
use crate::cycle::{Filters, check_with_nominated};
use crate::framework::{Cx, Plugin};
use crate::node::NodeInfo;
use crate::nominator::Nominator;
use crate::pod::PodInfo;
use crate::status::{Code, Diagnosis, Refusal};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct DefaultPreemption {
    pub min_candidates_percent: i64,
    pub min_candidates: i64,
}

impl Default for DefaultPreemption {
    fn default() -> Self {
        Self { min_candidates_percent: 10, min_candidates: 100 }
    }
}

impl Plugin for DefaultPreemption {
    fn name(&self) -> &'static str {
        "DefaultPreemption"
    }
}

/// Whose place is taken.
#[derive(Clone, Debug)]
pub struct Victims {
    pub slot: usize,
    pub node: String,
    /// The most important first.
    pub pods: Vec<Arc<PodInfo>>,
    pub violations: usize,
}

/// What came of it: the victims, or nothing, with the text for the condition; and whether the nomination is to be cleared.
pub struct Outcome {
    pub victims: Option<Victims>,
    pub message: String,
    pub clear_nomination: bool,
}

impl Outcome {
    fn none(message: String, clear_nomination: bool) -> Self {
        Self { victims: None, message: format!("preemption: {message}"), clear_nomination }
    }
}

/// Looks for victims. `filters` are those of the failed cycle, `random` decides where the search begins.
pub fn preempt(
    args: &DefaultPreemption,
    cx: Cx<'_>,
    filters: &Filters,
    diagnosis: &Diagnosis,
    nominator: &Nominator,
    random: usize,
) -> Outcome {
    if let Err(why) = eligible(cx, diagnosis) {
        return Outcome::none(why.to_owned(), false);
    }
    let all = cx.cluster.order();
    let nodes = diagnosis.may_help(all, cx.cluster.slots());
    let mut told = Diagnosis::default();
    let mut candidates = Vec::new();
    if !nodes.is_empty() {
        let budgets: Vec<&Budget> = cx.cluster.owners.budgets().collect();
        let n = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
        let wanted = (n * args.min_candidates_percent / 100).max(args.min_candidates).min(n);
        let (mut harmless, mut violating) = (0, 0);
        for i in 0..nodes.len() {
            let slot = nodes[(random + i) % nodes.len()];
            match victims_on(cx, filters, cx.cluster.node(slot), &budgets, nominator) {
                Ok(v) => {
                    if v.violations == 0 {
                        harmless += 1;
                    } else {
                        violating += 1;
                    }
                    candidates.push(v);
                    if harmless > 0 && harmless + violating >= wanted {
                        break;
                    }
                }
                Err(r) => {
                    told.nodes.insert(slot, &r);
                }
            }
        }
    }
    if candidates.is_empty() {
        let help = "Preemption is not helpful for scheduling";
        told.absent = Some(Refusal::unresolvable(help));
        return Outcome::none(told.message(all.len()), true);
    }
    let best = choose(candidates);
    let message = best.as_ref().map_or_else(String::new, |v| {
        format!(
            "preemption: found a potential placement for pod on node {}, preempting {} victims",
            v.node,
            v.pods.len()
        )
    });
    Outcome { victims: best, message, clear_nomination: false }
}

fn eligible(cx: Cx<'_>, diagnosis: &Diagnosis) -> Result<(), &'static str> {
    let pod = cx.pod;
    if pod.never_preempts {
        return Err("not eligible due to preemptionPolicy=Never.");
    }
    if let Some(n) = cx.cluster.find(&pod.nominated).filter(|_| !pod.nominated.is_empty()) {
        if diagnosis.of(n.slot) == Code::Unresolvable {
            return Ok(());
        }
        if n.pods.iter().any(|p| p.priority < pod.priority && p.preempted) {
            return Err("not eligible due to a terminating pod on the nominated node.");
        }
    }
    Ok(())
}

/// More important pods have a higher priority, or are older.
fn by_importance(a: &PodInfo, b: &PodInfo) -> std::cmp::Ordering {
    let start = |p: &PodInfo| p.started.unwrap_or(i64::MAX);
    b.priority.cmp(&a.priority).then_with(|| start(a).cmp(&start(b)))
}

fn victims_on(
    cx: Cx<'_>,
    filters: &Filters,
    node: &NodeInfo,
    budgets: &[&Budget],
    nominator: &Nominator,
) -> Result<Victims, Refusal> {
    let less = |p: &&Arc<PodInfo>| p.priority < cx.pod.priority;
    let mut lesser: Vec<Arc<PodInfo>> = node.pods.iter().filter(less).cloned().collect();
    if lesser.is_empty() {
        return Err(Refusal::unresolvable("No preemption victims found for incoming pod"));
    }
    let mut filters = filters.copy();
    let mut node = node.with_pods(|p| !less(&p));
    for p in &lesser {
        filters.remove_pod(cx, p, &node);
    }
    check_with_nominated(cx, &mut filters, &node, nominator)?;
    lesser.sort_by(|a, b| by_importance(a, b));
    let (violating, fine) = split_by_budgets(&lesser, budgets);
    let (mut victims, mut violations) = (Vec::new(), 0);
    let mixed = !violating.is_empty() && !fine.is_empty();
    for (p, violates) in violating.into_iter().map(|p| (p, true)).chain(fine.into_iter().map(|p| (p, false)))
    {
        node.add(p.clone());
        filters.add_pod(cx, &p, &node);
        match check_with_nominated(cx, &mut filters, &node, nominator) {
            Ok(()) => {}
            Err(r) if r.code == Code::Error => return Err(r),
            Err(_) => {
                node.remove(&p.uid);
                filters.remove_pod(cx, &p, &node);
                violations += usize::from(violates);
                victims.push(p);
            }
        }
    }
    if mixed {
        victims.sort_by(|a, b| by_importance(a, b));
    }
    if victims.is_empty() {
        let why = format!("expected at least one victim pod on node \"{}\"", node.name());
        return Err(Refusal::error(why));
    }
    Ok(Victims { slot: node.slot, node: node.name().to_owned(), pods: victims, violations })
}

/// Pods whose removal violates a budget, and the others; each budget allows as many as it says.
fn split_by_budgets(pods: &[Arc<PodInfo>], budgets: &[&Budget]) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
    let mut left: Vec<i64> = budgets.iter().map(|b| b.allowed).collect();
    pods.iter().cloned().partition(|p| {
        for (b, n) in budgets.iter().zip(&mut left).filter(|(b, _)| Owners::covers(b, p)) {
            let _ = b;
            *n -= 1;
            if *n < 0 {
                return true;
            }
        }
        false
    })
}

/// The cheapest: fewest violated budgets, least important victims, fewest, youngest.
fn choose(mut candidates: Vec<Victims>) -> Option<Victims> {
    let keys: [fn(&Victims) -> i64; 5] = [
        |v| -(i64::try_from(v.violations).unwrap_or(i64::MAX)),
        |v| -v.pods.first().map_or(i64::MIN, |p| i64::from(p.priority)),
        |v| -v.pods.iter().map(|p| i64::from(p.priority) + i64::from(i32::MAX) + 1).sum::<i64>(),
        |v| -(i64::try_from(v.pods.len()).unwrap_or(i64::MAX)),
        |v| {
            let top = v.pods.iter().map(|p| p.priority).max().unwrap_or(0);
            let of_top = v.pods.iter().filter(|p| p.priority == top);
            of_top.map(|p| p.started.unwrap_or(i64::MAX)).min().unwrap_or(i64::MIN)
        },
    ];
    for key in keys {
        let best = candidates.iter().map(key).max()?;
        candidates.retain(|c| key(c) == best);
        if candidates.len() == 1 {
            break;
        }
    }
    candidates.into_iter().next()
}
