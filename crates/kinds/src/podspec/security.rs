//! Security contexts of pods and containers, seccomp and AppArmor in fields and old annotations, sysctls, Windows options.

use super::Opts;
use super::volumes::descending_path;
use crate::kit::*;
use std::collections::HashSet;

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

pub(super) fn container(s: &Value, host_users: bool, opts: Opts, at: &At<'_>, e: &mut Errs) {
    e.unix_id(&at.c("runAsUser"), s.oi("runAsUser"));
    e.unix_id(&at.c("runAsGroup"), s.oi("runAsGroup"));
    if let Some(p) = s.os("procMount") {
        e.one_of(&at.c("procMount"), p, &["Default", "Unmasked"]);
        if host_users && p == "Unmasked" {
            e.invalid(&at.c("procMount"), p, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(s.set("seccompProfile"), &at.c("seccompProfile"), e);
    if s.ob("allowPrivilegeEscalation") == Some(false) {
        if s.b("privileged") {
            e.invalid(
                at,
                s.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
            );
        }
        let admin = s.v("capabilities").strs("add").contains(&"CAP_SYS_ADMIN");
        if admin && !opts.sys_admin_without_escalation {
            e.invalid(
                at,
                s.clone(),
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
            );
        }
    }
    if let Some(w) = s.set("windowsOptions") {
        windows_options(w, &at.c("windowsOptions"), e);
    }
    apparmor(s.set("appArmorProfile"), &at.c("appArmorProfile"), e);
}

pub(super) fn pod(s: &Value, spec: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    e.unix_id(&at.c("fsGroup"), s.oi("fsGroup"));
    e.unix_id(&at.c("runAsUser"), s.oi("runAsUser"));
    e.unix_id(&at.c("runAsGroup"), s.oi("runAsGroup"));
    let groups = at.c("supplementalGroups");
    for (i, g) in s.list("supplementalGroups").iter().enumerate() {
        e.unix_id(&groups.i(i), g.as_i64());
    }
    sysctls(s.list("sysctls"), spec, opts, &at.c("sysctls"), e);
    if let Some(p) = s.os("fsGroupChangePolicy") {
        e.one_of(&at.c("fsGroupChangePolicy"), p, &["Always", "OnRootMismatch"]);
    }
    seccomp(s.set("seccompProfile"), &at.c("seccompProfile"), e);
    if let Some(w) = s.set("windowsOptions") {
        windows_options(w, &at.c("windowsOptions"), e);
    }
    apparmor(s.set("appArmorProfile"), &at.c("appArmorProfile"), e);
    if let Some(p) = s.os("supplementalGroupsPolicy") {
        e.one_of(&at.c("supplementalGroupsPolicy"), p, &["Merge", "Strict"]);
    }
    if let Some(p) = s.os("seLinuxChangePolicy") {
        e.one_of(&at.c("seLinuxChangePolicy"), p, &["MountOption", "Recursive"]);
    }
}

const PROFILE_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];

fn seccomp(p: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let Some(p) = p else { return };
    match p.s("type") {
        "" => e.required(&at.c("type"), "type is required when seccompProfile is set"),
        t => _ = e.one_of(&at.c("type"), t, PROFILE_TYPES),
    }
    let at_profile = at.c("localhostProfile");
    match (p.s("type") == "Localhost", p.os("localhostProfile")) {
        (true, None) => e.required(&at_profile, "must be set when seccomp type is Localhost"),
        (true, Some(path)) => descending_path(path, &at_profile, e),
        (false, Some(_)) => {
            e.invalid(&at_profile, p.clone(), "can only be set when seccomp type is Localhost");
        }
        (false, None) => {}
    }
}

fn apparmor(p: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let Some(p) = p else { return };
    let at_profile = at.c("localhostProfile");
    match p.s("type") {
        "Localhost" => match p.os("localhostProfile") {
            None => e.required(&at_profile, "must be set when AppArmor type is Localhost"),
            Some(s) => {
                if s.trim() != s {
                    e.invalid(&at_profile, s, "must not be padded with whitespace");
                } else if s.is_empty() {
                    e.required(&at_profile, "must be set when AppArmor type is Localhost");
                }
                if s.len() > 4095 {
                    e.too_long(&at_profile, 4095);
                }
            }
        },
        "RuntimeDefault" | "Unconfined" => {
            if let Some(s) = p.os("localhostProfile") {
                e.invalid(&at_profile, s, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => e.required(&at.c("type"), "type is required when appArmorProfile is set"),
        t => e.unsupported(&at.c("type"), t, PROFILE_TYPES),
    }
}

/// The field that an old AppArmor annotation stands for.
pub(crate) fn apparmor_field(annotation: &str) -> Option<Value> {
    match annotation {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        a => {
            let p = a.strip_prefix("localhost/").filter(|p| !p.is_empty())?;
            let field = json!({"type": "Localhost", "localhostProfile": p});
            let mut e = Errs::default();
            apparmor(Some(&field), &At::new(""), &mut e);
            e.is_empty().then_some(field)
        }
    }
}

/// Annotations of a pod (or template) that say what its fields say today.
pub(super) fn annotations(a: Option<&Obj>, spec: &Value, at: &At<'_>, e: &mut Errs) {
    for (k, v) in keys(a) {
        let v = v.as_str().unwrap_or("");
        if k == SECCOMP_POD || k.starts_with(SECCOMP_CONTAINER) {
            let at = at.c(k);
            match v {
                "runtime/default" | "docker/default" | "unconfined" => {}
                v => match v.strip_prefix("localhost/") {
                    Some(p) => descending_path(p, &at, e),
                    None => e.invalid(&at, v, "must be a valid seccomp profile"),
                },
            }
        }
        if let Some(name) = k.strip_prefix(APPARMOR) {
            let at = at.k(k);
            if !containers(spec).any(|c| c.s("name") == name) {
                e.invalid(&at, name, "container not found");
            }
            if !matches!(v, "" | "runtime/default" | "unconfined") && !v.starts_with("localhost/") {
                e.invalid(&at, v, format!("invalid AppArmor profile name: {}", meta::field::quote(v)));
            }
        }
    }
}

/// On create, annotation and field must not disagree.
pub(crate) fn annotations_match(a: Option<&Obj>, spec: &Value, at: &At<'_>, e: &mut Errs) {
    let Some(a) = a.filter(|a| !a.is_empty()) else { return };
    if let (Some(p), Some(v)) = (spec.v("securityContext").set("seccompProfile"), a.os(SECCOMP_POD)) {
        profile_matches(p, v, "seccomp", &at.c("securityContext.seccompProfile"), e);
    }
    each_container(spec, at, &mut |c, at| {
        let key = format!("{SECCOMP_CONTAINER}{}", c.s("name"));
        if let (Some(p), Some(v)) = (c.v("securityContext").set("seccompProfile"), a.os(&key)) {
            profile_matches(p, v, "seccomp", &at.c("securityContext.seccompProfile"), e);
        }
    });
    if spec.v("os").s("name") == "windows" {
        return;
    }
    let of_pod = spec.v("securityContext").set("appArmorProfile");
    each_container(spec, at, &mut |c, at| {
        let key = format!("{APPARMOR}{}", c.s("name"));
        let p = c.v("securityContext").set("appArmorProfile").or(of_pod);
        if let (Some(p), Some(v)) = (p, a.os(&key)) {
            profile_matches(p, v, "apparmor", &at.c("securityContext.appArmorProfile"), e);
        }
    });
}

fn profile_matches(p: &Value, annotation: &str, what: &str, at: &At<'_>, e: &mut Errs) {
    let ok = match p.s("type") {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => match annotation.strip_prefix("localhost/") {
            None => false,
            Some(l) if p.os("localhostProfile") == Some(l) => true,
            Some(_) => {
                let why = format!("{what} profile in annotation and field must match");
                e.forbidden(&at.c("localhostProfile"), why);
                true
            }
        },
        _ => true,
    };
    if !ok {
        e.forbidden(&at.c("type"), format!("{what} type in annotation and field must match"));
    }
}

const SYSCTL: &str = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?";

fn sysctl_ok(name: &str) -> bool {
    name.len() <= 253
        && name.split(['.', '/']).all(|s| {
            let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            edge(s.as_bytes().first())
                && edge(s.as_bytes().last())
                && s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
        })
}

fn sysctls(list: &[Value], spec: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    let mut seen = HashSet::new();
    for (i, s) in list.iter().enumerate() {
        let at = at.i(i);
        let at = at.c("name");
        let name = s.s("name");
        if name.is_empty() {
            e.required(&at, "");
        } else if !sysctl_ok(name) {
            e.invalid(&at, name, format!("must have at most 253 characters and match regex ^{SYSCTL}$"));
        } else if seen.contains(name) {
            e.duplicate(&at, name);
        }
        if !opts.host_sysctls
            && let Some(why) = host_sysctl(name, spec)
        {
            e.invalid(&at, name, why);
        }
        seen.insert(name);
    }
}

/// A sysctl of a namespace that the pod shares with its host.
pub(super) fn host_sysctl(name: &str, spec: &Value) -> Option<&'static str> {
    let name: String = match name.find(['.', '/']) {
        Some(i) if name.as_bytes()[i] == b'/' => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect(),
        _ => name.to_owned(),
    };
    let name = name.split('*').next().unwrap_or("");
    let ipc = matches!(
        name,
        "kernel.sem"
            | "kernel.shmall"
            | "kernel.shmmax"
            | "kernel.shmmni"
            | "kernel.shm_rmid_forced"
            | "kernel.shm"
            | "kernel.msgmax"
            | "kernel.msgmnb"
            | "kernel.msgmni"
            | "kernel.msg"
    ) || name.starts_with("fs.mqueue.");
    if spec.b("hostNetwork") && name.starts_with("net.") {
        Some("may not be specified when 'hostNetwork' is true")
    } else if spec.b("hostIPC") && ipc {
        Some("may not be specified when 'hostIPC' is true")
    } else {
        None
    }
}

fn windows_options(w: &Value, at: &At<'_>, e: &mut Errs) {
    if let Some(n) = w.os("gmsaCredentialSpecName") {
        e.subdomain(&at.c("gmsaCredentialSpecName"), n);
    }
    if let Some(s) = w.os("gmsaCredentialSpec") {
        let at = at.c("gmsaCredentialSpec");
        if s.is_empty() {
            e.invalid(&at, s, "gmsaCredentialSpec cannot be an empty string");
        } else if s.len() > 64 * 1024 {
            e.invalid(&at, s, "gmsaCredentialSpec size must be under 64 KiB");
        }
    }
    if let Some(s) = w.os("runAsUserName") {
        for why in windows_user(s) {
            e.invalid(&at.c("runAsUserName"), s, format!("runAsUserName{why}"));
        }
    }
}

fn windows_user(s: &str) -> Vec<&'static str> {
    if s.is_empty() {
        return vec![" cannot be an empty string"];
    }
    if s.chars().any(|c| c.is_ascii_control()) {
        return vec![" cannot contain control characters"];
    }
    let parts: Vec<&str> = s.split('\\').collect();
    let (domain, user) = match parts[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec![" cannot contain more than one backslash"],
    };
    let mut out = Vec::new();
    if let Some(d) = domain {
        if d.len() >= 256 {
            out.push("'s Domain length must be under 256 characters");
        }
        let net_bios = (1..=15).contains(&d.chars().count())
            && !d.starts_with('.')
            && !d.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|']);
        let dns = d.split('.').all(|l| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        if !net_bios && !dns {
            out.push("'s Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        out.push("'s User cannot be empty");
    } else if user.len() > 104 {
        out.push("'s User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        out.push("'s User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        out.push("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
    out
}

/// If one container is a Windows HostProcess container, all are.
pub(super) fn host_process(spec: &Value, at: &At<'_>, e: &mut Errs) {
    let of_pod = spec.v("securityContext").v("windowsOptions").ob("hostProcess");
    let (mut all, mut host) = (0, 0);
    each_container(spec, at, &mut |c, at| {
        all += 1;
        let own = c.v("securityContext").v("windowsOptions").ob("hostProcess");
        if let (Some(p), Some(c)) = (of_pod, own)
            && p != c
        {
            e.invalid(
                &at.c("securityContext.windowsOptions.hostProcess"),
                c,
                format!("pod hostProcess value must be identical if both are specified, was {p}"),
            );
        }
        host += usize::from(own.or(of_pod) == Some(true));
    });
    if host == 0 {
        return;
    }
    if host != all {
        e.invalid(
            at,
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        );
    }
    if !spec.b("hostNetwork") {
        e.invalid(
            &at.c("hostNetwork"),
            false,
            "hostNetwork must be true if pod contains any hostProcess containers",
        );
    }
}

/// Fields that make no sense on the operating system a pod names.
pub(super) fn os(spec: &Value, at: &At<'_>, e: &mut Errs) {
    let Some(os) = spec.set("os") else { return };
    match os.s("name") {
        "" => e.required(&at.c("os.name"), ""),
        "linux" => {
            const WHY: &str = "windows options cannot be set for a linux pod";
            if spec.v("securityContext").has("windowsOptions") {
                e.forbidden(&at.c("securityContext.windowsOptions"), WHY);
            }
            each_container(spec, at, &mut |c, at| {
                if c.v("securityContext").has("windowsOptions") {
                    e.forbidden(&at.c("securityContext.windowsOptions"), WHY);
                }
            });
        }
        "windows" => windows(spec, at, e),
        n => e.unsupported(&at.c("os"), n, &["linux", "windows"]),
    }
}

fn windows(spec: &Value, at: &At<'_>, e: &mut Errs) {
    const WHY: &str = "cannot be set for a windows pod";
    const POD: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "seLinuxChangePolicy",
    ];
    const CONTAINER: &[&str] = &[
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let s = at.c("securityContext");
    for f in POD {
        if spec.v("securityContext").has(f) {
            e.forbidden(&s.c(f), WHY);
        }
    }
    for f in ["hostUsers", "shareProcessNamespace"] {
        if spec.has(f) {
            e.forbidden(&at.c(f), WHY);
        }
    }
    for f in ["hostPID", "hostIPC"] {
        if spec.b(f) {
            e.forbidden(&at.c(f), WHY);
        }
    }
    each_container(spec, at, &mut |c, at| {
        let s = at.c("securityContext");
        for f in CONTAINER {
            if c.v("securityContext").has(f) {
                e.forbidden(&s.c(f), WHY);
            }
        }
    });
}
