//! TokenReview and SelfSubjectReview: who a token stands for, who I am.

use super::own_kind;
use crate::admit::{self, Admission};
use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::options::WriteOptions;
use crate::{Result, respond};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{Status, UserInfo, Value};
use serde_json::json;
use serve::Body;

async fn admitted(cx: &Cx, obj: &mut Value, opts: &WriteOptions) -> Result<()> {
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: "",
        namespace: "",
        name: "",
        dry_run: opts.dry_run,
        kind: None,
        options: &|| opts.shown(&cx.query, "CreateOptions"),
    };
    admit::mutate(cx, &a, Some(obj), None).await?;
    admit::validate(cx, &a, Some(&mut obj.clone()), None).await
}

/// authentication/v1 `UserInfo`.
pub fn user_info(u: &UserInfo) -> Value {
    let mut v = json!({ "username": u.name });
    if !u.uid.is_empty() {
        v["uid"] = u.uid.clone().into();
    }
    if !u.groups.is_empty() {
        v["groups"] = u.groups.clone().into();
    }
    if !u.extra.is_empty() {
        v["extra"] = json!(u.extra);
    }
    v
}

pub async fn token(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let (mut r, opts) = own_kind(cx, input)?;
    if r.str_at("spec.token").is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication").into());
    }
    admitted(cx, &mut r, &opts).await?;
    let asked: Vec<String> =
        r.array_at("spec.audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let audiences = (!asked.is_empty()).then_some(asked.as_slice());
    let s = &cx.server;
    let found = s.authenticator.authenticate_token(r.str_at("spec.token"), audiences, cx.now, &Lookup(s));
    let status = match found {
        Ok(Some(a)) => {
            json!({ "authenticated": true, "user": user_info(&a.user), "audiences": a.audiences })
        }
        Ok(None) => json!({ "error": "invalid bearer token" }),
        Err(e) => json!({ "error": format!("[invalid bearer token, {e}]") }),
    };
    r.set_at("status", status);
    Ok(respond::value(StatusCode::CREATED, media, &r))
}

pub async fn own(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let (mut r, opts) = own_kind(cx, input)?;
    admitted(cx, &mut r, &opts).await?;
    r.set_at("metadata.creationTimestamp", cx.now.rfc3339());
    r.set_at("status", json!({ "userInfo": user_info(&cx.user) }));
    Ok(respond::value(StatusCode::CREATED, media, &r))
}
