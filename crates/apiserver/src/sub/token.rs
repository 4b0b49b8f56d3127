//! `serviceaccounts/token`: tokens bound to an object and a time (kubernetes
//! `pkg/registry/core/serviceaccount/storage/token.go`).

use super::decode;
use crate::admit::{self, Admission};
use crate::body::Expect;
use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::options::WriteOptions;
use crate::{Failure, Result, respond};
use authn::service_account::{Binding, EXTENDED_EXPIRATION, Issue, Ref, warn_after};
use bytes::Bytes;
use http::{Response, StatusCode};
use meta::object::ObjectExt;
use meta::{
    ErrorList, FieldError, GroupKind, GroupResource, GroupVersion, GroupVersionKind, Path, Status, Value,
};
use serve::Body;
use std::sync::Arc;

const GROUP: &str = "authentication.k8s.io";

pub async fn create(cx: &Cx, input: &Bytes) -> Result<Response<Body>> {
    let media = cx.plain_media()?;
    let opts = WriteOptions::parse(&cx.query, "CreateOptions", false)?;
    let want = Expect { group: GROUP, version: "v1", kind: "TokenRequest", any_version: false };
    let mut req = decode(cx, input, &want, &opts)?;
    let (namespace, name) = (cx.info.namespace.as_str(), cx.info.name.as_str());
    let gvk = GroupVersionKind::new(GROUP, "v1", "TokenRequest");
    let a = Admission {
        operation: admission::Operation::Create,
        subresource: "token",
        namespace,
        name,
        dry_run: opts.dry_run,
        kind: Some(&gvk),
        options: &|| opts.shown(&cx.query, "CreateOptions"),
    };
    admit::mutate(cx, &a, Some(&mut req), None).await?;
    let must_match = |field: &str, value: &str, what: &str| -> Failure {
        let e = FieldError::invalid(
            &Path::new("metadata").child(field),
            value,
            format!("must match the service account {what} if specified"),
        );
        Status::invalid(&gvk.group_kind(), name, &vec![e]).into()
    };
    if !req.name().is_empty() && req.name() != name {
        return Err(must_match("name", req.name(), "name"));
    }
    if !req.namespace().is_empty() && req.namespace() != namespace {
        return Err(must_match("namespace", req.namespace(), "namespace"));
    }
    let account = get(cx, "serviceaccounts", namespace, name).ok_or_else(|| cx.not_found(name))?;
    if !req.uid().is_empty() && req.uid() != account.uid() {
        let why = format!(
            "the UID in the token request ({}) does not match the UID of the service account ({})",
            req.uid(),
            account.uid()
        );
        return Err(Status::conflict(&GroupResource::new(GROUP, "TokenRequest"), name, &why).into());
    }
    let (Some(signer), Some(conf)) = (&cx.server.signer, &cx.server.cfg.authentication.service_accounts)
    else {
        return Err(Status::internal("this server has no key to sign service account tokens with").into());
    };
    let own = cx.server.authenticator.config().service_accounts.as_ref().map_or(&[][..], |s| s.audiences());
    if req.array_at("spec.audiences").is_empty() {
        req.set_at("spec.audiences", own.to_vec());
    }
    req.set_at("metadata.name", name);
    req.set_at("metadata.namespace", namespace);
    req.set_at("metadata.uid", account.uid());
    req.set_at("metadata.creationTimestamp", cx.now.rfc3339());
    req.remove_at("status");
    let errors = validate(&req);
    if !errors.is_empty() {
        return Err(Status::invalid(&gvk.group_kind(), "", &errors).into());
    }
    admit::validate(cx, &a, Some(&mut req.clone()), None).await?;

    let binding = bind(cx, &req)?;
    let audiences: Vec<String> =
        req.array_at("spec.audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let mut asked = req.i64_at("spec.expirationSeconds").unwrap_or(3600);
    if conf.max_expiration > 0 && asked > conf.max_expiration {
        cx.warn(format!(
            "requested expiration of {asked} seconds shortened to {} seconds",
            conf.max_expiration
        ));
        asked = conf.max_expiration;
        req.set_at("spec.expirationSeconds", asked);
    }
    let for_pod = conf.extend_expiration && matches!(binding, Binding::Pod(..));
    let (expiration_seconds, warn) = warn_after(asked, &audiences, own, for_pod, EXTENDED_EXPIRATION);
    let mut seed = [0; 16];
    cx.server.fill_random(&mut seed);
    let issued = signer
        .issue(&Issue {
            namespace,
            service_account: name,
            service_account_uid: account.uid(),
            audiences: &audiences,
            expiration_seconds,
            binding,
            warn_after: warn,
            now: cx.now,
            seed,
        })
        .map_err(|e| Status::internal(format_args!("failed to generate token: {e}")))?;
    req.set_at("status.token", issued.token);
    req.set_at("status.expirationTimestamp", cx.now.plus_seconds(asked).rfc3339());
    Ok(respond::value(StatusCode::CREATED, media, &req))
}

fn get(cx: &Cx, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
    admission::Lookup::get(&Lookup(&cx.server), "", resource, namespace, name)
}

fn validate(req: &Value) -> ErrorList {
    let spec = Path::new("spec");
    let at = spec.child("expirationSeconds");
    let seconds = req.i64_at("spec.expirationSeconds").unwrap_or(0);
    let mut e = ErrorList::new();
    if seconds < 600 {
        e.push(FieldError::invalid(&at, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > 1 << 32 {
        e.push(FieldError::invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    if let Some(a) = req.at("spec.attestations").filter(|a| a.as_object().is_some_and(|m| !m.is_empty())) {
        let why = "attestations may only be specified with a webhook bound object reference";
        return vec![FieldError::invalid(&spec.child("attestations"), a.clone(), why)];
    }
    e
}

/// What the token is bound to; the object must exist.
fn bind(cx: &Cx, req: &Value) -> Result<Binding> {
    let Some(r) = req.at("spec.boundObjectRef") else { return Ok(Binding::None) };
    let (name, namespace) = (r.str_at("name"), cx.info.namespace.as_str());
    let kind = r.str_at("kind");
    let gv = GroupVersion::parse(r.str_at("apiVersion")).unwrap_or_default();
    let reference = |o: &Value| Ref { name: o.name().to_owned(), uid: o.uid().to_owned() };
    let find = |resource: &str, namespace: &str| -> Result<Arc<Value>> {
        get(cx, resource, namespace, name)
            .ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name).into())
    };
    let (binding, uid) = match (gv.group.as_str(), kind) {
        ("", "Pod") => {
            let pod = find("pods", namespace)?;
            if pod.str_at("spec.serviceAccountName") != cx.info.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    cx.info.name
                ))
                .into());
            }
            let node = pod.str_at("spec.nodeName");
            let node = (!node.is_empty()).then(|| match get(cx, "nodes", "", node) {
                Some(n) => reference(&n),
                None => Ref { name: node.to_owned(), uid: String::new() },
            });
            (Binding::Pod(reference(&pod), node), pod.uid().to_owned())
        }
        ("", "Node") => {
            let n = find("nodes", "")?;
            (Binding::Node(reference(&n)), n.uid().to_owned())
        }
        ("", "Secret") => {
            let s = find("secrets", namespace)?;
            (Binding::Secret(reference(&s)), s.uid().to_owned())
        }
        _ => {
            let text = format!("cannot bind token to object of type {gv}, Kind={kind}");
            return Err(Status::bad_request(text).into());
        }
    };
    let wanted = r.str_at("uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        let k = GroupKind::new(&gv.group, kind);
        return Err(Status::conflict(&GroupResource::new(k.group, k.kind), name, &why).into());
    }
    Ok(binding)
}
