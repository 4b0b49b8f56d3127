//! Defaults of the core group (K/pkg/apis/core/v1/defaults.go).

use super::DefaultFn;
use crate::image;
use crate::val::{Get, Obj, Put};
use meta::quantity::Quantity;
use meta::time::Timestamp;
use meta::{Map, Value};
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("core.v1.Container", container),
    ("core.v1.ContainerPort", |o, _| o.default_zero("protocol", "TCP")),
    ("core.v1.ContainerStatus", |o, _| round(o, &["allocatedResources"])),
    ("core.v1.Endpoints", endpoints),
    ("core.v1.EphemeralContainer", container),
    ("core.v1.FileKeySelector", |o, _| o.default_nil("optional", false)),
    ("core.v1.GRPCAction", |o, _| o.default_nil("service", "")),
    ("core.v1.HTTPGetAction", http_get),
    ("core.v1.LimitRangeItem", limit_range_item),
    ("core.v1.Namespace", namespace),
    ("core.v1.NamespaceStatus", |o, _| o.default_zero("phase", "Active")),
    ("core.v1.NodeStatus", node_status),
    ("core.v1.ObjectFieldSelector", |o, _| o.default_zero("apiVersion", "v1")),
    ("core.v1.PersistentVolume", persistent_volume),
    ("core.v1.PersistentVolumeClaim", |o, _| o.obj("status").default_zero("phase", "Pending")),
    ("core.v1.PersistentVolumeClaimSpec", |o, _| o.default_nil("volumeMode", "Filesystem")),
    ("core.v1.PersistentVolumeClaimStatus", |o, _| round(o, &["capacity", "allocatedResources"])),
    ("core.v1.PersistentVolumeSpec", |o, _| round(o, &["capacity"])),
    ("core.v1.Pod", pod),
    ("core.v1.PodSpec", pod_spec),
    ("core.v1.PodStatus", pod_status),
    ("core.v1.Probe", probe),
    ("core.v1.ReplicationController", replication_controller),
    ("core.v1.ReplicationControllerSpec", |o, _| o.default_nil("replicas", 1)),
    ("core.v1.ResourceQuotaSpec", |o, _| round(o, &["hard"])),
    ("core.v1.ResourceQuotaStatus", |o, _| round(o, &["hard", "used"])),
    ("core.v1.ResourceRequirements", |o, _| round(o, &["limits", "requests"])),
    ("core.v1.Secret", |o, _| o.default_zero("type", "Opaque")),
    ("core.v1.Service", service),
    ("core.v1.ServicePort", |o, _| o.default_zero("protocol", "TCP")),
    ("core.v1.VolumeResourceRequirements", |o, _| round(o, &["limits", "requests"])),
];

pub(super) const VOLUME_ROWS: &[(&str, DefaultFn)] = &[
    ("core.v1.AzureDiskVolumeSource", azure_disk),
    ("core.v1.ConfigMapVolumeSource", mode),
    ("core.v1.DownwardAPIVolumeSource", mode),
    ("core.v1.HostPathVolumeSource", |o, _| o.default_nil("type", "")),
    ("core.v1.ISCSIPersistentVolumeSource", |o, _| o.default_zero("iscsiInterface", "default")),
    ("core.v1.ISCSIVolumeSource", |o, _| o.default_zero("iscsiInterface", "default")),
    ("core.v1.ProjectedVolumeSource", mode),
    ("core.v1.RBDPersistentVolumeSource", rbd),
    ("core.v1.RBDVolumeSource", rbd),
    ("core.v1.ScaleIOPersistentVolumeSource", scale_io),
    ("core.v1.ScaleIOVolumeSource", scale_io),
    ("core.v1.SecretVolumeSource", mode),
    ("core.v1.ServiceAccountTokenProjection", |o, _| o.default_nil("expirationSeconds", 3600)),
    ("core.v1.Volume", volume),
];

/// Rounds the quantities of resource lists up to thousandths.
fn round(o: &mut Obj, keys: &[&str]) {
    for k in keys {
        let Some(list) = o.o_mut(k) else { continue };
        for v in list.values_mut() {
            // Only small suffixes and long fractions can need it; parse nothing else.
            let Some(s) = v.as_str() else { continue };
            if !s.contains(['n', 'u', '.', '-', 'e']) {
                continue;
            }
            if let Ok(q) = Quantity::parse(s) {
                let r = q.round_up_milli();
                if r != q {
                    *v = Value::from(r.to_string());
                }
            }
        }
    }
}

fn pull_policy(image: &str) -> &'static str {
    if image::tag(image) == "latest" { "Always" } else { "IfNotPresent" }
}

fn container(o: &mut Obj, _: Timestamp) {
    if o.s("imagePullPolicy").is_empty() {
        let p = pull_policy(o.s("image"));
        o.put("imagePullPolicy", p);
    }
    o.default_zero("terminationMessagePath", "/dev/termination-log");
    o.default_zero("terminationMessagePolicy", "File");
}

fn http_get(o: &mut Obj, _: Timestamp) {
    o.default_zero("path", "/");
    o.default_zero("scheme", "HTTP");
}

fn probe(o: &mut Obj, _: Timestamp) {
    o.default_zero("timeoutSeconds", 1);
    o.default_zero("periodSeconds", 10);
    o.default_zero("successThreshold", 1);
    o.default_zero("failureThreshold", 3);
}

fn mode(o: &mut Obj, _: Timestamp) {
    o.default_nil("defaultMode", 0o644);
}

fn azure_disk(o: &mut Obj, _: Timestamp) {
    o.default_nil("cachingMode", "ReadWrite");
    o.default_nil("fsType", "ext4");
    o.default_nil("readOnly", false);
    o.default_nil("kind", "Shared");
}

fn rbd(o: &mut Obj, _: Timestamp) {
    o.default_zero("pool", "rbd");
    o.default_zero("user", "admin");
    o.default_zero("keyring", "/etc/ceph/keyring");
}

fn scale_io(o: &mut Obj, _: Timestamp) {
    o.default_zero("storageMode", "ThinProvisioned");
    o.default_zero("fsType", "xfs");
}

fn volume(o: &mut Obj, _: Timestamp) {
    if o.iter().all(|(k, v)| k == "name" || v.is_null()) {
        o.put("emptyDir", json!({}));
    }
    if let Some(image) = o.o_mut("image")
        && image.s("pullPolicy").is_empty()
    {
        let p = pull_policy(image.s("reference"));
        image.put("pullPolicy", p);
    }
}

fn endpoints(o: &mut Obj, _: Timestamp) {
    for s in o.each("subsets") {
        for p in s.each("ports") {
            p.default_zero("protocol", "TCP");
        }
    }
}

/// Copies the entries of `from` that `to` does not have; `to` stays unset when there is nothing to copy.
fn fill(o: &mut Obj, to: &str, from: &str) {
    let Some(from) = o.o(from).filter(|m| !m.is_empty()).cloned() else { return };
    let to = o.obj(to);
    for (k, v) in from {
        to.entry(k).or_insert(v);
    }
}

fn limit_range_item(o: &mut Obj, _: Timestamp) {
    if o.s("type") == "Container" {
        fill(o, "default", "max");
        fill(o, "defaultRequest", "default");
        fill(o, "defaultRequest", "min");
    }
    round(o, &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"]);
}

fn namespace(o: &mut Obj, _: Timestamp) {
    let name = o.v("metadata").s("name").to_owned();
    if !name.is_empty() {
        o.obj("metadata").obj("labels").put("kubernetes.io/metadata.name", name);
    }
}

fn node_status(o: &mut Obj, _: Timestamp) {
    if !o.has("allocatable")
        && let Some(c) = o.set("capacity").cloned()
    {
        o.put("allocatable", c);
    }
    round(o, &["capacity", "allocatable"]);
}

fn persistent_volume(o: &mut Obj, _: Timestamp) {
    o.obj("status").default_zero("phase", "Pending");
    let spec = o.obj("spec");
    spec.default_zero("persistentVolumeReclaimPolicy", "Retain");
    spec.default_nil("volumeMode", "Filesystem");
}

fn pod(o: &mut Obj, _: Timestamp) {
    let spec = o.obj("spec");
    if spec.oi("terminationGracePeriodSeconds").is_some_and(|n| n < 0) {
        spec.put("terminationGracePeriodSeconds", 1);
    }
    spec.default_nil("enableServiceLinks", true);
    let host = spec.b("hostNetwork");
    for list in ["containers", "initContainers"] {
        for c in spec.each(list) {
            if let Some(r) = c.o_mut("resources") {
                fill(r, "requests", "limits");
            }
            if host {
                for p in c.each("ports") {
                    if let (0, Some(port)) = (p.i("hostPort"), p.oi("containerPort").filter(|n| *n != 0)) {
                        p.put("hostPort", port);
                    }
                }
            }
        }
    }
}

fn pod_spec(o: &mut Obj, _: Timestamp) {
    if o.s("serviceAccountName").is_empty() && !o.s("serviceAccount").is_empty() {
        let n = o.s("serviceAccount").to_owned();
        o.put("serviceAccountName", n);
    }
    match o.s("serviceAccountName").to_owned() {
        n if n.is_empty() => _ = o.drop_key("serviceAccount"),
        n => o.put("serviceAccount", n),
    }
    o.default_zero("dnsPolicy", "ClusterFirst");
    o.default_zero("restartPolicy", "Always");
    o.default_nil("securityContext", json!({}));
    o.default_nil("terminationGracePeriodSeconds", 30);
    o.default_zero("schedulerName", "default-scheduler");
    round(o, &["overhead"]);
}

fn pod_status(o: &mut Obj, _: Timestamp) {
    let ip = o.s("podIP").to_owned();
    let first = o.list("podIPs").first().map(|v| v.s("ip").to_owned());
    match (ip.is_empty(), first) {
        (true, None) => {}
        (true, Some(first)) if first.is_empty() => {}
        (true, Some(first)) => o.put("podIP", first),
        (false, Some(first)) if first == ip => {}
        (false, _) => o.put("podIPs", json!([{ "ip": ip }])),
    }
    round(o, &["allocatedResources"]);
}

/// Template labels become the object's labels, and selector, where those are empty.
pub(super) fn template_labels(o: &Obj) -> Option<Map<String, Value>> {
    o.v("spec").v("template").v("metadata").o("labels").filter(|m| !m.is_empty()).cloned()
}

fn replication_controller(o: &mut Obj, _: Timestamp) {
    let Some(labels) = template_labels(o) else { return };
    if o.v("spec").o("selector").is_none_or(Map::is_empty) {
        o.obj("spec").put("selector", labels.clone());
    }
    if o.v("metadata").o("labels").is_none_or(Map::is_empty) {
        o.obj("metadata").put("labels", labels);
    }
}

fn service(o: &mut Obj, _: Timestamp) {
    let s = o.obj("spec");
    s.default_zero("sessionAffinity", "None");
    match s.s("sessionAffinity") {
        "None" => _ = s.drop_key("sessionAffinityConfig"),
        "ClientIP" if !s.v("sessionAffinityConfig").v("clientIP").has("timeoutSeconds") => {
            s.put("sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": 10800}}));
        }
        _ => {}
    }
    s.default_zero("type", "ClusterIP");
    for p in s.each("ports") {
        p.default_zero("protocol", "TCP");
        let port = p.v("port").clone();
        if !port.is_null() {
            p.default_zero("targetPort", port);
        }
    }
    let ty = s.s("type").to_owned();
    let external = matches!(ty.as_str(), "NodePort" | "LoadBalancer")
        || ty == "ClusterIP" && !s.list("externalIPs").is_empty();
    if external {
        s.default_zero("externalTrafficPolicy", "Cluster");
    }
    if matches!(ty.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        s.default_nil("internalTrafficPolicy", "Cluster");
    }
    if ty == "LoadBalancer" {
        s.default_nil("allocateLoadBalancerNodePorts", true);
        if let Some(lb) = o.o_mut("status").and_then(|s| s.o_mut("loadBalancer")) {
            for i in lb.each("ingress") {
                if !i.s("ip").is_empty() {
                    i.default_nil("ipMode", "VIP");
                }
            }
        }
    }
}
