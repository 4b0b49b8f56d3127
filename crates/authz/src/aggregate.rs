//! The rules of an aggregated ClusterRole (pkg/controller/clusterroleaggregation).

use crate::PolicyRule;
use meta::Value;
use meta::object::ObjectExt;

/// The rules that `role` should have: those of all cluster roles its selectors choose, in the order of the selectors and
/// then of names, each once. `None` where the role has no aggregation rule; an error where a selector is no selector.
pub fn aggregate<'a>(
    role: &Value,
    all: impl IntoIterator<Item = &'a Value>,
) -> Result<Option<Vec<PolicyRule>>, String> {
    if role.get("aggregationRule").is_none_or(Value::is_null) {
        return Ok(None);
    }
    let mut others: Vec<&Value> = all.into_iter().filter(|r| r.name() != role.name()).collect();
    others.sort_by_key(|r| r.name());
    let mut out: Vec<PolicyRule> = Vec::new();
    for selector in role.array_at("aggregationRule.clusterRoleSelectors") {
        let selector = meta::labels::from_label_selector(Some(selector))?;
        for r in &others {
            if !selector.matches(|k| r.label(k)) {
                continue;
            }
            for rule in PolicyRule::of_role(r) {
                if !out.contains(&rule) {
                    out.push(rule);
                }
            }
        }
    }
    Ok(Some(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attributes, bootstrap};

    #[test]
    fn fills_the_default_roles() {
        let mut all: Vec<Value> =
            bootstrap::objects().into_iter().filter(|o| o["kind"] == "ClusterRole").collect();
        // The controller runs until nothing changes: admin takes in edit, edit takes in view.
        for _ in 0..4 {
            for i in 0..all.len() {
                if let Some(rules) = aggregate(&all[i], &all).unwrap() {
                    all[i]["rules"] = rules.iter().map(PolicyRule::to_value).collect();
                }
            }
        }
        let may = |role: &str, verb: &str, group: &str, resource: &str| {
            let role = all.iter().find(|r| r.name() == role).unwrap();
            let a = Attributes {
                verb: verb.into(),
                group: group.into(),
                resource: resource.into(),
                is_resource: true,
                ..Attributes::default()
            };
            PolicyRule::of_role(role).iter().any(|r| r.allows(&a))
        };
        for (role, want) in
            [("view", [true, false, false]), ("edit", [true, true, false]), ("admin", [true, true, true])]
        {
            let got = [
                may(role, "list", "", "pods"),
                may(role, "create", "apps", "deployments"),
                may(role, "create", "rbac.authorization.k8s.io", "roles"),
            ];
            assert_eq!(got, want, "{role}");
        }
        assert_eq!(aggregate(all.iter().find(|r| r.name() == "cluster-admin").unwrap(), &all), Ok(None));
    }
}
