//! `AdmissionReview` (admission.k8s.io v1 and v1beta1): what a webhook is asked, and what it answers.

use super::calling::Call;
use crate::admit::Admission;
use crate::cx::Cx;
use crate::sub::user_info;
use base64::Engine;
use meta::object::ObjectExt;
use meta::{GroupVersionKind, GroupVersionResource, Status, Value};
use serde_json::json;

const GROUP: &str = "admission.k8s.io";

fn kind(k: &GroupVersionKind) -> Value {
    json!({"group": k.group, "version": k.version, "kind": k.kind})
}

fn resource(r: &GroupVersionResource) -> Value {
    json!({"group": r.group, "version": r.version, "resource": r.resource})
}

/// The question, as JSON.
pub fn request(c: &Call<'_>, version: &str, uid: &str) -> Vec<u8> {
    let mut r = about(c.cx, c.a, &c.found.info.gvr, &c.found.kind);
    r["options"] = (c.a.options)();
    r["uid"] = uid.into();
    r["object"] = c.object.object.clone().unwrap_or_default();
    r["oldObject"] = c.object.old.clone().unwrap_or_default();
    schema::json::to_vec(
        &json!({"kind": "AdmissionReview", "apiVersion": format!("{GROUP}/{version}"), "request": r}),
    )
}

/// What a request is, without its objects, shown as one of this resource and kind.
pub fn about(cx: &Cx, a: &Admission<'_>, gvr: &GroupVersionResource, gvk: &GroupVersionKind) -> Value {
    let mut r = json!({
        "kind": kind(gvk), "resource": resource(gvr),
        "requestKind": kind(a.kind.unwrap_or(&cx.res.gvk)), "requestResource": resource(&cx.res.gvr),
        "operation": a.operation.as_str(),
        "userInfo": user_info(&cx.user),
        "dryRun": a.dry_run,
    });
    let options = (a.options)();
    if !options.is_null() {
        r["options"] = options;
    }
    for (k, v) in [
        ("subResource", a.subresource),
        ("requestSubResource", a.subresource),
        ("name", a.name),
        ("namespace", a.namespace),
    ] {
        if !v.is_empty() {
            r[k] = v.into();
        }
    }
    r
}

/// What a webhook answered.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    pub allowed: bool,
    pub patch: Option<Value>,
    pub result: Option<Status>,
    pub warnings: Vec<String>,
    pub annotations: Vec<(String, String)>,
}

/// An answer that is none.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Wrong {
    #[error("{0}")]
    Undecodable(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Patch(String),
}

impl Wrong {
    /// What was being done with the answer.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "failed to call webhook",
            Self::Invalid(_) => "received invalid webhook response",
            Self::Patch(_) => "received undecodable patch in webhook response",
        }
    }
}

/// Reads an answer to a review of this version.
pub fn answer(bytes: &[u8], version: &str, uid: &str, mutating: bool) -> Result<Answer, Wrong> {
    let undecodable = |e: String| Wrong::Undecodable(e);
    let v: Value = serde_json::from_slice(bytes)
        .map_err(|e| undecodable(format!("couldn't get version/kind; json parse error: {e}")))?;
    if !v.is_object() {
        return Err(undecodable(
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go value of type struct".into(),
        ));
    }
    for (field, what) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        // The older version's answers were never asked what they are.
        if v.str_at(field).is_empty() && (version == "v1" || field == "kind") {
            let shown: String = String::from_utf8_lossy(bytes).chars().take(256).collect();
            return Err(undecodable(format!("Object '{what}' is missing in '{shown}'")));
        }
    }
    let invalid = |e: String| Err(Wrong::Invalid(e));
    let Some(r) = v.get("response").filter(|r| r.is_object()) else {
        return invalid("webhook response was absent".into());
    };
    if version == "v1" {
        if r.str_at("uid") != uid {
            return invalid(format!("expected response.uid={uid:?}, got {:?}", r.str_at("uid")));
        }
        let (gv, k) = (v.str_at("apiVersion"), v.str_at("kind"));
        if (gv, k) != ("admission.k8s.io/v1", "AdmissionReview") {
            return invalid(format!(
                "expected webhook response of {GROUP}/v1, Kind=AdmissionReview, got {gv}, Kind={k}"
            ));
        }
    }
    let patch = match r.get("patch") {
        None | Some(Value::Null) => Vec::new(),
        Some(p) => base64::engine::general_purpose::STANDARD
            .decode(p.as_str().unwrap_or("!"))
            .map_err(|e| undecodable(format!("illegal base64 data in response.patch: {e}")))?,
    };
    let kind = r.get("patchType").filter(|t| !t.is_null()).map(|t| t.as_str().unwrap_or(""));
    if version == "v1" {
        match (mutating, patch.is_empty(), kind) {
            (true, false, None) => {
                return invalid("webhook returned response.patch but not response.patchType".into());
            }
            (true, true, Some(_)) => {
                return invalid("webhook returned response.patchType but not response.patch".into());
            }
            (true, _, Some("")) => {
                return invalid("webhook returned invalid response.patchType of \"\"".into());
            }
            (false, false, _) => return invalid("validating webhook may not return response.patch".into()),
            (false, _, Some(_)) => {
                return invalid("validating webhook may not return response.patchType".into());
            }
            _ => {}
        }
    }
    let mut out = Answer {
        allowed: r.bool_at("allowed"),
        patch: None,
        result: r
            .get("status")
            .filter(|s| s.is_object())
            .map(|s| serde_json::from_value(s.clone()))
            .transpose()
            .map_err(|e| undecodable(format!("response.status: {e}")))?,
        warnings: r.array_at("warnings").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        annotations: r
            .get("auditAnnotations")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned())))
            .collect(),
    };
    if mutating && out.allowed && !patch.is_empty() {
        let p: Value = serde_json::from_slice(&patch).map_err(|e| Wrong::Patch(e.to_string()))?;
        match p.as_array() {
            None => {
                return Err(Wrong::Patch(
                    "json: cannot unmarshal into Go value of type jsonpatch.Patch".into(),
                ));
            }
            Some(a) if a.is_empty() => {}
            Some(_) if version == "v1" && kind != Some("JSONPatch") => {
                return Err(Wrong::Undecodable(format!("unsupported patch type {:?}", kind.unwrap_or(""))));
            }
            Some(_) => out.patch = Some(p),
        }
    }
    Ok(out)
}

/// The failure of a request that a webhook refused.
pub fn denied(webhook: &str, result: Option<Status>) -> Status {
    let nothing = || Status { code: 0, reason: String::new(), ..Status::bad_request("") };
    let mut s = result.unwrap_or_else(nothing);
    s.kind = "Status".into();
    s.api_version = "v1".into();
    if s.code < 400 {
        s.code = 400;
    }
    if s.status.is_empty() || s.status == "Success" {
        s.status = "Failure".into();
    }
    let by = format!("admission webhook {webhook:?} denied the request");
    s.message = if !s.message.is_empty() {
        format!("{by}: {}", s.message)
    } else if !s.reason.is_empty() {
        format!("{by}: {}", s.reason)
    } else {
        format!("{by} without explanation")
    };
    s
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(response: Value) -> Vec<u8> {
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
            .to_string()
            .into_bytes()
    }

    fn b64(s: &str) -> String {
        base64::engine::general_purpose::STANDARD.encode(s)
    }

    #[test]
    fn answers_that_are_none() {
        let cases = [
            (true, review(Value::Null), "received invalid webhook response: webhook response was absent"),
            (
                true,
                review(json!({"uid": "other", "allowed": true})),
                "received invalid webhook response: expected response.uid=\"u\", got \"other\"",
            ),
            (
                true,
                json!({"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "response": {"uid": "u"}})
                    .to_string()
                    .into_bytes(),
                "received invalid webhook response: expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v1beta1, Kind=AdmissionReview",
            ),
            (
                true,
                review(json!({"uid": "u", "allowed": true, "patch": b64("[]")})),
                "received invalid webhook response: webhook returned response.patch but not response.patchType",
            ),
            (
                true,
                review(json!({"uid": "u", "allowed": true, "patchType": "JSONPatch"})),
                "received invalid webhook response: webhook returned response.patchType but not response.patch",
            ),
            (
                false,
                review(json!({"uid": "u", "allowed": true, "patch": b64("[]")})),
                "received invalid webhook response: validating webhook may not return response.patch",
            ),
            (
                true,
                review(json!({"uid": "u", "allowed": true, "patch": b64("{"), "patchType": "JSONPatch"})),
                "received undecodable patch in webhook response: EOF while parsing an object at line 1 column 1",
            ),
            (true, b"{}".to_vec(), "failed to call webhook: Object 'Kind' is missing in '{}'"),
        ];
        for (mutating, bytes, want) in cases {
            let e = answer(&bytes, "v1", "u", mutating).unwrap_err();
            assert_eq!(format!("{}: {e}", e.stage()), want);
        }
    }

    #[test]
    fn answers() {
        let got = answer(
            &review(
                json!({"uid": "u", "allowed": true, "patchType": "JSONPatch", "patch": b64("[{\"op\":\"remove\",\"path\":\"/a\"}]"),
                "warnings": ["w"], "auditAnnotations": {"k": "v"}}),
            ),
            "v1",
            "u",
            true,
        );
        let want = Answer {
            allowed: true,
            patch: Some(json!([{"op": "remove", "path": "/a"}])),
            result: None,
            warnings: vec!["w".into()],
            annotations: vec![("k".into(), "v".into())],
        };
        assert_eq!(got, Ok(want));
        // The older version says less.
        let old = json!({"kind": "AdmissionReview", "response": {"allowed": true, "patch": b64("[{}]")}});
        let got = answer(old.to_string().as_bytes(), "v1beta1", "u", true).unwrap();
        assert_eq!(got.patch, Some(json!([{}])));
    }

    #[test]
    fn refusals() {
        let of = |v: Value| {
            let s = denied("h.example.com", serde_json::from_value(v).unwrap());
            format!("{} {} {} {}", s.code, s.status, s.reason, s.message)
        };
        let by = "admission webhook \"h.example.com\" denied the request";
        assert_eq!(of(Value::Null), format!("400 Failure  {by} without explanation"));
        assert_eq!(of(json!({"message": "no"})), format!("400 Failure  {by}: no"));
        assert_eq!(
            of(json!({"reason": "Forbidden", "code": 403})),
            format!("403 Failure Forbidden {by}: Forbidden")
        );
        assert_eq!(
            of(json!({"status": "Success", "code": 200, "message": "m"})),
            format!("400 Failure  {by}: m")
        );
    }
}
