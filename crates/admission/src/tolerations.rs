//! Joining lists of tolerations (pkg/util/tolerations, pkg/apis/core/helper).

use meta::Value;
use meta::object::ObjectExt;

/// Both lists as one, without those that another of them takes in.
pub(crate) fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (i, t) in all.iter().enumerate() {
        let redundant = merged.iter().any(|m| takes_in(m, t))
            || all[i + 1..].iter().any(|later| later != t && takes_in(later, t));
        if !redundant {
            merged.push((*t).clone());
        }
    }
    merged
}

/// Whether `wide` tolerates all that `t` does.
fn takes_in(wide: &Value, t: &Value) -> bool {
    if wide == t {
        return true;
    }
    let (key, operator, effect) = (wide.str_at("key"), wide.str_at("operator"), wide.str_at("effect"));
    if t.str_at("key") != key && (!key.is_empty() || operator != "Exists") {
        return false;
    }
    if t.str_at("effect") != effect && !effect.is_empty() {
        return false;
    }
    if effect == "NoExecute"
        && let Some(limit) = wide.i64_at("tolerationSeconds")
        && t.i64_at("tolerationSeconds").is_none_or(|s| s > limit)
    {
        return false;
    }
    match operator {
        "Equal" | "" => t.str_at("operator") == "Equal" && t.str_at("value") == wide.str_at("value"),
        "Exists" => true,
        _ => false,
    }
}

/// Whether each toleration is within one of those allowed; an empty list allows all.
pub(crate) fn all_allowed(list: &[Value], allowed: &[Value]) -> bool {
    allowed.is_empty() || list.iter().all(|t| allowed.iter().any(|w| takes_in(w, t)))
}

/// Whether two tolerations are about the same taints: key, effect, operator and value agree.
pub(crate) fn matches(a: &Value, b: &Value) -> bool {
    ["key", "effect", "operator", "value"].iter().all(|f| a.str_at(f) == b.str_at(f))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keeps_the_widest() {
        let exists = json!({"key": "a", "operator": "Exists"});
        let equal = json!({"key": "a", "operator": "Equal", "value": "1"});
        let short = json!({"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let long = json!({"key": "b", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9});
        let m = |a: &[&Value], b: &[&Value]| {
            let own = |x: &[&Value]| x.iter().map(|v| (*v).clone()).collect::<Vec<_>>();
            merge(&own(a), &own(b))
        };
        assert_eq!(m(&[&equal], &[&exists]), std::slice::from_ref(&exists));
        assert_eq!(m(&[&exists], &[&equal]), std::slice::from_ref(&exists));
        assert_eq!(m(&[&exists], &[&exists]), std::slice::from_ref(&exists));
        assert_eq!(m(&[&short, &equal], &[&long]), [equal, long]);
        let all = json!({"operator": "Exists"});
        assert_eq!(m(&[&exists], &[&all]), std::slice::from_ref(&all));
    }
}
