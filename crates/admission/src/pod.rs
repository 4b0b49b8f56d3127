//! What plugins ask of a pod.

use crate::resources::{self, quantity};
use meta::Value;
use meta::object::ObjectExt;

pub const MIRROR: &str = "kubernetes.io/config.mirror";
/// Paths of the lists of containers within a pod spec, in the order upstream visits them.
pub const CONTAINER_LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

pub fn is_mirror(pod: &Value) -> bool {
    pod.annotation(MIRROR).is_some()
}

/// All containers of a pod spec with their path: `spec.initContainers[0]`.
pub fn containers(spec: &Value) -> impl Iterator<Item = (String, &Value)> {
    CONTAINER_LISTS.into_iter().flat_map(move |list| {
        let all = spec.array_at(list).iter().enumerate();
        all.map(move |(i, c)| (format!("spec.{list}[{i}]"), c))
    })
}

/// One list of containers for changing; `None` where the pod has none.
pub fn containers_mut<'a>(pod: &'a mut Value, list: &str) -> Option<&'a mut Vec<Value>> {
    pod.get_mut("spec")?.get_mut(list)?.as_array_mut()
}

/// An array within `spec`, made where it is absent.
pub(crate) fn spec_list_mut<'a>(obj: &'a mut Value, field: &str) -> Option<&'a mut Vec<Value>> {
    let spec = obj.as_object_mut()?.entry("spec").or_insert_with(|| Value::Object(meta::Map::new()));
    spec.as_object_mut()?.entry(field).or_insert_with(|| Value::Array(Vec::new())).as_array_mut()
}

/// Calls `f` with the name of each secret that the pod spec refers to (not through volumes bound to claims).
pub fn secret_names(pod: &Value, f: &mut dyn FnMut(&str)) {
    let Some(spec) = pod.get("spec") else { return };
    let mut visit = |name: &str| {
        if !name.is_empty() {
            f(name);
        }
    };
    for s in spec.array_at("imagePullSecrets") {
        visit(s.str_at("name"));
    }
    for (_, c) in containers(spec) {
        for e in c.array_at("envFrom") {
            visit(e.str_at("secretRef.name"));
        }
        for e in c.array_at("env") {
            visit(e.str_at("valueFrom.secretKeyRef.name"));
        }
    }
    for v in spec.array_at("volumes") {
        visit(v.str_at("azureFile.secretName"));
        for source in ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"] {
            if let Some(s) = v.get(source) {
                visit(s.str_at("secretRef.name"));
            }
        }
        visit(v.str_at("secret.secretName"));
        visit(v.str_at("csi.nodePublishSecretRef.name"));
        for s in v.array_at("projected.sources") {
            visit(s.str_at("secret.name"));
        }
    }
}

/// Calls `f` with the name of each config map that the pod spec refers to.
pub fn config_map_names(pod: &Value, f: &mut dyn FnMut(&str)) {
    let Some(spec) = pod.get("spec") else { return };
    let mut visit = |name: &str| {
        if !name.is_empty() {
            f(name);
        }
    };
    for (_, c) in containers(spec) {
        for e in c.array_at("envFrom") {
            visit(e.str_at("configMapRef.name"));
        }
        for e in c.array_at("env") {
            visit(e.str_at("valueFrom.configMapKeyRef.name"));
        }
    }
    for v in spec.array_at("volumes") {
        visit(v.str_at("configMap.name"));
        for s in v.array_at("projected.sources") {
            visit(s.str_at("configMap.name"));
        }
    }
}

/// Whether a pod asks for no processor time and memory at all: QoS class BestEffort.
pub fn is_best_effort(pod: &Value) -> bool {
    match pod.str_at("status.qosClass") {
        "" => {}
        class => return class == "BestEffort",
    }
    let nothing = |r: Option<&Value>| {
        let Some(r) = r else { return true };
        ["requests", "limits"].iter().all(|side| {
            ["cpu", "memory"].iter().all(|name| {
                let q = r.get(side).and_then(|l| l.get(name)).and_then(quantity);
                q.is_none_or(|q| q.is_zero())
            })
        })
    };
    if resources::pod_level_set(pod) {
        return nothing(pod.at("spec.resources"));
    }
    let lists = ["spec.initContainers", "spec.containers"];
    lists.iter().flat_map(|l| pod.array_at(l)).all(|c| nothing(c.get("resources")))
}
