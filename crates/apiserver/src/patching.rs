//! PATCH in its four forms (apiserver `pkg/endpoints/handlers/patch.go`).

use crate::body::{admit_custom, default_object, report_strict};
use crate::cx::Cx;
use crate::negotiate::Partial;
use crate::options::WriteOptions;
use crate::registry::Codec;
use crate::write::{Update, answer, update};
use crate::{Failure, Result, managed, prepare};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{ErrorList, FieldError, GroupKind, Path, Reason, Status, Value};
use schema::FieldValidation;
use serve::Body;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
pub const APPLY: &str = "application/apply-patch+yaml";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// The form of a patch, from its content type.
pub fn kind(cx: &Cx) -> Result<Kind> {
    let ct = cx.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    match ct.split(';').next().unwrap_or("").trim() {
        JSON => Ok(Kind::Json),
        MERGE => Ok(Kind::Merge),
        STRATEGIC if !cx.res.is_custom() => Ok(Kind::Strategic),
        APPLY => Ok(Kind::Apply),
        _ => {
            let all = if cx.res.is_custom() {
                [JSON, MERGE, APPLY].join(", ")
            } else {
                [JSON, MERGE, STRATEGIC, APPLY].join(", ")
            };
            Err(Status::failure(
                Reason::UnsupportedMediaType,
                format!(
                    "the body of the request was in an unknown format - accepted media types include: {all}"
                ),
            )
            .into())
        }
    }
}

/// A patch that is read and understood as far as it can be without an object.
pub struct Patch {
    pub kind: Kind,
    body: Value,
    /// What strict decoding has against the patch itself.
    strict: Vec<String>,
}

impl Patch {
    pub fn parse(kind: Kind, input: &[u8]) -> Result<Self> {
        let bad = |why: String| -> Failure { Status::bad_request(why).into() };
        if kind == Kind::Apply {
            let d = schema::yaml::decode(input).map_err(|e| bad(format!("error decoding patch: {e}")))?;
            let strict = d.strict.iter().map(|e| format!("error converting YAML to JSON: {e}")).collect();
            return Ok(Self { kind, body: d.value, strict });
        }
        let d = schema::json::decode_untyped(input).map_err(|_| bad("invalid JSON patch".into()))?;
        let ok = match kind {
            Kind::Json => d.value.is_array(),
            _ => d.value.is_object(),
        };
        if !ok {
            let want = if kind == Kind::Json { "[]handlers.jsonPatchOp" } else { "map[string]interface {}" };
            let have = match d.value {
                Value::Array(_) => "array",
                Value::Object(_) => "object",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::Null => "null",
            };
            return Err(bad(format!(
                "error decoding patch: json: cannot unmarshal {have} into Go value of type {want}"
            )));
        }
        let prefix = if kind == Kind::Json { "json patch " } else { "" };
        Ok(Self {
            kind,
            body: d.value,
            strict: d.strict.into_iter().map(|s| format!("{prefix}{s}")).collect(),
        })
    }

    pub fn body(&self) -> &Value {
        &self.body
    }

    /// The patched object (of the form in which the current one is), not yet decoded by schema.
    pub fn apply_to(
        &self,
        current: &Value,
        node: schema::Node<'_>,
        full: impl Fn() -> Value,
    ) -> Result<Value> {
        let done = match self.kind {
            // Paths of a JSON patch may name zero values that only the wire form has.
            Kind::Json => patch::json_patch(&full(), &self.body),
            Kind::Merge => patch::merge_patch(current, &self.body),
            Kind::Strategic => patch::strategic_merge(current, &self.body, node),
            Kind::Apply => Ok(self.body.clone()),
        };
        done.map_err(|e| e.status().into())
    }
}

/// PATCH.
pub async fn patch(cx: &Cx, input: Bytes) -> Result<Response<Body>> {
    let kind = kind(cx)?;
    let media = cx.media(Partial::Object)?;
    let opts = WriteOptions::parse(&cx.query, "PatchOptions", kind == Kind::Apply)?;
    let p = Patch::parse(kind, &input)?;
    let u = Update {
        sub: cx.subresource(),
        name: &cx.info.name,
        opts: &opts,
        force_create: kind == Kind::Apply && cx.subresource().is_empty(),
        manage: kind != Kind::Apply,
        uid: None,
    };
    let mut change = |old: Option<&Value>| patched(cx, &u, &p, old);
    let (w, created) = update(cx, &u, &mut change).await?;
    answer(cx, if created { StatusCode::CREATED } else { StatusCode::OK }, media, w).await
}

/// The object that a patch makes of `old`, decoded, defaulted, and checked for its name.
pub fn patched(cx: &Cx, u: &Update<'_>, p: &Patch, old: Option<&Value>) -> Result<Value> {
    let mut obj = match (p.kind, old) {
        (Kind::Apply, old) => {
            let manager = &u.opts.field_manager;
            let merged = managed::apply(cx, u.sub, old, &p.body, manager, u.opts.force.unwrap_or(false))?;
            match (u.opts.field_validation, p.strict.first()) {
                (FieldValidation::Strict, Some(e)) => {
                    return Err(Status::bad_request(format!("error strict decoding patch: {e}")).into());
                }
                (FieldValidation::Warn, Some(_)) => {
                    report_strict(cx, p.strict.clone(), FieldValidation::Warn, None)?;
                }
                _ => {}
            }
            decode(cx, p, merged, FieldValidation::Ignore, || None)?
        }
        (_, None) => return Err(cx.not_found(u.name)),
        (_, Some(old)) => {
            let whole = || p.apply_to(old, managed::node(&cx.res), || wire_form(cx, old));
            decode(cx, p, whole()?, u.opts.field_validation, || whole().ok())?
        }
    };
    if old.is_none() && !obj.uid().is_empty() {
        let why = format!(
            "uid mismatch: the provided object specified uid {}, and no existing object was found",
            obj.uid()
        );
        return Err(Status::conflict(&cx.res.group_resource(), u.name, &why).into());
    }
    prepare::match_namespace(&cx.res, &cx.info.namespace, &mut obj)?;
    crate::write::check_name(&obj, u.name)?;
    Ok(obj)
}

/// The object as clients see it, zero values included.
fn wire_form(cx: &Cx, v: &Value) -> Value {
    match &cx.res.codec {
        Codec::Builtin(b) => {
            let mut out = Vec::new();
            schema::json::encode(v, b.ty, &mut out);
            serde_json::from_slice(&out).unwrap_or_else(|_| v.clone())
        }
        Codec::Custom(_) => v.clone(),
    }
}

/// What comes out of a patch must be an object of the kind. `whole` makes it once more, for messages.
fn decode(
    cx: &Cx,
    p: &Patch,
    v: Value,
    validation: FieldValidation,
    whole: impl Fn() -> Option<Value>,
) -> Result<Value> {
    // What a message shows.
    let shown = || match p.kind {
        Kind::Json | Kind::Merge => whole().unwrap_or_default().to_string(),
        Kind::Strategic | Kind::Apply => p.body.to_string(),
    };
    let mut strict = p.strict.clone();
    let obj = match &cx.res.codec {
        Codec::Builtin(b) => {
            let d = schema::json::canonicalize(v, b.ty).map_err(|e| invalid(&shown(), &e.0))?;
            strict.extend(d.strict);
            if validation == FieldValidation::Strict && !strict.is_empty() {
                return Err(invalid(&shown(), &format!("strict decoding error: {}", strict.join(", "))));
            }
            report_strict(cx, strict, validation, None)?;
            let mut obj = d.value;
            crate::body::set_kind(&mut obj, &cx.res.api_version, &cx.res.gvk.kind);
            default_object(&cx.res, &mut obj, cx);
            obj
        }
        Codec::Custom(_) => {
            let mut obj = v;
            if obj.str_at("kind") != cx.res.gvk.kind || obj.str_at("apiVersion") != cx.res.api_version {
                let why = format!(
                    "the patch may not change kind and apiVersion ({} in {})",
                    cx.res.gvk.kind, cx.res.api_version
                );
                return Err(invalid(&shown(), &why));
            }
            match admit_custom(cx, &mut obj, strict, validation, None) {
                Err(e) if e.is(Reason::BadRequest) => return Err(invalid(&shown(), &e.message)),
                other => other?,
            }
            obj
        }
    };
    Ok(obj)
}

fn invalid(shown: &str, why: &str) -> Failure {
    let e: ErrorList = vec![FieldError::invalid(&Path::new("patch"), shown, why)];
    Status::invalid(&GroupKind::default(), "", &e).into()
}
