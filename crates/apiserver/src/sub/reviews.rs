//! The kinds that ask a question and are never stored: access reviews, token reviews, who am I.

use crate::body::{self, Expect};
use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::options::WriteOptions;
use crate::registry::Codec;
use crate::{Result, respond};
use authz::{Attributes, Decision};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::selector::{FieldSelector, FieldTerm};
use meta::{ErrorList, FieldError, Path, Status, UserInfo, Value};
use serde_json::{Map, json};
use serve::Body;

/// Whether the resource is one of these.
pub fn is(cx: &Cx) -> bool {
    matches!(cx.res.gvr.group.as_str(), "authentication.k8s.io" | "authorization.k8s.io")
        && cx.subresource().is_empty()
}

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let Codec::Builtin(b) = &cx.res.codec else { return Err(Status::no_such_resource().into()) };
    let want = Expect {
        group: &cx.res.gvr.group,
        version: &cx.res.gvr.version,
        kind: &cx.res.gvk.kind,
        any_version: false,
    };
    let mut v = if input.is_empty() {
        let mut v = json!({});
        body::set_kind(&mut v, &cx.res.api_version, &cx.res.gvk.kind);
        v
    } else {
        body::decode_builtin(cx, &cx.headers, input, b.ty, &want, opts.field_validation)?
    };
    let status = match cx.res.gvr.resource.as_str() {
        "tokenreviews" => token(cx, &v)?,
        "selfsubjectreviews" => json!({"userInfo": user_info(&cx.user)}),
        "selfsubjectrulesreviews" => rules(cx, &v)?,
        "selfsubjectaccessreviews" => access(cx, &v, cx.user.clone())?,
        "localsubjectaccessreviews" => {
            let ns = v.str_at("spec.resourceAttributes.namespace");
            if ns != cx.info.namespace {
                let e = FieldError::invalid(
                    &Path::new("spec.resourceAttributes.namespace"),
                    ns,
                    format!("must match metadata.namespace: {}", cx.info.namespace),
                );
                return Err(invalid(cx, vec![e]));
            }
            access(cx, &v, asked_user(cx, &v)?)?
        }
        _ => access(cx, &v, asked_user(cx, &v)?)?,
    };
    v["status"] = status;
    if cx.res.gvr.resource != "selfsubjectreviews" && v.at("spec").is_none() {
        v["spec"] = json!({});
    }
    // A token must not come back to whoever reads the answer's log.
    let d = schema::json::canonicalize(v, b.ty).map_err(Status::internal)?;
    let mut out = d.value;
    body::set_kind(&mut out, &cx.res.api_version, &cx.res.gvk.kind);
    Ok(respond::object(
        StatusCode::CREATED,
        media,
        crate::encode::value(&cx.res, out, media, cx.include()?, cx.now)?,
    ))
}

fn invalid(cx: &Cx, errors: ErrorList) -> crate::Failure {
    Status::invalid(&meta::GroupKind::new(&cx.res.gvk.group, &cx.res.gvk.kind), "", &errors).into()
}

fn user_info(u: &UserInfo) -> Value {
    let mut m = Map::new();
    m.insert("username".into(), u.name.clone().into());
    if !u.uid.is_empty() {
        m.insert("uid".into(), u.uid.clone().into());
    }
    if !u.groups.is_empty() {
        m.insert("groups".into(), u.groups.clone().into());
    }
    if !u.extra.is_empty() {
        m.insert("extra".into(), json!(u.extra));
    }
    m.into()
}

fn token(cx: &Cx, v: &Value) -> Result<Value> {
    let text = v.str_at("spec.token");
    if text.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication").into());
    }
    let wanted: Vec<String> =
        v.array_at("spec.audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let asked = (!wanted.is_empty()).then_some(wanted.as_slice());
    Ok(match cx.server.authenticator.authenticate_token(text, asked, cx.now, &Lookup(&cx.server)) {
        Ok(Some(a)) => {
            let mut s = json!({"authenticated": true, "user": user_info(&a.user)});
            if !a.audiences.is_empty() {
                s["audiences"] = a.audiences.into();
            }
            s
        }
        Ok(None) => json!({"user": {}}),
        Err(e) => json!({"user": {}, "error": e.to_string()}),
    })
}

fn asked_user(cx: &Cx, v: &Value) -> Result<UserInfo> {
    let mut u = UserInfo {
        name: v.str_at("spec.user").to_owned(),
        uid: v.str_at("spec.uid").to_owned(),
        ..UserInfo::default()
    };
    u.groups = v.array_at("spec.groups").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    for (k, list) in v.at("spec.extra").and_then(Value::as_object).into_iter().flatten() {
        let list =
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        u.extra.insert(k.clone(), list);
    }
    if u.name.is_empty() && u.groups.is_empty() {
        let e = FieldError::invalid(
            &Path::new("spec.user"),
            "",
            "at least one of user or group must be specified",
        );
        return Err(invalid(cx, vec![e]));
    }
    Ok(u)
}

fn access(cx: &Cx, v: &Value, user: UserInfo) -> Result<Value> {
    let (resource, path) = (v.at("spec.resourceAttributes"), v.at("spec.nonResourceAttributes"));
    let a = match (resource, path) {
        (Some(r), None) => Attributes {
            user,
            verb: r.str_at("verb").to_owned(),
            namespace: r.str_at("namespace").to_owned(),
            group: r.str_at("group").to_owned(),
            version: r.str_at("version").to_owned(),
            resource: r.str_at("resource").to_owned(),
            subresource: r.str_at("subresource").to_owned(),
            name: r.str_at("name").to_owned(),
            is_resource: true,
            path: String::new(),
            field_selector: field_selector(r),
        },
        (None, Some(p)) => Attributes {
            user,
            verb: p.str_at("verb").to_owned(),
            path: p.str_at("path").to_owned(),
            ..Attributes::default()
        },
        _ => {
            let what = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            return Err(invalid(
                cx,
                vec![FieldError::invalid(
                    &Path::new("spec.resourceAttributes"),
                    v.at("spec.resourceAttributes").cloned().unwrap_or_default(),
                    what,
                )],
            ));
        }
    };
    Ok(match cx.server.authorizer.authorize(&a) {
        Decision::Allow(why) => with_reason(json!({"allowed": true}), &why),
        Decision::Deny(why) => with_reason(json!({"allowed": false, "denied": true}), &why),
        Decision::NoOpinion(why) => with_reason(json!({"allowed": false}), &why),
    })
}

fn with_reason(mut v: Value, why: &str) -> Value {
    if !why.is_empty() {
        v["reason"] = why.into();
    }
    v
}

fn field_selector(r: &Value) -> Option<FieldSelector> {
    let s = r.at("fieldSelector")?;
    let raw = s.str_at("rawSelector");
    if !raw.is_empty() {
        return FieldSelector::parse(raw).ok();
    }
    let terms = s.array_at("requirements").iter().filter_map(|q| {
        let value = q.array_at("values").first()?.as_str()?.to_owned();
        let negate = match q.str_at("operator") {
            "In" => false,
            "NotIn" => true,
            _ => return None,
        };
        Some(FieldTerm { field: q.str_at("key").to_owned(), value, negate })
    });
    Some(FieldSelector(terms.collect()))
}

fn rules(cx: &Cx, v: &Value) -> Result<Value> {
    let namespace = v.str_at("spec.namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request").into());
    }
    let r = cx.server.authorizer.rules_for(&cx.user, namespace);
    let (mut resource, mut other) = (Vec::new(), Vec::new());
    for p in &r.rules {
        if p.non_resource_urls.is_empty() {
            let mut one = json!({"verbs": p.verbs});
            for (k, list) in [
                ("apiGroups", &p.api_groups),
                ("resources", &p.resources),
                ("resourceNames", &p.resource_names),
            ] {
                if !list.is_empty() {
                    one[k] = json!(list);
                }
            }
            resource.push(one);
        } else {
            other.push(json!({"verbs": p.verbs, "nonResourceURLs": p.non_resource_urls}));
        }
    }
    let mut s = json!({"resourceRules": resource, "nonResourceRules": other, "incomplete": r.incomplete});
    if !r.errors.is_empty() {
        s["evaluationError"] = r.errors.join(", ").into();
    }
    Ok(s)
}
