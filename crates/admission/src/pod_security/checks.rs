//! The checks of the level baseline, one function each (pod-security-admission `policy/check_*.go`). A number in a name
//! is the minor version it begins with.

use super::policy::Violation;
use crate::pod::containers;
use meta::Value;
use meta::field::quote;
use meta::object::ObjectExt;
use std::collections::BTreeSet;

pub(super) type Found = Option<Violation>;

pub(super) fn found(reason: &'static str, detail: String) -> Found {
    Some(Violation { reason, detail })
}

/// `"a", "b"`, plainly put in quotes.
pub(super) fn join<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let all: Vec<String> = items.into_iter().map(|s| format!("\"{}\"", s.as_ref())).collect();
    all.join(", ")
}

pub(super) fn plural<'a>(one: &'a str, many: &'a str, n: usize) -> &'a str {
    if n == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`
pub(super) fn named(bad: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", bad.len()), join(bad))
}

pub(super) fn all(spec: &Value) -> impl Iterator<Item = &Value> {
    containers(spec).map(|(_, c)| c)
}

/// The names of containers for which `f` holds.
pub(super) fn bad<'a>(spec: &'a Value, mut f: impl FnMut(&'a Value) -> bool) -> Vec<&'a str> {
    all(spec).filter(|c| f(c)).map(|c| c.str_at("name")).collect()
}

/// Who sets something bad: the pod, containers; joined with "and".
pub(super) fn setters(pod: bool, bad: &[&str]) -> String {
    match (pod, bad.is_empty()) {
        (true, true) => "pod".into(),
        (false, _) => named(bad),
        (true, false) => format!("pod and {}", named(bad)),
    }
}

/// Pods in a user namespace of their own are not root on the node.
pub(super) fn in_user_namespace(spec: &Value) -> bool {
    spec.get("hostUsers").and_then(Value::as_bool) == Some(false)
}

pub(super) fn app_armor(object: &Value, spec: &Value) -> Found {
    const TYPE: &str = "securityContext.appArmorProfile.type";
    const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
    let mut values: BTreeSet<&str> = BTreeSet::new();
    let wrong = |o: &Value, t: &str| -> bool {
        o.at("securityContext.appArmorProfile").is_some() && !matches!(t, "RuntimeDefault" | "Localhost")
    };
    let pod = wrong(spec, spec.str_at(TYPE));
    if pod {
        values.insert(spec.str_at(TYPE));
    }
    let bad = bad(spec, |c| {
        let w = wrong(c, c.str_at(TYPE));
        if w {
            values.insert(c.str_at(TYPE));
        }
        w
    });
    let mut annotations: Vec<String> = object
        .at("metadata.annotations")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(k, _)| k.starts_with(ANNOTATION))
        .filter_map(|(k, v)| Some((k, v.as_str()?)))
        .filter(|(_, v)| !(v.is_empty() || *v == "runtime/default" || v.starts_with("localhost/")))
        .map(|(k, v)| format!("{k}={}", quote(v)))
        .collect();
    annotations.sort();
    let mut who: Vec<String> = Vec::new();
    if pod || !bad.is_empty() {
        who.push(setters(pod, &bad));
    }
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
    }
    if who.is_empty() {
        return None;
    }
    let values: Vec<String> = values.into_iter().map(str::to_owned).chain(annotations).collect();
    let reason = if values.len() == 1 { "forbidden AppArmor profile" } else { "forbidden AppArmor profiles" };
    found(reason, format!("{} must not set AppArmor profile type to {}", who.join(" and "), join(values)))
}

pub(super) fn capabilities(_: &Value, spec: &Value) -> Found {
    const ALLOWED: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let (bad, extra) = added(spec, |c| !ALLOWED.contains(&c));
    if bad.is_empty() {
        return None;
    }
    let detail =
        format!("{} must not include {} in securityContext.capabilities.add", named(&bad), join(extra));
    found("non-default capabilities", detail)
}

/// The containers that add capabilities for which `f` holds, and those capabilities.
pub(super) fn added(spec: &Value, f: impl Fn(&str) -> bool) -> (Vec<&str>, BTreeSet<&str>) {
    let mut extra = BTreeSet::new();
    let bad = bad(spec, |c| {
        let add = c.array_at("securityContext.capabilities.add").iter().filter_map(Value::as_str);
        let wrong: Vec<&str> = add.filter(|c| f(c)).collect();
        extra.extend(wrong.iter().copied());
        !wrong.is_empty()
    });
    (bad, extra)
}

pub(super) fn host_namespaces(_: &Value, spec: &Value) -> Found {
    let set: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .iter()
        .filter(|f| spec.bool_at(f))
        .map(|f| format!("{f}=true"))
        .collect();
    if set.is_empty() { None } else { found("host namespaces", set.join(", ")) }
}

pub(super) fn host_path_volumes(_: &Value, spec: &Value) -> Found {
    let volumes = spec.array_at("volumes").iter().filter(|v| v.get("hostPath").is_some());
    let names: Vec<&str> = volumes.map(|v| v.str_at("name")).collect();
    if names.is_empty() {
        return None;
    }
    found("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), join(names)))
}

pub(super) fn host_ports(_: &Value, spec: &Value) -> Found {
    let mut ports: BTreeSet<String> = BTreeSet::new();
    let bad = bad(spec, |c| {
        let host = c.array_at("ports").iter().filter_map(|p| p.i64_at("hostPort")).filter(|p| *p != 0);
        let mine: Vec<String> = host.map(|p| p.to_string()).collect();
        let any = !mine.is_empty();
        ports.extend(mine);
        any
    });
    if bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} {} {} {}",
        named(&bad),
        plural("uses", "use", bad.len()),
        plural("hostPort", "hostPorts", ports.len()),
        ports.into_iter().collect::<Vec<_>>().join(", ")
    );
    found("hostPort", detail)
}

pub(super) fn probe_hosts(_: &Value, spec: &Value) -> Found {
    const HANDLERS: &[&str] =
        &["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
    let mut hosts: BTreeSet<&str> = BTreeSet::new();
    let mut bad = bad(spec, |c| {
        let handlers = HANDLERS.iter().filter_map(|h| c.at(h));
        let mine: Vec<&str> = handlers
            .flat_map(|h| [h.str_at("httpGet.host"), h.str_at("tcpSocket.host")])
            .filter(|h| !h.is_empty())
            .collect();
        hosts.extend(mine.iter().copied());
        !mine.is_empty()
    });
    if bad.is_empty() {
        return None;
    }
    bad.sort_unstable();
    bad.dedup();
    let detail = format!(
        "{} {} {} {}",
        named(&bad),
        plural("uses", "use", bad.len()),
        plural("probe or lifecycle host", "probe or lifecycle hosts", hosts.len()),
        join(hosts)
    );
    found("probe or lifecycle host", detail)
}

pub(super) fn privileged(_: &Value, spec: &Value) -> Found {
    let bad = bad(spec, |c| c.bool_at("securityContext.privileged"));
    if bad.is_empty() {
        return None;
    }
    found("privileged", format!("{} must not set securityContext.privileged=true", named(&bad)))
}

pub(super) fn proc_mount(_: &Value, spec: &Value) -> Found {
    let mut kinds: BTreeSet<&str> = BTreeSet::new();
    let bad = bad(spec, |c| match c.at("securityContext.procMount").and_then(Value::as_str) {
        None | Some("Default") => false,
        Some(k) => {
            kinds.insert(k);
            true
        }
    });
    if bad.is_empty() {
        return None;
    }
    found("procMount", format!("{} must not set securityContext.procMount to {}", named(&bad), join(kinds)))
}

pub(super) fn proc_mount_35(o: &Value, spec: &Value) -> Found {
    if in_user_namespace(spec) { None } else { proc_mount(o, spec) }
}

pub(super) fn se_linux_0(_: &Value, spec: &Value) -> Found {
    se_linux(spec, &["", "container_t", "container_init_t", "container_kvm_t"])
}
pub(super) fn se_linux_31(_: &Value, spec: &Value) -> Found {
    se_linux(spec, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

fn se_linux(spec: &Value, allowed: &[&str]) -> Found {
    let mut types: BTreeSet<&str> = BTreeSet::new();
    let (mut user, mut role) = (false, false);
    let wrong = |t: &Value| -> (bool, bool, bool) {
        let o = t.at("securityContext.seLinuxOptions").unwrap_or(&Value::Null);
        (!allowed.contains(&o.str_at("type")), !o.str_at("user").is_empty(), !o.str_at("role").is_empty())
    };
    let mut pod = false;
    let mut bad: Vec<&str> = Vec::new();
    for (i, t) in std::iter::once(spec).chain(all(spec)).enumerate() {
        let (ty, u, r) = wrong(t);
        if ty {
            types.insert(t.str_at("securityContext.seLinuxOptions.type"));
        }
        user |= u;
        role |= r;
        match (ty || u || r, i) {
            (false, _) => {}
            (true, 0) => pod = true,
            (true, _) => bad.push(t.str_at("name")),
        }
    }
    if !pod && bad.is_empty() {
        return None;
    }
    let mut data: Vec<String> = Vec::new();
    if !types.is_empty() {
        data.push(format!("{} {}", plural("type", "types", types.len()), join(types)));
    }
    if user {
        data.push("user may not be set".into());
    }
    if role {
        data.push("role may not be set".into());
    }
    let detail =
        format!("{} set forbidden securityContext.seLinuxOptions: {}", setters(pod, &bad), data.join("; "));
    found("seLinuxOptions", detail)
}

pub(super) fn seccomp_0(object: &Value, spec: &Value) -> Found {
    const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
    const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
    let own = all(spec).map(|c| format!("{CONTAINER}{}", c.str_at("name")));
    let forbidden: BTreeSet<String> = std::iter::once(POD.to_owned())
        .chain(own)
        .filter_map(|k| object.annotation(&k).map(|v| (k.clone(), v)))
        .filter(|(_, v)| !(*v == "runtime/default" || *v == "docker/default" || v.starts_with("localhost/")))
        .map(|(k, v)| format!("{k}={}", quote(v)))
        .collect();
    if forbidden.is_empty() {
        return None;
    }
    let what = plural("annotation", "annotations", forbidden.len());
    found(
        "seccompProfile",
        format!("forbidden {what} {}", forbidden.into_iter().collect::<Vec<_>>().join(", ")),
    )
}

/// Who sets a bad seccomp profile: whether the pod, which containers, and to what.
pub(super) fn seccomp(spec: &Value) -> (bool, Vec<&str>, BTreeSet<&str>) {
    const TYPE: &str = "securityContext.seccompProfile.type";
    let mut values = BTreeSet::new();
    let wrong = |o: &Value| {
        o.at("securityContext.seccompProfile").is_some()
            && !matches!(o.str_at(TYPE), "RuntimeDefault" | "Localhost")
    };
    let pod = wrong(spec);
    if pod {
        values.insert(spec.str_at(TYPE));
    }
    let bad = bad(spec, |c| {
        let w = wrong(c);
        if w {
            values.insert(c.str_at(TYPE));
        }
        w
    });
    (pod, bad, values)
}

pub(super) fn seccomp_19(_: &Value, spec: &Value) -> Found {
    let (pod, bad, values) = seccomp(spec);
    if !pod && bad.is_empty() {
        return None;
    }
    let detail = format!(
        "{} must not set securityContext.seccompProfile.type to {}",
        setters(pod, &bad),
        join(values)
    );
    found("seccompProfile", detail)
}

const SYSCTLS: &[(u32, &str)] = &[
    (0, "kernel.shm_rmid_forced"),
    (0, "net.ipv4.ip_local_port_range"),
    (0, "net.ipv4.tcp_syncookies"),
    (0, "net.ipv4.ping_group_range"),
    (0, "net.ipv4.ip_unprivileged_port_start"),
    (27, "net.ipv4.ip_local_reserved_ports"),
    (29, "net.ipv4.tcp_keepalive_time"),
    (29, "net.ipv4.tcp_fin_timeout"),
    (29, "net.ipv4.tcp_keepalive_intvl"),
    (29, "net.ipv4.tcp_keepalive_probes"),
    (32, "net.ipv4.tcp_rmem"),
    (32, "net.ipv4.tcp_wmem"),
    (37, "net.ipv4.tcp_slow_start_after_idle"),
    (37, "net.ipv4.tcp_notsent_lowat"),
];

fn sysctls(spec: &Value, minor: u32) -> Found {
    let allowed = |name: &str| SYSCTLS.iter().any(|(since, n)| *since <= minor && *n == name);
    let set = spec.array_at("securityContext.sysctls").iter().map(|s| s.str_at("name"));
    let bad: Vec<&str> = set.filter(|n| !allowed(n)).collect();
    if bad.is_empty() { None } else { found("forbidden sysctls", bad.join(", ")) }
}
pub(super) fn sysctls_0(_: &Value, spec: &Value) -> Found {
    sysctls(spec, 0)
}
pub(super) fn sysctls_27(_: &Value, spec: &Value) -> Found {
    sysctls(spec, 27)
}
pub(super) fn sysctls_29(_: &Value, spec: &Value) -> Found {
    sysctls(spec, 29)
}
pub(super) fn sysctls_32(_: &Value, spec: &Value) -> Found {
    sysctls(spec, 32)
}
pub(super) fn sysctls_37(_: &Value, spec: &Value) -> Found {
    sysctls(spec, 37)
}

pub(super) fn host_process(_: &Value, spec: &Value) -> Found {
    const FIELD: &str = "securityContext.windowsOptions.hostProcess";
    let pod = spec.bool_at(FIELD);
    let bad = bad(spec, |c| c.bool_at(FIELD));
    if !pod && bad.is_empty() {
        return None;
    }
    found("hostProcess", format!("{} must not set {FIELD}=true", setters(pod, &bad)))
}
