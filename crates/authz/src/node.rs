//! The node authorizer: a kubelet may read what the pods of its node refer to, and write what is its own
//! (plugin/pkg/auth/authorizer/node).

mod graph;

use crate::{Attributes, Authorizer, Decision, PolicyRule, Rules};
use graph::{Graph, Type};
use meta::object::ObjectExt;
use meta::{UserInfo, Value};
use std::sync::{PoisonError, RwLock};

/// The node that a user is, when it is one: name `system:node:NAME` in group `system:nodes`.
pub fn node_identity(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    user.in_group(meta::user::NODES).then_some(name)
}

/// The authorizer. It is told of objects through [`NodeAuthorizer::upsert`] and [`NodeAuthorizer::remove`].
#[derive(Debug)]
pub struct NodeAuthorizer {
    graph: RwLock<Graph>,
    /// What every node may do; the resources below are not in question here.
    rules: Vec<PolicyRule>,
}

impl Default for NodeAuthorizer {
    fn default() -> Self {
        Self::new()
    }
}

impl NodeAuthorizer {
    pub fn new() -> Self {
        Self { graph: RwLock::default(), rules: crate::bootstrap::node_rules() }
    }

    /// Whether objects of this resource are of interest here.
    pub fn wants(group: &str, resource: &str) -> bool {
        matches!(
            (group, resource),
            ("", "pods" | "persistentvolumes")
                | ("storage.k8s.io", "volumeattachments")
                | ("resource.k8s.io", "resourceslices")
                | ("certificates.k8s.io", "podcertificaterequests")
        )
    }

    /// The only fields of a resource's objects that are of interest; `None`: all.
    pub fn fields(resource: &str) -> Option<&'static [&'static [&'static str]]> {
        (resource == "pods").then_some(graph::POD_FIELDS)
    }

    /// Takes a new or changed object.
    pub fn upsert(&self, resource: &str, obj: &Value) {
        let mut g = self.graph.write().unwrap_or_else(PoisonError::into_inner);
        let (ns, name) = (obj.namespace(), obj.name());
        match resource {
            "pods" => g.set_pod(obj),
            "persistentvolumes" => g.set_pv(obj),
            "volumeattachments" => g.set_owner(Type::VolumeAttachment, ns, name, obj.str_at("spec.nodeName")),
            "resourceslices" => g.set_owner(Type::ResourceSlice, ns, name, obj.str_at("spec.nodeName")),
            "podcertificaterequests" => {
                g.set_owner(Type::PodCertificateRequest, ns, name, obj.str_at("spec.nodeName"));
            }
            _ => {}
        }
    }

    /// Forgets an object.
    pub fn remove(&self, resource: &str, namespace: &str, name: &str) {
        let mut g = self.graph.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "pods" => g.remove_pod(namespace, name),
            "persistentvolumes" => g.remove_pv(name),
            "volumeattachments" => g.set_owner(Type::VolumeAttachment, namespace, name, ""),
            "resourceslices" => g.set_owner(Type::ResourceSlice, namespace, name, ""),
            "podcertificaterequests" => g.set_owner(Type::PodCertificateRequest, namespace, name, ""),
            _ => {}
        }
    }

    fn related(&self, node: &str, ty: Type, a: &Attributes) -> Answer {
        if a.name.is_empty() {
            return no("No Object name found");
        }
        let g = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        if g.has_path(ty, &a.namespace, &a.name, node) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{node}' and this object"))
    }

    fn get(&self, node: &str, ty: Type, a: &Attributes) -> Answer {
        if a.verb != "get" {
            return no("can only get individual resources of this type");
        }
        if !a.subresource.is_empty() {
            return no("cannot get subresource");
        }
        self.related(node, ty, a)
    }

    fn read_namespaced(&self, node: &str, ty: Type, a: &Attributes) -> Answer {
        if !matches!(a.verb.as_str(), "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !a.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if a.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(node, ty, a)
    }

    fn claim_status(&self, node: &str, a: &Attributes) -> Answer {
        if !matches!(a.verb.as_str(), "update" | "patch") {
            return no("can only get/update/patch this type");
        }
        self.related(node, Type::Claim, a)
    }

    fn service_account(&self, node: &str, a: &Attributes) -> Answer {
        if a.verb == "get" && a.subresource.is_empty() {
            return self.read_namespaced(node, Type::ServiceAccount, a);
        }
        if a.verb != "create" || a.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if a.subresource != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(node, Type::ServiceAccount, a)
    }

    fn resource_slice(&self, node: &str, a: &Attributes) -> Answer {
        if !a.subresource.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match a.verb.as_str() {
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(node, Type::ResourceSlice, a),
            "watch" | "list" | "deletecollection" if selects(a, "spec.nodeName", node) => Ok(()),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, \
                patch, delete, deletecollection",
            ),
        }
    }

    fn pod_certificate_request(&self, node: &str, a: &Attributes) -> Answer {
        if !a.subresource.is_empty() {
            return no("nodes may not access the status subresource of PodCertificateRequests");
        }
        match a.verb.as_str() {
            "create" => Ok(()),
            "get" => self.related(node, Type::PodCertificateRequest, a),
            "list" | "watch" if selects(a, "spec.nodeName", node) => Ok(()),
            "list" | "watch" => no("can only list/watch podcertificaterequests with nodeName field selector"),
            v => Err(format!("nodes may not {v} podcertificaterequests")),
        }
    }

    fn pod(&self, node: &str, a: &Attributes) -> Answer {
        match (a.subresource.as_str(), a.verb.as_str()) {
            ("", "get") => self.get(node, Type::Pod, a),
            ("", "list" | "watch") if selects(a, "spec.nodeName", node) => Ok(()),
            ("", "list" | "watch") if !a.name.is_empty() => self.related(node, Type::Pod, a),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            // NodeRestriction holds these to mirror pods and to pods of the node itself.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => no(""),
        }
    }

    fn resource(&self, node: &str, a: &Attributes) -> Answer {
        match (a.group.as_str(), a.resource.as_str()) {
            ("", "secrets") => self.read_namespaced(node, Type::Secret, a),
            ("", "configmaps") => self.read_namespaced(node, Type::ConfigMap, a),
            ("", "persistentvolumeclaims") if a.subresource == "status" => self.claim_status(node, a),
            ("", "persistentvolumeclaims") => self.get(node, Type::Claim, a),
            ("", "persistentvolumes") => self.get(node, Type::Volume, a),
            ("resource.k8s.io", "resourceclaims") => self.get(node, Type::ResourceClaim, a),
            ("storage.k8s.io", "volumeattachments") => self.get(node, Type::VolumeAttachment, a),
            ("", "serviceaccounts") => self.service_account(node, a),
            ("coordination.k8s.io", "leases") => lease(node, a),
            ("storage.k8s.io", "csinodes") => csi_node(node, a),
            ("resource.k8s.io", "resourceslices") => self.resource_slice(node, a),
            ("", "nodes") => own_node(node, a),
            ("", "pods") => self.pod(node, a),
            ("certificates.k8s.io", "podcertificaterequests") => self.pod_certificate_request(node, a),
            _ => self.by_rules(a),
        }
    }

    fn by_rules(&self, a: &Attributes) -> Answer {
        if self.rules.iter().any(|r| r.allows(a)) { Ok(()) } else { no("") }
    }
}

/// Yes, or the reason why there is no opinion.
type Answer = Result<(), String>;

fn no(why: &str) -> Answer {
    Err(why.to_owned())
}

fn selects(a: &Attributes, field: &str, value: &str) -> bool {
    a.field_selector.as_ref().and_then(|s| s.exact(field)) == Some(value)
}

fn lease(node: &str, a: &Attributes) -> Answer {
    if !matches!(a.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease");
    }
    if a.namespace != "kube-node-lease" {
        return no("can only access leases in the \"kube-node-lease\" system namespace");
    }
    if a.verb != "create" && a.name != node {
        return no("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn csi_node(node: &str, a: &Attributes) -> Answer {
    match a.subresource.as_str() {
        "" => {
            if !matches!(a.verb.as_str(), "get" | "create" | "update" | "patch" | "delete") {
                return no("can only get, create, update, patch, or delete a CSINode");
            }
        }
        "status" if !schema::facts::gate("CSIVolumeHealth") => {
            return no("CSINode status access requires CSIVolumeHealth feature");
        }
        "status" => {
            if !matches!(a.verb.as_str(), "get" | "update" | "patch") {
                return no("can only get, update, or patch CSINode status");
            }
        }
        _ => return no("cannot authorize CSINode subresources"),
    }
    if a.verb != "create" && a.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    Ok(())
}

fn own_node(node: &str, a: &Attributes) -> Answer {
    match (a.subresource.as_str(), a.verb.as_str()) {
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
        ("", "get" | "list" | "watch") => match a.name.as_str() {
            n if n == node => Ok(()),
            "" => Err(format!("node '{node}' cannot read all nodes, only its own Node object")),
            n => Err(format!("node '{node}' cannot read '{n}', only its own Node object")),
        },
        _ => no(""),
    }
}

impl Authorizer for NodeAuthorizer {
    fn authorize(&self, a: &Attributes) -> Decision {
        let Some(node) = node_identity(&a.user) else { return Decision::NoOpinion(String::new()) };
        if node.is_empty() {
            return Decision::NoOpinion(format!(
                "unknown node for user {}",
                meta::field::quote(&a.user.name)
            ));
        }
        let answer = if a.is_resource { self.resource(node, a) } else { self.by_rules(a) };
        match answer {
            Ok(()) => Decision::Allow(String::new()),
            Err(why) => Decision::NoOpinion(why),
        }
    }
    fn rules_for(&self, user: &UserInfo, _namespace: &str) -> Rules {
        if node_identity(user).is_none() {
            return Rules::default();
        }
        Rules {
            incomplete: true,
            errors: vec!["node authorizer does not support user rule resolution".into()],
            ..Rules::default()
        }
    }
}

#[cfg(test)]
mod tests;
