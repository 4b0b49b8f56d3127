//! RuntimeClass: pods get the overhead and the scheduling constraints of their runtime class
//! (plugin/pkg/admission/runtimeclass).

use crate::resources::parse;
use crate::{Attributes, Lookup, Operation, Plugin, tolerations};
use meta::object::ObjectExt;
use meta::{Map, Status, Value};
use std::sync::Arc;

pub(crate) struct RuntimeClass;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

fn class(a: &Attributes<'_>, l: &dyn Lookup) -> Result<Option<Arc<Value>>, Status> {
    let Some(name) = a.obj().at("spec.runtimeClassName").and_then(Value::as_str) else { return Ok(None) };
    match l.get("node.k8s.io", "runtimeclasses", "", name) {
        Some(c) => Ok(Some(c)),
        None => {
            Err(a.forbidden(format!("pod rejected: RuntimeClass {} not found", meta::field::quote(name))))
        }
    }
}

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let Some(class) = class(a, l)? else { return Ok(()) };
        if class.get("overhead").is_some() {
            let fixed = class.at("overhead.podFixed");
            let given = parse(a.obj().at("spec.overhead"));
            if !given.is_empty() && given != parse(fixed) {
                return Err(a.forbidden(MISMATCH));
            }
            if let (Some(pod), Some(fixed)) = (a.object.as_deref_mut(), fixed) {
                pod.set_at("spec.overhead", fixed.clone());
            }
        }
        let Some(scheduling) = class.get("scheduling") else { return Ok(()) };
        let empty = Map::new();
        let wanted = scheduling.get("nodeSelector").and_then(Value::as_object).unwrap_or(&empty);
        let mut selector =
            a.obj().at("spec.nodeSelector").and_then(Value::as_object).cloned().unwrap_or_default();
        for (k, v) in wanted {
            if let Some(p) = selector.get(k).filter(|p| *p != v) {
                return Err(a.forbidden(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{k}] = {}; pod.spec.nodeSelector[{k}] = {}",
                    v.as_str().unwrap_or(""),
                    p.as_str().unwrap_or("")
                )));
            }
            selector.insert(k.clone(), v.clone());
        }
        let merged =
            tolerations::merge(a.obj().array_at("spec.tolerations"), scheduling.array_at("tolerations"));
        let Some(pod) = a.object.as_deref_mut() else { return Ok(()) };
        if !selector.is_empty() {
            pod.set_at("spec.nodeSelector", selector);
        }
        if !merged.is_empty() {
            pod.set_at("spec.tolerations", merged);
        }
        Ok(())
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let class = class(a, l)?;
        let of_pod = a.obj().at("spec.overhead");
        match class.as_deref().filter(|c| c.get("overhead").is_some()) {
            Some(c) if parse(of_pod) != parse(c.at("overhead.podFixed")) => Err(a.forbidden(MISMATCH)),
            Some(_) => Ok(()),
            None if of_pod.is_some() => Err(a.forbidden(
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn applies_the_class() {
        let s = Store::default().with(
            "node.k8s.io/runtimeclasses",
            json!({"metadata": {"name": "kata"}, "overhead": {"podFixed": {"cpu": "100m"}},
                "scheduling": {"nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "kata", "operator": "Exists"}]}}),
        );
        let run = |spec: Value| {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
            Ask::new("create pods").run(&RuntimeClass, &s, &mut pod, None).map(|()| pod["spec"].clone())
        };
        assert_eq!(
            run(json!({"runtimeClassName": "kata", "nodeSelector": {"a": "b"}})),
            Ok(json!({"runtimeClassName": "kata", "nodeSelector": {"a": "b", "kata": "yes"},
                "overhead": {"cpu": "100m"}, "tolerations": [{"key": "kata", "operator": "Exists"}]}))
        );
        assert!(run(json!({"runtimeClassName": "kata", "overhead": {"cpu": "0.1"}})).is_ok());
        assert!(run(json!({"runtimeClassName": "kata", "overhead": {"cpu": "1"}})).is_err());
        assert!(run(json!({"runtimeClassName": "kata", "nodeSelector": {"kata": "no"}})).is_err());
        assert_eq!(
            run(json!({"runtimeClassName": "x"})),
            Err(r#"pods "p" is forbidden: pod rejected: RuntimeClass "x" not found"#.into())
        );
        assert!(run(json!({"overhead": {"cpu": "1"}})).is_err());
        assert_eq!(run(json!({})), Ok(json!({})));
    }
}
