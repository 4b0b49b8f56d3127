//! The checks of the level restricted.

use super::checks::{
    Found, added, all, bad, found, in_user_namespace, join, named, plural, seccomp, setters,
};
use meta::Value;
use meta::object::ObjectExt;
use std::collections::BTreeSet;

fn windows(spec: &Value) -> bool {
    spec.str_at("os.name") == "windows"
}

pub(super) fn privilege_escalation_8(_: &Value, spec: &Value) -> Found {
    let bad = bad(spec, |c| {
        c.at("securityContext.allowPrivilegeEscalation").and_then(Value::as_bool) != Some(false)
    });
    if bad.is_empty() {
        return None;
    }
    found(
        "allowPrivilegeEscalation != false",
        format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&bad)),
    )
}

pub(super) fn privilege_escalation_25(o: &Value, spec: &Value) -> Found {
    if windows(spec) { None } else { privilege_escalation_8(o, spec) }
}

pub(super) fn capabilities_22(_: &Value, spec: &Value) -> Found {
    let keeps = bad(spec, |c| {
        !c.array_at("securityContext.capabilities.drop").iter().any(|d| d.as_str() == Some("ALL"))
    });
    let (adds, extra) = added(spec, |c| c != "NET_BIND_SERVICE");
    let mut details: Vec<String> = Vec::new();
    if !keeps.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keeps)));
    }
    if !adds.is_empty() {
        details.push(format!(
            "{} must not include {} in securityContext.capabilities.add",
            named(&adds),
            join(extra)
        ));
    }
    if details.is_empty() { None } else { found("unrestricted capabilities", details.join("; ")) }
}

pub(super) fn capabilities_25(o: &Value, spec: &Value) -> Found {
    if windows(spec) { None } else { capabilities_22(o, spec) }
}

pub(super) fn volumes(_: &Value, spec: &Value) -> Found {
    const ALLOWED: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    const KNOWN: &[&str] = &[
        "hostPath",
        "gcePersistentDisk",
        "awsElasticBlockStore",
        "gitRepo",
        "nfs",
        "iscsi",
        "glusterfs",
        "rbd",
        "flexVolume",
        "cinder",
        "cephfs",
        "flocker",
        "fc",
        "azureFile",
        "vsphereVolume",
        "quobyte",
        "azureDisk",
        "photonPersistentDisk",
        "portworxVolume",
        "scaleIO",
        "storageos",
    ];
    let has = |v: &Value, list: &[&'static str]| list.iter().copied().find(|f| v.get(f).is_some());
    let mut types: BTreeSet<&str> = BTreeSet::new();
    let mut names: Vec<&str> = Vec::new();
    for v in spec.array_at("volumes").iter().filter(|v| has(v, ALLOWED).is_none()) {
        names.push(v.str_at("name"));
        types.insert(has(v, KNOWN).unwrap_or("unknown"));
    }
    if names.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", names.len()),
        join(&names),
        plural("uses", "use", names.len()),
        plural("restricted volume type", "restricted volume types", types.len()),
        join(types)
    );
    found("restricted volume types", detail)
}

pub(super) fn run_as_non_root_0(_: &Value, spec: &Value) -> Found {
    const REASON: &str = "runAsNonRoot != true";
    let set = |o: &Value| o.at("securityContext.runAsNonRoot").and_then(Value::as_bool);
    let pod = set(spec);
    let explicit = bad(spec, |c| set(c) == Some(false));
    if pod == Some(false) || !explicit.is_empty() {
        let who = setters(pod == Some(false), &explicit);
        return found(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let implicit = bad(spec, |c| set(c).is_none() && pod != Some(true));
    if implicit.is_empty() {
        return None;
    }
    found(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", named(&implicit)))
}

pub(super) fn run_as_non_root_35(o: &Value, spec: &Value) -> Found {
    if in_user_namespace(spec) { None } else { run_as_non_root_0(o, spec) }
}

pub(super) fn run_as_user_23(_: &Value, spec: &Value) -> Found {
    let root = |o: &Value| o.i64_at("securityContext.runAsUser") == Some(0);
    let bad = bad(spec, root);
    if !root(spec) && bad.is_empty() {
        return None;
    }
    found("runAsUser=0", format!("{} must not set runAsUser=0", setters(root(spec), &bad)))
}

pub(super) fn run_as_user_35(o: &Value, spec: &Value) -> Found {
    if in_user_namespace(spec) { None } else { run_as_user_23(o, spec) }
}

pub(super) fn seccomp_19(o: &Value, spec: &Value) -> Found {
    if let Some(v) = super::checks::seccomp_19(o, spec) {
        return Some(v);
    }
    let (pod_is_bad, _, _) = seccomp(spec);
    let has = |o: &Value| o.at("securityContext.seccompProfile").is_some();
    if has(spec) && !pod_is_bad {
        return None;
    }
    let implicit: Vec<&str> = all(spec).filter(|c| !has(c)).map(|c| c.str_at("name")).collect();
    if implicit.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        named(&implicit)
    );
    found("seccompProfile", detail)
}

pub(super) fn seccomp_25(o: &Value, spec: &Value) -> Found {
    if windows(spec) { None } else { seccomp_19(o, spec) }
}
