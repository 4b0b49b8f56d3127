//! What may a subject do: SubjectAccessReview in its three forms, and SelfSubjectRulesReview.

use super::own_kind;
use crate::admit::{self, Admission};
use crate::cx::Cx;
use crate::{Result, prepare, respond};
use authz::{Attributes, Decision, PolicyRule};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::selector::{FieldSelector, FieldTerm};
use meta::{ErrorList, FieldError, Map, Path, Status, UserInfo, Value};
use serde_json::json;
use serve::Body;

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let (mut r, opts) = own_kind(cx, input)?;
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: "",
        namespace: &cx.info.namespace,
        name: "",
        dry_run: opts.dry_run,
        kind: None,
        options: &|| opts.shown(&cx.query, "CreateOptions"),
    };
    let resource = cx.res.gvr.resource.as_str();
    if resource == "localsubjectaccessreviews" {
        prepare::match_namespace(&cx.res, &cx.info.namespace, &mut r)?;
    }
    admit::mutate(cx, &a, Some(&mut r), None).await?;
    let errors = validate(resource, &r);
    if !errors.is_empty() {
        return Err(Status::invalid(&cx.res.group_kind(), "", &errors).into());
    }
    admit::validate(cx, &a, Some(&mut r.clone()), None).await?;
    let status = match resource {
        "selfsubjectrulesreviews" => {
            let namespace = r.str_at("spec.namespace");
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request").into());
            }
            rules(cx, namespace)
        }
        _ => {
            let user = if resource == "selfsubjectaccessreviews" { cx.user.clone() } else { subject(&r) };
            access(cx, user, &r)
        }
    };
    r.set_at("status", status);
    Ok(respond::value(StatusCode::CREATED, media, &r))
}

fn validate(resource: &str, r: &Value) -> ErrorList {
    let mut e = ErrorList::new();
    if resource == "selfsubjectrulesreviews" {
        return e;
    }
    let spec = Path::new("spec");
    let (of_resource, of_path) = (r.at("spec.resourceAttributes"), r.at("spec.nonResourceAttributes"));
    if of_resource.is_some() == of_path.is_some() {
        let shown = of_path.cloned().unwrap_or(Value::Null);
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        e.push(FieldError::invalid(&spec, shown, why));
    }
    if resource != "selfsubjectaccessreviews"
        && r.str_at("spec.user").is_empty()
        && r.array_at("spec.groups").is_empty()
    {
        let why = "at least one of user or group must be specified";
        e.push(FieldError::invalid(&spec.child("user"), "", why));
    }
    let local = resource == "localsubjectaccessreviews";
    let mut rest: Map<String, Value> = r.metadata().cloned().unwrap_or_default();
    rest.remove("managedFields");
    rest.remove("creationTimestamp");
    if local {
        rest.remove("namespace");
    }
    if !rest.is_empty() {
        let why = if local { "must be empty except for namespace" } else { "must be empty" };
        e.push(FieldError::invalid(&Path::new("metadata"), r["metadata"].clone(), why));
    }
    if local {
        if let Some(a) = of_resource
            && a.str_at("namespace") != r.namespace()
        {
            let at = Path::new("spec.resourceAttributes.namespace");
            e.push(FieldError::invalid(&at, a.str_at("namespace"), "must match metadata.namespace"));
        }
        if let Some(a) = of_path {
            let at = Path::new("spec.nonResourceAttributes");
            e.push(FieldError::invalid(&at, a.clone(), "disallowed on this kind of request"));
        }
    }
    e
}

fn texts(v: Option<&Value>) -> Vec<String> {
    v.and_then(Value::as_array).into_iter().flatten().filter_map(|x| x.as_str().map(str::to_owned)).collect()
}

fn subject(r: &Value) -> UserInfo {
    UserInfo {
        name: r.str_at("spec.user").to_owned(),
        uid: r.str_at("spec.uid").to_owned(),
        groups: texts(r.at("spec.groups")),
        extra: r
            .at("spec.extra")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), texts(Some(v))))
            .collect(),
    }
}

/// The field selector of the attributes, and whether part of it was not understood.
fn field_selector(a: &Value) -> (Option<FieldSelector>, Option<&'static str>) {
    const ALL: &str = "spec.resourceAttributes.fieldSelector ignored due to parse error";
    const PART: &str = "spec.resourceAttributes.fieldSelector partially ignored due to parse error";
    let Some(f) = a.get("fieldSelector") else { return (None, None) };
    let raw = f.str_at("rawSelector");
    if !raw.is_empty() {
        return match FieldSelector::parse(raw) {
            Ok(s) => (Some(s), None),
            Err(_) => (None, Some(ALL)),
        };
    }
    let mut terms = Vec::new();
    let mut bad = false;
    for r in f.array_at("requirements") {
        let values = texts(r.get("values"));
        let negate = match r.str_at("operator") {
            "In" => false,
            "NotIn" => true,
            _ => {
                bad = true;
                continue;
            }
        };
        match values.as_slice() {
            [one] => terms.push(FieldTerm { field: r.str_at("key").to_owned(), value: one.clone(), negate }),
            _ => bad = true,
        }
    }
    let why = bad.then_some(if terms.is_empty() { ALL } else { PART });
    ((!terms.is_empty()).then_some(FieldSelector(terms)), why)
}

fn access(cx: &Cx, user: UserInfo, r: &Value) -> Value {
    let mut trouble = None;
    let a = match r.at("spec.resourceAttributes") {
        Some(a) => {
            let (field_selector, why) = field_selector(a);
            trouble = why;
            let s = |k: &str| a.str_at(k).to_owned();
            Attributes {
                user,
                verb: s("verb"),
                namespace: s("namespace"),
                group: s("group"),
                version: if s("version").is_empty() { "*".into() } else { s("version") },
                resource: s("resource"),
                subresource: s("subresource"),
                name: s("name"),
                is_resource: true,
                path: String::new(),
                field_selector,
            }
        }
        None => Attributes {
            user,
            verb: r.str_at("spec.nonResourceAttributes.verb").to_owned(),
            path: r.str_at("spec.nonResourceAttributes.path").to_owned(),
            ..Attributes::default()
        },
    };
    let d = cx.server.authorizer.authorize(&a);
    let mut status = json!({ "allowed": d.allowed() });
    if matches!(d, Decision::Deny(_)) {
        status["denied"] = true.into();
    }
    if !d.reason().is_empty() {
        status["reason"] = d.reason().into();
    }
    if let Some(t) = trouble {
        status["evaluationError"] = t.into();
    }
    status
}

fn rules(cx: &Cx, namespace: &str) -> Value {
    let found = cx.server.authorizer.rules_for(&cx.user, namespace);
    let (paths, resources): (Vec<&PolicyRule>, Vec<&PolicyRule>) =
        found.rules.iter().partition(|r| !r.non_resource_urls.is_empty());
    let of_resources: Vec<Value> = resources
        .iter()
        .map(|r| {
            let mut v = json!({ "verbs": r.verbs, "apiGroups": r.api_groups, "resources": r.resources });
            if !r.resource_names.is_empty() {
                v["resourceNames"] = json!(r.resource_names);
            }
            v
        })
        .collect();
    let of_paths: Vec<Value> =
        paths.iter().map(|r| json!({ "verbs": r.verbs, "nonResourceURLs": r.non_resource_urls })).collect();
    let mut status = json!({ "resourceRules": of_resources, "nonResourceRules": of_paths, "incomplete": found.incomplete });
    if !found.errors.is_empty() {
        status["evaluationError"] = found.errors.join(", ").into();
    }
    status
}
