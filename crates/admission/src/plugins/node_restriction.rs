//! NodeRestriction: a kubelet may change its own node, and pods bound to it, in the ways a kubelet needs
//! (plugin/pkg/admission/noderestriction). Where a kubelet asks for tokens and certificates, see `audience`.

mod audience;
mod objects;

use crate::pod::{config_map_names, is_mirror, secret_names};
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::field::quote;
use meta::object::ObjectExt;
use meta::{GroupResource, Status, UserInfo, Value};
use std::sync::Arc;

pub(crate) struct NodeRestriction;

/// The name in `system:node:NAME` of a member of `system:nodes`.
fn node_of(user: &UserInfo) -> Option<&str> {
    let name = user.name.strip_prefix("system:node:")?;
    user.in_group(meta::user::NODES).then_some(name)
}

/// One request of the node `node`.
struct Request<'r, 'a> {
    node: &'r str,
    a: &'r Attributes<'a>,
    l: &'r dyn Lookup,
}

type Answer = Result<(), Status>;

impl Plugin for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }
    fn handles(&self, op: Operation) -> bool {
        op != Operation::Connect
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let user = a.user;
        let Some(node) = node_of(user) else { return Ok(()) };
        let r = Request { node, a, l };
        if node.is_empty() {
            return r.refuse(format!("could not determine node from user {}", quote(&user.name)));
        }
        match (a.resource.group.as_str(), a.resource.resource.as_str(), a.subresource) {
            ("", "pods", "") => r.pod(),
            ("", "pods", "status") => r.pod_status(),
            ("", "pods", "eviction") => r.eviction(),
            ("", "pods", sub) => r.refuse(format!(
                "unexpected pod subresource {}, only 'status' and 'eviction' are allowed",
                quote(sub)
            )),
            ("", "nodes", _) => r.own_node(),
            ("", "persistentvolumeclaims", "status") => r.claim_status(),
            ("", "persistentvolumeclaims", _) => r.refuse("may only update PVC status"),
            ("", "serviceaccounts", "token") if a.creates() => r.token(),
            ("certificates.k8s.io", "podcertificaterequests", _) => r.pod_certificate(),
            ("coordination.k8s.io", "leases", _) => r.lease(),
            ("storage.k8s.io", "csinodes", _) => r.csi_node(),
            ("resource.k8s.io", "resourceslices", _) => r.resource_slice(),
            ("certificates.k8s.io", "certificatesigningrequests", _) => r.csr(),
            _ => Ok(()),
        }
    }
}

impl Request<'_, '_> {
    fn refuse<T>(&self, why: impl std::fmt::Display) -> Result<T, Status> {
        Err(self.a.forbidden(why))
    }
    fn quoted(&self) -> String {
        quote(self.node)
    }
    fn unexpected(&self) -> Answer {
        self.refuse(format!("unexpected operation {}", quote(self.a.operation.as_str())))
    }
    fn find(&self, resource: &str, namespace: &str, name: &str) -> Result<Arc<Value>, Status> {
        self.l
            .get("", resource, namespace, name)
            .ok_or_else(|| Status::not_found(&GroupResource::new("", resource), name))
    }

    fn pod(&self) -> Answer {
        match self.a.operation {
            Operation::Create => self.mirror_pod(),
            Operation::Delete => {
                let pod = self.find("pods", self.a.namespace, self.a.name)?;
                if pod.str_at("spec.nodeName") == self.node {
                    return Ok(());
                }
                self.refuse(format!(
                    "node {} can only delete pods with spec.nodeName set to itself",
                    self.quoted()
                ))
            }
            op => self.refuse(format!(
                "unexpected operation {}, node {} can only create and delete mirror pods",
                quote(op.as_str()),
                self.quoted()
            )),
        }
    }

    fn mirror_pod(&self) -> Answer {
        let (pod, node) = (self.a.obj(), self.quoted());
        if !is_mirror(pod) {
            return self.refuse(format!(
                "pod does not have {} annotation, node {node} can only create mirror pods",
                quote(crate::pod::MIRROR)
            ));
        }
        if pod.str_at("spec.nodeName") != self.node {
            return self.refuse(format!("node {node} can only create pods with spec.nodeName set to itself"));
        }
        let owner = match pod.array_at("metadata.ownerReferences") {
            [one] => one,
            [] => {
                return self.refuse(format!(
                    "node {node} can only create pods with an owner reference set to itself"
                ));
            }
            _ => {
                return self.refuse(format!(
                    "node {node} can only create pods with a single owner reference set to itself"
                ));
            }
        };
        if owner.str_at("apiVersion") != "v1"
            || owner.str_at("kind") != "Node"
            || owner.str_at("name") != self.node
        {
            return self
                .refuse(format!("node {node} can only create pods with an owner reference set to itself"));
        }
        if !owner.bool_at("controller") {
            return self.refuse(format!(
                "node {node} can only create pods with a controller owner reference set to itself"
            ));
        }
        if owner.bool_at("blockOwnerDeletion") {
            return self.refuse(format!("node {node} must not set blockOwnerDeletion on an owner reference"));
        }
        let uid = self.find("nodes", "", self.node)?.uid().to_owned();
        if owner.str_at("uid") != uid {
            return self.refuse(format!(
                "node {} UID mismatch: expected {} got {uid}",
                self.node,
                owner.str_at("uid")
            ));
        }
        match api_reference(pod) {
            Ok(None) => Ok(()),
            Ok(Some(what)) => self.refuse(format!("node {node} can not create pods that reference {what}")),
            Err(e) => self.refuse(format!("error checking mirror pod for API references: {e}")),
        }
    }

    fn pod_status(&self) -> Answer {
        if !self.a.updates() {
            return self.unexpected();
        }
        let (new, old, node) = (self.a.obj(), self.a.old(), self.quoted());
        if old.str_at("spec.nodeName") != self.node {
            return self.refuse(format!(
                "node {node} can only update pod status for pods with spec.nodeName set to itself"
            ));
        }
        if old.labels().filter(|l| !l.is_empty()) != new.labels().filter(|l| !l.is_empty()) {
            return self.refuse(format!("node {node} cannot update labels through pod status"));
        }
        for (field, what) in [
            ("status.resourceClaimStatuses", "resource claim statues"),
            ("status.extendedResourceClaimStatus", "extended resource claim status"),
            ("status.nodeAllocatableResourceClaimStatuses", "node allocatable resource claim statuses"),
        ] {
            if old.at(field) != new.at(field) {
                return self.refuse(format!("node {node} cannot update {what}"));
            }
        }
        Ok(())
    }

    fn eviction(&self) -> Answer {
        if !self.a.creates() {
            return self.refuse(format!("unexpected operation {}", self.a.operation.as_str()));
        }
        let name = if self.a.name.is_empty() { self.a.obj().name() } else { self.a.name };
        if name.is_empty() {
            return self.refuse("could not determine pod from request data");
        }
        let pod = self.find("pods", self.a.namespace, name)?;
        if pod.str_at("spec.nodeName") == self.node {
            return Ok(());
        }
        self.refuse(format!("node {} can only evict pods with spec.nodeName set to itself", self.node))
    }
}

/// What of the API a pod refers to, if anything.
fn api_reference(pod: &Value) -> Result<Option<&'static str>, String> {
    if !pod.str_at("spec.serviceAccountName").is_empty() {
        return Ok(Some("serviceaccounts"));
    }
    let (mut secrets, mut config_maps) = (false, false);
    secret_names(pod, &mut |_| secrets = true);
    config_map_names(pod, &mut |_| config_maps = true);
    if secrets {
        return Ok(Some("secrets"));
    }
    if config_maps {
        return Ok(Some("configmaps"));
    }
    if !pod.array_at("spec.resourceClaims").is_empty() {
        return Ok(Some("resourceclaims"));
    }
    const HARMLESS: &[&str] = &[
        "awsElasticBlockStore",
        "azureDisk",
        "cephfs",
        "cinder",
        "downwardAPI",
        "emptyDir",
        "fc",
        "flexVolume",
        "flocker",
        "gcePersistentDisk",
        "gitRepo",
        "hostPath",
        "image",
        "iscsi",
        "nfs",
        "photonPersistentDisk",
        "portworxVolume",
        "quobyte",
        "rbd",
        "scaleIO",
        "storageos",
        "vsphereVolume",
    ];
    const REFERENCES: &[(&str, &str)] = &[
        ("configMap", "configmaps (via configmap volumes)"),
        ("secret", "secrets (via secret volumes)"),
        ("csi", "csidrivers (via CSI volumes)"),
        ("glusterfs", "endpoints (via glusterFS volumes)"),
        ("persistentVolumeClaim", "persistentvolumeclaims"),
        ("ephemeral", "persistentvolumeclaims (via ephemeral volumes)"),
        ("azureFile", "secrets (via azureFile volumes)"),
    ];
    const PROJECTED: &[(&str, &str)] = &[
        ("configMap", "configmaps (via projected volumes)"),
        ("secret", "secrets (via projected volumes)"),
        ("serviceAccountToken", "serviceaccounts (via projected volumes)"),
        ("clusterTrustBundle", "clustertrustbundles"),
        ("podCertificate", "podcertificates"),
    ];
    for v in pod.array_at("spec.volumes") {
        if HARMLESS.iter().any(|h| v.get(h).is_some()) {
            continue;
        }
        if let Some((_, what)) = REFERENCES.iter().find(|(f, _)| v.get(f).is_some()) {
            return Ok(Some(what));
        }
        if v.get("projected").is_none() {
            return Err(format!("unknown volume type for volume  {}", quote(v.str_at("name"))));
        }
        for s in v.array_at("projected.sources") {
            if let Some((_, what)) = PROJECTED.iter().find(|(f, _)| s.get(f).is_some()) {
                return Ok(Some(what));
            }
            if s.get("downwardAPI").is_none() {
                return Err(format!("unknown source for projected volume {}", quote(v.str_at("name"))));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
