//! PodNodeSelector: pods of a namespace run on the nodes that its annotation selects
//! (plugin/pkg/admission/podnodeselector).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Map, Reason, Status, Value};
use std::collections::BTreeMap;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const CLUSTER_DEFAULT: &str = "clusterDefaultNodeSelector";

/// The configuration: namespace → what its pods may select at most; `clusterDefaultNodeSelector` → the selector of
/// namespaces without the annotation.
pub(crate) struct PodNodeSelector(pub BTreeMap<String, String>);

impl PodNodeSelector {
    fn selector(&self, a: &Attributes<'_>, l: &dyn Lookup) -> Result<Map<String, Value>, Status> {
        let Some(ns) = l.get("", "namespaces", "", a.namespace) else {
            return Err(Status::internal(format!("namespace {} does not exist", a.namespace)));
        };
        let text = ns.annotation(ANNOTATION).or_else(|| self.0.get(CLUSTER_DEFAULT).map(String::as_str));
        labels(text.unwrap_or(""))
    }
    fn conflict(a: &Attributes<'_>, why: &str) -> Status {
        Status::forbidden(&a.resource.group_resource(), a.obj().name(), why)
    }
}

/// `a=b,c=d` as a map.
fn labels(text: &str) -> Result<Map<String, Value>, Status> {
    let mut out = Map::new();
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let Some((k, v)) = part.split_once('=').filter(|(_, v)| !v.contains('=')) else {
            return Err(Status::failure(Reason::Unknown, format!("invalid selector: {part}")));
        };
        out.insert(k.trim().to_owned(), v.trim().into());
    }
    Ok(out)
}

const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";

fn of_pod(a: &Attributes<'_>) -> Map<String, Value> {
    a.obj().at("spec.nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default()
}

impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let mut merged = self.selector(a, l)?;
        for (k, v) in of_pod(a) {
            if merged.get(&k).is_some_and(|n| *n != v) {
                return Err(Self::conflict(a, CONFLICT));
            }
            merged.insert(k, v);
        }
        if let (Some(pod), false) = (a.object.as_deref_mut(), merged.is_empty()) {
            pod.set_at("spec.nodeSelector", merged);
        }
        self.validate(a, l)
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let of_namespace = self.selector(a, l)?;
        let of_pod = of_pod(a);
        if of_pod.iter().any(|(k, v)| of_namespace.get(k).is_some_and(|n| n != v)) {
            return Err(Self::conflict(a, CONFLICT));
        }
        let allowed = labels(self.0.get(a.namespace).map_or("", String::as_str))?;
        if !allowed.is_empty() && of_pod.iter().any(|(k, v)| allowed.get(k) != Some(v)) {
            return Err(Self::conflict(
                a,
                "pod node label selector labels conflict with its namespace whitelist",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn merges_selectors() {
        let s = Store::default()
            .with("/namespaces", json!({"metadata": {"name": "ns", "annotations": {ANNOTATION: "env=prod"}}}))
            .namespace("plain");
        let p = PodNodeSelector(BTreeMap::from([
            (CLUSTER_DEFAULT.to_owned(), "env=dev".to_owned()),
            ("ns".to_owned(), "env=prod,disk=ssd".to_owned()),
        ]));
        let run = |ns: &str, sel: Value| {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": {"nodeSelector": sel}});
            Ask::new("create pods")
                .in_namespace(ns)
                .run(&p, &s, &mut pod, None)
                .map(|()| pod["spec"]["nodeSelector"].clone())
        };
        assert_eq!(run("ns", json!({"disk": "ssd"})), Ok(json!({"env": "prod", "disk": "ssd"})));
        assert_eq!(run("plain", json!({"a": "b"})), Ok(json!({"env": "dev", "a": "b"})));
        assert!(run("ns", json!({"env": "dev"})).unwrap_err().ends_with(CONFLICT));
        assert!(run("ns", json!({"other": "x"})).unwrap_err().ends_with("whitelist"));
    }
}
