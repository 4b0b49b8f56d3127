//! Which nodes an object concerns. Every relation ends at a node through a pod, so for most objects it is enough to
//! count, per object and node, the pods that refer to it; only volumes and their secrets take a second step.

use meta::Value;
use meta::object::ObjectExt;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    Pod,
    ServiceAccount,
    Secret,
    ConfigMap,
    Claim,
    Volume,
    ResourceClaim,
    VolumeAttachment,
    ResourceSlice,
    PodCertificateRequest,
}

type Id = (Type, Box<str>, Box<str>);

fn id(ty: Type, namespace: &str, name: &str) -> Id {
    (ty, namespace.into(), name.into())
}

#[derive(Debug, Default, PartialEq)]
struct PodEdges {
    node: Arc<str>,
    objects: Vec<Id>,
}

#[derive(Debug, Default)]
struct VolumeEdges {
    claim: Option<Id>,
    secrets: Vec<Id>,
}

#[derive(Debug, Default)]
pub(crate) struct Graph {
    pods: HashMap<(Box<str>, Box<str>), PodEdges>,
    /// Object → node → how many pods of the node refer to it.
    nodes: HashMap<Id, HashMap<Arc<str>, u32>>,
    volumes: HashMap<Box<str>, VolumeEdges>,
    /// Secret → volumes that use it.
    secret_volumes: HashMap<Id, HashSet<Box<str>>>,
}

impl Graph {
    pub(crate) fn has_path(&self, ty: Type, namespace: &str, name: &str, node: &str) -> bool {
        // Cluster-wide objects are known without a namespace, whatever the request says.
        let namespace = match ty {
            Type::Volume | Type::VolumeAttachment | Type::ResourceSlice => "",
            _ => namespace,
        };
        let reaches = |o: &Id| self.nodes.get(o).is_some_and(|m| m.contains_key(node));
        let by_volume = |v: &str| self.volumes.get(v).and_then(|e| e.claim.as_ref()).is_some_and(reaches);
        let object = id(ty, namespace, name);
        match ty {
            Type::Volume => by_volume(name),
            Type::Secret => {
                reaches(&object)
                    || self.secret_volumes.get(&object).is_some_and(|vs| vs.iter().any(|v| by_volume(v)))
            }
            _ => reaches(&object),
        }
    }

    fn link(&mut self, object: &Id, node: &Arc<str>) {
        *self.nodes.entry(object.clone()).or_default().entry(node.clone()).or_insert(0) += 1;
    }
    fn unlink(&mut self, object: &Id, node: &Arc<str>) {
        let Some(m) = self.nodes.get_mut(object) else { return };
        if let Some(n) = m.get_mut(node) {
            *n -= 1;
            if *n == 0 {
                m.remove(node);
            }
        }
        if m.is_empty() {
            self.nodes.remove(object);
        }
    }

    pub(crate) fn set_pod(&mut self, pod: &Value) {
        let (ns, name, node) = (pod.namespace(), pod.name(), pod.str_at("spec.nodeName"));
        if node.is_empty() {
            return;
        }
        let mut objects = vec![id(Type::Pod, ns, name)];
        // A node must never gain rights through a pod it made itself.
        if pod.annotation("kubernetes.io/config.mirror").is_none() {
            pod_references(pod, &mut |ty, n| {
                let o = id(ty, ns, n);
                if !objects.contains(&o) {
                    objects.push(o);
                }
            });
        }
        let key: (Box<str>, Box<str>) = (ns.into(), name.into());
        let edges = PodEdges { node: node.into(), objects };
        if self.pods.get(&key) == Some(&edges) {
            return;
        }
        self.remove_pod(ns, name);
        for o in &edges.objects {
            self.link(o, &edges.node);
        }
        self.pods.insert(key, edges);
    }

    pub(crate) fn remove_pod(&mut self, namespace: &str, name: &str) {
        let Some(old) = self.pods.remove(&(namespace.into(), name.into())) else { return };
        for o in &old.objects {
            self.unlink(o, &old.node);
        }
    }

    /// For objects that belong to one node; an empty node: to none.
    pub(crate) fn set_owner(&mut self, ty: Type, namespace: &str, name: &str, node: &str) {
        let object = id(ty, namespace, name);
        self.nodes.remove(&object);
        if !node.is_empty() {
            self.link(&object, &node.into());
        }
    }

    pub(crate) fn set_pv(&mut self, pv: &Value) {
        self.remove_pv(pv.name());
        let Some(claim) = pv.at("spec.claimRef") else { return };
        let ns = claim.str_at("namespace");
        let mut secrets = Vec::new();
        pv_secrets(pv, ns, &mut |ns, name| secrets.push(id(Type::Secret, ns, name)));
        for s in &secrets {
            self.secret_volumes.entry(s.clone()).or_default().insert(pv.name().into());
        }
        let claim = Some(id(Type::Claim, ns, claim.str_at("name")));
        self.volumes.insert(pv.name().into(), VolumeEdges { claim, secrets });
    }

    pub(crate) fn remove_pv(&mut self, name: &str) {
        let Some(old) = self.volumes.remove(name) else { return };
        for s in &old.secrets {
            if let Some(set) = self.secret_volumes.get_mut(s) {
                set.remove(name);
                if set.is_empty() {
                    self.secret_volumes.remove(s);
                }
            }
        }
    }
}

/// What [`Graph::set_pod`] looks at.
pub(crate) const POD_FIELDS: &[&[&str]] = &[
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "annotations"],
    &["spec", "nodeName"],
    &["spec", "serviceAccountName"],
    &["spec", "imagePullSecrets"],
    &["spec", "initContainers", "envFrom"],
    &["spec", "initContainers", "env", "valueFrom"],
    &["spec", "containers", "envFrom"],
    &["spec", "containers", "env", "valueFrom"],
    &["spec", "ephemeralContainers", "envFrom"],
    &["spec", "ephemeralContainers", "env", "valueFrom"],
    &["spec", "volumes"],
    &["spec", "resourceClaims"],
    &["status", "resourceClaimStatuses"],
    &["status", "extendedResourceClaimStatus"],
];

/// Calls `f` with every object of the pod's namespace that the pod refers to; a name may come twice.
pub(crate) fn pod_references(pod: &Value, f: &mut dyn FnMut(Type, &str)) {
    let mut visit = |ty: Type, name: &str| {
        if !name.is_empty() {
            f(ty, name);
        }
    };
    visit(Type::ServiceAccount, pod.str_at("spec.serviceAccountName"));
    for s in pod.array_at("spec.imagePullSecrets") {
        visit(Type::Secret, s.str_at("name"));
    }
    for list in ["spec.initContainers", "spec.containers", "spec.ephemeralContainers"] {
        for c in pod.array_at(list) {
            for e in c.array_at("envFrom") {
                visit(Type::Secret, e.str_at("secretRef.name"));
                visit(Type::ConfigMap, e.str_at("configMapRef.name"));
            }
            for e in c.array_at("env") {
                visit(Type::Secret, e.str_at("valueFrom.secretKeyRef.name"));
                visit(Type::ConfigMap, e.str_at("valueFrom.configMapKeyRef.name"));
            }
        }
    }
    for v in pod.array_at("spec.volumes") {
        visit(Type::Secret, v.str_at("azureFile.secretName"));
        for source in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            if let Some(s) = v.get(source) {
                visit(Type::Secret, s.str_at("secretRef.name"));
            }
        }
        visit(Type::Secret, v.str_at("secret.secretName"));
        visit(Type::Secret, v.str_at("csi.nodePublishSecretRef.name"));
        visit(Type::ConfigMap, v.str_at("configMap.name"));
        for s in v.array_at("projected.sources") {
            visit(Type::Secret, s.str_at("secret.name"));
            visit(Type::ConfigMap, s.str_at("configMap.name"));
        }
        visit(Type::Claim, v.str_at("persistentVolumeClaim.claimName"));
        if v.get("ephemeral").is_some() {
            visit(Type::Claim, &format!("{}-{}", pod.name(), v.str_at("name")));
        }
    }
    resource_claims(pod, &mut |n| visit(Type::ResourceClaim, n));
}

/// The names of the resource claims a pod uses, those made for it from a template included.
fn resource_claims(pod: &Value, f: &mut dyn FnMut(&str)) {
    for c in pod.array_at("spec.resourceClaims") {
        if c.get("resourceClaimName").is_some() {
            f(c.str_at("resourceClaimName"));
        } else if c.get("resourceClaimTemplateName").is_some() {
            let statuses = pod.array_at("status.resourceClaimStatuses");
            let made = statuses.iter().find(|s| s.str_at("name") == c.str_at("name"));
            f(made.map_or("", |s| s.str_at("resourceClaimName")));
        }
    }
    f(pod.str_at("status.extendedResourceClaimStatus.resourceClaimName"));
}

/// The secrets of a volume that kubelets need, with their namespaces (pkg/api/v1/persistentvolume/util.go).
fn pv_secrets(pv: &Value, claim_namespace: &str, f: &mut dyn FnMut(&str, &str)) {
    let Some(spec) = pv.get("spec") else { return };
    let mut visit = |ns: &str, name: &str| {
        if !name.is_empty() {
            f(ns, name);
        }
    };
    let or_claim = |ns: &'_ str| if ns.is_empty() { claim_namespace.to_owned() } else { ns.to_owned() };
    visit(&or_claim(spec.str_at("azureFile.secretNamespace")), spec.str_at("azureFile.secretName"));
    for source in ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi"] {
        if let Some(r) = spec.get(source).and_then(|s| s.get("secretRef")) {
            visit(&or_claim(r.str_at("namespace")), r.str_at("name"));
        }
    }
    for source in ["cinder", "storageos"] {
        if let Some(r) = spec.get(source).and_then(|s| s.get("secretRef")) {
            visit(r.str_at("namespace"), r.str_at("name"));
        }
    }
    for field in ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"] {
        if let Some(r) = spec.get("csi").and_then(|s| s.get(field)) {
            visit(r.str_at("namespace"), r.str_at("name"));
        }
    }
}
