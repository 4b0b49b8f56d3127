//! `pods/binding` and `bindings`: a pod is given its node.

use super::{decode, success};
use crate::admit::{self, Admission};
use crate::body::Expect;
use crate::cx::Cx;
use crate::object::{direct, set_resource_version};
use crate::options::WriteOptions;
use crate::read::store_failure;
use crate::write::modify;
use crate::{Failure, Result};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{ErrorList, FieldError, GroupResource, GroupVersionKind, Path, Status, Value};
use schema::TypeId;
use serve::Body;
use storage::Outcome;

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
        options: &|| opts.shown(&cx.query, "CreateOptions"),
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
    if opts.dry_run || !store_assigned(&pcx, &b, &name, &now).await? {
        modify(&pcx, &name, opts.dry_run, &mut |pod| assign(pod, &b, &name, &now)).await?;
    }
    success(cx, StatusCode::CREATED)
}

/// Assigns a pod in its stored bytes, most of which stay as they are. `false`: they are not in the usual form.
async fn store_assigned(cx: &Cx, b: &Value, name: &str, now: &str) -> Result<bool> {
    let store = &cx.server.store;
    let key = cx.res.key(&cx.info.namespace, name);
    let mut current = store.latest().await.map_err(|e| store_failure(&e))?.get(&key);
    loop {
        let Some(r) = current else { return Err(cx.not_found(name)) };
        let Some((raw, ty)) = direct(&cx.res, &r) else { return Ok(false) };
        let Some(raw) = assigned(raw, ty, r.mod_revision, b, name, now)? else { return Ok(false) };
        let bytes = schema::proto::wrap(&cx.res.api_version, &cx.res.gvk.kind, &raw).into();
        match store.put(&key, bytes, Some(r.mod_revision), r.lease).await.map_err(|e| store_failure(&e))? {
            Outcome::Done(_) => return Ok(true),
            Outcome::Conflict(now) => current = now,
        }
    }
}

/// Numbers of fields of a pod, its metadata, spec and status.
mod number {
    pub const METADATA: u8 = 1;
    pub const SPEC: u8 = 2;
    pub const STATUS: u8 = 3;
    pub const LABELS: u8 = 11;
    pub const ANNOTATIONS: u8 = 12;
    pub const NODE_NAME: u8 = 10;
    pub const CONDITIONS: u8 = 2;
    pub const NOMINATED: u8 = 11;
}

/// What of a pod [`assign`] looks at.
const LOOKED_AT: &[&[&str]] = &[
    &["metadata", "namespace"],
    &["metadata", "uid"],
    &["metadata", "deletionTimestamp"],
    &["spec", "nodeName"],
    &["spec", "schedulingGates"],
    &["status", "conditions"],
];

/// The message of a pod that is assigned as [`assign`] does it. `None`: it is not as our encoder writes it.
fn assigned(
    raw: &[u8],
    ty: TypeId,
    revision: i64,
    b: &Value,
    name: &str,
    now: &str,
) -> Result<Option<Vec<u8>>> {
    let Ok(mut pod) = schema::proto::decode_fields(raw, ty, LOOKED_AT) else { return Ok(None) };
    set_resource_version(&mut pod, revision);
    assign(&mut pod, b, name, now)?;
    // As it is now; what is not in it is not taken from it.
    let new = schema::proto::encode(&pod, ty);
    Ok(spliced(raw, &new, b))
}

fn spliced(raw: &[u8], new: &[u8], b: &Value) -> Option<Vec<u8>> {
    use schema::proto::{all_fields, bytes_field, with_entries, with_fields};
    let part = |of: u8| Some((bytes_field(raw, of.into())?, bytes_field(new, of.into())?));
    let (metadata, _) = part(number::METADATA)?;
    let mut changes = Vec::new();
    for (field, num) in [("labels", number::LABELS), ("annotations", number::ANNOTATIONS)] {
        let Some(more) = b.metadata().and_then(|m| m.get(field)).and_then(Value::as_object) else { continue };
        let more: Vec<(&str, &str)> =
            more.iter().map(|(k, v)| Some((k.as_str(), v.as_str()?))).collect::<Option<_>>()?;
        changes.push((num, with_entries(&all_fields(metadata, num.into())?, &more)?));
    }
    let changes: Vec<(u8, Vec<&[u8]>)> =
        changes.iter().map(|(n, c)| (*n, c.iter().map(Vec::as_slice).collect())).collect();
    let metadata = with_fields(metadata, &changes)?;
    let (spec, assigned) = part(number::SPEC)?;
    let node = bytes_field(assigned, number::NODE_NAME.into())?;
    let spec = with_fields(spec, &[(number::NODE_NAME, vec![node])])?;
    let (status, assigned) = part(number::STATUS)?;
    let conditions = all_fields(assigned, number::CONDITIONS.into())?;
    // An encoder writes every text, the empty one too.
    let changes = [(number::CONDITIONS, conditions), (number::NOMINATED, vec![&b""[..]])];
    let status = with_fields(status, &changes)?;
    with_fields(
        raw,
        &[(number::METADATA, vec![&metadata]), (number::SPEC, vec![&spec]), (number::STATUS, vec![&status])],
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn bytes_change_as_the_object_does() {
        let ty = schema::facts::type_of("", "v1", "Pod").unwrap();
        let managed = json!([{"manager": "m", "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}}]);
        let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}});
        let condition = |ty: &str, status: &str| {
            json!({"type": ty, "status": status, "reason": "R", "message": "m", "observedGeneration": 3,
                "lastProbeTime": "2026-01-01T00:00:01Z", "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let statuses = [
            json!({}),
            json!({"phase": "Pending", "qosClass": "Burstable", "nominatedNodeName": "x",
                "conditions": [condition("A", "True"), condition("PodScheduled", "False")]}),
            json!({"phase": "Pending", "conditions": [condition("PodScheduled", "True")]}),
            json!({"phase": "Pending", "observedGeneration": 2, "podIPs": [{"ip": "::1"}]}),
        ];
        let labels = [Value::Null, json!({"a": "b", "zz": ""})];
        let bindings = [
            json!({"metadata": {"name": "p", "uid": "u"}, "target": {"name": "n"}}),
            json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "z", "a": "c"}, "annotations": {"k": ""}},
                "target": {"name": "n"}}),
            json!({"metadata": {"uid": "other"}, "target": {"name": "n"}}),
            json!({"metadata": {"resourceVersion": "8"}, "target": {"name": "n"}}),
        ];
        let mut refused = 0;
        for status in &statuses {
            for l in &labels {
                for more in [json!({}), json!({"nodeName": "m"}), json!({"schedulingGates": [{"name": "g"}]})]
                {
                    let mut p = json!({"metadata": {"name": "p", "namespace": "a", "uid": "u", "labels": l, "managedFields": managed},
                        "spec": {"containers": [container], "schedulerName": "s", "priority": 0}, "status": status});
                    for (k, v) in more.as_object().unwrap() {
                        p["spec"][k] = v.clone();
                    }
                    let p = schema::json::canonicalize(p, ty).unwrap().value;
                    let raw = schema::proto::encode(&p, ty);
                    for b in &bindings {
                        let mut whole = schema::proto::decode(&raw, ty).unwrap();
                        set_resource_version(&mut whole, 7);
                        let want = assign(&mut whole, b, "p", "2026-02-03T04:05:06Z");
                        let got = assigned(&raw, ty, 7, b, "p", "2026-02-03T04:05:06Z");
                        match (want, got) {
                            (Ok(()), Ok(got)) => {
                                whole.metadata_mut().remove("resourceVersion");
                                let want = schema::proto::encode(&whole, ty);
                                assert_eq!(got.as_deref(), Some(&*want), "{whole}");
                            }
                            (Err(want), Err(got)) => {
                                refused += 1;
                                assert_eq!(want.message, got.message);
                            }
                            (want, got) => panic!("{want:?} {got:?}"),
                        }
                    }
                }
            }
        }
        assert!(refused > 0);
    }
}
