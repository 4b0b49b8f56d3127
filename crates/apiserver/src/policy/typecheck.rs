//! `status.typeChecking` of validating policies: what their expressions would say about the kinds they are for
//! (`pkg/controller/validatingadmissionpolicystatus`). Upstream's controller manager does it; here the server does, which
//! has all schemas at hand.

use crate::cx::Cx;
use crate::registry::{Codec, ResourceInfo};
use crate::server::ApiServer;
use cel::{Provider, Type};
use meta::object::ObjectExt;
use meta::{GroupVersion, Value};
use serde_json::json;
use std::sync::Arc;

/// Kinds that one policy is checked against, at most.
const MAX_KINDS: usize = 10;

/// Checks a policy that was written, if it was not checked in this form.
pub fn written(cx: &Cx, obj: &Value) {
    if !cx.res.is(super::GROUP, "validatingadmissionpolicies") {
        return;
    }
    let generation = obj.generation();
    if obj.at("status.observedGeneration").and_then(Value::as_i64) == Some(generation) {
        return;
    }
    let (server, name) = (cx.server.clone(), obj.name().to_owned());
    let spec = obj.at("spec").cloned().unwrap_or_default();
    cx.server.rt.spawn("policy type check", async move {
        let warnings = check(&server, &spec);
        let mut checking = json!({});
        if !warnings.is_empty() {
            checking["expressionWarnings"] = warnings.into();
        }
        let body = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "status": {"observedGeneration": generation, "typeChecking": checking},
        });
        let uri = format!(
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{name}/status?fieldManager=validatingadmissionpolicy-status&force=true"
        );
        if let Err(e) = server.internal("PATCH", &uri, Some(&body)).await {
            tracing::debug!("status of policy {name}: {e}");
        }
    });
}

fn check(s: &ApiServer, spec: &Value) -> Vec<Value> {
    let (params, own) = match spec.at("paramKind").filter(|p| !p.is_null()) {
        None => (Type::Dyn, None),
        Some(k) => {
            let gv = GroupVersion::parse(k.str_at("apiVersion")).unwrap_or_default();
            let found = s.registry().by_kind(&gv.group, &gv.version, k.str_at("kind")).cloned();
            found.and_then(|i| type_of(&i, "params")).unwrap_or((Type::Dyn, None))
        }
    };
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for info in kinds(s, spec) {
        let Some((object, provider)) = type_of(&info, "object") else { continue };
        let mut providers: Vec<Arc<dyn Provider>> = vec![Arc::new(cel::builtin::Builtin)];
        providers.extend(provider);
        providers.extend(own.clone());
        for (place, why) in cel::policy::type_check(spec, &object, &params, &providers) {
            let text = format!("{}, Kind={}: {why}\n", info.api_version, info.gvk.kind);
            match out.iter_mut().find(|(p, _)| *p == place) {
                Some((_, all)) => all.push(text),
                None => out.push((place, vec![text])),
            }
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out.into_iter().map(|(p, all)| json!({"fieldRef": p, "warning": all.join("\n")})).collect()
}

/// The kinds that a policy names; of rules with wildcards nothing is known.
fn kinds(s: &ApiServer, spec: &Value) -> Vec<Arc<ResourceInfo>> {
    let registry = s.registry();
    let mut out: Vec<Arc<ResourceInfo>> = Vec::new();
    for r in spec.array_at("matchConstraints.resourceRules") {
        let named = |k: &str| -> Vec<String> {
            let all: Vec<&str> = r.array_at(k).iter().filter_map(Value::as_str).collect();
            if all.iter().any(|x| x.contains(['*', '/'])) {
                return Vec::new();
            }
            all.into_iter().map(str::to_owned).collect()
        };
        for g in named("apiGroups") {
            for v in named("apiVersions") {
                for res in named("resources") {
                    if let Some(i) = registry.get(&g, &v, &res).filter(|i| out.iter().all(|o| o.gvr != i.gvr))
                    {
                        out.push(i.clone());
                    }
                }
            }
        }
    }
    out.sort_by(|a, b| (&a.api_version, &a.gvk.kind).cmp(&(&b.api_version, &b.gvk.kind)));
    out.truncate(MAX_KINDS);
    out
}

type Known = (Type, Option<Arc<dyn Provider>>);

fn type_of(i: &ResourceInfo, name: &str) -> Option<Known> {
    match &i.codec {
        Codec::Builtin(b) => Some((cel::builtin::of(b.ty), None)),
        Codec::Custom(c) => {
            let s = structural::Schema::parse(&c.openapi()).ok()?;
            let name = format!("{name}.{}", i.gvk.kind);
            let p: Arc<dyn Provider> = Arc::new(cel::builtin::Custom::new(&s, &name)?);
            Some((Type::object(&name), Some(p)))
        }
    }
}
