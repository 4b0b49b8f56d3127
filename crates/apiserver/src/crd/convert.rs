//! Conversion between the versions of a custom resource: by name only, or by a webhook (apiextensions-apiserver
//! `pkg/apiserver/conversion`).

use super::definition::Definition;
use crate::{Failure, Result};
use meta::object::ObjectExt;
use meta::{Status, Value};
use serde_json::json;
use std::time::Duration;

/// As the deadline upstream's webhook client has.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An object in another version.
pub async fn convert(def: &Definition, mut obj: Value, to: &str) -> Result<Value> {
    if def.webhook.is_none() {
        if let Some(o) = obj.as_object_mut() {
            o.insert("apiVersion".into(), to.into());
        }
        return Ok(obj);
    }
    let from = obj.str_at("apiVersion").to_owned();
    ask(def, &obj, to).await.map_err(|e| -> Failure {
        let kind = from.split_once('/').map_or_else(String::new, |(g, v)| format!("{g}/{v}"));
        Status::internal(format!("conversion webhook for {kind}, Kind={} failed: {e}", def.kind)).into()
    })
}

async fn ask(def: &Definition, obj: &Value, to: &str) -> std::result::Result<Value, String> {
    let server = def.server.upgrade().ok_or("the server is shutting down")?;
    let hook = def.webhook.as_ref().ok_or("no webhook")?;
    let version = hook
        .target
        .review_versions
        .iter()
        .find(|v| matches!(v.as_str(), "v1" | "v1beta1"))
        .ok_or("no supported conversion review versions")?;
    let uid = server.uuid();
    let review = json!({
        "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{version}"),
        "request": { "uid": uid, "desiredAPIVersion": to, "objects": [obj] },
    });
    let answer = hook.post(&server, "", review.to_string().into(), TIMEOUT).await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|e| e.to_string())?;
    let response = answer.get("response").filter(|r| r.is_object()).ok_or("no response provided")?;
    if version == "v1" {
        let gvk = (answer.str_at("apiVersion"), answer.str_at("kind"));
        if gvk != ("apiextensions.k8s.io/v1", "ConversionReview") {
            return Err(format!(
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}, Kind={}",
                gvk.0, gvk.1
            ));
        }
        if response.str_at("uid") != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", response.str_at("uid")));
        }
    }
    if response.str_at("result.status") != "Success" {
        return Err(match response.str_at("result.message") {
            "" => {
                format!("response.result.status was '{}', not 'Success'", response.str_at("result.status"))
            }
            m => m.to_owned(),
        });
    }
    match response.array_at("convertedObjects") {
        [one] => accept(obj, one.clone(), to),
        many => Err(format!("returned {} objects, expected 1", many.len())),
    }
}

/// Checks what a webhook made of an object: it may change everything but the metadata, of which only labels and
/// annotations are its own.
fn accept(original: &Value, mut out: Value, to: &str) -> std::result::Result<Value, String> {
    if out.str_at("apiVersion") != to {
        return Err(format!(
            "returned invalid object at index 0: invalid groupVersion (expected {to}, received {})",
            out.str_at("apiVersion")
        ));
    }
    let same = [
        ("kind", "kind"),
        ("name", "metadata.name"),
        ("namespace", "metadata.namespace"),
        ("UID", "metadata.uid"),
    ];
    for (what, path) in same {
        let (a, b) = (original.str_at(path), out.str_at(path));
        if a != b {
            return Err(format!("returned invalid object: must have the same {what}: {a} != {b}"));
        }
    }
    let Some(given) = out.metadata().cloned() else {
        return Err("returned invalid metadata: missing metadata in converted object".to_owned());
    };
    let mut m = original.metadata().cloned().unwrap_or_default();
    for k in ["labels", "annotations"] {
        match given.get(k).filter(|v| !v.is_null()) {
            None => drop(m.remove(k)),
            Some(v) => {
                let texts = v.as_object().is_some_and(|o| o.values().all(Value::is_string));
                if !texts {
                    return Err(format!("returned invalid metadata: invalid metadata.{k}"));
                }
                m.insert(k.to_owned(), v.clone());
            }
        }
    }
    *out.metadata_mut() = m;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_may_not_change_who_an_object_is() {
        let old = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "u", "labels": {"x": "1"}}});
        let good = json!({"apiVersion": "g/v2", "kind": "K", "spec": 1,
            "metadata": {"name": "a", "uid": "u", "annotations": {"n": "m"}, "generation": 9}});
        let got = accept(&old, good, "g/v2").unwrap();
        assert_eq!(
            got,
            json!({"apiVersion": "g/v2", "kind": "K", "spec": 1, "metadata": {"name": "a", "uid": "u", "annotations": {"n": "m"}}})
        );
        for (bad, why) in [
            (
                json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "a", "uid": "u"}}),
                "groupVersion",
            ),
            (json!({"apiVersion": "g/v2", "kind": "L", "metadata": {"name": "a", "uid": "u"}}), "kind"),
            (json!({"apiVersion": "g/v2", "kind": "K", "metadata": {"name": "b", "uid": "u"}}), "name"),
            (
                json!({"apiVersion": "g/v2", "kind": "K", "metadata": {"name": "a", "uid": "u", "labels": {"a": 1}}}),
                "labels",
            ),
        ] {
            assert!(accept(&old, bad, "g/v2").unwrap_err().contains(why));
        }
    }
}
