//! DefaultTolerationSeconds: pods stay on a node for a while after it stops answering
//! (plugin/pkg/admission/defaulttolerationseconds).

use crate::pod::spec_list_mut;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::object::ObjectExt;
use serde_json::json;

pub(crate) struct DefaultTolerationSeconds {
    pub not_ready: i64,
    pub unreachable: i64,
}

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let Some(list) = a.object.as_deref_mut().and_then(|p| spec_list_mut(p, "tolerations")) else {
            return Ok(());
        };
        for (key, seconds) in [
            ("node.kubernetes.io/not-ready", self.not_ready),
            ("node.kubernetes.io/unreachable", self.unreachable),
        ] {
            let tolerated = list.iter().any(|t| {
                let (k, e) = (t.str_at("key"), t.str_at("effect"));
                (k == key || k.is_empty()) && (e == "NoExecute" || e.is_empty())
            });
            if !tolerated {
                list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use meta::Value;

    #[test]
    fn adds_what_is_missing() {
        let p = DefaultTolerationSeconds { not_ready: 300, unreachable: 10 };
        let run = |v: Value| {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": {"tolerations": v}});
            Ask::new("create pods").run(&p, &Store::default(), &mut pod, None).unwrap();
            let all = pod["spec"]["tolerations"].as_array().unwrap();
            all.iter()
                .map(|t| format!("{}:{}", t["key"].as_str().unwrap_or("*"), t["tolerationSeconds"]))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(run(json!([])), "node.kubernetes.io/not-ready:300 node.kubernetes.io/unreachable:10");
        assert_eq!(run(json!([{"operator": "Exists"}])), "*:null");
        assert_eq!(
            run(json!([{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}])),
            "node.kubernetes.io/not-ready:null node.kubernetes.io/unreachable:10"
        );
        assert_eq!(run(json!([{"operator": "Exists", "effect": "NoSchedule"}])).split(' ').count(), 3);
    }
}
