//! What a kubelet may do to its node, to the status of claims, to leases and the other objects that are its own.

use super::{Answer, Request};
use crate::Operation;
use meta::field::quote;
use meta::object::ObjectExt;
use meta::{Map, Value};
use std::collections::BTreeSet;

impl Request<'_, '_> {
    pub(super) fn own_node(&self) -> Answer {
        let node = self.quoted();
        let name = if self.a.name.is_empty() { self.a.obj().name() } else { self.a.name };
        if name != self.node {
            return self.refuse(format!("node {node} is not allowed to modify node {}", quote(name)));
        }
        let (new, old) = (self.a.obj(), self.a.old());
        match self.a.operation {
            Operation::Create => {
                if new.at("spec.configSource").is_some() {
                    return self.refuse(format!(
                        "node {node} is not allowed to create pods with a non-nil configSource"
                    ));
                }
                let bad = forbidden_labels(new.labels(), None);
                if !bad.is_empty() {
                    return self
                        .refuse(format!("node {node} is not allowed to set the following labels: {bad}"));
                }
            }
            Operation::Update => {
                let source = new.at("spec.configSource");
                if source.is_some() && source != old.at("spec.configSource") {
                    return self.refuse(format!(
                        "node {node} is not allowed to update configSource to a new non-nil configSource"
                    ));
                }
                if new.array_at("spec.taints") != old.array_at("spec.taints") {
                    return self.refuse(format!("node {node} is not allowed to modify taints"));
                }
                if new.array_at("metadata.ownerReferences") != old.array_at("metadata.ownerReferences") {
                    return self.refuse(format!("node {node} is not allowed to modify ownerReferences"));
                }
                let bad = forbidden_labels(new.labels(), old.labels());
                if !bad.is_empty() {
                    return self.refuse(format!("is not allowed to modify labels: {bad}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn claim_status(&self) -> Answer {
        if !self.a.updates() {
            return self.unexpected();
        }
        let strip = |v: &Value| {
            let mut v = v.clone();
            for f in [
                "metadata.resourceVersion",
                "metadata.managedFields",
                "status.capacity",
                "status.conditions",
                "status.allocatedResourceStatuses",
                "status.allocatedResources",
            ] {
                v.remove_at(f);
            }
            if v.get("status").and_then(Value::as_object).is_some_and(Map::is_empty) {
                v.remove_at("status");
            }
            v
        };
        let (new, old) = (strip(self.a.obj()), strip(self.a.old()));
        if new == old {
            return Ok(());
        }
        self.refuse(format!(
            "node {} is not allowed to update fields other than status.quantity and status.conditions",
            self.quoted()
        ))
    }

    /// The name of an object that must be the node's.
    fn own_name(&self) -> &str {
        if self.a.creates() { self.a.obj().name() } else { self.a.name }
    }

    pub(super) fn lease(&self) -> Answer {
        if self.a.namespace != "kube-node-lease" {
            return self.refuse("can only access leases in the \"kube-node-lease\" system namespace");
        }
        if self.own_name() != self.node {
            return self.refuse("can only access node lease with the same name as the requesting node");
        }
        Ok(())
    }

    pub(super) fn csi_node(&self) -> Answer {
        if self.own_name() != self.node {
            return self.refuse("can only access CSINode with the same name as the requesting node");
        }
        if self.a.subresource != "status" {
            return Ok(());
        }
        if !schema::facts::gate("CSIVolumeHealth") {
            return self.refuse("CSIVolumeHealth feature gate is disabled");
        }
        if !self.a.updates() {
            return self.unexpected();
        }
        if self.a.old().get("spec") != self.a.obj().get("spec") {
            return self
                .refuse(format!("node {} is not allowed to modify CSINode spec via status", self.quoted()));
        }
        Ok(())
    }

    pub(super) fn resource_slice(&self) -> Answer {
        let own = |o: &Value| o.str_at("spec.nodeName") == self.node;
        match self.a.operation {
            Operation::Create if !own(self.a.obj()) => {
                self.refuse("can only create ResourceSlice with the same NodeName as the requesting node")
            }
            Operation::Delete if !own(self.a.old()) => {
                self.refuse("can only delete ResourceSlice with the same NodeName as the requesting node")
            }
            _ => Ok(()),
        }
    }

    pub(super) fn csr(&self) -> Answer {
        const SIGNERS: [&str; 2] =
            ["kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet"];
        let csr = self.a.obj();
        if !self.a.creates()
            || !SIGNERS.contains(&csr.str_at("spec.signerName"))
            || schema::facts::gate("AllowInsecureKubeletCertificateSigningRequests")
        {
            return Ok(());
        }
        let subject = match authn::cert::csr_subject(csr.str_at("spec.request")) {
            Ok(s) => s,
            Err(e) => return self.refuse(format!("unable to parse csr: {e}")),
        };
        let wanted = format!("system:node:{}", self.node);
        if subject.common_name != wanted {
            return self.refuse(format!("can only create a node CSR with CN={wanted}"));
        }
        Ok(())
    }
}

/// The changed labels that a kubelet may not set, as a list.
fn forbidden_labels(new: Option<&Map<String, Value>>, old: Option<&Map<String, Value>>) -> String {
    let empty = Map::new();
    let (new, old) = (new.unwrap_or(&empty), old.unwrap_or(&empty));
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let bad: Vec<&str> = keys
        .into_iter()
        .filter(|k| new.get(*k) != old.get(*k) && forbidden_label(k))
        .map(String::as_str)
        .collect();
    bad.join(", ")
}

fn within(domain: &str, parent: &str) -> bool {
    domain == parent || domain.strip_suffix(parent).is_some_and(|d| d.ends_with('.'))
}

fn forbidden_label(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(d, _)| d);
    if within(domain, "node-restriction.kubernetes.io") {
        return true;
    }
    let kubernetes = within(domain, "kubernetes.io") || within(domain, "k8s.io");
    const OWN: &[&str] = &[
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    ];
    let own =
        OWN.contains(&key) || within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io");
    kubernetes && !own
}
