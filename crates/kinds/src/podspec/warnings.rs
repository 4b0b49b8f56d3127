//! Warnings about pods and pod templates: what is valid and most likely not meant (K/pkg/api/pod/warnings.go).

use super::security;
use crate::ip;
use crate::kit::*;
use meta::field::quote;

/// Where a pod's fields are when it stands alone.
pub(crate) const POD: At<'static> = At::new("");

const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Volume sources that do nothing any more.
const OLD_VOLUMES: &[(&str, &str, &str)] = &[
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// What is to be used instead of an old node label.
pub(crate) fn node_label(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
        "beta.kubernetes.io/os" => r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
        "failure-domain.beta.kubernetes.io/region" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        }
        "beta.kubernetes.io/instance-type" => {
            r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#
        }
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => {
            "deprecated since v1.22; use Taints and Tolerations instead"
        }
        "node-role.kubernetes.io/master" => r#"use "node-role.kubernetes.io/control-plane" instead"#,
        _ => return None,
    })
}

/// Warnings for a node selector term.
pub(crate) fn node_term(t: &Value, check_values: bool, at: &At<'_>, out: &mut Vec<String>) {
    let exprs = at.c("matchExpressions");
    for (i, x) in t.list("matchExpressions").iter().enumerate() {
        let at = exprs.i(i);
        if let Some(m) = node_label(x.s("key")) {
            out.push(format!("{}: {} is {m}", at.c("key"), x.s("key")));
        }
        if check_values {
            let values = at.c("values");
            for (j, v) in x.strs("values").iter().enumerate() {
                for m in names::is_label_value(v) {
                    out.push(format!("{}: {v} is invalid, {m}", values.i(j)));
                }
            }
        }
    }
}

/// `at` is where `metadata` and `spec` are: the root for a pod, `spec.template` and so on for a template.
pub(crate) fn warnings(t: &Value, at: &At<'_>, is_template: bool) -> Vec<String> {
    let mut out = Vec::new();
    let (spec, annotations) = (t.v("spec"), t.v("metadata").v("annotations"));
    let (s, a) = (at.c("spec"), at.c("metadata.annotations"));
    placement(spec, &s, &mut out);
    for (k, m) in [
        (
            "scheduler.alpha.kubernetes.io/critical-pod",
            r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
        ),
        (
            "security.alpha.kubernetes.io/sysctls",
            r#"non-functional in v1.11+; use the "sysctls" field instead"#,
        ),
        (
            "security.alpha.kubernetes.io/unsafe-sysctls",
            r#"non-functional in v1.11+; use the "sysctls" field instead"#,
        ),
    ] {
        if annotations.has(k) {
            out.push(format!("{}: {m}", a.k(k)));
        }
    }
    volumes(spec.list("volumes"), &s.c("volumes"), &mut out);
    overlapping_paths(spec.list("volumes"), &mut out);
    duplicates(spec, &s, &mut out);
    for r in ["memory", "ephemeral-storage"] {
        fractional(spec.v("overhead"), r, &s.c("overhead"), &mut out);
    }
    if !spec.v("securityContext").has("seccompProfile") && annotations.has(SECCOMP_POD) {
        out.push(format!(
            r#"{}: non-functional in v1.27+; use the "seccompProfile" field instead"#,
            a.k(SECCOMP_POD)
        ));
    }
    each_container(spec, &s, &mut |c, at| {
        profiles(c, spec, annotations, &a, is_template, &mut out);
        for r in ["memory", "ephemeral-storage"] {
            for list in ["limits", "requests"] {
                fractional(c.v("resources").v(list), r, &at.c("resources").c(list), &mut out);
            }
        }
        environment(c.list("env"), &at.c("env"), &mut out);
    });
    ports(spec, &s, &mut out);
    if spec.i("terminationGracePeriodSeconds") < 0 {
        out.push(format!(
            "{}: must be >= 0; negative values are invalid and will be treated as 1",
            s.c("terminationGracePeriodSeconds")
        ));
    }
    null_selectors(spec, &s, &mut out);
    let servers = s.c("dnsConfig.nameservers");
    for (i, ns) in spec.v("dnsConfig").strs("nameservers").iter().enumerate() {
        out.extend(ip::ip_warnings(&servers.i(i), ns));
    }
    let aliases = s.c("hostAliases");
    for (i, h) in spec.list("hostAliases").iter().enumerate() {
        out.extend(ip::ip_warnings(&aliases.i(i).c("ip"), h.s("ip")));
    }
    out
}

fn placement(spec: &Value, s: &At<'_>, out: &mut Vec<String>) {
    for (k, _) in keys(spec.o("nodeSelector")) {
        if let Some(m) = node_label(k) {
            out.push(format!("{}: {m}", s.c("nodeSelector").k(k)));
        }
    }
    let n = spec.v("affinity").v("nodeAffinity");
    let required =
        s.c("affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    for (i, t) in
        n.v("requiredDuringSchedulingIgnoredDuringExecution").list("nodeSelectorTerms").iter().enumerate()
    {
        node_term(t, false, &required.i(i), out);
    }
    let preferred = s.c("affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution");
    for (i, t) in n.list("preferredDuringSchedulingIgnoredDuringExecution").iter().enumerate() {
        node_term(t.v("preference"), true, &preferred.i(i).c("preference"), out);
    }
    let spread = s.c("topologySpreadConstraints");
    for (i, c) in spec.list("topologySpreadConstraints").iter().enumerate() {
        let at = spread.i(i);
        if let Some(m) = node_label(c.s("topologyKey")) {
            out.push(format!("{}: {} is {m}", at.c("topologyKey"), c.s("topologyKey")));
        }
        if !c.has("labelSelector") {
            out.push(format!("{}: a null labelSelector results in matching no pod", at.c("labelSelector")));
        }
    }
}

fn volumes(list: &[Value], at: &At<'_>, out: &mut Vec<String>) {
    for (i, v) in list.iter().enumerate() {
        let at = at.i(i);
        for (f, path, m) in OLD_VOLUMES {
            if *f == "cephfs"
                && let Some(t) = v.v("ephemeral").set("volumeClaimTemplate")
            {
                let at = at.c("ephemeral.volumeClaimTemplate.spec");
                claim_fractions(t.v("spec"), &at, out);
            }
            if v.has(f) {
                out.push(format!("{}: {m}", at.c(path)));
            }
        }
    }
}

/// Bytes cannot be split.
pub(crate) fn claim_fractions(spec: &Value, at: &At<'_>, out: &mut Vec<String>) {
    for list in ["requests", "limits"] {
        fractional(spec.v("resources").v(list), "storage", &at.c("resources").c(list), out);
    }
}

fn fractional(list: &Value, resource: &str, at: &At<'_>, out: &mut Vec<String>) {
    if let Some(q) = list.set(resource).map(quantity).filter(|q| q.milli_value() % 1000 != 0) {
        out.push(format!(
            "{}: fractional byte value {} is invalid, must be an integer",
            at.k(resource),
            quote(&q.to_string())
        ));
    }
}

fn duplicates(spec: &Value, s: &At<'_>, out: &mut Vec<String>) {
    for (list, field) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let at = s.c(list);
        let all = spec.list(list);
        for (i, x) in all.iter().enumerate() {
            if all[..i].iter().any(|y| y.s(field) == x.s(field)) {
                out.push(format!("{}: duplicate {field} {}", at.i(i).c(field), quote(x.s(field))));
            }
        }
    }
    let at = s.c("imagePullSecrets");
    for (i, x) in spec.list("imagePullSecrets").iter().enumerate() {
        if x.s("name").is_empty() {
            out.push(format!("{}: invalid empty name \"\"", at.i(i).c("name")));
        }
    }
}

fn profiles(c: &Value, spec: &Value, annotations: &Value, a: &At<'_>, template: bool, out: &mut Vec<String>) {
    let sc = c.v("securityContext");
    let key = format!("{SECCOMP_CONTAINER}{}", c.s("name"));
    if !sc.has("seccompProfile") && annotations.has(&key) {
        out.push(format!(
            r#"{}: non-functional in v1.27+; use the "seccompProfile" field instead"#,
            a.k(&key)
        ));
    }
    let key = format!("{APPARMOR}{}", c.s("name"));
    let Some(v) = annotations.os(&key).filter(|_| template && !sc.has("appArmorProfile")) else { return };
    let of_pod = spec.v("securityContext").set("appArmorProfile");
    if of_pod.is_none() || of_pod != security::apparmor_field(v).as_ref() {
        out.push(format!(
            r#"{}: deprecated since v1.30; use the "appArmorProfile" field instead"#,
            a.k(&key)
        ));
    }
}

/// Old AppArmor annotations of a pod being created. They have become fields by now, where they could.
pub(crate) fn apparmor_annotations(o: &Value) -> Vec<String> {
    let annotations = o.v("metadata").v("annotations");
    if o.v("spec").v("os").s("name") == "windows" {
        return Vec::new();
    }
    let deprecated = |c: &Value| {
        let key = format!("{APPARMOR}{}", c.s("name"));
        let meant = security::apparmor_field(annotations.os(&key)?);
        let has = c.v("securityContext").set("appArmorProfile");
        (has == meant.as_ref()).then(|| {
            let at = At::new("metadata.annotations");
            format!(r#"{}: deprecated since v1.30; use the "appArmorProfile" field instead"#, at.k(&key))
        })
    };
    containers(o.v("spec")).filter_map(deprecated).collect()
}

fn environment(env: &[Value], at: &At<'_>, out: &mut Vec<String>) {
    for (i, v) in env.iter().enumerate() {
        let name = v.s("name");
        if !env[..i].iter().any(|x| x.s("name") == name) {
            continue;
        }
        let reference = format!("$({name})");
        let extends = !v.has("valueFrom") && v.s("value") != reference && v.s("value").contains(&reference);
        if !extends {
            out.push(format!(
                "{}: hides previous definition of {}, which may be dropped when using apply",
                at.i(i),
                quote(name)
            ));
        }
    }
}

struct Port {
    place: String,
    key: (i64, String),
    host: i64,
    ip: String,
    name: String,
}

fn ports(spec: &Value, s: &At<'_>, out: &mut Vec<String>) {
    let mut all: Vec<Port> = Vec::new();
    each_container(spec, s, &mut |c, at| {
        let at = at.c("ports");
        for (i, p) in c.list("ports").iter().enumerate() {
            let new = Port {
                place: at.i(i).to_string(),
                key: (p.i("containerPort"), p.s("protocol").to_owned()),
                host: p.i("hostPort"),
                ip: p.s("hostIP").to_owned(),
                name: p.s("name").to_owned(),
            };
            if !new.ip.is_empty() && new.host == 0 {
                out.push(format!(
                    "{}: hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                    new.place, new.name, new.key.0, new.key.1, new.ip
                ));
            }
            for old in all.iter().filter(|o| o.key == new.key) {
                let what = if old.ip == new.ip && old.host == new.host {
                    "duplicate"
                } else if old.host == 0 || new.host == 0 {
                    "overlapping"
                } else if old.host == new.host && (old.ip.is_empty() != new.ip.is_empty()) {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                out.push(format!("{}: {what} port definition with {}", new.place, old.place));
            }
            all.push(new);
        }
    });
    for (i, p) in all.iter().enumerate().filter(|(_, p)| !p.name.is_empty()) {
        if let Some(first) = all[..i].iter().find(|o| o.name == p.name) {
            out.push(format!(
                "{}: duplicate port name {} with {}, services and probes that select ports by name will use {}",
                p.place,
                quote(&p.name),
                first.place,
                first.place
            ));
        }
    }
}

fn null_selectors(spec: &Value, s: &At<'_>, out: &mut Vec<String>) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    for kind in ["podAffinity", "podAntiAffinity"] {
        let p = spec.v("affinity").v(kind);
        let at = s.c("affinity");
        let at = at.c(kind);
        let why = "a null labelSelector results in matching no pod";
        let required = at.c(REQUIRED);
        for (i, t) in p.list(REQUIRED).iter().enumerate() {
            if !t.has("labelSelector") {
                out.push(format!("{}: {why}", required.i(i).c("labelSelector")));
            }
        }
        let preferred = at.c(PREFERRED);
        for (i, t) in p.list(PREFERRED).iter().enumerate() {
            if !t.v("podAffinityTerm").has("labelSelector") {
                out.push(format!("{}: {why}", preferred.i(i).c("podAffinityTerm.labelSelector")));
            }
        }
    }
}

/// A path in a volume and what puts it there.
#[derive(Clone, PartialEq)]
struct Mapped {
    path: String,
    source: String,
}

impl Mapped {
    fn show(&self) -> String {
        if self.source.is_empty() {
            quote(&self.path)
        } else {
            format!("{} ({})", quote(&self.path), self.source)
        }
    }
    fn overlaps(&self, o: &Self) -> bool {
        let (a, b) = (format!("{}/", self.path), format!("{}/", o.path));
        !self.path.is_empty() && !o.path.is_empty() && (a.starts_with(&b) || b.starts_with(&a))
    }
}

fn items(v: &Value, source: &str) -> Vec<Mapped> {
    let one = |i: &Value| Mapped { path: i.s("path").to_owned(), source: source.to_owned() };
    v.list("items").iter().map(one).collect()
}

fn overlaps(all: &mut Vec<Mapped>, new: Vec<Mapped>) -> Vec<String> {
    let mut out = Vec::new();
    for mut m in new {
        m.path = m.path.trim_end_matches('/').to_owned();
        out.extend(all.iter().filter(|o| m.overlaps(o)).map(|o| format!("{} with {}", m.show(), o.show())));
        all.push(m);
    }
    out
}

fn overlapping_paths(list: &[Value], out: &mut Vec<String>) {
    for v in list {
        let name = quote(v.s("name"));
        for (field, of, what) in [
            ("configMap", "name", "ConfigMap "),
            ("secret", "secretName", "Secret "),
            ("downwardAPI", "", "DownwardAPI"),
        ] {
            let Some(s) = v.set(field) else { continue };
            let desc = if of.is_empty() { what.to_owned() } else { format!("{what}{}", quote(s.s(of))) };
            for o in overlaps(&mut Vec::new(), items(s, "")) {
                out.push(format!("volume {name} ({desc}): overlapping paths: {o}"));
            }
        }
        let mut all = Vec::new();
        for s in v.v("projected").list("sources") {
            if s.as_object().is_none_or(Obj::is_empty) {
                out.push(format!("volume {name} (Projected) has no sources provided"));
                continue;
            }
            for o in overlaps(&mut all, projected_paths(s)) {
                out.push(format!("volume {name} (Projected): overlapping paths: {o}"));
            }
        }
    }
}

fn projected_paths(s: &Value) -> Vec<Mapped> {
    let one = |path: &str, source: String| Mapped { path: path.to_owned(), source };
    if let Some(c) = s.set("configMap").filter(|c| !c.list("items").is_empty()) {
        return items(c, &format!("ConfigMap {}", quote(c.s("name"))));
    }
    if let Some(c) = s.set("secret").filter(|c| !c.list("items").is_empty()) {
        return items(c, &format!("Secret {}", quote(c.s("name"))));
    }
    if let Some(d) = s.set("downwardAPI").filter(|c| !c.list("items").is_empty()) {
        return items(d, "DownwardAPI");
    }
    if let Some(t) = s.set("serviceAccountToken") {
        return vec![one(t.s("path"), "ServiceAccountToken".to_owned())];
    }
    if let Some(t) = s.set("clusterTrustBundle") {
        let name = t.os("name").unwrap_or_else(|| t.s("signerName"));
        return vec![one(t.s("path"), format!("ClusterTrustBundle {}", quote(name)))];
    }
    let Some(p) = s.set("podCertificate") else { return Vec::new() };
    [
        ("certificateChainPath", "PodCertificate chain"),
        ("keyPath", "PodCertificate key"),
        ("credentialBundlePath", "PodCertificate credential bundle"),
    ]
    .iter()
    .filter(|(f, _)| !p.s(f).is_empty())
    .map(|(f, w)| one(p.s(f), (*w).to_owned()))
    .collect()
}
