//! Whether a request may act as another user: constrained impersonation (KEP 5284) and the old way
//! (apiserver `pkg/endpoints/filters/impersonation/mode.go`).
//!
//! `authn::impersonate` reads the wanted user from the headers. The modes are tried in order; the first that allows it
//! decides how the new user looks.

use crate::{Attributes, Authorizer, forbidden};
use meta::field::quote;
use meta::user::{ANONYMOUS, AUTHENTICATED, NODES, SERVICE_ACCOUNTS, SYSTEM_MASTERS, UNAUTHENTICATED};
use meta::{Status, UserInfo, names};

const GROUP: &str = "authentication.k8s.io";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
/// From so many names on, one question for all of them is tried first.
const MANY: usize = 4;

/// Who a request counts as from here on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonated {
    pub user: UserInfo,
    /// The verb that allowed it, for the audit log; empty for the old way.
    pub constraint: &'static str,
}

struct Mode {
    /// Of `impersonate:NAME` and `impersonate-on:NAME:VERB`; empty for the old way.
    name: &'static str,
    constraint: &'static str,
    applies: fn(&UserInfo, &UserInfo) -> bool,
}

const MODES: &[Mode] = &[
    Mode {
        name: "associated-node",
        constraint: "impersonate:associated-node",
        applies: |wanted, requestor| {
            only_name(wanted)
                && service_account(&requestor.name).is_some()
                && node(&wanted.name).is_some_and(|n| {
                    requestor.extra.get(NODE_NAME).is_some_and(|v| v.len() == 1 && v[0] == n)
                })
        },
    },
    Mode {
        name: "arbitrary-node",
        constraint: "impersonate:arbitrary-node",
        applies: |wanted, _| only_name(wanted) && node(&wanted.name).is_some(),
    },
    Mode {
        name: "serviceaccount",
        constraint: "impersonate:serviceaccount",
        applies: |wanted, _| only_name(wanted) && service_account(&wanted.name).is_some(),
    },
    Mode {
        name: "user-info",
        constraint: "impersonate:user-info",
        applies: |wanted, _| node(&wanted.name).is_none() && service_account(&wanted.name).is_none(),
    },
    Mode { name: "", constraint: "", applies: |_, _| true },
];

fn only_name(u: &UserInfo) -> bool {
    u.uid.is_empty() && u.groups.is_empty() && u.extra.is_empty()
}

fn node(user: &str) -> Option<&str> {
    let name = user.strip_prefix("system:node:")?;
    names::is_dns1123_subdomain(name).is_empty().then_some(name)
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    let (ns, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let good = names::is_dns1123_label(ns).is_empty() && names::is_dns1123_subdomain(name).is_empty();
    good.then_some((ns, name))
}

/// Decides. `request` is the request as its sender makes it; the error is a 403 of the first mode that applied.
pub fn authorize(
    wanted: &UserInfo,
    request: &Attributes,
    authorizer: &dyn Authorizer,
) -> Result<Impersonated, Status> {
    let constrained = schema::facts::gate("ConstrainedImpersonation");
    let mut first: Option<Status> = None;
    for mode in MODES.iter().filter(|m| constrained || m.name.is_empty()) {
        if !(mode.applies)(wanted, &request.user) {
            continue;
        }
        match Try::new(mode, request, authorizer).user(wanted) {
            Ok(user) => return Ok(Impersonated { user, constraint: mode.constraint }),
            Err(e) => {
                first.get_or_insert(e);
            }
        }
    }
    // The last mode always applies.
    Err(first.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

struct Try<'a> {
    mode: &'a Mode,
    request: &'a Attributes,
    /// The sender as the authorizer sees it.
    requestor: UserInfo,
    authorizer: &'a dyn Authorizer,
}

impl<'a> Try<'a> {
    fn new(mode: &'a Mode, request: &'a Attributes, authorizer: &'a dyn Authorizer) -> Self {
        let mut requestor = request.user.clone();
        if mode.name == "associated-node" {
            // Which node it is does not matter here, so that the answer is the same for all of them.
            let keys: Vec<String> = requestor.extra.keys().cloned().collect();
            requestor.extra = [("authentication.kubernetes.io/associated-node-keys".to_owned(), keys)].into();
        }
        Self { mode, request, requestor, authorizer }
    }

    fn legacy(&self) -> bool {
        self.mode.name.is_empty()
    }

    fn ask(&self, a: &Attributes) -> Result<(), Status> {
        let d = self.authorizer.authorize(a);
        if d.allowed() { Ok(()) } else { Err(forbidden(a, d.reason())) }
    }

    /// A question about one thing to impersonate.
    fn about(&self, group: &str, resource: &str, name: &str) -> Attributes {
        Attributes {
            user: self.requestor.clone(),
            verb: if self.legacy() { "impersonate".into() } else { self.mode.constraint.into() },
            group: group.into(),
            version: "v1".into(),
            resource: resource.into(),
            name: name.into(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    /// Users and groups were of the core group once.
    fn core(&self) -> &'static str {
        if self.legacy() { "" } else { GROUP }
    }

    fn user(&self, wanted: &UserInfo) -> Result<UserInfo, Status> {
        if !self.legacy() {
            let verb = format!("impersonate-on:{}:{}", self.mode.name, self.request.verb);
            self.ask(&Attributes { user: self.requestor.clone(), verb, ..self.request.clone() })?;
        }
        let mut user = wanted.clone();
        self.name(wanted, &mut user)?;
        if !wanted.uid.is_empty() {
            self.ask(&self.about(GROUP, "uids", &wanted.uid))?;
        }
        self.groups(&wanted.groups)?;
        self.extra(wanted)?;
        let ensure = |user: &mut UserInfo, g: &str| {
            if !user.in_group(g) {
                user.groups.push(g.into());
            }
        };
        if user.name == ANONYMOUS {
            ensure(&mut user, UNAUTHENTICATED);
        } else if !user.in_group(UNAUTHENTICATED) {
            ensure(&mut user, AUTHENTICATED);
        }
        Ok(user)
    }

    fn name(&self, wanted: &UserInfo, user: &mut UserInfo) -> Result<(), Status> {
        let mut a = self.about(self.core(), "users", &wanted.name);
        if let (false, Some(n)) = (self.legacy(), node(&wanted.name)) {
            a.resource = "nodes".into();
            a.name = if self.mode.name == "associated-node" { "*".into() } else { n.into() };
            user.groups = vec![NODES.into()];
        }
        if let Some((ns, n)) = service_account(&wanted.name) {
            a.resource = "serviceaccounts".into();
            a.namespace = ns.into();
            a.name = n.into();
            if wanted.groups.is_empty() {
                user.groups = vec![SERVICE_ACCOUNTS.into(), format!("system:serviceaccounts:{ns}")];
            }
        }
        self.ask(&a)
    }

    fn groups(&self, groups: &[String]) -> Result<(), Status> {
        if groups.is_empty() {
            return Ok(());
        }
        let about = |name: &str| self.about(self.core(), "groups", name);
        if !self.legacy() {
            if groups.iter().any(String::is_empty) {
                return Err(forbidden(&about(""), "impersonating the empty string group is not allowed"));
            }
            if groups.iter().any(|g| g == SYSTEM_MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(forbidden(&about(SYSTEM_MASTERS), why));
            }
            if groups.len() >= MANY && self.ask(&about("*")).is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|g| self.ask(&about(g)))
    }

    fn extra(&self, wanted: &UserInfo) -> Result<(), Status> {
        if wanted.extra.is_empty() {
            return Ok(());
        }
        let about = |key: &str, value: &str| Attributes {
            subresource: key.into(),
            ..self.about(GROUP, "userextras", value)
        };
        if !self.legacy() {
            for (key, values) in &wanted.extra {
                if let Err(why) = good_extra(key, values) {
                    return Err(forbidden(&about("", ""), &why));
                }
            }
            let many =
                wanted.extra.len() >= MANY || wanted.extra.values().map(Vec::len).sum::<usize>() >= MANY;
            if many && self.ask(&about("*", "*")).is_ok() {
                return Ok(());
            }
        }
        for (key, values) in &wanted.extra {
            values.iter().try_for_each(|v| self.ask(&about(key, v)))?;
        }
        Ok(())
    }
}

fn good_extra(key: &str, values: &[String]) -> Result<(), String> {
    if key.is_empty() {
        return Err("impersonating the empty string key in extra is not allowed".into());
    }
    let why = match key.split_once('/') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            let ok = |c: char| c.is_ascii_alphanumeric() || "/%-._~!$&'()*+,;=:".contains(c);
            if let Some(e) = names::is_dns1123_subdomain(host).into_iter().next() {
                format!("extra.key: Invalid value: {}: {e}", quote(host))
            } else if !path.chars().all(ok) {
                format!("extra.key: Invalid value: {}: Invalid path", quote(path))
            } else {
                String::new()
            }
        }
        _ => format!(
            "extra.key: Invalid value: {}: must be a domain-prefixed path (such as \"acme.io/foo\")",
            quote(key)
        ),
    };
    if !why.is_empty() {
        return Err(format!("impersonating an invalid key in extra is not allowed: {why}"));
    }
    if key.chars().any(char::is_uppercase) {
        return Err(format!("impersonating a non-lowercase key in extra is not allowed: {}", quote(key)));
    }
    if values.is_empty() {
        return Err("impersonating empty values in extra is not allowed".into());
    }
    if values.iter().any(String::is_empty) {
        return Err("impersonating the empty string value in extra is not allowed".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decision;

    /// Allows what the list says: `verb group/resource[/sub] namespace name`.
    struct List(Vec<&'static str>);
    impl Authorizer for List {
        fn authorize(&self, a: &Attributes) -> Decision {
            let sub = if a.subresource.is_empty() { String::new() } else { format!("/{}", a.subresource) };
            let q = format!("{} {}/{}{sub} {} {}", a.verb, a.group, a.resource, a.namespace, a.name);
            if self.0.contains(&q.as_str()) {
                Decision::Allow(String::new())
            } else {
                Decision::NoOpinion(String::new())
            }
        }
    }

    fn run(
        wanted: &UserInfo,
        requestor: UserInfo,
        allowed: &[&'static str],
    ) -> Result<(String, &'static str), String> {
        let request = Attributes {
            user: requestor,
            verb: "list".into(),
            resource: "pods".into(),
            namespace: "ns".into(),
            is_resource: true,
            ..Attributes::default()
        };
        authorize(wanted, &request, &List(allowed.to_vec()))
            .map(|i| (format!("{} {}", i.user.name, i.user.groups.join(",")), i.constraint))
            .map_err(|s| s.message)
    }

    #[test]
    fn the_old_way() {
        let bob = UserInfo::new("bob", &["admins"]);
        let me = || UserInfo::new("me", &[]);
        assert_eq!(
            run(&bob, me(), &["impersonate /users  bob", "impersonate /groups  admins"]),
            Ok(("bob admins,system:authenticated".into(), ""))
        );
        // The first applicable mode says why not.
        assert_eq!(
            run(&bob, me(), &["impersonate /users  bob"]),
            Err(r#"pods is forbidden: User "me" cannot impersonate-on:user-info:list resource "pods" in API group "" in the namespace "ns""#.into())
        );
        let sa = UserInfo::new("system:serviceaccount:ns:sa", &[]);
        assert_eq!(
            run(&sa, me(), &["impersonate /serviceaccounts ns sa"]),
            Ok(("system:serviceaccount:ns:sa system:serviceaccounts,system:serviceaccounts:ns,system:authenticated".into(), ""))
        );
        let anonymous = UserInfo::new(ANONYMOUS, &[]);
        assert_eq!(
            run(&anonymous, me(), &["impersonate /users  system:anonymous"]),
            Ok(("system:anonymous system:unauthenticated".into(), ""))
        );
    }

    #[test]
    fn constrained() {
        let me = || UserInfo::new("me", &[]);
        let on = "impersonate-on:user-info:list /pods ns ";
        let mut bob = UserInfo::new("bob", &["a"]);
        bob.extra.insert("acme.io/x".into(), vec!["1".into()]);
        let all = [
            on,
            "impersonate:user-info authentication.k8s.io/users  bob",
            "impersonate:user-info authentication.k8s.io/groups  a",
            "impersonate:user-info authentication.k8s.io/userextras/acme.io/x  1",
        ];
        assert_eq!(run(&bob, me(), &all), Ok(("bob a,system:authenticated".into(), "impersonate:user-info")));
        for n in 0..all.len() {
            let some: Vec<&'static str> =
                all.iter().enumerate().filter(|(i, _)| *i != n).map(|(_, a)| *a).collect();
            assert!(run(&bob, me(), &some).is_err());
        }
        let masters = UserInfo::new("bob", &[SYSTEM_MASTERS]);
        let e = run(
            &masters,
            me(),
            &[on, all[1], "impersonate:user-info authentication.k8s.io/groups  system:masters"],
        );
        assert!(e.unwrap_err().ends_with("impersonating the system:masters group is not allowed"));
        let node = UserInfo::new("system:node:n1", &[]);
        assert_eq!(
            run(
                &node,
                me(),
                &[
                    "impersonate-on:arbitrary-node:list /pods ns ",
                    "impersonate:arbitrary-node authentication.k8s.io/nodes  n1"
                ]
            ),
            Ok(("system:node:n1 system:nodes,system:authenticated".into(), "impersonate:arbitrary-node"))
        );
        let associated = [
            "impersonate-on:associated-node:list /pods ns ",
            "impersonate:associated-node authentication.k8s.io/nodes  *",
        ];
        let agent = |node: &str| {
            let mut u = UserInfo::new("system:serviceaccount:ns:agent", &[]);
            u.extra.insert(NODE_NAME.into(), vec![node.into()]);
            u
        };
        assert_eq!(run(&node, agent("n1"), &associated).unwrap().1, "impersonate:associated-node");
        assert!(run(&node, agent("n2"), &associated).is_err());
    }
}
