//! Metadata inside custom resources: of the object itself and of objects embedded in it (apiextensions-apiserver
//! `pkg/apiserver/schema/objectmeta`).

use crate::{Additional, Schema};
use meta::object::ObjectExt;
use meta::{ErrorList, FieldError, Path, Value};
use schema::TypeId;

fn partial() -> Option<TypeId> {
    schema::facts::type_named("meta.v1.PartialObjectMetadata")
}

/// Brings `metadata` of an object into the form of ObjectMeta. What is unknown there is told in `unknown`, with `prefix`
/// before it. `lenient`: members of a wrong type go, one by one, where otherwise the object is refused.
pub fn coerce_metadata(
    v: &mut Value,
    prefix: &str,
    lenient: bool,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let (Some(ty), Some(m)) = (partial(), v.get("metadata").cloned()) else { return Ok(()) };
    let whole = |m: &Value| schema::json::canonicalize(serde_json::json!({ "metadata": m }), ty);
    let (mut good, strict) = match whole(&m) {
        Ok(d) => (d.value, d.strict),
        Err(e) if !lenient => return Err(e.0),
        Err(_) => {
            let mut kept = serde_json::Map::new();
            for (k, x) in m.as_object().into_iter().flatten() {
                let one = Value::Object(std::iter::once((k.clone(), x.clone())).collect());
                if whole(&one).is_ok() {
                    kept.insert(k.clone(), x.clone());
                }
            }
            let d = whole(&Value::Object(kept)).map_err(|e| e.0)?;
            (d.value, d.strict)
        }
    };
    for s in strict {
        // `unknown field "metadata.x"`: the embedded object's own place goes in front.
        unknown.push(if prefix.is_empty() { s } else { s.replacen('"', &format!("\"{prefix}."), 1) });
    }
    let mut m = good.remove_at("metadata").filter(Value::is_object).unwrap_or_else(|| serde_json::json!({}));
    if let Some(m) = m.as_object_mut()
        && m.get("creationTimestamp").is_some_and(Value::is_null)
    {
        m.remove("creationTimestamp");
    }
    if let Some(o) = v.as_object_mut() {
        o.insert("metadata".into(), m);
    }
    Ok(())
}

impl Schema {
    /// Whether an embedded object can be anywhere below.
    pub fn embeds(&self) -> bool {
        self.embedded
            || self.properties.values().any(Self::embeds)
            || self.items.as_ref().is_some_and(|s| s.embeds())
            || matches!(&self.additional, Additional::Schema(s) if s.embeds())
    }

    fn below<'v>(&self, v: &'v mut Value, f: &mut dyn FnMut(&Self, &str, &'v mut Value)) {
        match v {
            Value::Object(o) => {
                for (k, x) in o.iter_mut() {
                    if let Some(s) = self.properties.get(k) {
                        f(s, &format!(".{k}"), x);
                    } else if let Additional::Schema(s) = &self.additional {
                        f(s, &format!(".{k}"), x);
                    }
                }
            }
            Value::Array(a) => {
                if let Some(s) = &self.items {
                    for (i, x) in a.iter_mut().enumerate() {
                        f(s, &format!("[{i}]"), x);
                    }
                }
            }
            _ => {}
        }
    }

    /// Coerces the metadata of embedded objects, not that of the root.
    pub fn coerce(&self, v: &mut Value, lenient: bool, unknown: &mut Vec<String>) -> Result<(), FieldError> {
        if self.embeds() { self.coerce_at(v, "", lenient, unknown) } else { Ok(()) }
    }

    fn coerce_at(
        &self,
        v: &mut Value,
        path: &str,
        lenient: bool,
        unknown: &mut Vec<String>,
    ) -> Result<(), FieldError> {
        if self.embedded && v.is_object() {
            for k in ["apiVersion", "kind"] {
                if let Some(x) = v.get(k).filter(|x| !x.is_string()).cloned() {
                    if !lenient {
                        let at = Path::new(path).child(k);
                        return Err(FieldError::invalid(&at, x, "must be a string"));
                    }
                    v.remove_at(k);
                }
            }
            let m = v.get("metadata").cloned().unwrap_or_default();
            coerce_metadata(v, path, lenient, unknown)
                .map_err(|e| FieldError::invalid(&Path::new(path).child("metadata"), m, e))?;
        }
        let mut failed = Ok(());
        self.below(v, &mut |s, step, x| {
            if failed.is_ok() {
                let at = format!("{path}{step}");
                failed = s.coerce_at(x, at.trim_start_matches('.'), lenient, unknown);
            }
        });
        failed
    }

    /// Validates embedded objects: `apiVersion`, `kind`, metadata.
    pub fn validate_embedded(&self, v: &Value, errors: &mut ErrorList) {
        if self.embeds() {
            self.embedded_at(v, &Path::root(), errors);
        }
    }

    fn embedded_at(&self, v: &Value, path: &Path, errors: &mut ErrorList) {
        if self.embedded && v.is_object() {
            one(v, path, errors);
        }
        match v {
            Value::Object(o) => {
                for (k, x) in o {
                    if let Some(s) = self.properties.get(k) {
                        s.embedded_at(x, &path.child(k), errors);
                    } else if let Additional::Schema(s) = &self.additional {
                        s.embedded_at(x, &path.key(k), errors);
                    }
                }
            }
            Value::Array(a) => {
                for (i, x) in a.iter().enumerate() {
                    if let Some(s) = &self.items {
                        s.embedded_at(x, &path.index(i), errors);
                    }
                }
            }
            _ => {}
        }
    }
}

fn one(v: &Value, path: &Path, errors: &mut ErrorList) {
    let text = |k: &str| v.get(k).and_then(Value::as_str);
    for k in ["apiVersion", "kind"] {
        let at = path.child(k);
        match (v.get(k), text(k)) {
            (None, _) => errors.push(FieldError::required(&at, "")),
            (Some(x), None) => errors.push(FieldError::invalid(&at, x.clone(), "must be a string")),
            (_, Some("")) => errors.push(FieldError::invalid(&at, "", "must not be empty")),
            _ => {}
        }
    }
    if let Some(a) = text("apiVersion").filter(|a| a.matches('/').count() > 1) {
        let why = format!("unexpected GroupVersion string: {a}");
        errors.push(FieldError::invalid(&path.child("apiVersion"), a, why));
    }
    if let Some(k) = text("kind").filter(|k| !k.is_empty()) {
        let bad = meta::names::is_dns1035_label(&k.to_lowercase());
        if !bad.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", bad.join(","));
            errors.push(FieldError::invalid(&path.child("kind"), k, why));
        }
    }
    if v.get("metadata").is_some() {
        let mut named = v.clone();
        if named.name().is_empty() {
            // A name is not required here.
            named.set_at("metadata.name", "fakename");
        }
        let namespaced = !named.namespace().is_empty();
        errors.extend(meta::metav1::validate_object_meta(
            &named,
            namespaced,
            &meta::names::is_path_segment_name,
            &path.child("metadata"),
        ));
    }
}
