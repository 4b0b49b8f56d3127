//! The chain of authorizers, and those that need no index.

use crate::{Attributes, Authorizer, Decision, Rules};
use meta::UserInfo;
use std::sync::Arc;

/// Says yes to everything.
pub struct AlwaysAllow;
impl Authorizer for AlwaysAllow {
    fn authorize(&self, _a: &Attributes) -> Decision {
        Decision::Allow(String::new())
    }
    fn rules_for(&self, _user: &UserInfo, _namespace: &str) -> Rules {
        Rules {
            rules: vec![
                crate::PolicyRule::resource(&["*"], &["*"], &["*"]),
                crate::PolicyRule {
                    verbs: vec!["*".into()],
                    non_resource_urls: vec!["*".into()],
                    ..Default::default()
                },
            ],
            ..Rules::default()
        }
    }
}

/// Has no good word for anyone, as upstream's: it does not stop later authorizers.
pub struct AlwaysDeny;
impl Authorizer for AlwaysDeny {
    fn authorize(&self, _a: &Attributes) -> Decision {
        Decision::NoOpinion("Everything is forbidden.".into())
    }
}

/// Allows members of one group (`system:masters`) everything.
pub struct PrivilegedGroup(pub String);
impl Authorizer for PrivilegedGroup {
    fn authorize(&self, a: &Attributes) -> Decision {
        if a.user.in_group(&self.0) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion(String::new())
        }
    }
}

/// Authorizers with their names, asked in order; members of `system:masters` pass before all of them.
#[derive(Clone)]
pub struct Chain {
    links: Vec<(String, Arc<dyn Authorizer>)>,
}

impl Chain {
    /// Names are what reasons are prefixed with: the mode in lower case (`node`, `rbac`).
    pub fn new(links: Vec<(String, Arc<dyn Authorizer>)>) -> Self {
        let masters: Arc<dyn Authorizer> = Arc::new(PrivilegedGroup(meta::user::SYSTEM_MASTERS.into()));
        let mut all = vec![("kubernetes.io/system-privileged-group".to_owned(), masters)];
        all.extend(links);
        Self { links: all }
    }
}

impl Authorizer for Chain {
    fn authorize(&self, a: &Attributes) -> Decision {
        let mut reasons: Vec<String> = Vec::new();
        for (name, link) in &self.links {
            match link.authorize(a) {
                Decision::NoOpinion(r) if r.is_empty() => {}
                Decision::NoOpinion(r) => reasons.push(format!("{name}: {r}")),
                decided => return decided,
            }
        }
        Decision::NoOpinion(reasons.join("\n"))
    }
    fn rules_for(&self, user: &UserInfo, namespace: &str) -> Rules {
        let mut all = Rules::default();
        for (_, link) in &self.links {
            let r = link.rules_for(user, namespace);
            all.rules.extend(r.rules);
            all.incomplete |= r.incomplete;
            all.errors.extend(r.errors);
        }
        all
    }
}
