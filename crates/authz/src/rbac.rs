//! The RBAC authorizer: bindings are indexed by the user or group they name, so that a decision looks only at bindings
//! of its own subject (plugin/pkg/auth/authorizer/rbac, pkg/registry/rbac/validation).

use crate::{Attributes, Authorizer, Decision, PolicyRule, Rules};
use meta::field::{aggregate, quote};
use meta::object::ObjectExt;
use meta::{UserInfo, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The group of the four kinds.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// A subject of a binding as rules are resolved by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(String),
    Group(String),
}

#[derive(Debug)]
struct Binding {
    name: String,
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    role_kind: String,
    role_name: String,
    /// Each subject's key (`None` where it can name nobody) and the reason of a decision by it:
    /// `ClusterRoleBinding "x" of ClusterRole "y" to Group "z"`.
    subjects: Vec<(Option<Key>, String)>,
}

/// The bindings of one namespace, or of the cluster.
#[derive(Debug, Default)]
struct Scope {
    by_name: BTreeMap<String, Arc<Binding>>,
    users: HashMap<String, Vec<Arc<Binding>>>,
    groups: HashMap<String, Vec<Arc<Binding>>>,
}

type RuleSet = Arc<[PolicyRule]>;

#[derive(Debug, Default)]
struct Index {
    cluster_roles: HashMap<String, RuleSet>,
    roles: HashMap<String, HashMap<String, RuleSet>>,
    cluster: Scope,
    namespaces: HashMap<String, Scope>,
}

/// The authorizer. It is told of objects through [`Rbac::upsert`] and [`Rbac::remove`] and shared by reference.
#[derive(Debug, Default)]
pub struct Rbac {
    index: RwLock<Index>,
}

impl Binding {
    fn parse(obj: &Value) -> Self {
        let namespace = obj.namespace().to_owned();
        let (role_kind, role_name) = (obj.str_at("roleRef.kind"), obj.str_at("roleRef.name"));
        let own = if namespace.is_empty() {
            describe("ClusterRoleBinding", obj.name())
        } else {
            describe("RoleBinding", &format!("{}/{namespace}", obj.name()))
        };
        let reason = |subject: String| {
            format!("RBAC: allowed by {own} of {} to {subject}", describe(role_kind, role_name))
        };
        let subjects = obj
            .array_at("subjects")
            .iter()
            .map(|s| {
                let (kind, name) = (s.str_at("kind"), s.str_at("name"));
                match kind {
                    "ServiceAccount" => {
                        // A RoleBinding's service account without a namespace is one of its own namespace.
                        let ns = match s.str_at("namespace") {
                            "" => namespace.as_str(),
                            ns => ns,
                        };
                        let key =
                            (!ns.is_empty()).then(|| Key::User(format!("system:serviceaccount:{ns}:{name}")));
                        (key, reason(describe(kind, &format!("{name}/{ns}"))))
                    }
                    "User" => (Some(Key::User(name.into())), reason(describe(kind, name))),
                    "Group" => (Some(Key::Group(name.into())), reason(describe(kind, name))),
                    _ => (None, String::new()),
                }
            })
            .collect();
        Self {
            name: obj.name().to_owned(),
            namespace,
            role_kind: role_kind.to_owned(),
            role_name: role_name.to_owned(),
            subjects,
        }
    }
    /// Why it allows something: the first subject that is this user.
    fn reason(&self, user: &UserInfo) -> String {
        let subject = self.subjects.iter().find(|(k, _)| match k {
            Some(Key::User(n)) => *n == user.name,
            Some(Key::Group(g)) => user.in_group(g),
            None => false,
        });
        subject.map_or_else(String::new, |s| s.1.clone())
    }
}

fn describe(kind: &str, name: &str) -> String {
    format!("{kind} {}", quote(name))
}

impl Scope {
    fn remove(&mut self, name: &str) {
        let Some(old) = self.by_name.remove(name) else { return };
        for (key, _) in &old.subjects {
            let (map, k) = match key {
                Some(Key::User(u)) => (&mut self.users, u),
                Some(Key::Group(g)) => (&mut self.groups, g),
                None => continue,
            };
            if let Some(list) = map.get_mut(k) {
                list.retain(|b| !Arc::ptr_eq(b, &old));
                if list.is_empty() {
                    map.remove(k);
                }
            }
        }
    }
    fn insert(&mut self, b: Binding) {
        self.remove(&b.name);
        let b = Arc::new(b);
        for (key, _) in &b.subjects {
            let list = match key {
                Some(Key::User(u)) => self.users.entry(u.clone()).or_default(),
                Some(Key::Group(g)) => self.groups.entry(g.clone()).or_default(),
                None => continue,
            };
            if !list.iter().any(|x| Arc::ptr_eq(x, &b)) {
                list.push(b.clone());
            }
        }
        self.by_name.insert(b.name.clone(), b);
    }
    /// The bindings that name this user, those by name before those by group; one may come twice.
    fn of<'a>(&'a self, user: &'a UserInfo) -> impl Iterator<Item = &'a Arc<Binding>> {
        let by_user = self.users.get(&user.name).into_iter().flatten();
        by_user.chain(user.groups.iter().filter_map(|g| self.groups.get(g)).flatten())
    }
}

impl Index {
    fn rules_of(&self, kind: &str, name: &str, namespace: &str) -> Result<&RuleSet, String> {
        let not_found = |what: &str| format!("{what}.{GROUP} {} not found", quote(name));
        match kind {
            "ClusterRole" => self.cluster_roles.get(name).ok_or_else(|| not_found("clusterrole")),
            "Role" => self.roles.get(namespace).and_then(|m| m.get(name)).ok_or_else(|| not_found("role")),
            _ => Err(format!("unsupported role reference kind: {}", quote(kind))),
        }
    }
    fn scopes(&self, namespace: &str) -> impl Iterator<Item = &Scope> {
        let own = if namespace.is_empty() { None } else { self.namespaces.get(namespace) };
        std::iter::once(&self.cluster).chain(own)
    }
}

impl Rbac {
    pub fn new() -> Self {
        Self::default()
    }
    fn read(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether objects of this resource (of the RBAC group) are of interest here.
    pub fn wants(resource: &str) -> bool {
        matches!(resource, "roles" | "clusterroles" | "rolebindings" | "clusterrolebindings")
    }

    /// Takes a new or changed object of one of the four resources.
    pub fn upsert(&self, resource: &str, obj: &Value) {
        let mut i = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "clusterroles" => {
                i.cluster_roles.insert(obj.name().to_owned(), PolicyRule::of_role(obj).into());
            }
            "roles" => {
                let rules = PolicyRule::of_role(obj).into();
                i.roles.entry(obj.namespace().to_owned()).or_default().insert(obj.name().to_owned(), rules);
            }
            "clusterrolebindings" => i.cluster.insert(Binding::parse(obj)),
            "rolebindings" => {
                let ns = obj.namespace().to_owned();
                i.namespaces.entry(ns).or_default().insert(Binding::parse(obj));
            }
            _ => {}
        }
    }

    /// Forgets an object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let mut i = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "clusterroles" => {
                i.cluster_roles.remove(name);
            }
            "roles" => {
                if let Some(m) = i.roles.get_mut(namespace) {
                    m.remove(name);
                    if m.is_empty() {
                        i.roles.remove(namespace);
                    }
                }
            }
            "clusterrolebindings" => i.cluster.remove(name),
            "rolebindings" => {
                if let Some(s) = i.namespaces.get_mut(namespace) {
                    s.remove(name);
                    if s.by_name.is_empty() {
                        i.namespaces.remove(namespace);
                    }
                }
            }
            _ => {}
        }
    }

    /// The rules behind a binding's `roleRef`; the error is what upstream's lister says.
    pub fn role_ref_rules(&self, kind: &str, name: &str, namespace: &str) -> Result<Vec<PolicyRule>, String> {
        self.read().rules_of(kind, name, namespace).map(|r| r.to_vec())
    }
}

impl Authorizer for Rbac {
    fn authorize(&self, a: &Attributes) -> Decision {
        let i = self.read();
        let mut errors = Vec::new();
        for b in i.scopes(&a.namespace).flat_map(|s| s.of(&a.user)) {
            match i.rules_of(&b.role_kind, &b.role_name, &b.namespace) {
                Ok(rules) if rules.iter().any(|r| r.allows(a)) => {
                    return Decision::Allow(b.reason(&a.user));
                }
                Ok(_) => {}
                Err(e) => errors.push(e),
            }
        }
        if errors.is_empty() {
            return Decision::NoOpinion(String::new());
        }
        Decision::NoOpinion(format!("RBAC: {}", aggregate(&errors)))
    }

    fn rules_for(&self, user: &UserInfo, namespace: &str) -> Rules {
        let i = self.read();
        let mut out = Rules::default();
        for scope in i.scopes(namespace) {
            let mine: BTreeMap<&str, &Arc<Binding>> = scope.of(user).map(|b| (b.name.as_str(), b)).collect();
            for b in mine.values() {
                match i.rules_of(&b.role_kind, &b.role_name, &b.namespace) {
                    Ok(rules) => out.rules.extend(rules.iter().cloned()),
                    Err(e) => out.errors.push(e),
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
