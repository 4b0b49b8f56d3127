//! One served version of a custom resource (apiextensions-apiserver `pkg/registry/customresource`,
//! `pkg/apiserver/customresource_handler.go`).

use super::convert::convert;
use super::definition::{Definition, Version};
use crate::custom::{CustomResource, ScalePaths};
use crate::{Failure, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use kinds::Cx;
use meta::field::ErrorType;
use meta::object::ObjectExt;
use meta::time::{Timestamp, human_duration};
use meta::{ErrorList, FieldError, Path, Status, Value};
use schema::Node;
use std::sync::Arc;

/// Errors after which rules are not asked: they may not even understand the object.
const BLOCKING: [ErrorType; 5] = [
    ErrorType::NotSupported,
    ErrorType::Required,
    ErrorType::TooLong,
    ErrorType::TooMany,
    ErrorType::TypeInvalid,
];

pub struct Served {
    def: Arc<Definition>,
    /// Index of the version.
    at: usize,
}

impl Served {
    pub fn new(def: Arc<Definition>, at: usize) -> Self {
        Self { def, at }
    }
    fn version(&self) -> &Version {
        &self.def.versions[self.at]
    }
}

/// Brings an object of the version into form: metadata, unknown fields, nulls, embedded metadata.
fn shape(
    def: &Definition,
    v: &Version,
    obj: &mut Value,
    lenient: bool,
    unknown: &mut Vec<String>,
) -> Result<()> {
    structural::coerce_metadata(obj, "", lenient, unknown).map_err(Status::bad_request)?;
    let mut strict = Vec::new();
    if !def.preserve {
        let mut gone = v.schema.prune(obj);
        gone.sort_unstable();
        unknown.extend(gone.into_iter().map(|p| format!("unknown field \"{p}\"")));
        v.schema.drop_nulls(obj);
    }
    v.schema.coerce(obj, lenient, &mut strict).map_err(|e: FieldError| Status::bad_request(e.to_string()))?;
    strict.sort_unstable();
    unknown.append(&mut strict);
    Ok(())
}

impl CustomResource for Served {
    fn node(&self) -> Node<'_> {
        Node::Custom(&self.version().rooted)
    }
    fn openapi(&self) -> Value {
        self.version().raw.clone()
    }
    fn transparent(&self, stored_api_version: &str) -> bool {
        self.def.pristine && self.at == self.def.storage && stored_api_version == self.version().api_version
    }
    fn admit(&self, obj: &mut Value, unknown: &mut Vec<String>) -> Result<()> {
        let v = self.version();
        shape(&self.def, v, obj, false, unknown)?;
        v.schema.fill_defaults(obj);
        Ok(())
    }
    fn read<'a>(&'a self, mut stored: Value) -> BoxFuture<'a, Result<Value>> {
        async move {
            let from = stored.str_at("apiVersion").to_owned();
            let to = self.version();
            let Some(v) = self.def.version(&from) else {
                let text = format!("request to convert CR from an invalid group/version: {from}");
                return Err(Status::internal(text).into());
            };
            let mut unknown = Vec::new();
            shape(&self.def, v, &mut stored, true, &mut unknown)?;
            v.schema.fill_defaults(&mut stored);
            if stored.generation() == 0 {
                stored.metadata_mut().insert("generation".into(), 1.into());
            }
            if from == to.api_version {
                return Ok(stored);
            }
            let mut out = convert(&self.def, stored, &to.api_version).await?;
            shape(&self.def, to, &mut out, true, &mut unknown)?;
            Ok(out)
        }
        .boxed()
    }
    fn to_stored<'a>(&'a self, obj: Value) -> BoxFuture<'a, Result<Value>> {
        async move {
            let to = self.def.stored();
            if self.at == self.def.storage {
                return Ok(obj);
            }
            let mut out = convert(&self.def, obj, &to.api_version).await?;
            shape(&self.def, to, &mut out, false, &mut Vec::new())?;
            Ok(out)
        }
        .boxed()
    }
    fn validate(&self, cx: &Cx<'_>, obj: &Value, old: Option<&Value>) -> ErrorList {
        let v = self.version();
        let status = cx.subresource == "status";
        let mut errors = if status {
            match (obj.get("status"), v.schema.properties.get("status")) {
                (Some(new), Some(s)) => {
                    s.validate_update(new, old.and_then(|o| o.get("status")), &Path::new("status"))
                }
                _ => ErrorList::new(),
            }
        } else {
            v.schema.validate_update(obj, old, &Path::root())
        };
        if let Some(s) = &v.scale {
            if !status {
                replicas(obj, &s.spec, &mut errors);
            }
            replicas(obj, &s.status, &mut errors);
            if !s.selector.is_empty()
                && let Some(x) = obj.at(&s.selector).filter(|x| !x.is_string())
            {
                let why = format!(
                    ".{} accessor error: {x} is of the type {}, expected string",
                    s.selector,
                    go_type(x)
                );
                errors.push(FieldError::invalid(&Path::new(format!(".{}", s.selector)), "", why));
            }
        }
        if !status {
            v.schema.validate_embedded(obj, &mut errors);
        }
        if let Some(rules) = &v.rules {
            if errors.iter().any(|e| BLOCKING.contains(&e.kind)) {
                let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
                errors.push(FieldError::new(
                    ErrorType::Invalid,
                    &Path::root(),
                    Some("\"null\"".to_owned()),
                    why,
                ));
            } else {
                errors.extend(rules.validate(&v.schema, obj, old, &mut Vec::new()));
            }
        }
        errors
    }
    fn row(&self, obj: &Value, now: Timestamp) -> Vec<Value> {
        let columns = self.version().columns.iter();
        columns.map(|(c, p)| p.first(obj).map_or(Value::Null, |x| cell(&c.ty, x, now))).collect()
    }
    fn field_value(&self, obj: &Value, field: &str) -> Option<String> {
        let (_, p) = self.version().selectable.iter().find(|(l, _)| l == field)?;
        Some(match p.first(obj) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(s)) => s.clone(),
            Some(other) => other.to_string(),
        })
    }
    fn scale(&self) -> Option<ScalePaths<'_>> {
        let s = self.version().scale.as_ref()?;
        Some(ScalePaths { spec_replicas: &s.spec, status_replicas: &s.status, label_selector: &s.selector })
    }
    fn identity(&self) -> &str {
        &self.def.identity
    }
    fn warning(&self) -> Option<&str> {
        self.version().warning.as_deref()
    }
    fn terminating(&self) -> bool {
        self.def.terminating
    }
}

fn go_type(v: &Value) -> &'static str {
    match v {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// A number of replicas must fit the scale.
fn replicas(obj: &Value, path: &str, errors: &mut ErrorList) {
    let Some(x) = obj.at(path) else { return };
    let at = Path::new(format!(".{path}"));
    match x.as_i64() {
        None => {
            let why = format!(".{path} accessor error: {x} is of the type {}, expected int64", go_type(x));
            errors.push(FieldError::invalid(&at, 0, why));
        }
        Some(n) if n < 0 => errors.push(FieldError::invalid(&at, n, "should be a non-negative integer")),
        Some(n) if n > i64::from(i32::MAX) => {
            let why = format!("should be less than or equal to {}", i32::MAX);
            errors.push(FieldError::invalid(&at, n, why));
        }
        Some(_) => {}
    }
}

/// A cell of a table, by the type of its column (`tableconvertor.go`).
fn cell(ty: &str, v: &Value, now: Timestamp) -> Value {
    match (ty, v) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(_)) => v.clone(),
        ("string", other) => other.to_string().into(),
        ("integer", Value::Number(n)) => {
            n.as_i64().map_or_else(|| n.as_f64().map_or(Value::Null, |f| (f as i64).into()), Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => v.clone(),
        ("date", Value::String(s)) => match Timestamp::parse(s) {
            None => "<invalid>".into(),
            Some(t) if t.is_go_zero() => "<unknown>".into(),
            Some(t) => human_duration(now.seconds_since(&t)).into(),
        },
        _ => Value::Null,
    }
}

/// 405: nothing new while the definition goes.
pub fn no_creates(verb: &str) -> Failure {
    let mut s = Status::method_not_allowed();
    s.message = format!("{verb} not allowed while custom resource definition is terminating");
    s.into()
}
