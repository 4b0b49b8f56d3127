//! NodeDeclaredFeatureValidator: a running pod may only be changed in ways that its node knows
//! (plugin/pkg/admission/nodedeclaredfeatures, component-helpers `nodedeclaredfeatures`).

use crate::resources::quantity;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::field::quote;
use meta::object::ObjectExt;
use meta::{Status, Value};

pub(crate) struct NodeDeclaredFeatureValidator;

impl Plugin for NodeDeclaredFeatureValidator {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    // The other half, devices that take node resources, is behind the gate DRANodeAllocatableResources, which is off.
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let node = a.obj().str_at("spec.nodeName");
        if !a.is("", "pods")
            || !a.updates()
            || !matches!(a.subresource, "" | "resize")
            || node.is_empty()
            || a.obj().generation() == a.old().generation()
        {
            return Ok(());
        }
        let needed = needed(a.old(), a.obj());
        if needed.is_empty() {
            return Ok(());
        }
        let Some(node) = l.get("", "nodes", "", node) else {
            return Err(a.forbidden(format!("node {} not found", quote(node))));
        };
        let declared = node.array_at("status.declaredFeatures");
        let lacking: Vec<&str> =
            needed.into_iter().filter(|n| !declared.iter().any(|d| d.as_str() == Some(n))).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        Err(a.forbidden(format!(
            "pod update requires features {} which are not available on node {}",
            lacking.join(", "),
            quote(node.name())
        )))
    }
}

/// The features that a change takes, sorted.
fn needed(old: &Value, new: &Value) -> Vec<&'static str> {
    let mut out = Vec::new();
    if old.at("spec.resources") != new.at("spec.resources") {
        out.push("InPlacePodLevelResourcesVerticalScaling");
    }
    let after = new.array_at("spec.initContainers");
    let mut inits = old.array_at("spec.initContainers").iter().zip(after);
    if inits.any(|(o, n)| o.str_at("restartPolicy") != "Always" && o.get("resources") != n.get("resources")) {
        out.push("InPlacePodVerticalScalingInitContainers");
    }
    let (before, after) = (old.array_at("spec.volumes"), new.array_at("spec.volumes"));
    let limit = |v: &Value| v.at("emptyDir.sizeLimit").and_then(quantity);
    let resized = before.iter().zip(after).any(|(o, n)| {
        o.str_at("name") == n.str_at("name")
            && n.str_at("emptyDir.medium") == "Memory"
            && matches!((limit(o), limit(n)), (Some(a), Some(b)) if a != b)
    });
    if before.len() == after.len() && resized {
        out.push("InPlacePodVerticalScalingMemoryBackedVolumes");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn needs_features() {
        let s = Store::default()
            .with("/nodes", json!({"metadata": {"name": "old"}}))
            .with("/nodes", json!({"metadata": {"name": "new"}, "status": {"declaredFeatures": ["InPlacePodLevelResourcesVerticalScaling"]}}));
        let run = |node: &str, cpu: &str| {
            let pod = |cpu: &str, g: i64| json!({"metadata": {"name": "p", "generation": g}, "spec": {"nodeName": node, "resources": {"requests": {"cpu": cpu}}}});
            Ask::new("update pods/resize").run(
                &NodeDeclaredFeatureValidator,
                &s,
                &mut pod(cpu, 2),
                Some(&pod("1", 1)),
            )
        };
        assert_eq!(run("new", "2"), Ok(()));
        assert_eq!(run("old", "1"), Ok(()));
        assert_eq!(
            run("old", "2"),
            Err(r#"pods "p" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node "old""#.into())
        );
    }
}
