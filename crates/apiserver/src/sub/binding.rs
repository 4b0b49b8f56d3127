//! `pods/binding` and `bindings`: a pod is given its node.

use super::{decode, success};
use crate::admit::{self, Admission};
use crate::body::Expect;
use crate::cx::Cx;
use crate::options::WriteOptions;
use crate::write::modify;
use crate::{Failure, Result};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{ErrorList, FieldError, GroupResource, GroupVersionKind, Path, Status, Value};
use serve::Body;

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let want = Expect { group: "", version: "v1", kind: "Binding", any_version: false };
    let mut b = decode(cx, input, &want, &opts)?;
    crate::prepare::match_namespace(&cx.res, &cx.info.namespace, &mut b)?;
    let legacy = cx.subresource().is_empty();
    let name = if legacy { b.name().to_owned() } else { cx.info.name.clone() };
    let gvk = GroupVersionKind::new("", "v1", "Binding");
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: cx.subresource(),
        namespace: &cx.info.namespace,
        name: &name,
        dry_run: opts.dry_run,
        kind: Some(&gvk),
        options: opts.shown(&cx.query, "CreateOptions"),
    };
    admit::mutate(cx, &a, Some(&mut b), None).await?;
    if b.name() != name {
        return Err(Status::bad_request("name in URL does not match name in Binding object").into());
    }
    let errors = validate(&b);
    if !errors.is_empty() {
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let text = if text.len() == 1 { text.concat() } else { format!("[{}]", text.join(", ")) };
        let mut s = Status::internal(&text);
        s.message = text;
        return Err(s.into());
    }
    admit::validate(cx, &a, Some(&mut b.clone()), None).await?;
    let pods = cx.server.registry().any_version("", "pods").cloned().ok_or_else(Status::no_such_resource)?;
    let mut pcx = cx.on(pods);
    pcx.info.name = name.clone();
    let now = cx.now.rfc3339();
    modify(&pcx, &name, opts.dry_run, &mut |pod| assign(pod, &b, &name, &now)).await?;
    success(cx, StatusCode::CREATED)
}

fn validate(b: &Value) -> ErrorList {
    let target = Path::new("target");
    let (kind, name) = (b.str_at("target.kind"), b.str_at("target.name"));
    let mut e = ErrorList::new();
    if !matches!(kind, "" | "Node") {
        e.push(FieldError::not_supported(&target.child("kind"), kind, &["Node", "<empty>"]));
    }
    if name.is_empty() {
        e.push(FieldError::required(&target.child("name"), ""));
    } else if matches!(kind, "" | "Node") {
        let bad = meta::names::is_dns1123_subdomain(name).into_iter();
        e.extend(bad.map(|m| FieldError::invalid(&target.child("name"), name, m)));
    }
    e
}

fn assign(pod: &mut Value, b: &Value, name: &str, now: &str) -> Result<()> {
    let conflict = |gr: &str, why: String| -> Failure {
        Status::conflict(&GroupResource::new("", gr), name, &why).into()
    };
    let precondition = |what: &str, want: &str, have: &str| {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/pods/{}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: {what} in precondition: {want}, {what} in object meta: {have}",
            pod.namespace()
        );
        Err(conflict("pods", why))
    };
    if !b.uid().is_empty() && b.uid() != pod.uid() {
        return precondition("UID", b.uid(), pod.uid());
    }
    if !b.resource_version().is_empty() && b.resource_version() != pod.resource_version() {
        return precondition("ResourceVersion", b.resource_version(), pod.resource_version());
    }
    let refuse = |why: String| Err(conflict("pods/binding", why));
    if pod.deletion_timestamp().is_some() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.str_at("spec.nodeName");
    if !node.is_empty() {
        return refuse(format!("pod {name} is already assigned to node {node:?}"));
    }
    if !pod.array_at("spec.schedulingGates").is_empty() {
        return refuse(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.set_at("spec.nodeName", b.str_at("target.name"));
    pod.remove_at("status.nominatedNodeName");
    for field in ["annotations", "labels"] {
        let Some(more) = b.metadata().and_then(|m| m.get(field)).and_then(Value::as_object) else { continue };
        let m = pod.metadata_mut();
        let have = m.entry(field).or_insert_with(|| Value::Object(Default::default()));
        if let Value::Object(have) = have {
            for (k, v) in more {
                have.insert(k.clone(), v.clone());
            }
        }
    }
    set_condition(pod, "PodScheduled", "", "", now);
    Ok(())
}

/// Sets a condition of a pod to True.
pub fn set_condition(pod: &mut Value, ty: &str, reason: &str, message: &str, now: &str) {
    let mut all = pod.array_at("status.conditions").to_vec();
    let mut c = serde_json::json!({ "type": ty, "status": "True", "lastTransitionTime": now });
    for (k, v) in [("reason", reason), ("message", message)] {
        if !v.is_empty() {
            c[k] = v.into();
        }
    }
    match all.iter_mut().find(|x| x.str_at("type") == ty) {
        Some(old) => {
            if old.str_at("status") == "True"
                && let Some(t) = old.get("lastTransitionTime")
            {
                c["lastTransitionTime"] = t.clone();
            }
            for k in ["observedGeneration", "lastProbeTime"] {
                if let Some(v) = old.get(k) {
                    c[k] = v.clone();
                }
            }
            *old = c;
        }
        None => all.push(c),
    }
    pod.set_at("status.conditions", all);
}
