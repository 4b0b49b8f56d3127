//! PersistentVolumes.

use crate::diff::diff;
use crate::kit::*;
use crate::podspec::{affinity, volumes, warnings};

pub(crate) struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn prepare_create(&self, cx: &Cx<'_>, o: &mut Value) {
        o.put("status", json!({"phase": "Pending", "lastPhaseTransitionTime": now(cx)}));
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource != "status" {
            return;
        }
        const TIME: &str = "lastPhaseTransitionTime";
        let before = old.v("status");
        let st = o.obj("status");
        let same = st.s("phase") == before.s("phase");
        if same && !st.has(TIME) {
            if let Some(t) = before.set(TIME) {
                st.put(TIME, t.clone());
            }
        } else if !same && (!st.has(TIME) || st.s(TIME) == before.s(TIME)) {
            st.put(TIME, now(cx));
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, false, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            e.non_empty(&At::new("resourceVersion"), o.resource_version());
        } else {
            let terms = old.v("spec").v("nodeAffinity").v("required").list("nodeSelectorTerms");
            validate(o, affinity::has_invalid_values(terms), &mut e);
            update(o, old, &mut e);
        }
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        if cx.subresource == "status" {
            return out;
        }
        let (at, s) = (At::new("spec"), o.v("spec"));
        for (k, m) in [
            (CLASS, r#"deprecated since v1.8; use "storageClassName" attribute instead"#),
            (MOUNT_OPTIONS, r#"deprecated since v1.31; use "mountOptions" attribute instead"#),
        ] {
            if o.annotation(k).is_some() {
                out.push(format!("{}: {m}", At::new("metadata.annotations").k(k)));
            }
        }
        if s.s("persistentVolumeReclaimPolicy") == "Recycle" {
            out.push(format!(
                "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
                at.c("persistentVolumeReclaimPolicy")
            ));
        }
        let terms = at.c("nodeAffinity.required.nodeSelectorTerms");
        for (i, t) in s.v("nodeAffinity").v("required").list("nodeSelectorTerms").iter().enumerate() {
            warnings::node_term(t, false, &terms.i(i), &mut out);
        }
        for (f, path, m) in [
            ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
            ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
            ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
            ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
            ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
            ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
        ] {
            if s.has(f) {
                out.push(format!("{}: {m}", at.c(path)));
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let claim =
            s.set("claimRef").map_or_else(String::new, |c| format!("{}/{}", c.s("namespace"), c.s("name")));
        let phase = if o.deletion_timestamp().is_some() { "Terminating" } else { o.str_at("status.phase") };
        let capacity = match s.v("capacity").s("storage") {
            "" => "0",
            q => q,
        };
        row![
            o.name(),
            capacity,
            rows::access_modes(s.list("accessModes")),
            s.s("persistentVolumeReclaimPolicy"),
            phase,
            claim,
            class(o).unwrap_or(""),
            rows::or_unset(s.os("volumeAttributesClassName")),
            o.str_at("status.reason"),
            age(o, now),
            rows::or_unset(s.os("volumeMode")),
        ]
    }
}

/// The storage class of a volume or claim: the old annotation, else the field.
pub(crate) fn class(o: &Value) -> Option<&str> {
    o.annotation("volume.beta.kubernetes.io/storage-class").or_else(|| o.v("spec").os("storageClassName"))
}

const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const MOUNT_OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";

pub(super) const ACCESS_MODES: &[&str] =
    &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];

fn now(cx: &Cx<'_>) -> String {
    Timestamp { seconds: cx.now.seconds, nanos: 0 }.rfc3339()
}

/// Known modes, and ReadWriteOncePod alone.
pub(super) fn access_modes(modes: &[&str], at: &At<'_>, e: &mut Errs) {
    for m in modes {
        e.one_of(at, m, ACCESS_MODES);
    }
    let other = |m: &&&str| **m != "ReadWriteOncePod" && ACCESS_MODES.contains(*m);
    if modes.contains(&"ReadWriteOncePod") && modes.iter().any(|m| other(&m)) {
        e.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn validate(o: &Value, allow_invalid_affinity: bool, e: &mut Errs) {
    validate_spec(o.v("spec"), o.name(), false, allow_invalid_affinity, &At::new("spec"), e);
    let takes_options = [
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "glusterfs",
        "nfs",
        "rbd",
        "quobyte",
        "iscsi",
        "cinder",
        "cephfs",
        "azureFile",
        "vsphereVolume",
        "azureDisk",
        "photonPersistentDisk",
    ];
    if o.annotation(MOUNT_OPTIONS).is_some() && !takes_options.iter().any(|f| o.v("spec").has(f)) {
        e.forbidden(
            &At::new("metadata.annotations").c(MOUNT_OPTIONS),
            "may not specify mount options for this volume type",
        );
    }
}

/// The spec of a volume; `inline` as VolumeAttachments carry it.
pub(crate) fn validate_spec(
    s: &Value,
    name: &str,
    inline: bool,
    allow_invalid_affinity: bool,
    at: &At<'_>,
    e: &mut Errs,
) {
    const INLINE: &str = "may not be specified in the context of inline volumes";
    if inline {
        if s.has("claimRef") {
            e.forbidden(&at.c("claimRef"), INLINE);
        }
        if s.v("capacity").len_of() > 0 {
            e.forbidden(&at.c("capacity"), INLINE);
        }
        if !s.has("csi") {
            e.required(&at.c("csi"), "has to be specified in the context of inline volumes");
        }
    }
    let modes = s.strs("accessModes");
    if modes.is_empty() {
        e.required(&at.c("accessModes"), "");
    }
    access_modes(&modes, &at.c("accessModes"), e);
    if !inline {
        capacity(s.v("capacity"), &at.c("capacity"), e);
    }
    let policy = s.s("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        let at = at.c("persistentVolumeReclaimPolicy");
        if !inline {
            e.one_of(&at, policy, &["Delete", "Recycle", "Retain"]);
        } else if policy != "Retain" {
            e.forbidden(&at, "may only be Retain in the context of inline volumes");
        }
    }
    let affinity_set = s.has("nodeAffinity") && !inline;
    if let Some(a) = s.set("nodeAffinity") {
        let at = at.c("nodeAffinity");
        match a.set("required") {
            _ if inline => e.forbidden(&at, INLINE),
            Some(r) => affinity::node_selector(r, allow_invalid_affinity, &at.c("required"), e),
            None => e.required(&at.c("required"), "must specify required node constraints"),
        }
    }
    volumes::persistent_source(s, name, affinity_set, at, e);
    if policy == "Recycle" && is_root(s.v("hostPath").s("path")) {
        e.forbidden(
            &at.c("persistentVolumeReclaimPolicy"),
            "may not be 'recycle' for a hostPath mount of '/'",
        );
    }
    let class = s.s("storageClassName");
    if !class.is_empty() {
        if inline {
            e.forbidden(&at.c("storageClassName"), INLINE);
        } else {
            e.subdomain(&at.c("storageClassName"), class);
        }
    }
    if let Some(m) = s.os("volumeMode") {
        let at = at.c("volumeMode");
        if !inline {
            e.one_of(&at, m, VOLUME_MODES);
        } else if m != "Filesystem" {
            e.forbidden(
                &at,
                "may not specify volumeMode other than Filesystem in the context of inline volumes",
            );
        }
    }
    if let Some(c) = s.os("volumeAttributesClassName").filter(|_| !inline) {
        let here = at.c("volumeAttributesClassName");
        if c.is_empty() {
            e.required(&here, "an empty string is disallowed");
        } else {
            e.subdomain(&here, c);
        }
        if !s.has("csi") {
            e.required(&at.c("csi"), "has to be specified when using volumeAttributesClassName");
        }
    }
}

fn capacity(c: &Value, at: &At<'_>, e: &mut Errs) {
    if c.len_of() == 0 {
        e.required(at, "");
    }
    if !c.has("storage") || c.len_of() > 1 {
        let shown = if c.len_of() == 0 { Value::Null } else { c.clone() };
        e.unsupported(at, shown, &["storage"]);
    }
    for (k, v) in keys(c.as_object()) {
        let (at, q) = (at.k(k), quantity(v));
        if q.is_negative() {
            e.invalid(&at, q.value(), "must be a valid resource quantity");
        }
        e.positive_quantity(&at, &q);
    }
}

fn is_root(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|s| matches!(s, "" | "." | ".."))
}

fn update(o: &Value, old: &Value, e: &mut Errs) {
    let (mut n, s) = (o.v("spec").clone(), old.v("spec"));
    // A secret for expansion may be added later.
    if s.has("csi") && !s.v("csi").has("controllerExpandSecretRef") {
        n.remove_at("csi.controllerExpandSecretRef");
    }
    let sources = |s: &Value| -> Value {
        let set = volumes::PERSISTENT.iter().filter_map(|(f, ..)| Some(((*f).to_owned(), s.set(f)?.clone())));
        Value::Object(set.collect())
    };
    let (a, b) = (sources(&n), sources(s));
    if !deep_same(&a, &b) {
        e.forbidden(
            &At::new("spec.persistentvolumesource"),
            format!("spec.persistentvolumesource is immutable after creation\n{}", diff(&b, &a)),
        );
    }
    e.immutable(&At::new("volumeMode"), n.set("volumeMode"), s.set("volumeMode"));
    if s.has("nodeAffinity")
        && !deep_same(&ga_labels(n.v("nodeAffinity"), s.v("nodeAffinity")), s.v("nodeAffinity"))
    {
        e.invalid(
            &At::new("nodeAffinity"),
            n.v("nodeAffinity").clone(),
            "field is immutable, except for updating from beta label to GA",
        );
    }
    if s.has("volumeAttributesClassName") && !n.has("volumeAttributesClassName") {
        e.forbidden(
            &At::new("spec.volumeAttributesClassName"),
            "update from non-nil value to nil is forbidden",
        );
    }
}

/// The new affinity with labels that only went from beta to their final names put back.
fn ga_labels(new: &Value, old: &Value) -> Value {
    const LABELS: [(&str, &str); 5] = [
        ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
        ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
        ("beta.kubernetes.io/os", "kubernetes.io/os"),
        ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
        ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ];
    let mut new = new.clone();
    let terms = old.v("required").list("nodeSelectorTerms");
    let Some(required) = new.o_mut("required") else { return new };
    for (t, old) in required.each("nodeSelectorTerms").zip(terms) {
        for list in ["matchExpressions", "matchFields"] {
            for (x, old) in t.each(list).zip(old.list(list)) {
                if LABELS.contains(&(old.s("key"), x.s("key"))) {
                    x.put("key", old.s("key"));
                }
            }
        }
    }
    new
}
