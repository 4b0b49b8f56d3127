//! Volume sources that pods and persistent volumes share, and those of old storage systems.

use super::Opts;
use super::volumes::{descending_path, no_backsteps};
use crate::kit::*;

/// Checks one source.
pub(crate) type Check = fn(&Value, &At<'_>, Opts, &mut Errs);

fn all_set(s: &Value, fields: &[&str], at: &At<'_>, e: &mut Errs) {
    for f in fields {
        e.non_empty(&at.c(f), s.s(f));
    }
}

pub(super) fn host_path(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    if s.s("path").is_empty() {
        e.required(&at.c("path"), "");
        return;
    }
    no_backsteps(s.s("path"), &at.c("path"), e);
    if let Some(t) = s.os("type") {
        const TYPES: &[&str] = &[
            "",
            "BlockDevice",
            "CharDevice",
            "Directory",
            "DirectoryOrCreate",
            "File",
            "FileOrCreate",
            "Socket",
        ];
        e.one_of(&at.c("type"), t, TYPES);
    }
}

pub(super) fn git_repo(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    e.non_empty(&at.c("repository"), s.s("repository"));
    descending_path(s.s("directory"), &at.c("directory"), e);
}

pub(super) fn gce_disk(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["pdName"], at, e);
    partition(s, at, e);
}

pub(super) fn aws_disk(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["volumeID"], at, e);
    partition(s, at, e);
}

fn partition(s: &Value, at: &At<'_>, e: &mut Errs) {
    let n = s.i("partition");
    if !(0..=255).contains(&n) {
        // Upstream's sentence says 1 although 0 is taken.
        e.invalid(&at.c("partition"), n, names::inclusive_range_error(1, 255));
    }
}

pub(super) fn nfs(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["server", "path"], at, e);
    if !s.s("path").starts_with('/') {
        e.invalid(&at.c("path"), s.s("path"), "must be an absolute path");
    }
}

/// `iqn.2001-04.com.example:storage`, `eui.` and 16, `naa.` and 32 alphanumerics.
fn iscsi_name_ok(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("eui") {
        return rest.chars().count() == 17 && rest[1..].bytes().all(|b| b.is_ascii_alphanumeric());
    }
    if let Some(rest) = name.strip_prefix("naa") {
        return rest.chars().count() == 33 && rest[1..].bytes().all(|b| b.is_ascii_alphanumeric());
    }
    // Upstream's pattern is not anchored in front.
    name.match_indices("iqn.").any(|(i, _)| iqn(&name[i + 4..]))
}

fn iqn(s: &str) -> bool {
    let b = s.as_bytes();
    let digits = |r: std::ops::Range<usize>| b.get(r).is_some_and(|x| x.iter().all(u8::is_ascii_digit));
    if !(digits(0..4) && b.get(4) == Some(&b'-') && digits(5..7) && b.get(7) == Some(&b'.')) {
        return false;
    }
    let Some((domain, unique)) = s[8..].split_once(':') else { return false };
    !domain.is_empty()
        && domain.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.')
        && !unique.is_empty()
        && !unique.contains([',', ';', '*', '&', '$', '|'])
        && !unique.contains(char::is_whitespace)
}

fn iscsi_name(name: &str, at: &At<'_>, wrong_start: &str, e: &mut Errs) {
    if !["iqn", "eui", "naa"].iter().any(|p| name.starts_with(p)) {
        e.invalid(at, name, wrong_start);
    } else if !iscsi_name_ok(name) {
        e.invalid(at, name, "must be valid format");
    }
}

pub(super) fn iscsi(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    iscsi_common(s, at, "must be valid format starting with iqn, eui, or naa", false, e);
}

pub(super) fn iscsi_pv(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    iscsi_common(s, at, "must be valid format", true, e);
}

fn iscsi_common(s: &Value, at: &At<'_>, wrong_start: &str, pv: bool, e: &mut Errs) {
    e.non_empty(&at.c("targetPortal"), s.s("targetPortal"));
    match s.s("iqn") {
        "" => e.required(&at.c("iqn"), ""),
        n => iscsi_name(n, &at.c("iqn"), wrong_start, e),
    }
    e.in_range(&at.c("lun"), s.i("lun"), 0, 255);
    if (s.b("chapAuthDiscovery") || s.b("chapAuthSession")) && !s.has("secretRef") {
        e.required(&at.c("secretRef"), "");
    }
    if pv && let Some(r) = s.set("secretRef") {
        e.non_empty(&at.c("secretRef.name"), r.s("name"));
    }
    if let Some(n) = s.os("initiatorName") {
        iscsi_name(n, &at.c("initiatorname"), wrong_start, e);
    }
}

/// Names of iSCSI interfaces are made of the volume's name and the portal, and are short.
pub(super) fn iscsi_name_length(volume: &str, s: &Value, shown: &str, at: &At<'_>, e: &mut Errs) {
    if volume.len() + 1 + s.s("targetPortal").len() > 64 {
        e.invalid(
            at,
            shown,
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.",
        );
    }
}

pub(super) fn fc(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    let (wwns, wwids) = (s.list("targetWWNs"), s.list("wwids"));
    let at_wwns = at.c("targetWWNs");
    if wwns.is_empty() && wwids.is_empty() {
        e.required(&at_wwns, "must specify either targetWWNs or wwids, but not both");
    }
    if !wwns.is_empty() && !wwids.is_empty() {
        e.invalid(&at_wwns, wwns.to_vec(), "targetWWNs and wwids can not be specified simultaneously");
    }
    if !wwns.is_empty() {
        match s.oi("lun") {
            None => e.required(&at.c("lun"), "lun is required if targetWWNs is specified"),
            Some(n) => e.in_range(&at.c("lun"), n, 0, 255),
        }
    }
}

pub(super) fn quobyte(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    let registry = s.s("registry");
    if registry.is_empty() {
        e.required(&at.c("registry"), PAIRS);
    } else if s.s("tenant").len() >= 65 {
        e.required(&at.c("tenant"), "must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.split(',') {
            let ok = match pair.rsplit_once(':') {
                Some((h, p)) => {
                    !p.contains([']', '[']) && (!h.contains(':') || (h.starts_with('[') && h.ends_with(']')))
                }
                None => false,
            };
            if !ok {
                e.invalid(&at.c("registry"), registry, PAIRS);
            }
        }
    }
    e.non_empty(&at.c("volume"), s.s("volume"));
}

pub(super) fn glusterfs(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["endpoints", "path"], at, e);
}

pub(super) fn glusterfs_pv(s: &Value, at: &At<'_>, o: Opts, e: &mut Errs) {
    glusterfs(s, at, o, e);
    match s.os("endpointsNamespace") {
        None => {}
        Some("") => e.invalid(
            &at.c("endpointsNamespace"),
            "",
            "if the endpointnamespace is set, it must be a valid namespace name",
        ),
        Some(ns) => e.label(&at.c("endpointsNamespace"), ns),
    }
}

pub(super) fn flocker(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    let (name, uuid) = (s.s("datasetName"), s.s("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        e.required(at, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        e.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.contains('/') {
        e.invalid(&at.c("datasetName"), name, "must not contain '/'");
    }
}

pub(super) fn rbd(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    if s.list("monitors").is_empty() {
        e.required(&at.c("monitors"), "");
    }
    e.non_empty(&at.c("image"), s.s("image"));
}

pub(super) fn cephfs(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    if s.list("monitors").is_empty() {
        e.required(&at.c("monitors"), "");
    }
}

fn secret_ref(s: &Value, at: &At<'_>, namespace: bool, e: &mut Errs) {
    let Some(r) = s.set("secretRef") else { return };
    e.non_empty(&at.c("secretRef.name"), r.s("name"));
    if namespace {
        e.non_empty(&at.c("secretRef.namespace"), r.s("namespace"));
    }
}

pub(super) fn cinder(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["volumeID"], at, e);
    secret_ref(s, at, false, e);
}

pub(super) fn cinder_pv(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["volumeID"], at, e);
    secret_ref(s, at, true, e);
}

pub(super) fn flex(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["driver"], at, e);
    for (k, _) in keys(s.o("options")) {
        let namespace = format!(".{}", k.split_once('/').map_or(k, |p| p.0).to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            e.invalid(&at.c("options").k(k), k, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

pub(super) fn azure_file(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["secretName", "shareName"], at, e);
}

pub(super) fn azure_file_pv(s: &Value, at: &At<'_>, o: Opts, e: &mut Errs) {
    azure_file(s, at, o, e);
    if s.os("secretNamespace") == Some("") {
        e.required(&at.c("secretNamespace"), "");
    }
}

pub(super) fn azure_disk(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["diskName", "diskURI"], at, e);
    if let Some(m) = s.os("cachingMode") {
        e.one_of(&at.c("cachingMode"), m, &["None", "ReadOnly", "ReadWrite"]);
    }
    let uri = s.s("diskURI");
    let Some(kind) = s.os("kind") else { return };
    e.one_of(&at.c("kind"), kind, &["Dedicated", "Managed", "Shared"]);
    if kind == "Managed" && !uri.starts_with("/subscriptions/") {
        const WANT: &str =
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        e.unsupported(&at.c("diskURI"), uri, &[WANT]);
    }
    if kind != "Managed" && !uri.starts_with("https://") {
        const WANT: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
        e.unsupported(&at.c("diskURI"), uri, &[WANT]);
    }
}

pub(super) fn vsphere(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["volumePath"], at, e);
}

pub(super) fn photon(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["pdID"], at, e);
}

pub(super) fn portworx(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["volumeID"], at, e);
}

pub(super) fn scale_io(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    all_set(s, &["gateway", "system", "volumeName"], at, e);
}

pub(super) fn local(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    match s.s("path") {
        "" => e.required(&at.c("path"), ""),
        p => no_backsteps(p, &at.c("path"), e),
    }
}

pub(super) fn storage_os(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    storage_os_names(s, at, e);
    secret_ref(s, at, false, e);
}

pub(super) fn storage_os_pv(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    storage_os_names(s, at, e);
    secret_ref(s, at, true, e);
}

fn storage_os_names(s: &Value, at: &At<'_>, e: &mut Errs) {
    e.required_name(&at.c("volumeName"), s.s("volumeName"), names::is_dns1123_label);
    if !s.s("volumeNamespace").is_empty() {
        e.label(&at.c("volumeNamespace"), s.s("volumeNamespace"));
    }
}

/// The name of a CSI driver: a subdomain of at most 63 characters, any case.
pub(crate) fn csi_driver_name(name: &str, at: &At<'_>, e: &mut Errs) {
    if name.is_empty() {
        e.required(at, "");
        return;
    }
    if name.len() > 63 {
        e.too_long(at, 63);
    }
    e.each_invalid(at, name, names::is_dns1123_subdomain(&name.to_lowercase()));
}

pub(super) fn csi_pv(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    csi_driver_name(s.s("driver"), &at.c("driver"), e);
    e.non_empty(&at.c("volumeHandle"), s.s("volumeHandle"));
    for r in [
        "controllerPublishSecretRef",
        "controllerExpandSecretRef",
        "nodePublishSecretRef",
        "nodeExpandSecretRef",
    ] {
        if let Some(v) = s.set(r) {
            let at = at.c(r);
            e.required_name(&at.c("name"), v.s("name"), names::is_dns1123_subdomain);
            e.required_name(&at.c("namespace"), v.s("namespace"), names::is_dns1123_label);
        }
    }
}
