//! The pod spec: what pods, pod templates and everything made of them share (K/pkg/apis/core/validation
//! `ValidatePodSpec`, K/pkg/api/pod/util.go).

pub(crate) mod affinity;
mod containers;
pub(crate) mod gates;
mod probes;
mod projected;
pub(crate) mod resources;
pub(crate) mod security;
pub(crate) mod sources;
pub(crate) mod volumes;
pub(crate) mod warnings;

pub(crate) use containers::PROTOCOLS;

use crate::kit::*;

pub(crate) const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

/// What is tolerated because the object had it before: rules that came later do not break existing objects.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Opts {
    /// A pod, not a template.
    pub is_pod: bool,
    pub invalid_deletion_cost: bool,
    pub indivisible_huge_pages: bool,
    pub invalid_affinity_selector: bool,
    pub invalid_required_node_affinity: bool,
    pub invalid_spread_selector: bool,
    pub old_violates_match_label_keys: bool,
    pub non_local_token_path: bool,
    pub host_sysctls: bool,
    pub comparison_operators: bool,
    pub restart_container_init: bool,
    pub user_namespace_devices: bool,
    pub user_namespace_host_network: bool,
    pub empty_image_reference: bool,
    pub sys_admin_without_escalation: bool,
}

impl Opts {
    /// `old` is the object's previous template or pod (with `metadata` and `spec`).
    pub(crate) fn new(old: Option<&Value>) -> Self {
        let Some(old) = old else { return Self::default() };
        let spec = old.v("spec");
        let nothing = At::new("");
        let fails = |f: &dyn Fn(&mut Errs)| {
            let mut e = Errs::default();
            f(&mut e);
            !e.is_empty()
        };
        let spread = spec.list("topologySpreadConstraints");
        let required =
            spec.v("affinity").v("nodeAffinity").v("requiredDuringSchedulingIgnoredDuringExecution");
        let escapes = |c: &Value| {
            let s = c.v("securityContext");
            s.ob("allowPrivilegeEscalation") != Some(true)
                && s.v("capabilities").strs("add").contains(&"CAP_SYS_ADMIN")
        };
        let user_namespace = spec.ob("hostUsers") == Some(false);
        Self {
            is_pod: false,
            invalid_deletion_cost: old
                .v("metadata")
                .v("annotations")
                .os(DELETION_COST)
                .is_some_and(|v| !cost_ok(v)),
            indivisible_huge_pages: containers_of(spec).any(|c| {
                let r = c.v("resources");
                resources::indivisible_huge(r.o("limits")) || resources::indivisible_huge(r.o("requests"))
            }) || resources::indivisible_huge(spec.o("overhead")),
            invalid_affinity_selector: affinity::pod_terms(spec)
                .any(|t| fails(&|e| affinity::term_selectors(t, false, &nothing, e))),
            invalid_required_node_affinity: affinity::has_invalid_values(required.list("nodeSelectorTerms")),
            invalid_spread_selector: spread
                .iter()
                .any(|c| fails(&|e| e.label_selector(&nothing, c.set("labelSelector"), false))),
            old_violates_match_label_keys: spread
                .iter()
                .any(|c| fails(&|e| affinity::match_label_keys(c, &nothing, e))),
            non_local_token_path: spec
                .list("volumes")
                .iter()
                .flat_map(|v| v.v("projected").list("sources"))
                .filter_map(|s| s.set("serviceAccountToken"))
                .any(|t| fails(&|e| volumes::local_path(t.s("path"), &nothing, e))),
            host_sysctls: spec
                .v("securityContext")
                .list("sysctls")
                .iter()
                .any(|s| security::host_sysctl(s.s("name"), spec).is_some()),
            comparison_operators: spec
                .list("tolerations")
                .iter()
                .any(|t| matches!(t.s("operator"), "Gt" | "Lt")),
            restart_container_init: spec.list("initContainers").iter().any(|c| {
                c.s("restartPolicy") != "Always"
                    && c.list("resizePolicy").iter().any(|p| p.s("restartPolicy") == "RestartContainer")
            }),
            user_namespace_devices: user_namespace
                && containers_of(spec).any(|c| !c.list("volumeDevices").is_empty()),
            user_namespace_host_network: user_namespace && spec.b("hostNetwork"),
            empty_image_reference: spec
                .list("volumes")
                .iter()
                .any(|v| v.has("image") && v.v("image").s("reference").is_empty()),
            sys_admin_without_escalation: containers_of(spec).any(escapes),
        }
    }
}

fn containers_of(spec: &Value) -> impl Iterator<Item = &Value> {
    crate::check::containers(spec)
}

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";

fn cost_ok(v: &str) -> bool {
    let digit = |b: u8| b == b'-' || (b == b'0' && v == "0") || (b'1'..=b'9').contains(&b);
    v.bytes().next().is_some_and(digit) && v.parse::<i32>().is_ok()
}

/// Annotations that mean something to the system.
pub(crate) fn annotations(a: Option<&Obj>, spec: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    let Some(a) = a.filter(|a| !a.is_empty()) else { return };
    if let Some(v) = a.os(MIRROR)
        && spec.s("nodeName").is_empty()
    {
        e.invalid(&at.k(MIRROR), v, "must set spec.nodeName if mirror pod annotation is set");
    }
    if let Some(v) = a.os(TOLERATIONS).filter(|v| !v.is_empty()) {
        match serde_json::from_str::<Vec<Value>>(v) {
            Ok(list) => affinity::tolerations(&list, opts, &at.c(TOLERATIONS), e),
            Err(why) => e.invalid(at, TOLERATIONS, why.to_string()),
        }
    }
    if let Some(v) = a.os(DELETION_COST)
        && !opts.invalid_deletion_cost
        && !cost_ok(v)
    {
        e.invalid(&at.k(DELETION_COST), v, "must be a 32bit integer");
    }
    security::annotations(Some(a), spec, at, e);
}

/// Drops fields of disabled features from a template.
pub(crate) fn prepare(o: &mut Value, old: Option<&Value>, path: &str) {
    let old = old.and_then(|o| o.at(path));
    let mut at = o;
    for k in path.split('.') {
        match at.get_mut(k) {
            Some(v) => at = v,
            None => return,
        }
    }
    gates::drop_disabled("core.v1.PodTemplateSpec", at, old);
    if let Some(spec) = at.o_mut("spec") {
        gates::drop_stop_signals(spec, old.map(|o| o.v("spec")));
    }
}

/// Warnings of a kind with a template at `path`: on create, and on updates that change its spec. `named` kinds make
/// pods named after themselves.
pub(crate) fn template_warnings(o: &Value, old: Option<&Value>, path: &str, named: bool) -> Vec<String> {
    if old.is_some_and(|old| old.generation() == o.generation()) {
        return Vec::new();
    }
    let mut out = Vec::new();
    if named && old.is_none() {
        out.extend(hostname_warning(o.name()));
    }
    if let Some(t) = o.at(path) {
        out.extend(warnings::warnings(t, &At::new(path), true));
    }
    out
}

/// Names that end up in the names of pods had better be DNS labels.
pub(crate) fn hostname_warning(name: &str) -> Option<String> {
    let bad = names::is_dns1123_label(name);
    (!bad.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
            bad.join(" ")
        )
    })
}

/// A pod template: labels, annotations, spec.
pub(crate) fn template(t: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    let m = t.v("metadata");
    e.labels(&at.c("labels"), m.o("labels"));
    e.annotations(&at.c("annotations"), m.o("annotations"));
    annotations(m.o("annotations"), t.v("spec"), opts, &at.c("annotations"), e);
    let spec_at = at.c("spec");
    spec(t.v("spec"), None, opts, &spec_at, e);
    security::annotations_match(m.o("annotations"), t.v("spec"), &spec_at, e);
    if !t.v("spec").list("ephemeralContainers").is_empty() {
        e.forbidden(&spec_at.c("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

/// Metadata and spec of a pod, on create and on update.
pub(crate) fn pod(p: &Value, opts: Opts, e: &mut Errs) {
    let at = At::new("spec");
    let (m, s) = (p.v("metadata"), p.v("spec"));
    annotations(m.o("annotations"), s, opts, &At::new("metadata.annotations"), e);
    spec(s, Some(m), opts, &at, e);
    if s.s("serviceAccountName").is_empty() {
        let volumes = at.c("volumes");
        for (i, v) in s.list("volumes").iter().enumerate() {
            let sources = volumes.i(i);
            let sources = sources.c("projected.sources");
            for (j, src) in v.v("projected").list("sources").iter().enumerate() {
                if src.has("serviceAccountToken") {
                    e.forbidden(
                        &sources.i(j).c("serviceAccountToken"),
                        "must not be specified when serviceAccountName is not set",
                    );
                }
            }
        }
    }
    if let Some(n) = s.oi("terminationGracePeriodSeconds") {
        e.nonnegative(&at.c("terminationGracePeriodSeconds"), n);
    }
    for list in ["containers", "initContainers"] {
        let at = at.c(list);
        for (i, c) in s.list(list).iter().enumerate() {
            containers::image_whitespace(c, &at.i(i), e);
        }
    }
}

/// `metadata` where there is a pod.
fn spec(s: &Value, metadata: Option<&Value>, opts: Opts, at: &At<'_>, e: &mut Errs) {
    let grace = s.oi("terminationGracePeriodSeconds");
    if grace.is_none() {
        e.required(&at.c("terminationGracePeriodSeconds"), "");
    }
    let vols = volumes::volumes(s.list("volumes"), metadata.map(|m| m.s("name")), &at.c("volumes"), opts, e);
    let claims: Vec<&str> =
        s.list("resourceClaims").iter().map(|c| c.s("name")).filter(|n| !n.is_empty()).collect();
    resource_claims(s.list("resourceClaims"), metadata, &at.c("resourceClaims"), e);
    let pod = containers::Pod {
        volumes: &vols,
        claims: &claims,
        grace,
        restart: s.s("restartPolicy"),
        os: s.set("os").map(|o| o.s("name")),
        host_users: s.ob("hostUsers") != Some(false),
        opts,
    };
    let regular = s.list("containers");
    containers::containers(regular, &pod, &at.c("containers"), e);
    containers::init(s.list("initContainers"), regular, &pod, &at.c("initContainers"), e);
    containers::ephemeral(s, &pod, &at.c("ephemeralContainers"), e);
    resources::pod(s, &claims, at, opts, e);
    host_network_ports(s, opts, &at.c("containers"), e);
    restart_policy(s.s("restartPolicy"), &at.c("restartPolicy"), e);
    e.required_one_of(
        &at.c("dnsPolicy"),
        s.s("dnsPolicy"),
        &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"],
    );
    e.labels(&at.c("nodeSelector"), s.o("nodeSelector"));
    if let Some(sc) = s.set("securityContext") {
        security::pod(sc, s, opts, &at.c("securityContext"), e);
    }
    if s.b("shareProcessNamespace") && s.b("hostPID") {
        e.invalid(
            &at.c("shareProcessNamespace"),
            true,
            "ShareProcessNamespace and HostPID cannot both be enabled",
        );
    }
    if let Some(a) = s.set("affinity") {
        affinity::affinity(a, opts, &at.c("affinity"), e);
    }
    dns_config(s, &at.c("dnsConfig"), e);
    gate_names(s, at, e);
    affinity::spread(s.list("topologySpreadConstraints"), opts, &at.c("topologySpreadConstraints"), e);
    security::host_process(s, at, e);
    host_users(s, opts, at, e);
    hostname_override(s, at, e);
    names_and_numbers(s, opts, at, e);
    security::os(s, at, e);
    if let Some(g) = s.set("schedulingGroup") {
        let at = at.c("schedulingGroup");
        match g.os("podGroupName") {
            None => e.invalid(&at.c("podGroupName"), Value::Null, "must specify one of: `podGroupName`"),
            Some(n) => e.subdomain(&at.c("podGroupName"), n),
        }
        if !s.list("evictionResponders").is_empty() {
            e.forbidden(&at, "may not be set when evictionResponders is set");
        }
    }
    file_key_volumes(s, at, e);
}

fn restart_policy(p: &str, at: &At<'_>, e: &mut Errs) {
    e.required_one_of(at, p, &["Always", "OnFailure", "Never"]);
}

fn names_and_numbers(s: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    let account = s.s("serviceAccountName");
    if !account.is_empty() {
        e.subdomain(&at.c("serviceAccountName"), account);
    }
    if s.s("serviceAccount") != account {
        e.invalid(
            &at.c("deprecatedServiceAccount"),
            s.s("serviceAccount"),
            format!("must be the same as serviceAccountName: {}", meta::field::quote(account)),
        );
    }
    if !s.s("nodeName").is_empty() {
        e.subdomain(&at.c("nodeName"), s.s("nodeName"));
    }
    if let Some(n) = s.oi("activeDeadlineSeconds") {
        e.in_range(&at.c("activeDeadlineSeconds"), n, 1, i64::from(i32::MAX));
    }
    for f in ["hostname", "subdomain"] {
        if !s.s(f).is_empty() {
            e.label(&at.c(f), s.s(f));
        }
    }
    affinity::tolerations(s.list("tolerations"), opts, &at.c("tolerations"), e);
    let aliases = at.c("hostAliases");
    for (i, a) in s.list("hostAliases").iter().enumerate() {
        let at = aliases.i(i);
        e.legacy_ip(&at.c("ip"), a.s("ip"), &[]);
        let hosts = at.c("hostnames");
        for (j, h) in a.strs("hostnames").iter().enumerate() {
            e.subdomain(&hosts.i(j), h);
        }
    }
    if !s.s("priorityClassName").is_empty() {
        e.subdomain(&at.c("priorityClassName"), s.s("priorityClassName"));
    }
    if let Some(n) = s.os("runtimeClassName") {
        e.subdomain(&at.c("runtimeClassName"), n);
    }
    if let Some(p) = s.os("preemptionPolicy") {
        e.required_one_of(&at.c("preemptionPolicy"), p, &["PreemptLowerPriority", "Never"]);
    }
    if let Some(o) = s.set("overhead") {
        resources::overhead(o, &at.c("overhead"), opts, e);
    }
}

fn resource_claims(list: &[Value], metadata: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        if metadata.is_some_and(|m| m.v("annotations").has(MIRROR)) {
            e.forbidden(&At::new(""), "static pods do not support resource claims");
            continue;
        }
        let name = c.s("name");
        if name.is_empty() {
            e.required(&at.c("name"), "");
        } else if seen.contains(&name) {
            e.duplicate(&at.c("name"), name);
        } else {
            e.label(&at.c("name"), name);
            seen.push(name);
        }
        let sources = ["resourceClaimName", "resourceClaimTemplateName"];
        match sources.iter().filter(|f| c.has(f)).count() {
            1 => {}
            0 => e.invalid(
                &at,
                c.clone(),
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`",
            ),
            _ => e.invalid(
                &at,
                c.clone(),
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            ),
        }
        for f in sources {
            if let Some(n) = c.os(f) {
                e.subdomain(&at.c(f), n);
            }
        }
    }
}

fn host_network_ports(s: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    if !s.b("hostNetwork") {
        return;
    }
    for (i, c) in s.list("containers").iter().enumerate() {
        let ports = at.i(i);
        let ports = ports.c("ports");
        for (j, p) in c.list("ports").iter().enumerate() {
            let (host, own) = (p.i("hostPort"), p.i("containerPort"));
            if (opts.is_pod || host != 0) && host != own {
                e.invalid(
                    &ports.i(j).c("hostPort"),
                    host,
                    "must match `containerPort` when `hostNetwork` is true",
                );
            }
        }
    }
}

fn dns_config(s: &Value, at: &At<'_>, e: &mut Errs) {
    let config = s.set("dnsConfig");
    if s.s("dnsPolicy") == "None" {
        if config.is_none() {
            return e.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if s.v("dnsConfig").list("nameservers").is_empty() {
            return e.required(
                &at.c("nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            );
        }
    }
    let Some(c) = config else { return };
    let (servers, searches) = (c.strs("nameservers"), c.strs("searches"));
    let at_servers = at.c("nameservers");
    if servers.len() > 3 {
        e.invalid(&at_servers, c.v("nameservers").clone(), "must not have more than 3 nameservers");
    }
    for (i, ns) in servers.iter().enumerate() {
        e.legacy_ip(&at_servers.i(i), ns, &[]);
    }
    let at_searches = at.c("searches");
    if searches.len() > 32 {
        e.invalid(&at_searches, c.v("searches").clone(), "must not have more than 32 search paths");
    }
    if searches.join(" ").len() > 2048 {
        e.invalid(
            &at_searches,
            c.v("searches").clone(),
            "must not have more than 2048 characters (including spaces) in the search list",
        );
    }
    for (i, search) in searches.iter().enumerate().filter(|(_, s)| **s != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        e.name(&at_searches.i(i), search, names::is_dns1123_subdomain_with_underscore);
    }
    let options = at.c("options");
    for (i, o) in c.list("options").iter().enumerate() {
        if o.s("name").is_empty() {
            e.required(&options.i(i), "must not be empty");
        }
    }
}

fn gate_names(s: &Value, at: &At<'_>, e: &mut Errs) {
    let gates = at.c("readinessGates");
    for (i, g) in s.list("readinessGates").iter().enumerate() {
        e.qualified(&gates.i(i).c("conditionType"), g.s("conditionType"));
    }
    let gates = at.c("schedulingGates");
    let list = s.list("schedulingGates");
    for (i, g) in list.iter().enumerate() {
        e.qualified(&gates.i(i), g.s("name"));
        if list[..i].iter().any(|x| x.s("name") == g.s("name")) {
            e.duplicate(&gates.i(i), g.s("name"));
        }
    }
}

fn host_users(s: &Value, opts: Opts, at: &At<'_>, e: &mut Errs) {
    const WHY: &str = "when `hostUsers` is false";
    if s.ob("hostUsers") != Some(false) {
        return;
    }
    if s.b("hostNetwork") && !opts.user_namespace_host_network {
        e.forbidden(&at.c("hostNetwork"), WHY);
    }
    if s.b("hostPID") {
        e.forbidden(&at.c("HostPID"), WHY);
    }
    if s.b("hostIPC") {
        e.forbidden(&at.c("HostIPC"), WHY);
    }
    if !opts.user_namespace_devices {
        each_container(s, at, &mut |c, at| {
            if !c.list("volumeDevices").is_empty() {
                e.forbidden(&at.c("volumeDevices"), WHY);
            }
        });
    }
}

fn hostname_override(s: &Value, at: &At<'_>, e: &mut Errs) {
    let Some(h) = s.os("hostnameOverride") else { return };
    let here = at.c("hostnameOverride");
    if s.b("setHostnameAsFQDN") {
        e.forbidden(&here, "may not be specified when setHostnameAsFQDN is true");
    }
    if s.b("hostNetwork") {
        e.forbidden(&here, "may not be specified when hostNetwork is true");
    }
    if h.len() > 64 {
        e.too_long(&here, 64);
    }
    e.subdomain(&here, h);
}

/// Environment files come from emptyDir volumes of the pod.
fn file_key_volumes(s: &Value, at: &At<'_>, e: &mut Errs) {
    each_container(s, at, &mut |c, at| {
        let env = at.c("env");
        for (i, v) in c.list("env").iter().enumerate() {
            let Some(r) = v.v("valueFrom").set("fileKeyRef") else { continue };
            let at = env.i(i);
            let at = at.c("valueFrom.fileKeyRef.volumeName");
            let name = r.s("volumeName");
            // Where names come twice, the last one counts.
            match s.list("volumes").iter().rfind(|v| v.s("name") == name) {
                None => e.not_found(&at, name),
                Some(v) if !v.has("emptyDir") => {
                    e.invalid(&at, name, "referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    });
}
