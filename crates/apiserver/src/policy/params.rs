//! The parameters of a binding (apiserver `pkg/admission/plugin/policy/generic`, `CollectParams`).

use crate::cx::Cx;
use crate::object;
use crate::registry::ResourceInfo;
use meta::object::ObjectExt;
use meta::{GroupVersion, Value, labels};
use std::sync::Arc;

/// Parameters that one binding may select.
const MAX: usize = 1000;

/// The resource of a policy's parameters.
pub fn kind(cx: &Cx, policy: &Value) -> Result<Option<Arc<ResourceInfo>>, String> {
    let Some(k) = policy.at("paramKind").filter(|k| !k.is_null()) else { return Ok(None) };
    let gv = GroupVersion::parse(k.str_at("apiVersion")).unwrap_or_default();
    let found = cx.server.registry().by_kind(&gv.group, &gv.version, k.str_at("kind")).cloned();
    let shown = format!("{}, Kind={}", k.str_at("apiVersion"), k.str_at("kind"));
    found.map(Some).ok_or_else(|| format!("failed to find resource referenced by paramKind: '{shown}'"))
}

/// The objects a binding is to be evaluated with: `None` in it stands for no parameter.
pub async fn collect(
    cx: &Cx,
    kind: Option<&ResourceInfo>,
    binding: &Value,
    namespace: &str,
) -> Result<Vec<Option<Value>>, String> {
    let reference = binding.at("paramRef").filter(|r| !r.is_null());
    let (Some(info), Some(r)) = (kind, reference) else { return Ok(vec![None]) };
    let own = r.str_at("namespace");
    let mut at = "";
    if info.namespaced {
        at = if own.is_empty() { namespace } else { own };
        if at.is_empty() {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .to_owned(),
            );
        }
    } else if !own.is_empty() {
        return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
    }
    let snap = cx.server.store.cached();
    let mut records = Vec::new();
    let mut selector = None;
    match (r.str_at("name"), r.get("selector").filter(|s| !s.is_null())) {
        ("", None) => return Err("one of name or selector must be provided".to_owned()),
        ("", Some(s)) => {
            selector = Some(labels::from_label_selector(Some(s))?);
            snap.scan(&info.scope_prefix(at), "", &mut |r| {
                records.push(Arc::clone(r));
                true
            });
        }
        (_, Some(_)) => return Err("paramRef.name and paramRef.selector are mutually exclusive".to_owned()),
        (name, None) => records.extend(snap.get(&info.key(at, name))),
    }
    let mut out = Vec::new();
    for rec in records {
        let v = object::decode(info, &rec).await.map_err(|e| e.to_string())?;
        if selector.as_ref().is_none_or(|s| s.matches_object(&v)) && out.len() < MAX {
            out.push(Some(v));
        }
    }
    if out.is_empty() && r.str_at("parameterNotFoundAction") == "Deny" {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".to_owned());
    }
    Ok(out)
}
