//! Pods.

use super::{pod_row, pod_status, pod_update};
use crate::ip;
use crate::kit::*;
use crate::podspec::{self, Opts, gates, resources, security, warnings};

pub(crate) struct Pod;

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

impl Strategy for Pod {
    fn prepare_create(&self, cx: &Cx<'_>, o: &mut Value) {
        o.put("status", json!({"phase": "Pending"}));
        drop_disabled(o, None);
        if !o.v("spec").list("schedulingGates").is_empty() {
            o.obj("status").put(
                "conditions",
                json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                    "lastTransitionTime": Timestamp { seconds: cx.now.seconds, nanos: 0 }.rfc3339()}]),
            );
        }
        fold_label_keys(o);
        apparmor_fields(o);
        if let Some(spec) = o.o_mut("spec") {
            resources::default_pod_level(spec);
        }
        let class = pod_status::qos_class(o.v("spec"));
        o.obj("status").put("qosClass", class);
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        match cx.subresource {
            "status" => {
                o.metadata_mut().remove("deletionTimestamp");
                restore(o, old, "metadata.ownerReferences");
                pod_status::carry_over(o, old);
            }
            "ephemeralcontainers" => {
                let list = o.v("spec").f("ephemeralContainers").cloned();
                keep_spec_and_status(o, old);
                let spec = o.obj("spec");
                match list {
                    Some(l) => spec.put("ephemeralContainers", l),
                    None => _ = spec.remove("ephemeralContainers"),
                }
            }
            "resize" => prepare_resize(o, old),
            _ => {
                if let Some(r) = old.v("spec").set("resources")
                    && !o.v("spec").has("resources")
                {
                    o.obj("spec").put("resources", r.clone());
                }
            }
        }
        drop_disabled(o, Some(old));
        if matches!(cx.subresource, "ephemeralcontainers" | "resize")
            && !deep_same(o.v("spec"), old.v("spec"))
        {
            o.metadata_mut().put("generation", old.generation() + 1);
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        let opts = Opts { is_pod: true, ..Opts::default() };
        podspec::pod(o, opts, &mut e);
        let (at, spec) = (At::new("spec"), o.v("spec"));
        if !spec.list("ephemeralContainers").is_empty() {
            e.forbidden(&at.c("ephemeralContainers"), "cannot be set on create");
        }
        if !spec.s("nodeName").is_empty() && !spec.list("schedulingGates").is_empty() {
            e.forbidden(&at.c("nodeName"), "cannot be set until all schedulingGates have been cleared");
        }
        security::annotations_match(o.v("metadata").o("annotations"), spec, &at, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        let opts = Opts { is_pod: true, ..Opts::new(Some(old)) };
        match cx.subresource {
            "status" => pod_status::update(o, old, opts, &mut e),
            "ephemeralcontainers" => pod_update::ephemeral(o, old, opts, &mut e),
            "resize" => pod_update::resize(o, old, opts, &mut e),
            _ => pod_update::update(o, old, opts, &mut e),
        }
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        match (cx.subresource, old) {
            ("", None) => {
                let mut out = warnings::apparmor_annotations(o);
                let name = names::is_dns1123_label(o.name());
                if !name.is_empty() {
                    out.push(format!(
                        "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [{}]",
                        name.join(" ")
                    ));
                }
                out.extend(warnings::warnings(o, &warnings::POD, false));
                out
            }
            ("status", _) => {
                let mut out = Vec::new();
                for f in ["podIPs", "hostIPs"] {
                    let at = At::new("status");
                    let at = at.c(f);
                    for (i, a) in o.v("status").list(f).iter().enumerate() {
                        out.extend(ip::ip_warnings(&at.i(i).c("ip"), a.s("ip")));
                    }
                }
                out
            }
            _ => Vec::new(),
        }
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        pod_row::row(o, now)
    }

    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        Some(match label {
            "status.podIP" => o.array_at("status.podIPs").first().map_or("", |i| i.s("ip")).to_owned(),
            // Accepted as a label; upstream has no value for it.
            "status.podIPs" => String::new(),
            "spec.host" => o.str_at("spec.nodeName").to_owned(),
            "spec.hostNetwork" => o.bool_at("spec.hostNetwork").to_string(),
            "spec.nodeName"
            | "spec.restartPolicy"
            | "spec.schedulerName"
            | "spec.serviceAccountName"
            | "status.phase"
            | "status.nominatedNodeName" => o.str_at(label).to_owned(),
            _ => return None,
        })
    }

    fn field_paths(&self) -> &'static [&'static [&'static str]] {
        &[
            &["metadata", "name"],
            &["metadata", "namespace"],
            &["spec", "hostNetwork"],
            &["spec", "nodeName"],
            &["spec", "restartPolicy"],
            &["spec", "schedulerName"],
            &["spec", "serviceAccountName"],
            &["status", "phase"],
            &["status", "podIPs"],
            &["status", "nominatedNodeName"],
        ]
    }
}

fn restore(o: &mut Value, old: &Value, path: &str) {
    match old.at(path) {
        Some(v) => o.set_at(path, v.clone()),
        None => _ = o.remove_at(path),
    }
}

/// Spec and status of the old pod, and of the new one's metadata nothing but managed fields and resource version
/// (apimachinery `ResetObjectMetaForStatus`).
fn keep_spec_and_status(o: &mut Value, old: &Value) {
    restore(o, old, "spec");
    restore(o, old, "status");
    for f in [
        "deletionTimestamp",
        "generation",
        "selfLink",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
    ] {
        restore(o, old, &format!("metadata.{f}"));
    }
}

fn prepare_resize(o: &mut Value, old: &Value) {
    let same_length = ["containers", "initContainers"]
        .iter()
        .all(|l| o.v("spec").list(l).len() == old.v("spec").list(l).len());
    if same_length {
        let new = o.v("spec").clone();
        keep_spec_and_status(o, old);
        let spec = o.obj("spec");
        match new.f("resources") {
            Some(r) => spec.put("resources", r.clone()),
            None => _ = spec.remove("resources"),
        }
        for list in ["containers", "initContainers"] {
            let renamed =
                new.list(list).iter().zip(old.v("spec").list(list)).any(|(a, b)| a.s("name") != b.s("name"));
            if renamed {
                spec.put(list, new.v(list).clone());
                continue;
            }
            for (c, n) in spec.each(list).zip(new.list(list)) {
                for f in ["resources", "resizePolicy"] {
                    match n.f(f) {
                        Some(v) => c.put(f, v.clone()),
                        None => _ = c.remove(f),
                    }
                }
            }
        }
    }
    let spec = o.obj("spec");
    if let Some(r) = old.v("spec").set("resources")
        && !spec.has("resources")
    {
        spec.put("resources", r.clone());
    }
    resources::default_pod_level(spec);
}

fn drop_disabled(o: &mut Value, old: Option<&Value>) {
    gates::drop_disabled("core.v1.Pod", o, old);
    if let Some(spec) = o.o_mut("spec") {
        gates::drop_stop_signals(spec, old.map(|o| o.v("spec")));
    }
}

/// The values of `matchLabelKeys` and `mismatchLabelKeys` become requirements of the selector beside them.
fn fold_label_keys(o: &mut Value) {
    let labels = o.labels().cloned().unwrap_or_default();
    let Some(spec) = o.o_mut("spec") else { return };
    if let Some(a) = spec.o_mut("affinity") {
        for kind in ["podAffinity", "podAntiAffinity"] {
            let Some(p) = a.o_mut(kind) else { continue };
            for t in p.each("preferredDuringSchedulingIgnoredDuringExecution") {
                if let Some(t) = t.o_mut("podAffinityTerm") {
                    fold(t, &labels);
                }
            }
            for t in p.each("requiredDuringSchedulingIgnoredDuringExecution") {
                fold(t, &labels);
            }
        }
    }
    for c in spec.each("topologySpreadConstraints") {
        fold(c, &labels);
    }
}

fn fold(t: &mut Obj, labels: &Obj) {
    let mut add = Vec::new();
    for (f, op) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for k in t.strs(f) {
            if let Some(v) = labels.get(k) {
                add.push(json!({"key": k, "operator": op, "values": [v]}));
            }
        }
    }
    if add.is_empty() || !t.has("labelSelector") {
        return;
    }
    let s = t.obj("labelSelector");
    let mut list = s.list("matchExpressions").to_vec();
    list.extend(add);
    s.put("matchExpressions", list);
}

/// Old AppArmor annotations become fields, where the container has none.
fn apparmor_fields(o: &mut Value) {
    if o.v("spec").v("os").s("name") == "windows" {
        return;
    }
    let annotations = o.v("metadata").o("annotations").cloned().unwrap_or_default();
    if !annotations.keys().any(|k| k.starts_with(APPARMOR)) {
        return;
    }
    let of_pod = o.v("spec").v("securityContext").f("appArmorProfile").cloned();
    let Some(spec) = o.o_mut("spec") else { return };
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for c in spec.each(list) {
            let Some(a) = annotations.os(&format!("{APPARMOR}{}", c.s("name"))) else { continue };
            if c.v("securityContext").has("appArmorProfile") {
                continue;
            }
            if let Some(p) = security::apparmor_field(a).filter(|p| Some(p) != of_pod.as_ref()) {
                c.obj("securityContext").put("appArmorProfile", p);
            }
        }
    }
}
