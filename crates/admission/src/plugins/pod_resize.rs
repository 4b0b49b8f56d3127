//! PodResizeValidator: a running pod may not grow beyond its node (plugin/pkg/admission/podresize).

use crate::resources::{self, Options};
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::field::quote;
use meta::object::ObjectExt;
use meta::quantity::Quantity;

pub(crate) struct PodResizeValidator;

impl Plugin for PodResizeValidator {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Update
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let node = a.obj().str_at("spec.nodeName");
        if !a.is("", "pods")
            || a.subresource != "resize"
            || node.is_empty()
            || a.obj().generation() == a.old().generation()
        {
            return Ok(());
        }
        let Some(node) = l.get("", "nodes", "", node) else {
            return Err(a.forbidden(format!("node {} not found", quote(node))));
        };
        let refuse = |why: String, reason: &str| Err(a.forbidden(why).with_cause(reason, "", ""));
        if let Some(os) = node.label("kubernetes.io/os").filter(|os| *os != "linux") {
            return refuse(
                format!(
                    "pod resize is only supported on linux nodes, node {} is {}",
                    quote(node.name()),
                    quote(os)
                ),
                "UnsupportedPlatform",
            );
        }
        let allocatable = resources::parse(node.at("status.allocatable"));
        let requests = resources::pod_requests(a.obj(), Options::default());
        let mut over: Vec<String> = Vec::new();
        for name in ["cpu", "memory"] {
            let zero = Quantity::zero();
            let (want, have) = (requests.get(name).unwrap_or(&zero), allocatable.get(name).unwrap_or(&zero));
            if want > have {
                let n = |q: &Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
                over.push(format!("{name}, requested: {}, allocatable: {}", n(want), n(have)));
            }
        }
        if over.is_empty() {
            return Ok(());
        }
        refuse(format!("node didn't have enough allocatable resources: {}", over.join("; ")), "NodeCapacity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    #[test]
    fn fits_the_node() {
        let s = Store::default()
            .with(
                "/nodes",
                json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "2", "memory": "1Gi"}}}),
            )
            .with("/nodes", json!({"metadata": {"name": "w", "labels": {"kubernetes.io/os": "windows"}}}));
        let pod = |node: &str, cpu: &str, generation: i64| {
            json!({"metadata": {"name": "p", "generation": generation}, "spec": {"nodeName": node,
                "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
        };
        let run = |node: &str, cpu: &str| {
            Ask::new("update pods/resize").status(
                &PodResizeValidator,
                &s,
                &mut pod(node, cpu, 2),
                Some(&pod(node, "1", 1)),
            )
        };
        assert!(run("n", "2").is_ok());
        let e = run("n", "3").unwrap_err();
        assert_eq!(
            e.message,
            r#"pods "p" is forbidden: node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000"#
        );
        assert_eq!(e.details.unwrap().causes[0].reason, "NodeCapacity");
        assert!(run("w", "1").is_err() && run("gone", "1").is_err());
    }
}
