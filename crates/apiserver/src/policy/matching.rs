//! Whether a policy or binding concerns a request (apiserver `pkg/admission/plugin/policy/matching`).

use crate::admit::Admission;
use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::registry::ResourceInfo;
use crate::rules;
use admission::Operation;
use meta::object::ObjectExt;
use meta::{GroupVersionResource, Value, labels};
use std::sync::Arc;

/// The resource (its version, that is) as which the request is matched; `None`: it is not.
pub fn matches(
    cx: &Cx,
    a: &Admission<'_>,
    m: Option<&Value>,
    obj: Option<&Value>,
    old: Option<&Value>,
) -> Result<Option<Arc<ResourceInfo>>, String> {
    let Some(m) = m else { return Ok(Some(cx.res.clone())) };
    if !in_namespace(cx, a, m, obj)? || !selected(m, obj, old)? {
        return Ok(None);
    }
    let equivalent = m.str_at("matchPolicy") != "Exact";
    if by_rules(cx, a, m.array_at("excludeResourceRules"), equivalent).is_some() {
        return Ok(None);
    }
    let rules = m.array_at("resourceRules");
    if rules.is_empty() {
        return Ok(Some(cx.res.clone()));
    }
    Ok(by_rules(cx, a, rules, equivalent))
}

fn in_namespace(cx: &Cx, a: &Admission<'_>, m: &Value, obj: Option<&Value>) -> Result<bool, String> {
    let namespaces = cx.res.is("", "namespaces");
    if a.namespace.is_empty() && !namespaces {
        return Ok(true);
    }
    let Some(s) = m.get("namespaceSelector").filter(|s| !labels::is_empty(s)) else { return Ok(true) };
    let s = labels::from_label_selector(Some(s))?;
    if namespaces && a.subresource.is_empty() && matches!(a.operation, Operation::Create | Operation::Update)
    {
        return Ok(obj.is_some_and(|o| s.matches_object(o)));
    }
    let name = if namespaces { a.name } else { a.namespace };
    let ns = admission::Lookup::get(&Lookup(&cx.server), "", "namespaces", "", name);
    Ok(ns.is_some_and(|n| s.matches_object(&n)))
}

fn selected(m: &Value, obj: Option<&Value>, old: Option<&Value>) -> Result<bool, String> {
    let Some(s) = m.get("objectSelector").filter(|s| !labels::is_empty(s)) else { return Ok(true) };
    let s = labels::from_label_selector(Some(s))?;
    Ok([obj, old].into_iter().flatten().any(|o| s.matches_object(o)))
}

fn by_rules(cx: &Cx, a: &Admission<'_>, rules: &[Value], equivalent: bool) -> Option<Arc<ResourceInfo>> {
    let hits = |gvr: &GroupVersionResource| {
        rules.iter().any(|r| {
            let names = r.array_at("resourceNames");
            rules::matches(r, a, gvr) && (names.is_empty() || names.iter().any(|n| n == a.name))
        })
    };
    if hits(&cx.res.gvr) {
        return Some(cx.res.clone());
    }
    if !equivalent || rules.is_empty() {
        return None;
    }
    let registry = cx.server.registry();
    registry
        .iter()
        .find(|i| {
            i.gvr != cx.res.gvr
                && i.prefix == cx.res.prefix
                && !i.prefix.is_empty()
                && (a.subresource.is_empty() || i.sub(a.subresource).is_some())
                && hits(&i.gvr)
        })
        .cloned()
}
