//! The 403 that a refused request gets (apiserver `pkg/endpoints/handlers/responsewriters/errors.go`).

use crate::Attributes;
use meta::field::quote as q;
use meta::{GroupResource, Status};

/// `pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "ns"`, and the reason.
pub fn forbidden(a: &Attributes, reason: &str) -> Status {
    let mut why = escape_html(&message(a));
    if !reason.is_empty() {
        why.push_str(": ");
        why.push_str(reason);
    }
    Status::forbidden(&GroupResource::new(&a.group, &a.resource), &a.name, why)
}

fn message(a: &Attributes) -> String {
    let user = q(&a.user.name);
    if !a.is_resource {
        return format!("User {user} cannot {} path {}", a.verb, q(&a.path));
    }
    let resource = if a.subresource.is_empty() {
        q(&a.resource)
    } else {
        q(&format!("{}/{}", a.resource, a.subresource))
    };
    let what = format!("User {user} cannot {} resource {resource} in API group {}", a.verb, q(&a.group));
    if a.namespace.is_empty() {
        format!("{what} at the cluster scope")
    } else {
        format!("{what} in the namespace {}", q(&a.namespace))
    }
}

fn escape_html(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use meta::UserInfo;

    #[test]
    fn says_what_upstream_says() {
        let mut a = Attributes {
            user: UserInfo::new("u", &[]),
            verb: "list".into(),
            namespace: "ns".into(),
            resource: "pods".into(),
            is_resource: true,
            ..Attributes::default()
        };
        let m = |a: &Attributes, r: &str| forbidden(a, r).message;
        assert_eq!(
            m(&a, ""),
            r#"pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "ns""#
        );
        a.namespace.clear();
        a.group = "apps".into();
        a.subresource = "status".into();
        a.name = "<x>".into();
        assert_eq!(
            m(&a, "rbac: no"),
            r#"pods.apps "<x>" is forbidden: User "u" cannot list resource "pods/status" in API group "apps" at the cluster scope: rbac: no"#
        );
        let a = Attributes { verb: "get".into(), path: "/a<b>".into(), ..Attributes::default() };
        assert_eq!(m(&a, ""), r#"forbidden: User "" cannot get path "/a&lt;b&gt;""#);
    }
}
