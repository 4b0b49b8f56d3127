//! ResourceQuota: a namespace may use so much and no more
//! (apiserver `pkg/admission/plugin/resourcequota`, pkg/quota/v1).
//!
//! The plugin charges quotas for what a request adds: it answers with the quotas as they would be, in
//! [`crate::Effects::reservations`]. [`usage`] and [`current`] are for the quota controller, which counts anew.

mod calculate;
mod evaluate;
mod scopes;
#[cfg(test)]
mod tests;

pub use calculate::{current, tracked};
pub use evaluate::usage;

use crate::resources::{self, List};
use crate::{Attributes, Lookup, Operation, Plugin};
use evaluate::Counted;
use meta::object::ObjectExt;
use meta::quantity::Quantity;
use meta::{Reason, Status, Value};
use std::collections::BTreeSet;

/// A resource that may only be consumed where a quota covers it (`limitedResources` of the plugin's configuration).
#[derive(Clone, Debug, Default)]
pub struct LimitedResource {
    pub api_group: String,
    pub resource: String,
    /// Quota names that contain one of these need a quota.
    pub match_contains: Vec<String>,
    /// Objects that match one of these scopes need a quota with such a scope.
    pub match_scopes: Vec<Value>,
}

pub(crate) struct ResourceQuota {
    limited: Vec<LimitedResource>,
}

impl ResourceQuota {
    pub(crate) fn new(limited: Vec<LimitedResource>) -> Self {
        Self { limited }
    }
}

/// Never counted.
const IGNORED: &[(&str, &str)] = &[
    ("", "bindings"),
    ("", "componentstatuses"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("", "events"),
    ("events.k8s.io", "events"),
];

impl Plugin for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let namespace = a.creates() && a.kind.group.is_empty() && a.kind.kind == "Namespace";
        let (group, resource) = (a.resource.group.as_str(), a.resource.resource.as_str());
        if a.namespace.is_empty() || namespace || IGNORED.contains(&(group, resource)) {
            return Ok(());
        }
        let counted = Counted::of(group, resource);
        if !counted.handles(a) {
            return Ok(());
        }
        let quotas: Vec<Value> =
            l.list("", "resourcequotas", a.namespace).iter().map(|q| (**q).clone()).collect();
        if quotas.is_empty() && self.limited.is_empty() {
            return Ok(());
        }
        let changed = self.check(&counted, &quotas, a, l)?;
        if !a.dry_run {
            a.effects.reservations.extend(changed);
        }
        Ok(())
    }
}

/// One quota that is about the object.
struct Covering<'q> {
    quota: &'q Value,
    hard: List,
    used: List,
    /// What the request adds to it.
    delta: List,
}

fn names(list: &List) -> String {
    list.keys().cloned().collect::<Vec<_>>().join(",")
}

fn pretty(list: &List) -> String {
    list.iter().map(|(k, q)| format!("{k}={q}")).collect::<Vec<_>>().join(",")
}

/// `a - b`, never below zero.
fn minus(a: &List, b: &List) -> List {
    let zero = Quantity::parse("0").unwrap_or_else(|_| Quantity::zero());
    let mut out: List = b.keys().map(|k| (k.clone(), zero)).collect();
    for (k, q) in a {
        let d = b.get(k).map_or(*q, |o| q.minus(o));
        out.insert(k.clone(), if d > Quantity::zero() { d } else { zero });
    }
    out
}

impl ResourceQuota {
    fn check(
        &self,
        counted: &Counted<'_>,
        quotas: &[Value],
        a: &Attributes<'_>,
        l: &dyn Lookup,
    ) -> Result<Vec<Value>, Status> {
        let mut object = a.obj().clone();
        if object.namespace().is_empty() {
            object.set_at("metadata.namespace", a.namespace);
        }
        let input = counted.usage(&object, a.now, l);
        let of_here =
            |x: &&LimitedResource| x.api_group == a.resource.group && x.resource == a.resource.resource;
        let limited_names: BTreeSet<&String> = self
            .limited
            .iter()
            .filter(of_here)
            .flat_map(|lim| {
                let positive = input.iter().filter(|(_, q)| **q > Quantity::zero());
                positive.filter(|(k, _)| lim.match_contains.iter().any(|m| k.contains(m))).map(|(k, _)| k)
            })
            .collect();
        let limited_scopes: Vec<&Value> = self
            .limited
            .iter()
            .flat_map(|lim| &lim.match_scopes)
            .filter(|s| counted.matches_scope(s, &object))
            .collect();

        let mut covering: Vec<Covering<'_>> = Vec::new();
        let mut restricted: BTreeSet<String> = BTreeSet::new();
        let mut restricted_scopes: Vec<String> = Vec::new();
        for quota in quotas {
            let selectors = scopes::of_quota(quota);
            let matched = selectors.iter().filter(|s| counted.matches_scope(s, &object));
            restricted_scopes.extend(matched.map(|s| s.str_at("scopeName").to_owned()));
            let hard = resources::parse(quota.at("status.hard"));
            let tracked = counted.matching(hard.keys(), l);
            if tracked.is_empty() || !selectors.iter().all(|s| counted.matches_scope(s, &object)) {
                continue;
            }
            let name = quota.name();
            if let Err(why) = counted.constraints(&tracked, &object) {
                return Err(a.forbidden(format!("failed quota: {name}: {why}")));
            }
            let used = resources::parse(quota.at("status.used"));
            if tracked.iter().any(|t| !used.contains_key(t)) {
                let list = tracked.into_iter().collect::<Vec<_>>().join(",");
                return Err(a.forbidden(format!("status unknown for quota: {name}, resources: {list}")));
            }
            restricted.extend(tracked);
            covering.push(Covering { quota, hard, used, delta: input.clone() });
        }

        let negative: List =
            input.iter().filter(|(_, q)| q.is_negative()).map(|(k, q)| (k.clone(), *q)).collect();
        if !negative.is_empty() {
            return Err(a.forbidden(format!("quota usage is negative for resource(s): {}", names(&negative))));
        }
        let mut uncovered = if a.creates() && covering.is_empty() { input.clone() } else { List::new() };
        if a.updates() {
            let Some(old) = a.old else {
                return Err(
                    a.forbidden("unable to get previous usage since prior version of object was not found")
                );
            };
            // An update that creates has nothing to subtract.
            if old.resource_version().is_empty() {
                uncovered = input.clone();
            } else {
                let delta = minus(&input, &counted.usage(old, a.now, l));
                for c in &mut covering {
                    if scopes::of_quota(c.quota).iter().all(|s| counted.matches_scope(s, old)) {
                        c.delta.clone_from(&delta);
                    }
                }
                uncovered = delta;
            }
        }
        let any = covering.is_empty();
        for c in &mut covering {
            c.delta.retain(|_, q| !q.is_zero());
        }
        covering.retain(|c| !c.delta.is_empty());
        let nothing = if any { uncovered.values().all(Quantity::is_zero) } else { covering.is_empty() };
        if nothing {
            return Ok(Vec::new());
        }

        let missing: Vec<&str> =
            limited_names.iter().filter(|n| !restricted.contains(**n)).map(|n| n.as_str()).collect();
        if !missing.is_empty() {
            return Err(a.forbidden(format!("insufficient quota to consume: {}", missing.join(","))));
        }
        let missing: Vec<String> = limited_scopes
            .iter()
            .filter(|s| counted.has_scopes() && !restricted_scopes.iter().any(|r| r == s.str_at("scopeName")))
            .map(|s| scopes::show(s))
            .collect();
        if !missing.is_empty() {
            let text = format!("insufficient quota to match these scopes: [{}]", missing.join(" "));
            return Err(Status::failure(Reason::Unknown, text));
        }
        covering.iter().filter_map(|c| c.charge(a).transpose()).collect()
    }
}

impl Covering<'_> {
    /// The quota with the request added; `None` where that changes nothing.
    fn charge(&self, a: &Attributes<'_>) -> Result<Option<Value>, Status> {
        let requested: List = self
            .delta
            .iter()
            .filter(|(k, _)| self.hard.contains_key(*k))
            .map(|(k, q)| (k.clone(), *q))
            .collect();
        let mut total = self.used.clone();
        resources::add(&mut total, &requested);
        let over: Vec<&String> = requested
            .keys()
            .filter(|k| matches!((total.get(*k), self.hard.get(*k)), (Some(t), Some(h)) if t > h))
            .collect();
        // What the kubelet and the volume controllers report is a fact, not a wish.
        if !over.is_empty() && a.subresource != "status" {
            let only = |l: &List| -> List {
                over.iter().filter_map(|k| Some(((*k).clone(), *l.get(*k)?))).collect()
            };
            return Err(a.forbidden(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                self.quota.name(),
                pretty(&only(&requested)),
                pretty(&only(&self.used)),
                pretty(&only(&self.hard))
            )));
        }
        if total == self.used {
            return Ok(None);
        }
        let mut quota = self.quota.clone();
        quota.set_at("status.used", resources::to_value(&total));
        Ok(Some(quota))
    }
}
