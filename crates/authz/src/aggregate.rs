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
