//! Objects of the store for those who decide: admission plugins, verifiers of tokens.

use crate::object::{decode_builtin, ext};
use crate::registry::ResourceInfo;
use crate::server::ApiServer;
use authz::Attributes;
use meta::{UserInfo, Value};
use mvcc::Record;
use std::sync::Arc;

/// Reads the newest state, in the stored version.
pub struct Lookup<'a>(pub &'a ApiServer);

/// Asked for by nearly every request: their trees are kept with the record.
const KEPT: [&str; 5] = ["namespaces", "serviceaccounts", "priorityclasses", "resourcequotas", "limitranges"];

impl Lookup<'_> {
    fn info(&self, group: &str, resource: &str) -> Option<Arc<ResourceInfo>> {
        self.0.registry().any_version(group, resource).filter(|i| i.stored() && !i.is_custom()).cloned()
    }
    fn tree(info: &ResourceInfo, r: &Arc<Record>) -> Option<Arc<Value>> {
        let make = || {
            let (mut v, _) = decode_builtin(info, r).ok()?;
            crate::object::set_resource_version(&mut v, r.mod_revision);
            Some(Arc::new(v))
        };
        if !KEPT.contains(&info.gvr.resource.as_str()) {
            return make();
        }
        let slot = &ext(r).tree;
        match slot.get() {
            Some(t) => Some(t.clone()),
            None => {
                let t = make()?;
                Some(slot.get_or_init(|| t).clone())
            }
        }
    }
    fn find(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let info = self.info(group, resource)?;
        let r = self.0.store.cached().get(&info.key(namespace, name))?;
        Self::tree(&info, &r)
    }
}

impl admission::Lookup for Lookup<'_> {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.find(group, resource, namespace, name)
    }
    fn label(
        &self,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Option<Option<String>> {
        let info = self.info(group, resource)?;
        let r = self.0.store.cached().get(&info.key(namespace, name))?;
        Some(ext(&r).header.label(key).map(str::to_owned))
    }
    fn list(&self, group: &str, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let Some(info) = self.info(group, resource) else { return Vec::new() };
        let mut out = Vec::new();
        self.0.store.cached().scan(&info.scope_prefix(namespace), "", &mut |r| {
            out.extend(Self::tree(&info, r));
            true
        });
        out
    }
    fn authorized(
        &self,
        user: &UserInfo,
        verb: &str,
        group: &str,
        resource: &str,
        namespace: &str,
        name: &str,
    ) -> bool {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let a = Attributes {
            user: user.clone(),
            verb: verb.into(),
            namespace: namespace.into(),
            group: group.into(),
            version: "*".into(),
            resource: resource.into(),
            subresource: sub.into(),
            name: name.into(),
            is_resource: true,
            ..Attributes::default()
        };
        self.0.authorizer.authorize(&a).allowed()
    }
    fn resources_of(&self, group: &str, kind: &str) -> Vec<(String, bool)> {
        let mut out: Vec<(String, bool)> = Vec::new();
        for i in self.0.registry().iter() {
            let r = (i.gvr.resource.clone(), i.namespaced);
            if i.gvr.group == group && i.gvk.kind == kind && !out.contains(&r) {
                out.push(r);
            }
        }
        out
    }
}

impl authn::Lookup for Lookup<'_> {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        self.find(group, resource, namespace, name).map(|v| (*v).clone())
    }
}
