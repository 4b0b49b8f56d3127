//! Volumes of pods: names, exactly one source each, and what each source must have
//! (K/pkg/apis/core/validation `ValidateVolumes`).

use super::sources::{self, Check};
use super::{Opts, projected};
use crate::core::persistentvolumeclaim as pvc;
use crate::kit::*;
use std::collections::BTreeMap;

/// Volumes by name, the faulty ones left out.
pub(crate) type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// Field, path under which upstream reports it, path it uses in "more than 1 volume type", check.
const SOURCES: &[(&str, &str, &str, Check)] = &[
    ("hostPath", "hostPath", "hostPath", sources::host_path),
    ("gitRepo", "gitRepo", "gitRepo", sources::git_repo),
    ("gcePersistentDisk", "persistentDisk", "gcePersistentDisk", sources::gce_disk),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", sources::aws_disk),
    ("secret", "secret", "secret", secret),
    ("nfs", "nfs", "nfs", sources::nfs),
    ("iscsi", "iscsi", "iscsi", sources::iscsi),
    ("glusterfs", "glusterfs", "glusterfs", sources::glusterfs),
    ("flocker", "flocker", "flocker", sources::flocker),
    ("persistentVolumeClaim", "persistentVolumeClaim", "persistentVolumeClaim", claim),
    ("rbd", "rbd", "rbd", sources::rbd),
    ("cinder", "cinder", "cinder", sources::cinder),
    ("cephfs", "cephfs", "cephFS", sources::cephfs),
    ("quobyte", "quobyte", "quobyte", sources::quobyte),
    ("downwardAPI", "downwardAPI", "downwarAPI", projected::downward_api),
    ("fc", "fc", "fc", sources::fc),
    ("flexVolume", "flexVolume", "flexVolume", sources::flex),
    ("configMap", "configMap", "configMap", config_map),
    ("azureFile", "azureFile", "azureFile", sources::azure_file),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", sources::vsphere),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", sources::photon),
    ("portworxVolume", "portworxVolume", "portworxVolume", sources::portworx),
    ("azureDisk", "azureDisk", "azureDisk", sources::azure_disk),
    ("storageos", "storageos", "storageos", sources::storage_os),
    ("projected", "projected", "projected", projected::projected),
    ("scaleIO", "scaleIO", "scaleIO", sources::scale_io),
    ("csi", "csi", "csi", csi),
    ("ephemeral", "ephemeral", "ephemeral", ephemeral),
    ("image", "image", "image", image),
];

const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";

/// Checks volumes; `pod` is the pod's name where there is a pod (and not a template).
pub(crate) fn volumes<'a>(
    list: &'a [Value],
    pod: Option<&str>,
    at: &At<'_>,
    opts: Opts,
    e: &mut Errs,
) -> Volumes<'a> {
    let pod = pod.filter(|p| !p.is_empty());
    let created: Vec<String> = match pod {
        Some(pod) => {
            list.iter().filter(|v| v.has("ephemeral")).map(|v| format!("{pod}-{}", v.s("name"))).collect()
        }
        None => Vec::new(),
    };
    let mut out = Volumes::new();
    for (i, v) in list.iter().enumerate() {
        let at = at.i(i);
        let before = e.len();
        let name = v.s("name");
        source(v, pod, &at, opts, e);
        e.required_name(&at.c("name"), name, names::is_dns1123_label);
        if out.contains_key(name) {
            e.duplicate(&at.c("name"), name);
        }
        if e.len() == before {
            out.insert(name, v);
        }
        if let Some(c) = v.set("persistentVolumeClaim")
            && created.iter().any(|n| n == c.s("claimName"))
        {
            e.invalid(
                &at.c("persistentVolumeClaim.claimName"),
                c.s("claimName"),
                "must not reference a PVC that gets created for an ephemeral volume",
            );
        }
    }
    out
}

fn source(v: &Value, pod: Option<&str>, at: &At<'_>, opts: Opts, e: &mut Errs) {
    let mut found = false;
    if let Some(d) = v.set("emptyDir") {
        found = true;
        if d.has("sizeLimit") && quantity(d.v("sizeLimit")).is_negative() {
            e.forbidden(&at.c("emptyDir.sizeLimit"), "SizeLimit field must be a valid resource quantity");
        }
        if let Some(m) = d.oi("mode").filter(|m| !(0..=0o1777).contains(m)) {
            e.invalid(
                &at.c("emptyDir.mode"),
                m,
                "must be a number between 0 and 01777 (octal), both inclusive",
            );
        }
    }
    for (field, path, twice, check) in SOURCES {
        let Some(s) = v.set(field) else { continue };
        if found {
            e.forbidden(&at.c(twice), MORE_THAN_ONE);
        } else {
            found = true;
            check(s, &at.c(path), opts, e);
            if *field == "ephemeral"
                && let Some(pod) = pod
                && !v.s("name").is_empty()
            {
                let claim = format!("{pod}-{}", v.s("name"));
                for m in names::is_dns1123_subdomain(&claim) {
                    e.invalid(&at.c("name"), v.s("name"), format!("PVC name {claim:?}: {m}"));
                }
            }
        }
        if *field == "iscsi" && s.has("initiatorName") {
            sources::iscsi_name_length(v.s("name"), s, v.s("name"), &at.c("name"), e);
        }
    }
    if !found {
        e.required(at, "must specify a volume type");
    }
}

/// A persistent volume's sources: as above, with the sources' persistent forms.
pub(crate) const PERSISTENT: &[(&str, &str, &str, Check)] = &[
    ("hostPath", "hostPath", "hostPath", sources::host_path),
    ("gcePersistentDisk", "persistentDisk", "gcePersistentDisk", sources::gce_disk),
    ("awsElasticBlockStore", "awsElasticBlockStore", "awsElasticBlockStore", sources::aws_disk),
    ("glusterfs", "glusterfs", "glusterfs", sources::glusterfs_pv),
    ("flocker", "flocker", "flocker", sources::flocker),
    ("nfs", "nfs", "nfs", sources::nfs),
    ("rbd", "rbd", "rbd", sources::rbd),
    ("quobyte", "quobyte", "quobyte", sources::quobyte),
    ("cephfs", "cephfs", "cephFS", sources::cephfs),
    ("iscsi", "iscsi", "iscsi", sources::iscsi_pv),
    ("cinder", "cinder", "cinder", sources::cinder_pv),
    ("fc", "fc", "fc", sources::fc),
    ("flexVolume", "flexVolume", "", sources::flex),
    ("azureFile", "azureFile", "azureFile", sources::azure_file_pv),
    ("vsphereVolume", "vsphereVolume", "vsphereVolume", sources::vsphere),
    ("photonPersistentDisk", "photonPersistentDisk", "photonPersistentDisk", sources::photon),
    ("portworxVolume", "portworxVolume", "portworxVolume", sources::portworx),
    ("azureDisk", "azureDisk", "azureDisk", sources::azure_disk),
    ("scaleIO", "scaleIO", "scaleIO", sources::scale_io),
    ("local", "local", "local", sources::local),
    ("storageos", "storageos", "storageos", sources::storage_os_pv),
    ("csi", "csi", "csi", sources::csi_pv),
];

/// The source of a persistent volume.
pub(crate) fn persistent_source(spec: &Value, pv: &str, affinity: bool, at: &At<'_>, e: &mut Errs) {
    let mut found = false;
    for (field, path, twice, check) in PERSISTENT {
        let Some(s) = spec.set(field) else { continue };
        if found && !twice.is_empty() {
            e.forbidden(&at.c(twice), MORE_THAN_ONE);
            continue;
        }
        found = true;
        check(s, &at.c(path), Opts::default(), e);
        match *field {
            "iscsi" if s.has("initiatorName") => {
                sources::iscsi_name_length(pv, s, s.s("targetPortal"), &at.c("iscsi.targetportal"), e);
            }
            "local" if !affinity => {
                e.required(&at.c("nodeAffinity"), "Local volume requires node affinity");
            }
            _ => {}
        }
    }
    if !found {
        e.required(at, "must specify a volume type");
    }
}

pub(super) fn mode(v: &Value, field: &str, at: &At<'_>, e: &mut Errs) {
    if let Some(m) = v.oi(field).filter(|m| !(0..=0o777).contains(m)) {
        e.invalid(&at.c(field), m, "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

pub(super) fn user(v: &Value, field: &str, at: &At<'_>, e: &mut Errs) {
    e.unix_id(&at.c(field), v.oi(field));
}

fn key_to_paths(v: &Value, at: &At<'_>, e: &mut Errs) {
    let items = at.c("items");
    for (i, k) in v.list("items").iter().enumerate() {
        key_to_path(k, &items.i(i), e);
    }
}

pub(super) fn key_to_path(k: &Value, at: &At<'_>, e: &mut Errs) {
    e.non_empty(&at.c("key"), k.s("key"));
    e.non_empty(&at.c("path"), k.s("path"));
    local_path(k.s("path"), &at.c("path"), e);
    mode(k, "mode", at, e);
    user(k, "user", at, e);
}

fn secret(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    e.non_empty(&at.c("secretName"), s.s("secretName"));
    mode(s, "defaultMode", at, e);
    user(s, "defaultUser", at, e);
    key_to_paths(s, at, e);
}

fn config_map(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    e.non_empty(&at.c("name"), s.s("name"));
    mode(s, "defaultMode", at, e);
    user(s, "defaultUser", at, e);
    key_to_paths(s, at, e);
}

fn claim(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    e.non_empty(&at.c("claimName"), s.s("claimName"));
}

fn csi(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    sources::csi_driver_name(s.s("driver"), &at.c("driver"), e);
    if let Some(r) = s.set("nodePublishSecretRef") {
        match r.s("name") {
            "" => e.required(&at.c("nodePublishSecretRef.name"), ""),
            n => e.subdomain(&at.c("name"), n),
        }
    }
}

fn ephemeral(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    match s.set("volumeClaimTemplate") {
        None => e.required(&at.c("volumeClaimTemplate"), ""),
        Some(t) => {
            let at = at.c("volumeClaimTemplate");
            template_metadata(t.v("metadata"), &at.c("metadata"), e);
            pvc::validate_spec(t.v("spec"), &at.c("spec"), pvc::SpecOpts::default(), e);
        }
    }
}

/// Metadata of a claim made from a template: labels and annotations only.
pub(crate) fn template_metadata(m: &Value, at: &At<'_>, e: &mut Errs) {
    e.annotations(&at.c("annotations"), m.o("annotations"));
    e.labels(&at.c("labels"), m.o("labels"));
    for (k, v) in keys(m.as_object()) {
        if !matches!(k, "labels" | "annotations") && !is_zero(v) {
            e.forbidden(&at.c(k), "cannot be set");
        }
    }
}

fn image(s: &Value, at: &At<'_>, opts: Opts, e: &mut Errs) {
    if !opts.empty_image_reference {
        e.non_empty(&at.c("reference"), s.s("reference"));
    }
    e.required_one_of(&at.c("pullPolicy"), s.s("pullPolicy"), super::PULL_POLICIES);
}

/// A relative path that stays below where it starts.
pub(crate) fn descending_path(p: &str, at: &At<'_>, e: &mut Errs) {
    if p.starts_with('/') {
        e.invalid(at, p, "must be a relative path");
    }
    no_backsteps(p, at, e);
}

pub(crate) fn has_backsteps(p: &str) -> bool {
    p.split('/').any(|s| s == "..")
}

pub(crate) fn no_backsteps(p: &str, at: &At<'_>, e: &mut Errs) {
    if has_backsteps(p) {
        e.invalid(at, p, "must not contain '..'");
    }
}

/// A relative path that does not start with what atomic writers keep for themselves.
pub(crate) fn local_path(p: &str, at: &At<'_>, e: &mut Errs) {
    descending_path(p, at, e);
    if p.starts_with("..") && !p.starts_with("../") {
        e.invalid(at, p, "must not start with '..'");
    }
}
