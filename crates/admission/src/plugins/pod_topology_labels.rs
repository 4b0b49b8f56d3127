//! PodTopologyLabels: a bound pod carries the zone and region of its node
//! (plugin/pkg/admission/podtopologylabels).

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::{Map, Status, Value};

const LABELS: &[&str] = &["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

pub(crate) struct PodTopologyLabels;

impl Plugin for PodTopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is("", "pods") || !schema::facts::gate("PodTopologyLabelsAdmission") {
            return Ok(());
        }
        // A binding's labels are copied to the pod when it is bound.
        let node = match a.subresource {
            "" => a.obj().str_at("spec.nodeName"),
            "binding" if a.obj().str_at("target.kind") == "Node" => a.obj().str_at("target.name"),
            _ => "",
        };
        if node.is_empty() {
            return Ok(());
        }
        let node = node.to_owned();
        for key in LABELS {
            if let (Some(Some(v)), Some(o)) = (l.label("", "nodes", "", &node, key), a.object.as_deref_mut())
            {
                let labels = o.metadata_mut().entry("labels").or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(m) = labels {
                    m.insert((*key).into(), v.into());
                }
            }
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
    fn copies_labels() {
        let s = Store::default().with(
            "/nodes",
            json!({"metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z", "other": "x"}}}),
        );
        let run = |what: &str, mut o: Value| {
            Ask::new(what).run(&PodTopologyLabels, &s, &mut o, None).unwrap();
            o.at("metadata.labels").cloned().unwrap_or_default()
        };
        let want = json!({"topology.kubernetes.io/zone": "z"});
        assert_eq!(run("create pods/binding", json!({"target": {"kind": "Node", "name": "n"}})), want);
        assert_eq!(run("create pods", json!({"spec": {"nodeName": "n"}})), want);
        assert_eq!(run("create pods", json!({"spec": {}})), Value::Null);
        assert_eq!(run("create pods", json!({"spec": {"nodeName": "gone"}})), Value::Null);
    }
}
