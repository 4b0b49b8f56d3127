//! TaintNodesByCondition: a new node is not ready until the node controller says so.

use crate::pod::spec_list_mut;
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::Status;
use meta::object::ObjectExt;
use serde_json::json;

pub(crate) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }
    fn handles(&self, op: Operation) -> bool {
        op == Operation::Create
    }
    fn admit(&self, a: &mut Attributes<'_>, _: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("nodes") {
            return Ok(());
        }
        const KEY: &str = "node.kubernetes.io/not-ready";
        const EFFECT: &str = "NoSchedule";
        let Some(taints) = a.object.as_deref_mut().and_then(|n| spec_list_mut(n, "taints")) else {
            return Ok(());
        };
        if !taints.iter().any(|t| t.str_at("key") == KEY && t.str_at("effect") == EFFECT) {
            taints.push(json!({"key": KEY, "effect": EFFECT}));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};

    #[test]
    fn taints_once() {
        let mut n = json!({"metadata": {"name": "n"}});
        for _ in 0..2 {
            Ask::new("create nodes").run(&TaintNodesByCondition, &Store::default(), &mut n, None).unwrap();
        }
        assert_eq!(
            n["spec"],
            json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]})
        );
    }
}
