//! PersistentVolumeClaims.

use super::persistentvolume::{VOLUME_MODES, access_modes};
use crate::diff::diff;
use crate::kit::*;
use crate::podspec::{gates, resources, warnings};

pub(crate) struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        o.put("status", json!({"phase": "Pending"}));
        data_sources(o.obj("spec"), None);
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource == "status" {
            gates::drop_disabled("core.v1.PersistentVolumeClaim", o, Some(old));
        } else {
            data_sources(o.obj("spec"), Some(old.v("spec")));
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate_spec(o.v("spec"), &At::new("spec"), SpecOpts::default(), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o, &mut e);
            return e.0;
        }
        let before = old.v("spec");
        let group = |f: &str| before.v(f).has("apiGroup");
        let mut bad = Errs::default();
        bad.label_selector(&At::new(""), before.set("selector"), false);
        let opts = SpecOpts {
            invalid_selector: !bad.is_empty(),
            invalid_api_group: group("dataSource") || group("dataSourceRef"),
        };
        validate_spec(o.v("spec"), &At::new("spec"), opts, &mut e);
        update(o, old, &mut e);
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        if cx.subresource == "status" {
            return out;
        }
        if o.annotation(CLASS).is_some() {
            out.push(format!(
                r#"{}: deprecated since v1.8; use "storageClassName" attribute instead"#,
                At::new("metadata.annotations").k(CLASS)
            ));
        }
        warnings::claim_fractions(o.v("spec"), &At::new("spec"), &mut out);
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let phase = if o.deletion_timestamp().is_some() { "Terminating" } else { st.s("phase") };
        let bound = !s.s("volumeName").is_empty();
        let capacity = match (bound, st.v("capacity").s("storage")) {
            (true, "") => "0",
            (true, q) => q,
            (false, _) => "",
        };
        row![
            o.name(),
            phase,
            s.s("volumeName"),
            capacity,
            if bound { rows::access_modes(st.list("accessModes")) } else { String::new() },
            super::persistentvolume::class(o).unwrap_or(""),
            rows::or_unset(s.os("volumeAttributesClassName")),
            age(o, now),
            rows::or_unset(s.os("volumeMode")),
        ]
    }
}

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// What is tolerated because the claim had it before.
#[derive(Clone, Copy, Default)]
pub(crate) struct SpecOpts {
    pub invalid_selector: bool,
    pub invalid_api_group: bool,
}

/// `dataSource` and `dataSourceRef` say the same, where they can.
fn data_sources(spec: &mut Obj, old: Option<&Value>) {
    let cross = !spec.v("dataSourceRef").s("namespace").is_empty();
    if cross
        && !schema::facts::gate("CrossNamespaceVolumeDataSource")
        && !old.is_some_and(|o| o.has("dataSourceRef"))
    {
        spec.remove("dataSourceRef");
    }
    if !old.is_some_and(|o| o.has("dataSource")) && !spec.has("dataSourceRef") {
        // The old field never took anything else than claims and snapshots, and said nothing about it.
        let s = spec.v("dataSource");
        let known = matches!(
            (s.s("kind"), s.s("apiGroup")),
            ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
        );
        if !known {
            spec.remove("dataSource");
        }
    }
    normalize(spec);
}

/// Mirrors the one that is missing.
fn normalize(spec: &mut Obj) {
    let (from, to) = match (spec.has("dataSource"), spec.has("dataSourceRef")) {
        (true, false) => ("dataSource", "dataSourceRef"),
        (false, true) if spec.v("dataSourceRef").s("namespace").is_empty() => ("dataSourceRef", "dataSource"),
        _ => return,
    };
    let mut v = spec.v(from).clone();
    v.drop_key("namespace");
    spec.put(to, v);
}

fn data_source(s: &Value, at: &At<'_>, opts: SpecOpts, e: &mut Errs) {
    let (kind, group) = (s.s("kind"), s.s("apiGroup"));
    e.non_empty(&at.c("name"), s.s("name"));
    e.non_empty(&at.c("kind"), kind);
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        e.invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    if !group.is_empty() && !opts.invalid_api_group {
        e.subdomain(&at.c("apiGroup"), group);
    }
    if !s.s("namespace").is_empty() {
        e.label(&at.c("namespace"), s.s("namespace"));
    }
}

pub(crate) fn validate_spec(s: &Value, at: &At<'_>, opts: SpecOpts, e: &mut Errs) {
    let modes = s.strs("accessModes");
    if modes.is_empty() {
        e.required(&at.c("accessModes"), "at least 1 access mode is required");
    }
    e.label_selector(&at.c("selector"), s.set("selector"), opts.invalid_selector);
    access_modes(&modes, &at.c("accessModes"), e);
    let size_at = at.c("resources");
    let size_at = size_at.k("storage");
    match s.v("resources").v("requests").set("storage").map(quantity) {
        None => e.required(&size_at, ""),
        Some(q) if q.is_negative() || q.is_zero() => e.positive_quantity(&size_at, &q),
        Some(q) => resources::value("storage", &q, &size_at, e),
    }
    if !s.s("storageClassName").is_empty() {
        e.subdomain(&at.c("storageClassName"), s.s("storageClassName"));
    }
    if let Some(m) = s.os("volumeMode") {
        e.one_of(&at.c("volumeMode"), m, VOLUME_MODES);
    }
    for f in ["dataSource", "dataSourceRef"] {
        if let Some(d) = s.set(f) {
            data_source(d, &at.c(f), opts, e);
        }
    }
    if let (Some(a), Some(b)) = (s.set("dataSource"), s.set("dataSourceRef")) {
        let shown = json!({}); // upstream shows a path without fields of its own
        if !b.s("namespace").is_empty() {
            e.invalid(at, shown, "may not be specified when dataSourceRef.namespace is specified");
        } else if ["apiGroup", "kind", "name"].iter().any(|f| a.os(f) != b.os(f)) {
            e.invalid(at, shown, "must match dataSourceRef");
        }
    }
    if !s.s("volumeAttributesClassName").is_empty() {
        e.subdomain(&at.c("volumeAttributesClassName"), s.s("volumeAttributesClassName"));
    }
}

fn update(o: &Value, old: &Value, e: &mut Errs) {
    let (n, mut s) = (o.v("spec").clone(), old.v("spec").clone());
    let mut munged = n.clone();
    if let Some(spec) = s.as_object_mut() {
        normalize(spec);
    }
    let original = s.clone();
    if s.s("volumeName").is_empty() {
        match n.f("volumeName") {
            Some(v) => s.put("volumeName", v.clone()),
            None => _ = s.drop_key("volumeName"),
        }
    }
    let (before, after) = (old.annotation(CLASS), o.annotation(CLASS));
    let (old_class, new_class) = (original.os("storageClassName"), n.os("storageClassName"));
    let from_annotation = before.is_some()
        && old_class.is_none()
        && new_class == before
        && (after.is_none() || after == before);
    if from_annotation {
        munged.drop_key("storageClassName");
    } else {
        if before.unwrap_or("") != after.unwrap_or("") {
            let at = At::new("metadata.annotations");
            e.invalid(&at.c(CLASS), after.unwrap_or(""), "field is immutable");
        }
        if new_class.is_some() && old_class.is_none() && (before.is_none() || new_class == before) {
            munged.drop_key("storageClassName");
        }
    }
    let bound = o.v("status").s("phase") == "Bound";
    if bound {
        for path in ["resources.requests.storage", "volumeAttributesClassName"] {
            match original.at(path) {
                Some(v) => munged.set_at(path, v.clone()),
                None => _ = munged.remove_at(path),
            }
        }
    }
    if !deep_same(&munged, &s) {
        e.forbidden(
            &At::new("spec"),
            format!(
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
                diff(&s, &munged)
            ),
        );
    }
    let size = |v: &Value| quantity(v.v("resources").v("requests").v("storage"));
    if size(&n) < size(&original) && size(&n) <= quantity(old.v("status").v("capacity").v("storage")) {
        e.forbidden(
            &At::new("spec.resources.requests.storage"),
            "field can not be less than status.capacity",
        );
    }
    e.immutable(&At::new("volumeMode"), n.set("volumeMode"), original.set("volumeMode"));
    if n.os("volumeAttributesClassName") != original.os("volumeAttributesClassName")
        && old.v("status").has("currentVolumeAttributesClassName")
    {
        let what = match n.os("volumeAttributesClassName") {
            None => "nil",
            Some("") => "empty string",
            Some(_) => return,
        };
        e.forbidden(
            &At::new("spec.volumeAttributesClassName"),
            format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"),
        );
    }
}

const RESIZE: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

fn resource_key(k: &str, at: &At<'_>, e: &mut Errs) -> bool {
    let before = e.len();
    e.qualified(at, k);
    if e.len() == before && resources::is_native(k) && k != "storage" {
        e.unsupported(at, k, &["storage"]);
    }
    e.len() == before
}

fn status(o: &Value, e: &mut Errs) {
    e.non_empty(&At::new("resourceVersion"), o.resource_version());
    if o.v("spec").list("accessModes").is_empty() {
        e.required(&At::new("Spec.accessModes"), "");
    }
    let st = o.v("status");
    let basic = |v: &Value, at: &At<'_>, e: &mut Errs| {
        let q = quantity(v);
        if q.is_negative() {
            e.invalid(at, q.value(), "must be a valid resource quantity");
        }
        !q.is_negative()
    };
    let at = At::new("status.capacity");
    for (k, v) in keys(st.o("capacity")) {
        basic(v, &at.k(k), e);
    }
    let at = At::new("status.allocatedResourceStatuses");
    for (k, v) in keys(st.o("allocatedResourceStatuses")) {
        resource_key(k, &at, e);
        let mut known = RESIZE.to_vec();
        known.sort_unstable();
        if !RESIZE.contains(&v.as_str().unwrap_or("")) {
            e.unsupported(&at, k, &known);
        }
    }
    let at = At::new("status.allocatedResources");
    for (k, v) in keys(st.o("allocatedResources")) {
        if resource_key(k, &at, e) && basic(v, &at.k(k), e) {
            resources::value("storage", &quantity(v), &at.k(k), e);
        }
    }
}
