//! The last-applied annotation of client-side apply, where kubectl moves to server-side apply and back
//! (apimachinery `managedfields/internal/lastapplied*.go`).

use super::{Request, managed_of};
use crate::fieldset::FieldSet;
use crate::typed::{compare, field_set};
use meta::object::ObjectExt;
use serde_json::Value;

pub(super) const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The manager that this is for.
pub(super) const KUBECTL: &str = "kubectl";
/// All annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// The fields that client-side apply set last and that are still as it set them: kubectl may take those over.
pub(super) fn allowed_conflicts(req: &Request<'_>, live: &Value) -> Option<FieldSet> {
    let text = live.annotation(ANNOTATION).filter(|t| !t.is_empty())?;
    let applied: Value = serde_json::from_str(text).ok()?;
    if applied.get("apiVersion")?.as_str()? != req.api_version || managed_of(&applied).is_some() {
        return None;
    }
    crate::typed::validate(&applied, req.schema).ok()?;
    let c = compare(&applied, live, req.schema).ok()?;
    Some(field_set(&applied, req.schema).difference(&c.changed).difference(&c.removed))
}

/// Brings the annotation, if the object has one, up to what was applied.
pub(super) fn refresh(object: &mut Value, config: &Value) {
    if object.annotation(ANNOTATION).is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    if let Some(Value::Object(a)) = config.get_mut("metadata").and_then(|m| m.get_mut("annotations")) {
        a.remove(ANNOTATION);
    }
    let mut text = String::new();
    crate::fieldset::write_json(&config, &mut text);
    text.push('\n');
    let Some(Value::Object(a)) = object.get_mut("metadata").and_then(|m| m.get_mut("annotations")) else {
        return;
    };
    a.remove(ANNOTATION);
    let others: usize = a.iter().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if others + ANNOTATION.len() + text.len() <= MAX_ANNOTATIONS {
        a.insert(ANNOTATION.into(), text.into());
    }
}
