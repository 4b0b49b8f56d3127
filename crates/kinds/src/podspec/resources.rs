//! Resource names and quantities of containers, pods, quotas; sums over a pod's containers; QoS class
//! (K/pkg/apis/core/{validation,helper,helper/qos}, component-helpers `resource`).

use super::Opts;
use crate::kit::*;
use meta::quantity::Quantity;
use std::collections::BTreeMap;

const HUGE: &str = "hugepages-";
const STANDARD: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

pub(crate) fn is_huge(name: &str) -> bool {
    name.starts_with(HUGE)
}
fn is_quota_huge(name: &str) -> bool {
    is_huge(name) || name.starts_with("requests.hugepages-")
}
/// Without a slash, or of kubernetes.io.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}
pub(crate) fn overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge(name)
}
fn is_integer(name: &str) -> bool {
    matches!(
        name,
        "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || is_extended(name)
}
pub(crate) fn is_quota_standard(name: &str) -> bool {
    (STANDARD.contains(&name) && name != "storage") || is_quota_huge(name)
}
/// Resources a pod as a whole can ask for.
pub(crate) fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge(name)
}

/// A resource's name anywhere.
pub(crate) fn name(n: &str, at: &At<'_>, e: &mut Errs) -> bool {
    let before = e.len();
    e.qualified(at, n);
    if e.len() == before && !n.contains('/') && !STANDARD.contains(&n) && !is_quota_huge(n) {
        e.invalid(at, n, "must be a standard resource type or fully qualified");
    }
    e.len() == before
}

pub(crate) fn container_name(n: &str, at: &At<'_>, e: &mut Errs) {
    name(n, at, e);
    if !n.contains('/') {
        if !(matches!(n, "cpu" | "memory" | "ephemeral-storage") || is_huge(n)) {
            e.invalid(at, n, "must be a standard resource for containers");
        }
    } else if !is_native(n) && !is_extended(n) {
        e.invalid(at, n, "doesn't follow extended resource name standard");
    }
}

fn pod_name(n: &str, at: &At<'_>, e: &mut Errs) {
    if name(n, at, e) && !is_pod_level(n) {
        e.unsupported(at, n, &["cpu", "hugepages-", "memory"]);
    }
}

pub(crate) fn quota_name(n: &str, at: &At<'_>, e: &mut Errs) {
    name(n, at, e);
    if !n.contains('/') && !is_quota_standard(n) {
        e.invalid(at, n, "must be a standard resource for quota");
    }
}

/// Not negative, and whole where the resource counts things.
pub(crate) fn value(n: &str, q: &Quantity, at: &At<'_>, e: &mut Errs) {
    e.nonnegative_quantity(at, q);
    if is_integer(n) && !q.is_whole() {
        e.invalid(at, q.to_string(), "must be an integer");
    }
}

fn huge_divisible(n: &str, q: &Quantity) -> bool {
    let Ok(page) = Quantity::parse(n.strip_prefix(HUGE).unwrap_or("")) else { return false };
    !page.is_negative() && !page.is_zero() && page.is_whole() && q.value() % page.value() == 0
}

/// Whether a list has huge pages that are no multiple of their page size.
pub(super) fn indivisible_huge(list: Option<&Obj>) -> bool {
    keys(list).any(|(k, v)| is_huge(k) && !huge_divisible(k, &quantity(v)))
}

fn huge_value(n: &str, q: &Quantity, at: &At<'_>, opts: Opts, e: &mut Errs) {
    if is_huge(n) && !opts.indivisible_huge_pages && !huge_divisible(n, q) {
        e.invalid(at, q.to_string(), format!("{q} is not positive integer multiple of {n}"));
    }
}

pub(super) fn container(r: &Value, claims: &[&str], at: &At<'_>, opts: Opts, e: &mut Errs) {
    requirements(r, container_name, claims, at, opts, e);
}

/// `overhead` of a pod or RuntimeClass: a list of limits.
pub(crate) fn overhead(list: &Value, at: &At<'_>, opts: Opts, e: &mut Errs) {
    let mut r = Obj::new();
    r.put("limits", list.clone());
    requirements(&Value::Object(r), container_name, &[], at, opts, e);
}

fn requirements(
    r: &Value,
    name: fn(&str, &At<'_>, &mut Errs),
    claims: &[&str],
    at: &At<'_>,
    opts: Opts,
    e: &mut Errs,
) {
    let (lim_at, req_at) = (at.c("limits"), at.c("requests"));
    let (mut compute, mut huge) = (false, false);
    for (k, v) in keys(r.o("limits")) {
        let (at, q) = (lim_at.k(k), quantity(v));
        name(k, &at, e);
        value(k, &q, &at, e);
        huge |= is_huge(k);
        huge_value(k, &q, &at, opts, e);
        compute |= matches!(k, "cpu" | "memory");
    }
    for (k, v) in keys(r.o("requests")) {
        let (at, q) = (req_at.k(k), quantity(v));
        name(k, &at, e);
        value(k, &q, &at, e);
        match r.v("limits").set(k).map(quantity) {
            Some(l) if q != l && !overcommit_allowed(k) => {
                e.invalid(&req_at, q.to_string(), format!("must be equal to {k} limit of {l}"));
            }
            Some(l) if q > l => {
                e.invalid(&req_at, q.to_string(), format!("must be less than or equal to {k} limit of {l}"));
            }
            Some(_) => {}
            None if !overcommit_allowed(k) => {
                e.required(&lim_at, "Limit must be set for non overcommitable resources");
            }
            None => {}
        }
        huge |= is_huge(k);
        huge_value(k, &q, &at, opts, e);
        compute |= matches!(k, "cpu" | "memory");
    }
    if huge && !compute {
        e.forbidden(at, "HugePages require cpu or memory");
    }
    claim_names(r.list("claims"), claims, &at.c("claims"), e);
}

fn claim_names(list: &[Value], pod: &[&str], at: &At<'_>, e: &mut Errs) {
    let mut seen: Vec<String> = Vec::new();
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        let (name, request) = (c.s("name"), c.s("request"));
        if name.is_empty() {
            e.required(&at, "");
            continue;
        }
        if seen.iter().any(|s| s == name) {
            e.duplicate(&at, name);
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                e.label(&at.c("request"), request);
                key = format!("{name}/{request}");
            }
            if seen.contains(&key) {
                e.duplicate(&at, key.clone());
            } else if request.is_empty() {
                for _ in seen.iter().filter(|s| s.split_once('/').is_some_and(|p| p.0 == name)) {
                    e.duplicate(&at, name);
                }
            }
            seen.push(key);
        }
        if !pod.contains(&name) {
            let mut known = pod.to_vec();
            known.sort_unstable();
            known.dedup();
            let list = if known.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", known.join(", "))
            };
            e.not_found(&at, name);
            if let Some(last) = e.0.last_mut() {
                last.detail = format!("must be one of the names in pod.spec.resourceClaims{list}");
            }
        }
    }
}

/// Resource lists summed.
pub(crate) type Sums = BTreeMap<String, Quantity>;

fn add(to: &mut Sums, list: &Sums) {
    for (k, q) in list {
        match to.get_mut(k) {
            Some(v) => *v = v.plus(q),
            None => _ = to.insert(k.clone(), *q),
        }
    }
}

fn max(to: &mut Sums, list: &Sums) {
    for (k, q) in list {
        match to.get_mut(k) {
            Some(v) if *v >= *q => {}
            Some(v) => *v = *q,
            None => _ = to.insert(k.clone(), *q),
        }
    }
}

fn read(list: Option<&Obj>) -> Sums {
    keys(list).map(|(k, v)| (k.to_owned(), quantity(v))).collect()
}

/// What all containers together need at any time: `field` is `requests` or `limits`.
pub(crate) fn aggregate(spec: &Value, field: &str) -> Sums {
    let of = |c: &Value| read(c.v("resources").o(field));
    let mut sum = Sums::new();
    for c in spec.list("containers") {
        add(&mut sum, &of(c));
    }
    let (mut sidecars, mut init) = (Sums::new(), Sums::new());
    for c in spec.list("initContainers") {
        let mut r = of(c);
        if c.s("restartPolicy") == "Always" {
            add(&mut sum, &r);
            add(&mut sidecars, &r);
            r = sidecars.clone();
        } else {
            add(&mut r, &sidecars);
        }
        max(&mut init, &r);
    }
    max(&mut sum, &init);
    sum
}

/// Pod-level resources and that containers fit in.
pub(super) fn pod(spec: &Value, claims: &[&str], at: &At<'_>, opts: Opts, e: &mut Errs) {
    let Some(r) = spec.set("resources") else { return };
    let at = at.c("resources");
    if spec.v("os").s("name") == "windows" {
        return e.forbidden(&at, "may not be set for a windows pod");
    }
    if !r.list("claims").is_empty() {
        e.forbidden(&at.c("claims"), "claims may not be set for Resources at pod-level");
    }
    requirements(r, pod_name, claims, &at, opts, e);
    let (limits, requests) = (r.v("limits"), r.v("requests"));
    for (k, sum) in aggregate(spec, "requests") {
        let Some(q) = requests.set(&k).map(quantity) else { continue };
        if sum > q {
            let why = format!("must be greater than or equal to aggregate container requests of {sum}");
            e.invalid(&at.c("requests").k(&k), q.to_string(), why);
        }
    }
    for (k, sum) in aggregate(spec, "limits") {
        let Some(q) = limits.set(&k).map(quantity).filter(|_| is_huge(&k)) else { continue };
        if sum > q {
            let why = format!("must be greater than or equal to aggregate container limits of {sum}");
            e.invalid(&at.c("limits").k(&k), q.to_string(), why);
        }
    }
    for (i, c) in spec.list("containers").iter().enumerate() {
        for (k, v) in keys(c.v("resources").o("limits")) {
            let Some(l) = limits.set(k).map(quantity) else { continue };
            let q = quantity(v);
            if q > l {
                let place = at.c("containers");
                let place = place.i(i);
                let place = place.k(k);
                let why = format!("must be less than or equal to pod limits of {l}");
                e.invalid(&place.c("limits"), q.to_string(), why);
            }
        }
    }
}

/// Fills pod-level requests and limits from the containers', where the pod has some of either
/// (K/pkg/api/pod `DefaultPodLevelResources`).
pub(crate) fn default_pod_level(spec: &mut Obj) {
    let Some(r) = spec.set("resources") else { return };
    if r.v("requests").len_of() + r.v("limits").len_of() == 0 {
        return;
    }
    let whole = Value::Object(spec.clone());
    let (requests, limits) = (aggregate(&whole, "requests"), aggregate(&whole, "limits"));
    let r = spec.obj("resources");
    // Huge pages: the limit follows the containers', unless there is a request for them.
    for (k, q) in limits.iter().filter(|(k, _)| is_huge(k)) {
        if !r.v("requests").has(k) && !r.v("limits").has(k) {
            r.obj("limits").put(k, q.to_string());
        }
    }
    for (k, q) in &requests {
        if is_pod_level(k) && overcommit_allowed(k) && !r.v("requests").has(k) {
            r.obj("requests").put(k, q.to_string());
        }
    }
    let from: Vec<(String, Value)> = r.o("limits").cloned().into_iter().flatten().collect();
    for (k, v) in from {
        if is_pod_level(&k) && !r.v("requests").has(&k) {
            r.obj("requests").put(&k, v);
        }
    }
    // A limit is added where every container has one, but never below the request.
    let from: Vec<(String, Value)> = r.o("requests").cloned().into_iter().flatten().collect();
    for (k, v) in from {
        let everywhere = containers(&whole).all(|c| c.v("resources").v("limits").has(&k));
        let Some(sum) = limits.get(&k) else { continue };
        if is_pod_level(&k) && !r.v("limits").has(&k) && everywhere {
            r.obj("limits").put(&k, quantity(&v).max(*sum).to_string());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Qos {
    BestEffort,
    Burstable,
    Guaranteed,
}

fn qos_of(r: &Value) -> Qos {
    if r.v("requests").len_of() == 0 && r.v("limits").len_of() == 0 {
        return Qos::BestEffort;
    }
    let one = |res: &str| {
        let (req, lim) = (quantity(r.v("requests").v(res)), quantity(r.v("limits").v(res)));
        if req != lim {
            Qos::Burstable
        } else if req.is_zero() {
            Qos::BestEffort
        } else {
            Qos::Guaranteed
        }
    };
    let (cpu, memory) = (one("cpu"), one("memory"));
    if cpu == memory { cpu } else { Qos::Burstable }
}

/// The QoS class that a spec gives its pod.
pub(crate) fn qos_class(spec: &Value) -> &'static str {
    let pod_level = spec
        .set("resources")
        .filter(|r| keys(r.o("requests")).chain(keys(r.o("limits"))).any(|(k, _)| is_pod_level(k)));
    let class = match pod_level {
        Some(r) => qos_of(r),
        None => {
            let mut all = spec
                .list("initContainers")
                .iter()
                .chain(spec.list("containers"))
                .map(|c| qos_of(c.v("resources")));
            match all.next() {
                None => Qos::BestEffort,
                Some(first) => {
                    if all.all(|q| q == first) {
                        first
                    } else {
                        Qos::Burstable
                    }
                }
            }
        }
    };
    match class {
        Qos::BestEffort => "BestEffort",
        Qos::Burstable => "Burstable",
        Qos::Guaranteed => "Guaranteed",
    }
}
