//! Counting all of a namespace, for the quota controller (apiserver `pkg/quota/v1/resources.go` `CalculateUsage`).

use super::evaluate::Counted;
use super::scopes;
use crate::Lookup;
use crate::resources::{self, List};
use meta::object::ObjectExt;
use meta::quantity::{Format, Quantity};
use meta::time::Timestamp;
use meta::{GroupResource, Value};
use std::collections::BTreeSet;

/// The resources whose objects a quota counts, by the names in its `spec.hard`.
pub fn tracked(quota: &Value, l: &dyn Lookup) -> Vec<GroupResource> {
    let hard = resources::parse(quota.at("spec.hard"));
    let mut all: BTreeSet<GroupResource> = BTreeSet::new();
    let special = [
        ("", "pods"),
        ("", "services"),
        ("", "persistentvolumeclaims"),
        ("resource.k8s.io", "resourceclaims"),
        ("", "configmaps"),
        ("", "resourcequotas"),
        ("", "replicationcontrollers"),
        ("", "secrets"),
    ];
    for (group, resource) in special {
        if !Counted::of(group, resource).matching(hard.keys(), l).is_empty() {
            all.insert(GroupResource::new(group, resource));
        }
    }
    for name in hard.keys().filter_map(|k| k.strip_prefix("count/")) {
        let (resource, group) = name.split_once('.').unwrap_or((name, ""));
        all.insert(GroupResource::new(group, resource));
    }
    all.into_iter().collect()
}

/// The `status` that a quota should have: its hard limits, and for each of them what the namespace uses. Names that
/// nothing counts keep their old value.
pub fn current(quota: &Value, now: Timestamp, l: &dyn Lookup) -> Value {
    let hard = resources::parse(quota.at("spec.hard"));
    let mut used = resources::parse(quota.at("status.used"));
    let selectors = scopes::of_quota(quota);
    let mut fresh = List::new();
    for r in tracked(quota, l) {
        let counted = Counted::of(&r.group, &r.resource);
        for name in counted.matching(hard.keys(), l) {
            fresh.entry(name).or_insert_with(|| Quantity::from_units(0, Format::DecimalSi));
        }
        for obj in l.list(&r.group, &r.resource, quota.namespace()) {
            if selectors.iter().all(|s| counted.matches_scope(s, &obj)) {
                resources::add(&mut fresh, &counted.usage(&obj, now, l));
            }
        }
    }
    used.extend(fresh);
    used.retain(|k, _| hard.contains_key(k));
    let mut status = meta::Map::new();
    for (field, list) in [("hard", &hard), ("used", &used)] {
        if !list.is_empty() {
            status.insert(field.into(), resources::to_value(list));
        }
    }
    Value::Object(status)
}
