//! Bringing stored default roles and bindings up to date at start, without taking away what an administrator added
//! (component-helpers `auth/rbac/reconciliation`).

use crate::PolicyRule;
use crate::rule::missing;
use meta::Value;
use meta::object::ObjectExt;

/// What to do with a stored object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    None,
    Create(Value),
    Update(Value),
    /// The role of a binding cannot change: delete (with the old one's uid as precondition) and create.
    Recreate(Value),
}

/// Compares a default object with the stored one. Missing rules and subjects, labels and annotations are added; an
/// object annotated `rbac.authorization.kubernetes.io/autoupdate: "false"` stays as it is.
pub fn reconcile(expected: &Value, existing: Option<&Value>) -> Action {
    let Some(existing) = existing else { return Action::Create(expected.clone()) };
    if existing.annotation("rbac.authorization.kubernetes.io/autoupdate") == Some("false") {
        return Action::None;
    }
    if expected.get("roleRef") != existing.get("roleRef") {
        return Action::Recreate(expected.clone());
    }
    let mut out = existing.clone();
    for field in ["annotations", "labels"] {
        let Some(Value::Object(wanted)) = expected.get("metadata").and_then(|m| m.get(field)) else {
            continue;
        };
        for (k, v) in wanted {
            if existing.get("metadata").and_then(|m| m.get(field)).and_then(|m| m.get(k)).is_none() {
                let at = out.metadata_mut().entry(field).or_insert_with(|| Value::Object(Default::default()));
                if let Value::Object(m) = at {
                    m.insert(k.clone(), v.clone());
                }
            }
        }
    }
    if expected.get("roleRef").is_some() {
        let known = existing.array_at("subjects");
        add(
            &mut out,
            "subjects",
            expected.array_at("subjects").iter().filter(|s| !known.contains(s)).cloned(),
        );
    } else {
        let lacking = missing(&PolicyRule::of_role(existing), &PolicyRule::of_role(expected));
        add(&mut out, "rules", lacking.iter().map(PolicyRule::to_value));
        const SELECTORS: &str = "aggregationRule.clusterRoleSelectors";
        match expected.get("aggregationRule") {
            None => {
                out.remove_at("aggregationRule");
            }
            Some(_) => {
                let known = existing.array_at(SELECTORS);
                let lacking: Vec<Value> =
                    expected.array_at(SELECTORS).iter().filter(|s| !known.contains(s)).cloned().collect();
                if !lacking.is_empty() {
                    let mut all = known.to_vec();
                    all.extend(lacking);
                    out.set_at(SELECTORS, all);
                }
            }
        }
    }
    if out == *existing { Action::None } else { Action::Update(out) }
}

fn add(obj: &mut Value, field: &str, items: impl Iterator<Item = Value>) {
    let items: Vec<Value> = items.collect();
    if items.is_empty() {
        return;
    }
    let mut all = obj.array_at(field).to_vec();
    all.extend(items);
    obj.set_at(field, all);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bootstrap;
    use serde_json::json;

    #[test]
    fn adds_and_never_takes() {
        for o in bootstrap::objects() {
            assert_eq!(reconcile(&o, None), Action::Create(o.clone()));
            assert_eq!(reconcile(&o, Some(&o)), Action::None);
        }
        let expected = json!({"metadata": {"labels": {"a": "1"}}, "rules": [
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]});
        let existing = json!({"metadata": {"labels": {"a": "2"}}, "rules": [
            {"verbs": ["get"], "apiGroups": ["", "apps"], "resources": ["pods"]}]});
        let Action::Update(u) = reconcile(&expected, Some(&existing)) else { panic!() };
        assert_eq!(u["metadata"]["labels"]["a"], "2");
        assert_eq!(
            u["rules"],
            json!([{"verbs": ["get"], "apiGroups": ["", "apps"], "resources": ["pods"]},
                {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]}])
        );
        let mut kept = existing.clone();
        kept["metadata"]["annotations"] = json!({"rbac.authorization.kubernetes.io/autoupdate": "false"});
        assert_eq!(reconcile(&expected, Some(&kept)), Action::None);

        let b = |role: &str, s: Value| json!({"metadata": {}, "roleRef": {"name": role}, "subjects": s});
        assert_eq!(
            reconcile(&b("x", json!([1])), Some(&b("y", json!([1])))),
            Action::Recreate(b("x", json!([1])))
        );
        assert_eq!(
            reconcile(&b("x", json!([1, 2])), Some(&b("x", json!([3, 1])))),
            Action::Update(b("x", json!([3, 1, 2])))
        );
    }
}
