//! Priority: pods get the number and the preemption policy of their priority class
//! (plugin/pkg/admission/priority).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Status, Value};
use std::sync::Arc;

const GROUP: &str = "scheduling.k8s.io";

pub(crate) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }
    fn handles(&self, op: Operation) -> bool {
        op != Operation::Connect
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.subresource.is_empty() {
            return Ok(());
        }
        if a.is("", "pods") {
            match a.operation {
                Operation::Create => return create(a, l, &POD),
                Operation::Update => keep(a),
                _ => {}
            }
        } else if a.creates() && a.is(GROUP, "podgroups") && schema::facts::gate("GenericWorkload") {
            return create(a, l, &POD_GROUP);
        } else if a.creates() && a.is(GROUP, "compositepodgroups") && schema::facts::gate("CompositePodGroup")
        {
            return create(a, l, &COMPOSITE);
        }
        Ok(())
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is(GROUP, "priorityclasses") || !a.subresource.is_empty() || !a.obj().bool_at("globalDefault") {
            return Ok(());
        }
        match default_class(l) {
            Some(d) if a.creates() || (a.updates() && d.name() != a.obj().name()) => {
                Err(a.forbidden(format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    d.name()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// How a kind's messages name it.
struct Kind {
    group: &'static str,
    what: &'static str,
}
const POD: Kind = Kind { group: "", what: "pod spec" };
const POD_GROUP: Kind = Kind { group: "pod group", what: "pod group spec" };
const COMPOSITE: Kind = Kind { group: "composite pod group", what: "composite pod group spec" };

/// An update that leaves the fields out keeps them; validation sees to other changes.
fn keep(a: &mut Attributes<'_>) {
    let Some(old) = a.old else { return };
    let Some(new) = a.object.as_deref_mut() else { return };
    for field in ["spec.priority", "spec.preemptionPolicy"] {
        if new.at(field).is_none()
            && let Some(v) = old.at(field)
        {
            new.set_at(field, v.clone());
        }
    }
}

fn create(a: &mut Attributes<'_>, l: &dyn Lookup, kind: &Kind) -> Result<(), Status> {
    let name = a.obj().str_at("spec.priorityClassName").to_owned();
    let class = if name.is_empty() {
        default_class(l)
    } else {
        match l.get(GROUP, "priorityclasses", "", &name) {
            Some(c) => Some(c),
            None => return Err(a.forbidden(format!("no PriorityClass with name {name} was found"))),
        }
    };
    let (class_name, value, policy) = match &class {
        Some(c) => {
            (c.name().to_owned(), c.i64_at("value").unwrap_or(0), c.str_at("preemptionPolicy").to_owned())
        }
        None => (String::new(), 0, "PreemptLowerPriority".to_owned()),
    };
    if let Some(given) = a.obj().i64_at("spec.priority").filter(|g| *g != value) {
        return Err(a.forbidden(if kind.group.is_empty() {
            format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                 controller computed {value} from the given PriorityClass name"
            )
        } else {
            format!(
                "priority set in the {} ({given}) must match the priority computed ({value}) based on the priority \
                 class set in the spec",
                kind.group
            )
        }));
    }
    let given = a.obj().str_at("spec.preemptionPolicy");
    let set_policy =
        !policy.is_empty() && (kind.group.is_empty() || schema::facts::gate("PodGroupPreemptionPolicy"));
    if set_policy && !given.is_empty() && given != policy {
        return Err(a.forbidden(format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in {}; priority admission controller \
             computed {policy} from the given PriorityClass name",
            kind.what
        )));
    }
    if let Some(obj) = a.object.as_deref_mut() {
        if !class_name.is_empty() {
            obj.set_at("spec.priorityClassName", class_name);
        }
        obj.set_at("spec.priority", value);
        if set_policy {
            obj.set_at("spec.preemptionPolicy", policy);
        }
    }
    Ok(())
}

/// The class of pods that name none: the lowest, where a race has made several.
fn default_class(l: &dyn Lookup) -> Option<Arc<Value>> {
    let all = l.list(GROUP, "priorityclasses", "");
    all.into_iter().filter(|c| c.bool_at("globalDefault")).min_by_key(|c| c.i64_at("value").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    fn class(name: &str, value: i64, default: bool) -> Value {
        let mut c = json!({"metadata": {"name": name}, "value": value, "preemptionPolicy": "Never"});
        if default {
            c["globalDefault"] = true.into();
        }
        c
    }

    #[test]
    fn resolves_classes() {
        let none = Store::default();
        let some = Store::default()
            .with("scheduling.k8s.io/priorityclasses", class("high", 100, false))
            .with("scheduling.k8s.io/priorityclasses", class("std", 7, true));
        let run = |s: &Store, spec: Value| {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
            Ask::new("create pods").run(&Priority, s, &mut pod, None).map(|()| pod["spec"].clone())
        };
        assert_eq!(
            run(&none, json!({})),
            Ok(json!({"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}))
        );
        assert_eq!(
            run(&some, json!({})),
            Ok(json!({"priorityClassName": "std", "priority": 7, "preemptionPolicy": "Never"}))
        );
        assert_eq!(
            run(&some, json!({"priorityClassName": "high", "priority": 100})).unwrap()["priority"],
            100
        );
        assert_eq!(
            run(&some, json!({"priorityClassName": "x"})),
            Err(r#"pods "p" is forbidden: no PriorityClass with name x was found"#.into())
        );
        assert_eq!(
            run(&some, json!({"priority": 3})),
            Err(r#"pods "p" is forbidden: the integer value of priority (3) must not be provided in pod spec; priority admission controller computed 7 from the given PriorityClass name"#.into())
        );
        assert!(run(&some, json!({"preemptionPolicy": "PreemptLowerPriority"})).is_err());
    }

    #[test]
    fn updates_keep_the_number() {
        let old = json!({"metadata": {"name": "p"}, "spec": {"priority": 0, "preemptionPolicy": "Never"}});
        let mut new = json!({"metadata": {"name": "p"}, "spec": {}});
        Ask::new("update pods").run(&Priority, &Store::default(), &mut new, Some(&old)).unwrap();
        assert_eq!(new, old);
    }

    #[test]
    fn one_default_only() {
        let s = Store::default().with("scheduling.k8s.io/priorityclasses", class("std", 7, true));
        let run = |what: &str, name: &str| {
            Ask::new(what).in_namespace("").run(&Priority, &s, &mut class(name, 1, true), Some(&json!({})))
        };
        assert_eq!(
            run("create scheduling.k8s.io/priorityclasses", "b"),
            Err(r#"priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass std is already marked as default. Only one default can exist"#.into())
        );
        assert_eq!(run("update scheduling.k8s.io/priorityclasses", "std"), Ok(()));
        assert!(run("update scheduling.k8s.io/priorityclasses", "b").is_err());
    }
}
