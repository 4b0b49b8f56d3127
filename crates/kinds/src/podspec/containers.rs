//! Containers, init and ephemeral ones among them: names, ports, environment, mounts, restart rules.

use super::projected::{ENV_FIELDS, field_selector, resource_selector};
use super::volumes::{Volumes, descending_path, has_backsteps, no_backsteps};
use super::{Opts, PULL_POLICIES, probes, resources, security};
use crate::kit::*;
use std::collections::HashSet;

pub(crate) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// What a container's checks need to know of its pod.
pub(super) struct Pod<'a> {
    pub volumes: &'a Volumes<'a>,
    pub claims: &'a [&'a str],
    pub grace: Option<i64>,
    pub restart: &'a str,
    pub os: Option<&'a str>,
    pub host_users: bool,
    pub opts: Opts,
}

pub(super) fn containers(list: &[Value], pod: &Pod<'_>, at: &At<'_>, e: &mut Errs) {
    if list.is_empty() {
        return e.required(at, "");
    }
    let mut names = HashSet::new();
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        common(c, pod, &at, e);
        if !names.insert(c.s("name")) {
            e.duplicate(&at.c("name"), c.s("name"));
        }
        if let Some(l) = c.set("lifecycle") {
            probes::lifecycle(l, pod.grace, pod.os, &at.c("lifecycle"), e);
        }
        probes::all(c, pod.grace, &at, e);
        restart_rules(c, &at, e);
    }
    host_ports(list, at, e);
}

pub(super) fn init(list: &[Value], regular: &[Value], pod: &Pod<'_>, at: &At<'_>, e: &mut Errs) {
    let mut names: HashSet<&str> = regular.iter().map(|c| c.s("name")).collect();
    for (i, c) in list.iter().enumerate() {
        let at_list = at;
        let at = at.i(i);
        common(c, pod, &at, e);
        let sidecar = c.s("restartPolicy") == "Always";
        if c.has("restartPolicy") {
            restart_rules(c, &at, e);
        } else if !c.list("restartPolicyRules").is_empty() {
            e.required(&at.c("restartPolicy"), "must specify restartPolicy when restart rules are used");
        }
        let name = c.s("name");
        if names.contains(name) {
            e.duplicate(&at.c("name"), name);
        } else if !name.is_empty() {
            names.insert(name);
        }
        host_ports(std::slice::from_ref(c), at_list, e);
        if sidecar {
            if let Some(l) = c.set("lifecycle") {
                probes::lifecycle(l, pod.grace, pod.os, &at.c("lifecycle"), e);
            }
            probes::all(c, pod.grace, &at, e);
        } else {
            for f in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
                if c.has(f) {
                    e.forbidden(&at.c(f), "may not be set for init containers without restartPolicy=Always");
                }
            }
            if !pod.opts.restart_container_init {
                let policies = at.c("resizePolicy");
                for (j, p) in c.list("resizePolicy").iter().enumerate() {
                    if p.s("restartPolicy") == "RestartContainer" {
                        e.invalid(
                            &policies.i(j).c("restartPolicy"),
                            "RestartContainer",
                            "must not be set to 'RestartContainer' for non-sidecar initContainers",
                        );
                    }
                }
            }
        }
    }
}

/// Fields of an ephemeral container that stay unset.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

pub(super) fn ephemeral(spec: &Value, pod: &Pod<'_>, at: &At<'_>, e: &mut Errs) {
    const WHY: &str = "cannot be set for an Ephemeral Container";
    let list = spec.list("ephemeralContainers");
    if list.is_empty() {
        return;
    }
    let others: Vec<&str> =
        spec.list("containers").iter().chain(spec.list("initContainers")).map(|c| c.s("name")).collect();
    let mut names: HashSet<&str> = others.iter().copied().collect();
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        common(c, pod, &at, e);
        image_whitespace(c, &at, e);
        if !names.insert(c.s("name")) {
            e.duplicate(&at.c("name"), c.s("name"));
        }
        let target = c.s("targetContainerName");
        if !target.is_empty() && !others.contains(&target) {
            e.not_found(&at.c("targetContainerName"), target);
        }
        for f in NOT_EPHEMERAL {
            let pointer = *f == "lifecycle" || f.ends_with("Probe");
            if c.set(f).is_some_and(|v| pointer || !deep_same(v, &Value::Null)) {
                e.forbidden(&at.c(f), WHY);
            }
        }
        let mounts = at.c("volumeMounts");
        for (j, m) in c.list("volumeMounts").iter().enumerate() {
            for f in ["subPath", "subPathExpr"] {
                if !m.s(f).is_empty() {
                    e.forbidden(&mounts.i(j).c(f), WHY);
                }
            }
        }
    }
}

/// Pods, unlike templates, have images without blanks around them.
pub(super) fn image_whitespace(c: &Value, at: &At<'_>, e: &mut Errs) {
    let image = c.s("image");
    if image.trim() != image {
        e.invalid(&at.c("image"), image, "must not have leading or trailing whitespace");
    }
}

fn common(c: &Value, pod: &Pod<'_>, at: &At<'_>, e: &mut Errs) {
    e.required_name(&at.c("name"), c.s("name"), names::is_dns1123_label);
    e.non_empty(&at.c("image"), c.s("image"));
    e.required_one_of(
        &at.c("terminationMessagePolicy"),
        c.s("terminationMessagePolicy"),
        &["File", "FallbackToLogsOnError"],
    );
    ports(c.list("ports"), &at.c("ports"), e);
    env(c.list("env"), &at.c("env"), e);
    env_from(c.list("envFrom"), &at.c("envFrom"), e);
    mounts(c, pod.volumes, &at.c("volumeMounts"), e);
    devices(c, pod.volumes, &at.c("volumeDevices"), e);
    e.required_one_of(&at.c("imagePullPolicy"), c.s("imagePullPolicy"), PULL_POLICIES);
    resources::container(c.v("resources"), pod.claims, &at.c("resources"), pod.opts, e);
    resize_policy(c.list("resizePolicy"), pod.restart, &at.c("resizePolicy"), e);
    if let Some(s) = c.set("securityContext") {
        security::container(s, pod.host_users, pod.opts, &at.c("securityContext"), e);
    }
}

fn ports(list: &[Value], at: &At<'_>, e: &mut Errs) {
    let mut seen = HashSet::new();
    for (i, p) in list.iter().enumerate() {
        let at = at.i(i);
        let name = p.s("name");
        if !name.is_empty() {
            let bad = names::is_valid_port_name(name);
            if !bad.is_empty() {
                e.each_invalid(&at.c("name"), name, bad);
            } else if !seen.insert(name) {
                e.duplicate(&at.c("name"), name);
            }
        }
        match p.i("containerPort") {
            0 => e.required(&at.c("containerPort"), ""),
            n => e.port(&at.c("containerPort"), n),
        }
        if p.i("hostPort") != 0 {
            e.port(&at.c("hostPort"), p.i("hostPort"));
        }
        e.required_one_of(&at.c("protocol"), p.s("protocol"), PROTOCOLS);
    }
}

/// The same port, protocol and address of the host cannot be taken twice.
fn host_ports(list: &[Value], at: &At<'_>, e: &mut Errs) {
    let mut seen = HashSet::new();
    for (i, c) in list.iter().enumerate() {
        let ports = at.i(i);
        let ports = ports.c("ports");
        for (j, p) in c.list("ports").iter().enumerate() {
            let n = p.i("hostPort");
            if n == 0 {
                continue;
            }
            if !seen.insert((p.s("protocol"), p.s("hostIP"), n)) {
                e.duplicate(&ports.i(j).c("hostPort"), format!("{}/{}/{n}", p.s("protocol"), p.s("hostIP")));
            }
        }
    }
}

fn env(list: &[Value], at: &At<'_>, e: &mut Errs) {
    for (i, v) in list.iter().enumerate() {
        let at = at.i(i);
        e.required_name(&at.c("name"), v.s("name"), names::is_relaxed_env_var_name);
        if let Some(from) = v.set("valueFrom") {
            value_from(from, v.s("value"), &at.c("valueFrom"), e);
        }
    }
}

fn value_from(from: &Value, value: &str, at: &At<'_>, e: &mut Errs) {
    let mut count = 0;
    if let Some(r) = from.set("fieldRef") {
        count += 1;
        field_selector(r, ENV_FIELDS, &at.c("fieldRef"), e);
    }
    if let Some(r) = from.set("resourceFieldRef") {
        count += 1;
        resource_selector(r, false, &at.c("resourceFieldRef"), e);
    }
    for f in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(r) = from.set(f) {
            count += 1;
            let at = at.c(f);
            e.subdomain(&at.c("name"), r.s("name"));
            e.required_name(&at.c("key"), r.s("key"), names::is_config_map_key);
        }
    }
    if let Some(r) = from.set("fileKeyRef") {
        count += 1;
        let at = at.c("fileKeyRef");
        e.required_name(&at.c("key"), r.s("key"), names::is_relaxed_env_var_name);
        e.required_name(&at.c("volumeName"), r.s("volumeName"), names::is_dns1123_label);
        match r.s("path") {
            "" => e.required(&at.c("path"), ""),
            p => no_backsteps(p, &at.c("path"), e),
        }
    }
    if count == 0 {
        e.invalid(
            at,
            "",
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        );
    } else if !value.is_empty() {
        e.invalid(at, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        e.invalid(at, "", "may not have more than one field specified at a time");
    }
}

fn env_from(list: &[Value], at_list: &At<'_>, e: &mut Errs) {
    for (i, v) in list.iter().enumerate() {
        let at = at_list.i(i);
        if !v.s("prefix").is_empty() {
            e.name(&at.c("prefix"), v.s("prefix"), names::is_relaxed_env_var_name);
        }
        let mut count = 0;
        for f in ["configMapRef", "secretRef"] {
            if let Some(r) = v.set(f) {
                count += 1;
                let name = r.s("name");
                if name.is_empty() {
                    e.required(&at.c(f).c("name"), "");
                } else {
                    e.each_invalid(
                        &at.c(f).c("name"),
                        name,
                        names::is_dns1123_subdomain(&names::mask_trailing_dash(name)),
                    );
                }
            }
        }
        match count {
            0 => e.invalid(at_list, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => e.invalid(at_list, "", "may not have more than one field specified at a time"),
        }
    }
}

fn mounts(c: &Value, volumes: &Volumes<'_>, at_list: &At<'_>, e: &mut Errs) {
    let devices = c.list("volumeDevices");
    let privileged = c.v("securityContext").b("privileged");
    let mut seen = HashSet::new();
    for (i, m) in c.list("volumeMounts").iter().enumerate() {
        let at = at_list.i(i);
        let (name, path) = (m.s("name"), m.s("mountPath"));
        e.non_empty(&at.c("name"), name);
        if !volumes.contains_key(name) {
            e.not_found(&at.c("name"), name);
        }
        e.non_empty(&at.c("mountPath"), path);
        if !seen.insert(path) {
            e.invalid(&at.c("mountPath"), path, "must be unique");
        }
        if devices.iter().any(|d| d.s("name") == name) {
            e.invalid(&at.c("name"), name, "must not already exist in volumeDevices");
        }
        if last_by_name(devices, "devicePath").any(|p| p == path) {
            e.invalid(&at.c("mountPath"), path, "must not already exist as a path in volumeDevices");
        }
        let (sub, expr) = (m.s("subPath"), m.s("subPathExpr"));
        if !sub.is_empty() {
            descending_path(sub, &at_list.c("subPath"), e);
        }
        if !expr.is_empty() {
            if !sub.is_empty() {
                e.invalid(&at.c("subPathExpr"), expr, "subPathExpr and subPath are mutually exclusive");
            }
            descending_path(expr, &at_list.c("subPathExpr"), e);
        }
        if let Some(p) = m.os("mountPropagation") {
            let at = at_list.c("mountPropagation");
            e.one_of(&at, p, &["Bidirectional", "HostToContainer", "None"]);
            if p == "Bidirectional" && !privileged {
                e.forbidden(
                    &at,
                    "Bidirectional mount propagation is available only to privileged containers",
                );
            }
        }
        recursive_read_only(m, &at_list.c("recursiveReadOnly"), e);
        bind_options(m, volumes.get(name).copied(), &at.c("bindMountOptions"), e);
    }
}

/// The paths that are left when a list becomes a map by name: later entries win.
fn last_by_name<'a>(list: &'a [Value], path: &'a str) -> impl Iterator<Item = &'a str> {
    list.iter()
        .enumerate()
        .filter(|(i, d)| !list[i + 1..].iter().any(|x| x.s("name") == d.s("name")))
        .map(move |(_, d)| d.s(path))
}

fn recursive_read_only(m: &Value, at: &At<'_>, e: &mut Errs) {
    match m.os("recursiveReadOnly") {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !m.b("readOnly") {
                e.forbidden(at, "may only be specified when readOnly is true");
            }
            if m.os("mountPropagation").is_some_and(|p| p != "None") {
                e.forbidden(at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        Some(v) => e.unsupported(at, v, &["Disabled", "Enabled", "IfPossible"]),
    }
}

fn bind_options(m: &Value, volume: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let list = m.strs("bindMountOptions");
    for (i, o) in list.iter().enumerate() {
        e.one_of(&at.i(i), o, &["nodev", "noexec", "nosuid"]);
        if list[..i].contains(o) {
            e.duplicate(&at.i(i), *o);
        }
    }
    if !list.is_empty() && volume.is_some_and(|v| v.has("image")) {
        e.invalid(at, m.v("bindMountOptions").clone(), "bindMountOptions may not be used with image volumes");
    }
}

fn devices(c: &Value, volumes: &Volumes<'_>, at: &At<'_>, e: &mut Errs) {
    let mounts = c.list("volumeMounts");
    let (mut paths, mut seen) = (HashSet::new(), HashSet::new());
    for (i, d) in c.list("volumeDevices").iter().enumerate() {
        let at = at.i(i);
        let (name, path) = (d.s("name"), d.s("devicePath"));
        let (name_at, path_at) = (at.c("name"), at.c("devicePath"));
        e.non_empty(&name_at, name);
        if seen.contains(name) {
            e.invalid(&name_at, name, "must be unique");
        }
        match volumes.get(name) {
            Some(v) if v.has("persistentVolumeClaim") || v.has("ephemeral") => {}
            Some(_) => e.invalid(
                &name_at,
                name,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            ),
            None => e.not_found(&name_at, name),
        }
        e.non_empty(&path_at, path);
        if paths.contains(path) {
            e.invalid(&path_at, path, "must be unique");
        }
        if has_backsteps(path) {
            e.invalid(&path_at, path, "can not contain backsteps ('..')");
        } else {
            paths.insert(path);
        }
        if mounts.iter().any(|m| m.s("name") == name) {
            e.invalid(&name_at, name, "must not already exist in volumeMounts");
        }
        if last_by_name(mounts, "mountPath").any(|p| p == path) {
            e.invalid(&path_at, path, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            seen.insert(name);
        }
    }
}

fn resize_policy(list: &[Value], restart: &str, at: &At<'_>, e: &mut Errs) {
    let mut seen = HashSet::new();
    for (i, p) in list.iter().enumerate() {
        if !seen.insert(p.s("resourceName")) {
            e.duplicate(&at.i(i), p.s("resourceName"));
        }
        e.required_one_of(at, p.s("resourceName"), &["cpu", "memory"]);
        e.required_one_of(at, p.s("restartPolicy"), &["NotRequired", "RestartContainer"]);
        if restart == "Never" && p.s("restartPolicy") != "NotRequired" {
            e.invalid(at, p.s("restartPolicy"), "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// A container's own restart policy and its rules by exit code.
fn restart_rules(c: &Value, at: &At<'_>, e: &mut Errs) {
    let rules = c.list("restartPolicyRules");
    match c.os("restartPolicy") {
        None if rules.is_empty() => return,
        None => e.required(&at.c("restartPolicy"), "must specify restartPolicy when restart rules are used"),
        Some(p) => _ = e.one_of(&at.c("restartPolicy"), p, &["Always", "Never", "OnFailure"]),
    }
    let list = at.c("restartPolicyRules");
    if rules.len() > 20 {
        e.too_many(&list, rules.len(), 20);
    }
    for (i, r) in rules.iter().enumerate() {
        let at = list.i(i);
        e.one_of(&at.c("action"), r.s("action"), &["Restart", "RestartAllContainers"]);
        let codes = at.c("exitCodes");
        match r.set("exitCodes") {
            None => e.required(&codes, "must be specified"),
            Some(x) => {
                e.one_of(&codes.c("operator"), x.s("operator"), &["In", "NotIn"]);
                let n = x.list("values").len();
                if n > 255 {
                    e.too_many(&codes.c("values"), n, 255);
                }
            }
        }
    }
}
