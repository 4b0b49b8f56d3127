//! What expressions see of a request (apiserver `pkg/admission/plugin/cel/{activation,condition}.go`).

use crate::admit::Admission;
use crate::cx::Cx;
use crate::lookup::Lookup;
use crate::registry::{Codec, ResourceInfo};
use crate::webhooks::review::about;
use authz::Attributes;
use cel::authorizer::{Ask, Authorize, Decision};
use cel::{Value as Val, json};
use meta::object::ObjectExt;
use meta::selector::FieldSelector;
use meta::{GroupVersionKind, UserInfo, Value};
use std::sync::Arc;

/// An object of a resource as a value.
pub fn object(info: &ResourceInfo, kind: &GroupVersionKind, v: Option<&Value>) -> Val {
    let Some(v) = v else { return Val::Null };
    let ty = match &info.codec {
        Codec::Custom(_) if info.gvk == *kind => None,
        _ => schema::facts::type_of(&kind.group, &kind.version, &kind.kind),
    };
    ty.map_or_else(|| json::dynamic(v), |t| json::builtin(v, t))
}

/// Everything but the parameters. `matched` is the version of the resource that a policy or webhook asked for.
pub fn input(
    cx: &Cx,
    a: &Admission<'_>,
    matched: &ResourceInfo,
    kind: &GroupVersionKind,
    obj: Option<&Value>,
    old: Option<&Value>,
) -> cel::policy::Input {
    let by: Arc<dyn Authorize> = Arc::new(Asker { by: cx.server.authorizer.clone(), user: cx.user.clone() });
    let ask = Ask {
        group: cx.res.gvr.group.clone(),
        resource: cx.res.gvr.resource.clone(),
        subresource: a.subresource.to_owned(),
        namespace: a.namespace.to_owned(),
        name: a.name.to_owned(),
        ..Ask::default()
    };
    let own = a.kind.unwrap_or(&cx.res.gvk);
    cel::policy::Input {
        object: object(&cx.res, own, obj),
        old_object: object(&cx.res, own, old),
        params: Val::Null,
        request: json::dynamic(&about(cx, a, &matched.gvr, kind)),
        namespace: namespace(cx, a),
        authorizer: Some((
            cel::authorizer::authorizer(by.clone()),
            cel::authorizer::request_resource(by, ask),
        )),
    }
}

fn namespace(cx: &Cx, a: &Admission<'_>) -> Val {
    if a.namespace.is_empty() || cx.res.is("", "namespaces") {
        return Val::Null;
    }
    let ns = admission::Lookup::get(&Lookup(&cx.server), "", "namespaces", "", a.namespace);
    match (ns, schema::facts::type_of("", "v1", "Namespace")) {
        (Some(n), Some(t)) => json::builtin(&n, t),
        _ => Val::Null,
    }
}

/// The server's authorizer, asked in the name of a request's user.
struct Asker {
    by: Arc<dyn authz::Authorizer>,
    user: UserInfo,
}

impl Authorize for Asker {
    fn authorize(&self, ask: &Ask) -> Decision {
        let user = match &ask.service_account {
            Some((ns, name)) => UserInfo::service_account(ns, name),
            None => self.user.clone(),
        };
        let a = Attributes {
            user,
            verb: ask.verb.clone(),
            namespace: ask.namespace.clone(),
            group: ask.group.clone(),
            version: if ask.path.is_some() { String::new() } else { "*".to_owned() },
            resource: ask.resource.clone(),
            subresource: ask.subresource.clone(),
            name: ask.name.clone(),
            is_resource: ask.path.is_none(),
            path: ask.path.clone().unwrap_or_default(),
            field_selector: Some(&ask.field_selector)
                .filter(|s| !s.is_empty())
                .and_then(|s| FieldSelector::parse(s).ok()),
        };
        let d = self.by.authorize(&a);
        Decision { allowed: d.allowed(), reason: d.reason().to_owned(), error: None }
    }
}

/// The parameter of a policy as a value.
pub fn param(info: Option<&ResourceInfo>, v: Option<&Value>) -> Val {
    match (info, v) {
        (Some(i), Some(v)) => object(i, &i.gvk, Some(v)),
        (_, v) => v.map_or(Val::Null, json::dynamic),
    }
}

/// The namespace in which a policy looks for parameters.
pub fn param_namespace<'a>(cx: &Cx, a: &Admission<'a>, obj: Option<&'a Value>) -> &'a str {
    if cx.res.is("", "namespaces") && a.namespace.is_empty() {
        return obj.map_or("", |o| o.name());
    }
    a.namespace
}
