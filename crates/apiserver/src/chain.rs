//! What every request passes before its handler: who is it, does it want to be another, are there too many, may it.

use crate::cx::{Cx, Notes};
use crate::fair::Class;
use crate::lookup::Lookup;
use crate::request::RequestInfo;
use crate::server::ApiServer;
use crate::{Result, audit, respond};
use authz::{Attributes, Decision};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use meta::{Status, UserInfo};
use serve::{Body, Peer};

/// Paths that anyone may get without asking the authorizer (`--authorization-always-allow-paths`).
const ALWAYS_ALLOWED: [&str; 3] = ["/healthz", "/readyz", "/livez"];

/// Who sent a request. Credentials are taken out of its headers.
pub fn authenticate(
    s: &ApiServer,
    headers: &mut HeaderMap,
    peer: Option<&Peer>,
    path: &str,
    warnings: &Notes,
) -> Result<UserInfo> {
    let now = s.now();
    let certs = peer.map_or(&[][..], |p| &p.certificates);
    let memo = peer.and_then(|p| p.memo.get_or_init(|| Box::new(authn::Memo::default())).downcast_ref());
    let request = authn::Request { certs, headers, path, memo };
    match s.authenticator.authenticate(&request, now, &Lookup(s)) {
        Ok(Some(a)) => {
            for w in a.warnings {
                warnings.add(w);
            }
            s.authenticator.strip(headers);
            Ok(a.user)
        }
        Ok(None) => Err(Status::unauthorized().into()),
        Err(e) => {
            tracing::debug!(path, error = %e, "authentication");
            Err(Status::unauthorized().into())
        }
    }
}

/// The user that the request wants to be treated as, where it may.
pub fn impersonate(
    s: &ApiServer,
    headers: &mut HeaderMap,
    info: &RequestInfo,
    user: UserInfo,
) -> Result<UserInfo> {
    let Some(wanted) = authn::impersonate::wanted(headers)? else { return Ok(user) };
    let request = attributes(info, &user);
    let as_whom = authz::impersonate::authorize(&wanted, &request, &*s.authorizer)?;
    authn::impersonate::strip(headers);
    Ok(as_whom.user)
}

/// The attributes that the authorizer sees.
pub fn attributes(info: &RequestInfo, user: &UserInfo) -> Attributes {
    let field_selector = if info.field_selector.is_empty() {
        None
    } else {
        meta::selector::FieldSelector::parse(&info.field_selector).ok()
    };
    Attributes {
        user: user.clone(),
        verb: info.verb.clone(),
        namespace: info.namespace.clone(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        name: info.name.clone(),
        is_resource: info.is_resource,
        path: info.path.clone(),
        field_selector,
    }
}

/// May they?
pub fn authorize(
    s: &ApiServer,
    info: &RequestInfo,
    user: &UserInfo,
    record: Option<&audit::Record>,
) -> Result<()> {
    if !info.is_resource && ALWAYS_ALLOWED.contains(&info.path.as_str()) {
        return Ok(());
    }
    let a = attributes(info, user);
    let d = s.authorizer.authorize(&a);
    if let Some(r) = record {
        r.annotate("authorization.k8s.io/decision", if d.allowed() { "allow" } else { "forbid" });
        r.annotate("authorization.k8s.io/reason", d.reason());
    }
    match d {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(why) | Decision::NoOpinion(why) => Err(authz::forbidden(&a, &why).into()),
    }
}

fn decide(s: &ApiServer, a: &Attributes) -> Result<()> {
    match s.authorizer.authorize(a) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(why) | Decision::NoOpinion(why) => Err(authz::forbidden(a, &why).into()),
    }
}

/// Asks for one more permission on the object of the request.
pub fn require(cx: &Cx, verb: &str) -> Result<()> {
    let mut a = attributes(&cx.info, &cx.user);
    a.verb = verb.to_owned();
    decide(&cx.server, &a)
}

/// Tells in the headers of an answer what its request was classified as.
pub fn classified(headers: &mut HeaderMap, c: &Class) {
    for (name, uid) in [
        ("x-kubernetes-pf-flowschema-uid", &c.schema_uid),
        ("x-kubernetes-pf-prioritylevel-uid", &c.level_uid),
    ] {
        if let Ok(v) = HeaderValue::from_str(uid)
            && !uid.is_empty()
        {
            headers.insert(name, v);
        }
    }
}

/// The 429 of a server that has its hands full: plain text, as upstream's.
pub fn too_many() -> Response<Body> {
    let mut r = respond::text(StatusCode::TOO_MANY_REQUESTS, "Too many requests, please try again later.\n");
    r.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    r
}
