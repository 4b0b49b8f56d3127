//! `serviceaccounts/token`: issues tokens (Kubernetes `pkg/registry/core/serviceaccount/storage/token.go`).

use crate::body::{self, Expect};
use crate::cx::Cx;
use crate::options::WriteOptions;
use crate::{Result, respond};
use authn::service_account::{Binding, EXTENDED_EXPIRATION, Issue, Ref, warn_after};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{FieldError, GroupKind, GroupResource, Path, Status, Value};
use serde_json::json;
use serve::Body;

const LEAST: i64 = 600;
const MOST: i64 = 1 << 32;

fn key(
    cx: &Cx,
    resource: &str,
    namespace: &str,
    name: &str,
) -> Option<(std::sync::Arc<crate::registry::ResourceInfo>, String)> {
    let res = cx.server.resource("", "v1", resource)?;
    let key = if namespace.is_empty() {
        format!("{}{name}", res.prefix)
    } else {
        format!("{}{namespace}/{name}", res.prefix)
    };
    Some((res, key))
}

async fn get(cx: &Cx, resource: &str, namespace: &str, name: &str) -> Result<Value> {
    let missing = || Status::not_found(&GroupResource::new("", resource), name);
    let (res, key) = key(cx, resource, namespace, name).ok_or_else(missing)?;
    match cx.server.store.cached().get(&key) {
        Some(r) => crate::object::decode(&res, &r).await,
        None => Err(missing().into()),
    }
}

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let ty = schema::facts::type_of("authentication.k8s.io", "v1", "TokenRequest")
        .ok_or_else(|| Status::internal("the facts hold no TokenRequest"))?;
    let want =
        Expect { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest", any_version: false };
    let mut v = body::decode_builtin(cx, &cx.headers, input, ty, &want, opts.field_validation)?;
    let (namespace, name) = (cx.info.namespace.as_str(), cx.info.name.as_str());
    let account = get(cx, "serviceaccounts", namespace, name).await?;
    let Some(signer) = &cx.server.signer else {
        return Err(Status::failure(
            meta::Reason::NotFound,
            "this server issues no tokens: it has no --service-account-signing-key-file",
        )
        .into());
    };
    let Some(settings) = &cx.server.cfg.authentication.service_accounts else {
        return Err(Status::internal("no service account settings").into());
    };
    for (field, mine) in [("name", name), ("namespace", namespace), ("uid", account.uid())] {
        let at = format!("metadata.{field}");
        match v.str_at(&at) {
            "" => v.set_at(&at, mine),
            other if other == mine => {}
            other => {
                let text = format!(
                    "metadata.{field} in the request ({other}) does not match the service account's ({mine})"
                );
                return Err(Status::bad_request(text).into());
            }
        }
    }
    let api_audiences = if settings.audiences.is_empty() {
        &settings.issuers[..1.min(settings.issuers.len())]
    } else {
        &settings.audiences[..]
    };
    let mut audiences: Vec<String> =
        v.array_at("spec.audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences = api_audiences.to_vec();
    }
    let mut seconds = v.i64_at("spec.expirationSeconds").unwrap_or(3600);
    let limit = |what| {
        let e = FieldError::invalid(&Path::new("spec.expirationSeconds"), seconds, what);
        Status::invalid(&GroupKind::new("authentication.k8s.io", "TokenRequest"), name, &vec![e])
    };
    if seconds < LEAST {
        return Err(limit("may not specify a duration less than 10 minutes").into());
    }
    if seconds > MOST {
        return Err(limit("may not specify a duration larger than 2^32 seconds").into());
    }
    if settings.max_expiration > 0 && seconds > settings.max_expiration {
        cx.warn(format!(
            "requested expiration of {seconds} seconds shortened to {} seconds",
            settings.max_expiration
        ));
        seconds = settings.max_expiration;
    }
    let binding = bind(cx, &v, name).await?;
    let pod_bound = matches!(binding, Binding::Pod(..));
    let mut seed = [0; 16];
    cx.server.fill_random(&mut seed);
    let extended = if settings.extend_expiration { EXTENDED_EXPIRATION } else { seconds };
    let (issued_for, warn) = warn_after(seconds, &audiences, api_audiences, pod_bound, extended);
    let issued = signer
        .issue(&Issue {
            namespace,
            service_account: name,
            service_account_uid: account.uid(),
            audiences: &audiences,
            expiration_seconds: issued_for,
            binding,
            warn_after: warn,
            now: cx.now,
            seed,
        })
        .map_err(Status::internal)?;
    v.set_at("spec.audiences", audiences);
    v.set_at("spec.expirationSeconds", seconds);
    v.metadata_mut().entry("creationTimestamp").or_insert_with(|| cx.now.rfc3339().into());
    // The client is told when to come again, however long the token is really good for.
    v["status"] =
        json!({"token": issued.token, "expirationTimestamp": cx.now.plus_seconds(seconds).rfc3339()});
    Ok(respond::value(StatusCode::CREATED, media, &v))
}

fn reference(name: &str, uid: &str) -> Ref {
    Ref { name: name.to_owned(), uid: uid.to_owned() }
}

/// The object that the token lives and dies with.
async fn bind(cx: &Cx, v: &Value, account: &str) -> Result<Binding> {
    let Some(r) = v.at("spec.boundObjectRef") else { return Ok(Binding::None) };
    let (kind, name, uid) = (r.str_at("kind"), r.str_at("name"), r.str_at("uid"));
    let namespace = cx.info.namespace.as_str();
    let same = |o: &Value, resource: &str| -> Result<()> {
        if uid.is_empty() || uid == o.uid() {
            return Ok(());
        }
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        Err(Status::conflict(&GroupResource::new("", resource), name, &why).into())
    };
    match (r.str_at("apiVersion"), kind) {
        ("v1", "Pod") => {
            let pod = get(cx, "pods", namespace, name).await?;
            same(&pod, "pods")?;
            let of = pod.str_at("spec.serviceAccountName");
            if of != account {
                let text = format!(
                    "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
                );
                return Err(Status::bad_request(text).into());
            }
            let node_name = pod.str_at("spec.nodeName").to_owned();
            let node_uid = match node_name.as_str() {
                "" => String::new(),
                n => get(cx, "nodes", "", n).await.map(|o| o.uid().to_owned()).unwrap_or_default(),
            };
            let node = (!node_name.is_empty()).then(|| reference(&node_name, &node_uid));
            Ok(Binding::Pod(reference(name, pod.uid()), node))
        }
        ("v1", "Node") => {
            let node = get(cx, "nodes", "", name).await?;
            same(&node, "nodes")?;
            Ok(Binding::Node(reference(name, node.uid())))
        }
        ("v1", "Secret") => {
            let secret = get(cx, "secrets", namespace, name).await?;
            same(&secret, "secrets")?;
            Ok(Binding::Secret(reference(name, secret.uid())))
        }
        (version, kind) => {
            Err(Status::bad_request(format!("cannot bind token to object of type {version}, Kind={kind}"))
                .into())
        }
    }
}
