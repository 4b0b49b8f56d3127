//! Projected and downward-API volumes, and the field selectors they share with environment variables.

use super::Opts;
use super::volumes::{key_to_path, local_path, mode, user};
use crate::kit::*;
use crate::signer;
use std::collections::HashSet;

const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
pub(super) const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCE_FIELDS: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const DUPLICATE: &str = "conflicting duplicate paths";

pub(super) fn downward_api(s: &Value, at: &At<'_>, _: Opts, e: &mut Errs) {
    mode(s, "defaultMode", at, e);
    user(s, "defaultUser", at, e);
    for f in s.list("items") {
        downward_file(f, at, e);
    }
}

fn downward_file(f: &Value, at: &At<'_>, e: &mut Errs) {
    e.non_empty(&at.c("path"), f.s("path"));
    local_path(f.s("path"), &at.c("path"), e);
    match (f.set("fieldRef"), f.set("resourceFieldRef")) {
        (Some(r), other) => {
            field_selector(r, VOLUME_FIELDS, &at.c("fieldRef"), e);
            if other.is_some() {
                e.invalid(
                    at,
                    "resource",
                    "fieldRef and resourceFieldRef can not be specified simultaneously",
                );
            }
        }
        (None, Some(r)) => resource_selector(r, true, &at.c("resourceFieldRef"), e),
        (None, None) => e.required(at, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(f, "mode", at, e);
    user(f, "user", at, e);
}

/// `metadata.annotations['key']` taken apart; a path without subscript has none.
fn subscript(path: &str) -> (&str, Option<&str>) {
    match path.strip_suffix("']").and_then(|s| s.split_once("['")) {
        Some((p, k)) if !p.is_empty() => (p, Some(k)),
        _ => (path, None),
    }
}

const LABELS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.serviceAccountName",
    "spec.schedulerName",
    "status.phase",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

pub(super) fn field_selector(r: &Value, supported: &[&str], at: &At<'_>, e: &mut Errs) {
    let (version, path) = (r.s("apiVersion"), r.s("fieldPath"));
    if version.is_empty() {
        return e.required(&at.c("apiVersion"), "");
    }
    if path.is_empty() {
        return e.required(&at.c("fieldPath"), "");
    }
    let (base, key) = subscript(path);
    let why = if version != "v1" {
        Some(format!("unsupported pod version: {version}"))
    } else if key.is_some() {
        (!matches!(base, "metadata.annotations" | "metadata.labels"))
            .then(|| format!("field label does not support subscript: {path}"))
    } else {
        (!LABELS.contains(&path) && path != "spec.host").then(|| format!("field label not supported: {path}"))
    };
    if let Some(why) = why {
        return e.invalid(&at.c("fieldPath"), path, format!("error converting fieldPath: {why}"));
    }
    match (key, base) {
        (Some(k), "metadata.annotations") => e.qualified(at, &k.to_lowercase()),
        (Some(k), _) => e.qualified(at, k),
        (None, "spec.host") => _ = e.one_of(&at.c("fieldPath"), "spec.nodeName", supported),
        (None, p) => _ = e.one_of(&at.c("fieldPath"), p, supported),
    }
}

pub(super) fn resource_selector(r: &Value, volume: bool, at: &At<'_>, e: &mut Errs) {
    let res = r.s("resource");
    let huge = res.starts_with("requests.hugepages-") || res.starts_with("limits.hugepages-");
    if volume && r.s("containerName").is_empty() {
        e.required(&at.c("containerName"), "");
    } else if res.is_empty() {
        e.required(&at.c("resource"), "");
    } else if !huge {
        e.one_of(&at.c("resource"), res, RESOURCE_FIELDS);
    }
    let divisor = quantity(r.v("divisor"));
    if divisor.is_zero() {
        return;
    }
    const SIZES: &[&str] =
        &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
    let (ok, what) = match res.split_once('.') {
        Some(("limits" | "requests", "cpu")) => {
            let text = divisor.to_string();
            if text != "1m" && text != "1" {
                let why = "only divisor's values 1m and 1 are supported with the cpu resource";
                e.invalid(&at.c("divisor"), res, why);
            }
            return;
        }
        Some(("limits" | "requests", "memory")) => (SIZES, "memory"),
        Some(("limits" | "requests", "ephemeral-storage")) => (SIZES, "local ephemeral storage"),
        _ if huge => (SIZES, "hugepages"),
        _ => return,
    };
    if !ok.contains(&divisor.to_string().as_str()) {
        e.invalid(
            &at.c("divisor"),
            res,
            format!(
                "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {what} resource"
            ),
        );
    }
}

pub(super) fn projected(p: &Value, at: &At<'_>, opts: Opts, e: &mut Errs) {
    mode(p, "defaultMode", at, e);
    user(p, "defaultUser", at, e);
    let mut seen = HashSet::new();
    let sources = at.c("sources");
    for (i, s) in p.list("sources").iter().enumerate() {
        let src = sources.i(i);
        let mut count = 0;
        for kind in ["secret", "configMap"] {
            if let Some(v) = s.set(kind) {
                count += 1;
                let here = src.c(kind);
                e.non_empty(&here.c("name"), v.s("name"));
                let items = here.c("items");
                for (i, k) in v.list("items").iter().enumerate() {
                    key_to_path(k, &items.i(i), e);
                    if !k.s("path").is_empty() && !seen.insert(k.s("path")) {
                        e.invalid(at, v.s("name"), DUPLICATE);
                    }
                }
            }
        }
        if let Some(v) = s.set("downwardAPI") {
            count += 1;
            for f in v.list("items") {
                downward_file(f, &src.c("downwardAPI"), e);
                once(f.s("path"), &mut seen, at, e);
            }
        }
        if let Some(v) = s.set("serviceAccountToken") {
            count += 1;
            token(v, at, &src.c("serviceAccountToken"), opts, e);
        }
        if let Some(v) = s.set("clusterTrustBundle") {
            count += 1;
            trust_bundle(v, &src.c("clusterTrustBundle"), e);
            if !seen.insert(v.s("path")) {
                e.invalid(at, v.s("path"), DUPLICATE);
            }
        }
        if let Some(v) = s.set("podCertificate") {
            count += 1;
            let here = src.c("podCertificate");
            pod_certificate(v, &here, e);
            let mut paths = 0;
            for f in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
                if !v.s(f).is_empty() {
                    paths += 1;
                    local_path(v.s(f), &here.c(f), e);
                    once(v.s(f), &mut seen, at, e);
                }
            }
            if paths == 0 {
                e.required(
                    &here,
                    "specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
                );
            }
        }
        if count > 1 {
            e.forbidden(&src, "may not specify more than 1 volume type per source");
        }
    }
}

fn once<'a>(path: &'a str, seen: &mut HashSet<&'a str>, at: &At<'_>, e: &mut Errs) {
    if !path.is_empty() && !seen.insert(path) {
        e.invalid(at, path, DUPLICATE);
    }
}

/// `volume` is the whole volume's place: upstream reports the path there.
fn token(v: &Value, volume: &At<'_>, at: &At<'_>, opts: Opts, e: &mut Errs) {
    let exp_at = at.c("expirationSeconds");
    match v.oi("expirationSeconds") {
        None => e.required(&exp_at, ""),
        Some(n) if n < 600 => e.invalid(&exp_at, n, "may not specify a duration less than 10 minutes"),
        Some(n) if n > 1 << 32 => {
            e.invalid(&exp_at, n, "may not specify a duration larger than 2^32 seconds");
        }
        Some(_) => {}
    }
    if v.s("path").is_empty() {
        e.required(&volume.c("path"), "");
    } else if !opts.non_local_token_path {
        local_path(v.s("path"), &volume.c("path"), e);
    }
    user(v, "user", at, e);
}

fn trust_bundle(v: &Value, at: &At<'_>, e: &mut Errs) {
    match (v.os("name"), v.os("signerName")) {
        (Some(_), Some(_)) => e.invalid(at, v.clone(), "only one of name and signerName may be used"),
        (Some(name), None) => {
            if name.is_empty() {
                e.required(&at.c("name"), "must be a valid object name");
            }
            for m in signer::bundle_name_errors(&signer::of_bundle_name(name), name) {
                e.invalid(&at.c("name"), name, format!("not a valid clustertrustbundlename: {m}"));
            }
            if let Some(s) = v.set("labelSelector") {
                let why = "labelSelector must be unset if name is specified";
                e.invalid(&at.c("labelSelector"), s.clone(), why);
            }
        }
        (None, Some(signer)) => {
            if signer.is_empty() {
                e.required(&at.c("signerName"), "must be a valid signer name");
            }
            signer::validate(signer, &at.c("signerName"), e);
            e.label_selector(&at.c("labelSelector"), v.set("labelSelector"), false);
        }
        (None, None) => e.required(at, "either name or signerName must be specified"),
    }
    e.non_empty(&at.c("path"), v.s("path"));
    user(v, "user", at, e);
    local_path(v.s("path"), &at.c("path"), e);
}

fn pod_certificate(v: &Value, at: &At<'_>, e: &mut Errs) {
    signer::validate(v.s("signerName"), &at.c("signerName"), e);
    if let Some(a) = v.o("userAnnotations") {
        signer::user_annotations(a, &at.c("userAnnotations"), e);
    }
    user(v, "user", at, e);
    e.one_of(&at.c("keyType"), v.s("keyType"), signer::KEY_TYPES);
    if let Some(n) = v.oi("maxExpirationSeconds") {
        let at = at.c("maxExpirationSeconds");
        if n < 3600 {
            e.invalid(&at, n, "if provided, maxExpirationSeconds must be >= 3600");
        }
        let max = signer::max_expiration(v.s("signerName"));
        if n > max {
            e.invalid(&at, n, format!("if provided, maxExpirationSeconds must be <= {max}"));
        }
    }
}
