//! ExtendedResourceToleration: nodes with special hardware are tainted with its name, and pods that ask for it tolerate
//! that (plugin/pkg/admission/extendedresourcetoleration).

use crate::pod::spec_list_mut;
use crate::resources::is_extended;
use crate::tolerations::matches;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Status, Value};
use serde_json::json;
use std::collections::BTreeSet;

pub(crate) struct ExtendedResourceToleration;

impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let lists = ["spec.containers", "spec.initContainers"];
        let requests =
            lists.iter().flat_map(|l| a.obj().array_at(l)).filter_map(|c| c.at("resources.requests"));
        let names: BTreeSet<String> = requests
            .filter_map(Value::as_object)
            .flat_map(|m| m.keys())
            .filter(|k| is_extended(k))
            .cloned()
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let Some(list) = a.object.as_deref_mut().and_then(|p| spec_list_mut(p, "tolerations")) else {
            return Ok(());
        };
        for name in names {
            let t = json!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
            let mut found = false;
            for have in list.iter_mut().filter(|h| matches(h, &t)) {
                *have = t.clone();
                found = true;
            }
            if !found {
                list.push(t);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};

    #[test]
    fn tolerates_what_it_asks_for() {
        let mut pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "b.com/x": "1", "a.com/y": "2"}}}],
            "tolerations": [{"key": "b.com/x", "operator": "Exists", "effect": "NoSchedule"}]}});
        Ask::new("create pods").run(&ExtendedResourceToleration, &Store::default(), &mut pod, None).unwrap();
        let keys: Vec<&str> =
            pod["spec"]["tolerations"].as_array().unwrap().iter().map(|t| t.str_at("key")).collect();
        assert_eq!(keys, ["b.com/x", "a.com/y"]);
    }
}
