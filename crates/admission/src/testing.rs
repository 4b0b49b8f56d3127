//! What the tests of plugins share: a store of objects, and requests in one line.

use crate::{Attributes, Effects, Lookup, Operation, Plugin};
use meta::object::ObjectExt;
use meta::time::Timestamp;
use meta::{GroupVersionKind, GroupVersionResource, Status, UserInfo, Value};
use std::sync::Arc;

/// Objects by `group/resource`, and what the user may do (`verb group resource namespace name`).
#[derive(Default)]
pub(crate) struct Store {
    pub objects: Vec<(String, Arc<Value>)>,
    pub allowed: Vec<String>,
}

impl Store {
    pub(crate) fn with(mut self, resource: &str, o: Value) -> Self {
        self.objects.push((resource.into(), Arc::new(o)));
        self
    }
    pub(crate) fn namespace(self, name: &str) -> Self {
        self.with(
            "/namespaces",
            serde_json::json!({"metadata": {"name": name}, "status": {"phase": "Active"}}),
        )
    }
}

impl Lookup for Store {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.list(group, resource, namespace).into_iter().find(|o| o.name() == name)
    }
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let key = format!("{group}/{resource}");
        let all = self
            .objects
            .iter()
            .filter(|(k, o)| *k == key && (namespace.is_empty() || o.namespace() == namespace));
        all.map(|(_, o)| o.clone()).collect()
    }
    fn authorized(
        &self,
        _: &UserInfo,
        verb: &str,
        group: &str,
        resource: &str,
        ns: &str,
        name: &str,
    ) -> bool {
        self.allowed.contains(&format!("{verb} {group} {resource} {ns} {name}"))
    }
}

/// A request: `create pods`, `update apps/deployments`, `update pods/status`, in namespace `ns`.
pub(crate) struct Ask {
    op: Operation,
    resource: GroupVersionResource,
    sub: String,
    pub user: UserInfo,
    pub namespace: String,
    pub name: String,
    pub effects: Effects,
}

impl Ask {
    pub(crate) fn new(what: &str) -> Self {
        let (verb, r) = what.split_once(' ').unwrap();
        let op = match verb {
            "create" => Operation::Create,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => Operation::Connect,
        };
        let (group, r) = match r.split_once('/') {
            Some((g, rest))
                if g.contains('.') || schema::resources().iter().any(|x| x.group == g && !g.is_empty()) =>
            {
                (g, rest)
            }
            _ => ("", r),
        };
        let (resource, sub) = r.split_once('/').unwrap_or((r, ""));
        Self {
            op,
            resource: GroupVersionResource::new(group, "v1", resource),
            sub: sub.into(),
            user: UserInfo::new("u", &[]),
            namespace: "ns".into(),
            name: String::new(),
            effects: Effects::default(),
        }
    }
    pub(crate) fn user(mut self, name: &str, groups: &[&str]) -> Self {
        self.user = UserInfo::new(name, groups);
        self
    }
    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }
    pub(crate) fn in_namespace(mut self, ns: &str) -> Self {
        self.namespace = ns.into();
        self
    }
    /// Admits and validates; the message of the refusal is the error.
    pub(crate) fn run(
        &mut self,
        p: &dyn Plugin,
        store: &Store,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), String> {
        self.status(p, store, new, old).map_err(|s| s.message)
    }
    pub(crate) fn status(
        &mut self,
        p: &dyn Plugin,
        store: &Store,
        new: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), Status> {
        if !p.handles(self.op) {
            return Ok(());
        }
        let facts = schema::resources()
            .iter()
            .find(|r| r.group == self.resource.group && r.resource == self.resource.resource);
        let kind = facts.map_or("Widget", |r| r.kind);
        let kind = GroupVersionKind::new(&self.resource.group, &self.resource.version, kind);
        let name = if self.name.is_empty() { new.name().to_owned() } else { self.name.clone() };
        let mut a = Attributes {
            operation: self.op,
            resource: &self.resource,
            kind: &kind,
            subresource: &self.sub,
            namespace: &self.namespace,
            name: &name,
            user: &self.user,
            dry_run: false,
            object: (!new.is_null()).then_some(new),
            old,
            now: Timestamp { seconds: 1_800_000_000, nanos: 0 },
            seed: 42,
            effects: Effects::default(),
        };
        let r = p.admit(&mut a, store).and_then(|()| p.validate(&mut a, store));
        self.effects = a.effects;
        r
    }
}
