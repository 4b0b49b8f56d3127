//! AdmissionReview: what a webhook is asked, and what its answer means (apiserver
//! `pkg/admission/plugin/webhook/request`).

use super::Asked;
use super::config::Phase;
use crate::admit::Admission;
use crate::cx::Cx;
use admission::Operation;
use base64::Engine;
use meta::object::ObjectExt;
use meta::{GroupVersionKind, GroupVersionResource, Status, Value};
use serde_json::json;

fn kind(k: &GroupVersionKind) -> Value {
    json!({"group": k.group, "version": k.version, "kind": k.kind})
}

fn resource(r: &GroupVersionResource) -> Value {
    json!({"group": r.group, "version": r.version, "resource": r.resource})
}

/// The options of the request, as an object of `meta.k8s.io/v1`.
fn options(cx: &Cx, a: &Admission<'_>) -> Value {
    let name = match a.operation {
        Operation::Create => "CreateOptions",
        Operation::Update if cx.info.verb == "patch" => "PatchOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut o = json!({"kind": name, "apiVersion": "meta.k8s.io/v1"});
    if a.dry_run {
        o["dryRun"] = json!(["All"]);
    }
    if name != "DeleteOptions" {
        for f in ["fieldManager", "fieldValidation"] {
            if let Some(v) = cx.query.get(f).filter(|v| !v.is_empty()) {
                o[f] = v.into();
            }
        }
    } else {
        for f in ["propagationPolicy"] {
            if let Some(v) = cx.query.get(f) {
                o[f] = v.into();
            }
        }
        if let Some(g) = cx.query.get("gracePeriodSeconds").and_then(|g| g.parse::<i64>().ok()) {
            o["gracePeriodSeconds"] = g.into();
        }
    }
    if name == "PatchOptions"
        && let Some(f) = cx.query.get("force")
    {
        o["force"] = matches!(f, "" | "true" | "1").into();
    }
    o
}

/// The `request` of a review.
pub fn request(cx: &Cx, a: &Admission<'_>, asked: &Asked, uid: &str, object: Value, old: Value) -> Value {
    let u = &cx.user;
    let mut user = json!({"username": u.name});
    if !u.uid.is_empty() {
        user["uid"] = u.uid.clone().into();
    }
    if !u.groups.is_empty() {
        user["groups"] = json!(u.groups);
    }
    if !u.extra.is_empty() {
        user["extra"] = json!(u.extra);
    }
    let own = a.kind.unwrap_or(&cx.res.gvk);
    let mut r = json!({
        "uid": uid,
        "kind": kind(&asked.kind),
        "resource": resource(&asked.resource),
        "requestKind": kind(own),
        "requestResource": resource(&cx.res.gvr),
        "operation": a.operation.as_str(),
        "userInfo": user,
        "object": object,
        "oldObject": old,
        "dryRun": a.dry_run,
        "options": options(cx, a),
    });
    for (f, v) in [
        ("subResource", a.subresource),
        ("requestSubResource", a.subresource),
        ("name", a.name),
        ("namespace", a.namespace),
    ] {
        if !v.is_empty() {
            r[f] = v.into();
        }
    }
    r
}

/// A whole review.
pub fn review(version: &str, request: Value) -> Value {
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": request})
}

/// What a webhook answered.
#[derive(Debug, Default)]
pub struct Verdict {
    pub allowed: bool,
    /// JSON patch, where there is one to apply.
    pub patch: Option<Value>,
    pub result: Value,
    pub warnings: Vec<String>,
    pub annotations: Vec<(String, String)>,
}

/// Reads an answer. The error is what is wrong with it.
pub fn verdict(phase: Phase, version: &str, uid: &str, answer: &[u8]) -> Result<Verdict, String> {
    let v: Value = serde_json::from_slice(answer).map_err(|e| e.to_string())?;
    let invalid = |why: String| format!("received invalid webhook response: {why}");
    let response = v
        .get("response")
        .filter(|r| r.is_object())
        .ok_or_else(|| invalid("webhook response was absent".to_owned()))?;
    let (patch, patch_type) = (response.str_at("patch"), response.get("patchType").filter(|t| !t.is_null()));
    if version == "v1" {
        let (have, want) = (response.str_at("uid"), uid);
        if have != want {
            return Err(invalid(format!("expected response.uid={want:?}, got {have:?}")));
        }
        let gvk = (v.str_at("apiVersion"), v.str_at("kind"));
        if gvk != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(invalid(format!(
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}, Kind={}",
                gvk.0, gvk.1
            )));
        }
        let wrong = match (phase, patch.is_empty(), patch_type) {
            (Phase::Mutating, false, None) => "webhook returned response.patch but not response.patchType",
            (Phase::Mutating, true, Some(_)) => "webhook returned response.patchType but not response.patch",
            (Phase::Validating, false, _) => "validating webhook may not return response.patch",
            (Phase::Validating, _, Some(_)) => "validating webhook may not return response.patchType",
            _ => "",
        };
        if !wrong.is_empty() {
            return Err(invalid(wrong.to_owned()));
        }
        if let Some(t) = patch_type.and_then(Value::as_str)
            && t != "JSONPatch"
        {
            return Err(format!("unsupported patch type {t:?}"));
        }
    }
    let patch = if patch.is_empty() || phase == Phase::Validating {
        None
    } else {
        let undecodable = |e: String| format!("received undecodable patch in webhook response: {e}");
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(patch)
            .map_err(|e| undecodable(e.to_string()))?;
        Some(serde_json::from_slice(&bytes).map_err(|e| undecodable(e.to_string()))?)
    };
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    Ok(Verdict {
        allowed: response.bool_at("allowed"),
        patch,
        result: response.get("status").cloned().unwrap_or_default(),
        warnings: response.array_at("warnings").iter().map(text).collect(),
        annotations: response
            .get("auditAnnotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), text(v)))
            .collect(),
    })
}

/// The answer to a request that a webhook denied.
pub fn denial(webhook: &str, result: &Value) -> Status {
    let mut s: Status = serde_json::from_value(result.clone()).unwrap_or_else(|_| Status {
        code: 0,
        reason: String::new(),
        ..Status::bad_request("")
    });
    let by = format!("admission webhook {webhook:?} denied the request");
    s.code = s.code.max(400);
    s.status = "Failure".to_owned();
    s.message = match (s.message.as_str(), s.reason.as_str()) {
        ("", "") => format!("{by} without explanation"),
        ("", why) | (why, _) => format!("{by}: {why}"),
    };
    s.kind = "Status".to_owned();
    s.api_version = "v1".to_owned();
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        let ask = |phase, version, body: Value| verdict(phase, version, "u", body.to_string().as_bytes());
        let v1 = |response: Value| json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        let ok = ask(Phase::Validating, "v1", v1(json!({"uid": "u", "allowed": true, "warnings": ["w"]})))
            .unwrap();
        assert!(ok.allowed && ok.warnings == ["w"] && ok.patch.is_none());
        let patch = base64::engine::general_purpose::STANDARD.encode("[]");
        for (phase, version, body, want) in [
            (
                Phase::Mutating,
                "v1",
                json!({}),
                "received invalid webhook response: webhook response was absent",
            ),
            (
                Phase::Mutating,
                "v1",
                v1(json!({"uid": "x"})),
                "received invalid webhook response: expected response.uid=\"u\", got \"x\"",
            ),
            (
                Phase::Mutating,
                "v1",
                json!({"response": {"uid": "u"}}),
                "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got , Kind=",
            ),
            (
                Phase::Mutating,
                "v1",
                v1(json!({"uid": "u", "patch": patch})),
                "received invalid webhook response: webhook returned response.patch but not response.patchType",
            ),
            (
                Phase::Validating,
                "v1",
                v1(json!({"uid": "u", "patch": patch})),
                "received invalid webhook response: validating webhook may not return response.patch",
            ),
            (
                Phase::Mutating,
                "v1",
                v1(json!({"uid": "u", "patch": patch, "patchType": "Merge"})),
                "unsupported patch type \"Merge\"",
            ),
        ] {
            assert_eq!(ask(phase, version, body).unwrap_err(), want);
        }
        // Reviews of v1beta1 are taken as they come.
        let old =
            ask(Phase::Mutating, "v1beta1", json!({"response": {"allowed": true, "patch": patch}})).unwrap();
        assert_eq!(old.patch, Some(json!([])));
    }

    #[test]
    fn denials_say_who() {
        for (result, code, message) in [
            (Value::Null, 400, "admission webhook \"w\" denied the request without explanation"),
            (json!({"reason": "no"}), 400, "admission webhook \"w\" denied the request: no"),
            (
                json!({"message": "m", "reason": "no", "code": 403}),
                403,
                "admission webhook \"w\" denied the request: m",
            ),
            (
                json!({"code": 200, "status": "Success"}),
                400,
                "admission webhook \"w\" denied the request without explanation",
            ),
        ] {
            let s = denial("w", &result);
            assert_eq!((s.code, s.message.as_str(), s.status.as_str()), (code, message, "Failure"));
        }
    }
}
