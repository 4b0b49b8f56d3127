//! `pods/binding` and `bindings`: puts a pod on a node (Kubernetes `pkg/registry/core/pod/storage/storage.go`).

use crate::body::{self, Expect};
use crate::cx::Cx;
use crate::options::WriteOptions;
use crate::write::{self, Update};
use crate::{Result, respond};
use bytes::Bytes;
use http::Response;
use meta::object::ObjectExt;
use meta::{FieldError, GroupKind, Path, Reason, Status, Value};
use serde_json::json;
use serve::Body;

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let ty = schema::facts::type_of("", "v1", "Binding")
        .ok_or_else(|| Status::internal("the facts hold no Binding"))?;
    let want = Expect { group: "", version: "v1", kind: "Binding", any_version: false };
    let b = body::decode_builtin(cx, &cx.headers, input, ty, &want, opts.field_validation)?;
    let name = if cx.info.name.is_empty() { b.name().to_owned() } else { cx.info.name.clone() };
    if b.name() != name {
        return Err(Status::bad_request(format!(
            "name in URL does not match name in Binding object {}",
            b.name()
        ))
        .into());
    }
    let mut errors = meta::ErrorList::new();
    let kind = b.str_at("target.kind");
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported(&Path::new("target.kind"), kind, &["Node", "<empty>"]));
    }
    let node = b.str_at("target.name").to_owned();
    if node.is_empty() {
        errors.push(FieldError::required(&Path::new("target.name"), ""));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&GroupKind::new("", "Binding"), &name, &errors).into());
    }
    let pods = cx.server.resource("", "v1", "pods").ok_or_else(Status::no_such_resource)?;
    let pod_cx = cx.on(pods);
    let update = Update {
        sub: "binding",
        name: &name,
        opts: &opts,
        force_create: false,
        manage: true,
        uid: Some(b.uid().to_owned()).filter(|u| !u.is_empty()),
    };
    let bound = write::update(&pod_cx, &update, &mut |old| {
        bind(&pod_cx, old.cloned().unwrap_or_default(), &b, &node)
    })
    .await;
    match bound {
        Ok(_) => {}
        Err(e) if e.is(Reason::Conflict) || !(e.is(Reason::Invalid) || e.is(Reason::BadRequest)) => {
            return Err(e);
        }
        Err(e) => return Err(Status::conflict(&pod_cx.res.group_resource(), &name, &e.message).into()),
    }
    let mut s = Status::success();
    s.code = 201;
    Ok(respond::status(&s, media))
}

fn bind(cx: &Cx, mut pod: Value, b: &Value, node: &str) -> Result<Value> {
    let conflict =
        |why: String| -> crate::Failure { Status::conflict(&cx.res.group_resource(), b.name(), &why).into() };
    if pod.deletion_timestamp().is_some() {
        return Err(conflict(format!("pod {} is being deleted, cannot be assigned to a host", pod.name())));
    }
    let on = pod.str_at("spec.nodeName");
    if !on.is_empty() {
        return Err(conflict(format!("pod {} is already assigned to node {on:?}", pod.name())));
    }
    if !pod.array_at("spec.schedulingGates").is_empty() {
        return Err(conflict(format!("pod {} has non-empty .spec.schedulingGates", pod.name())));
    }
    let wanted = b.resource_version();
    if !wanted.is_empty() && wanted != pod.resource_version() {
        return Err(Status::modified(&cx.res.group_resource(), b.name()).into());
    }
    pod.set_at("spec.nodeName", node);
    for field in ["annotations", "labels"] {
        let given: Vec<(String, Value)> = b
            .at(&format!("metadata.{field}"))
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        if given.is_empty() {
            continue;
        }
        let have = pod.metadata_mut().entry(field).or_insert_with(|| json!({}));
        if let Some(m) = have.as_object_mut() {
            m.extend(given);
        }
    }
    pod.remove_at("status.nominatedNodeName");
    let now = cx.now.rfc3339();
    let condition = json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": now});
    let mut conditions = pod.array_at("status.conditions").to_vec();
    match conditions.iter_mut().find(|c| c.str_at("type") == "PodScheduled") {
        Some(c) if c.str_at("status") == "True" => {}
        Some(c) => *c = condition,
        None => conditions.push(condition),
    }
    pod.set_at("status.conditions", conditions);
    Ok(pod)
}
