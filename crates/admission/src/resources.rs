//! Lists of resources, and what a pod asks for in all (component-helpers `resource/helpers.go`).

use meta::Value;
use meta::object::ObjectExt;
use meta::quantity::Quantity;
use std::collections::BTreeMap;

/// Resource name → quantity.
pub type List = BTreeMap<String, Quantity>;

/// Reads a list; what is no quantity is left out (validation refuses it).
pub fn parse(v: Option<&Value>) -> List {
    let all = v.and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(k, v)| Some((k.clone(), quantity(v)?))).collect()
}

pub fn quantity(v: &Value) -> Option<Quantity> {
    match v {
        Value::String(s) => Quantity::parse(s).ok(),
        Value::Number(n) => Quantity::parse(&n.to_string()).ok(),
        _ => None,
    }
}

pub fn to_value(list: &List) -> Value {
    Value::Object(list.iter().map(|(k, q)| (k.clone(), Value::from(q.to_string()))).collect())
}

pub fn add(list: &mut List, more: &List) {
    for (k, q) in more {
        match list.get_mut(k) {
            Some(have) => *have = have.plus(q),
            None => {
                list.insert(k.clone(), *q);
            }
        }
    }
}

/// Raises `list` to at least `other`, name by name.
pub fn raise(list: &mut List, other: &List) {
    for (k, q) in other {
        if list.get(k).is_none_or(|have| q > have) {
            list.insert(k.clone(), *q);
        }
    }
}

/// How a pod's resources are counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What the kubelet has allocated or put into force counts where it is more than the spec asks for.
    pub status: bool,
    pub exclude_overhead: bool,
    /// With `status`: what the kubelet reports of the pod as a whole counts too (quota leaves it out, as upstream's does).
    pub pod_status: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Requests,
    Limits,
}

impl Side {
    fn field(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }
}

/// All requests of a pod.
pub fn pod_requests(pod: &Value, o: Options) -> List {
    let mut total = aggregate(pod, Side::Requests, o);
    pod_level(pod, Side::Requests, o, &mut total);
    if !o.exclude_overhead {
        add(&mut total, &parse(pod.at("spec.overhead")));
    }
    total
}

/// All limits of a pod. Overhead is added only to what is limited.
pub fn pod_limits(pod: &Value, o: Options) -> List {
    let mut total = aggregate(pod, Side::Limits, o);
    pod_level(pod, Side::Limits, o, &mut total);
    if !o.exclude_overhead {
        for (k, q) in parse(pod.at("spec.overhead")) {
            if let Some(have) = total.get_mut(&k).filter(|h| !h.is_zero()) {
                *have = have.plus(&q);
            }
        }
    }
    total
}

fn pod_level_resource(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// Whether the pod as a whole asks for resources that a pod may ask for.
pub fn pod_level_set(pod: &Value) -> bool {
    ["requests", "limits"].iter().any(|f| {
        let list = pod.at("spec.resources").and_then(|r| r.get(f)).and_then(Value::as_object);
        list.is_some_and(|m| m.keys().any(|k| pod_level_resource(k)))
    })
}

/// What the pod as a whole asks for stands in the place of its containers' sum.
fn pod_level(pod: &Value, side: Side, o: Options, total: &mut List) {
    let Some(spec) = pod.at("spec.resources") else { return };
    let spec = parse(spec.get(side.field()));
    let applies = match side {
        Side::Requests => spec.keys().any(|k| pod_level_resource(k)),
        Side::Limits => pod_level_set(pod),
    };
    if !applies {
        return;
    }
    let mut effective = spec;
    if let (true, Some(status)) = (o.status && o.pod_status, pod.at("status.resources")) {
        if resize_infeasible(pod) {
            effective = List::new();
        }
        raise(&mut effective, &parse(status.get(side.field())));
        if side == Side::Requests {
            raise(&mut effective, &parse(pod.at("status.allocatedResources")));
        }
    }
    total.extend(effective.into_iter().filter(|(k, _)| pod_level_resource(k)));
}

pub fn resize_infeasible(pod: &Value) -> bool {
    let pending = pod.array_at("status.conditions").iter().find(|c| c.str_at("type") == "PodResizePending");
    pending.is_some_and(|c| c.str_at("reason") == "Infeasible")
}

/// Where a container's numbers are taken from.
#[derive(Clone, Copy)]
enum From {
    Spec,
    Allocated,
    Actuated,
}

fn aggregate(pod: &Value, side: Side, o: Options) -> List {
    let of_spec = sum(pod, side, From::Spec, o);
    if !o.status {
        return of_spec;
    }
    let infeasible = resize_infeasible(pod);
    let status = pod.at("status.resources").filter(|_| o.pod_status).and_then(|r| r.get(side.field()));
    let mut total = if infeasible { List::new() } else { of_spec };
    match (side, status) {
        (Side::Requests, Some(actuated)) if pod.at("status.allocatedResources").is_some() => {
            raise(&mut total, &parse(Some(actuated)));
            raise(&mut total, &parse(pod.at("status.allocatedResources")));
        }
        (Side::Requests, _) => {
            raise(&mut total, &sum(pod, side, From::Actuated, o));
            raise(&mut total, &sum(pod, side, From::Allocated, o));
        }
        (Side::Limits, Some(actuated)) => raise(&mut total, &parse(Some(actuated))),
        (Side::Limits, None) => raise(&mut total, &sum(pod, side, From::Actuated, o)),
    }
    total
}

/// The containers' sum, or more where initialization takes more: an init container runs with the sidecars before it.
fn sum(pod: &Value, side: Side, from: From, o: Options) -> List {
    let infeasible = o.status && resize_infeasible(pod);
    let mut total = List::new();
    for c in pod.array_at("spec.containers") {
        add(&mut total, &of_container(pod, c, side, from, infeasible));
    }
    let mut sidecars = List::new();
    let mut peak = List::new();
    for c in pod.array_at("spec.initContainers") {
        let own = of_container(pod, c, side, from, infeasible);
        if c.str_at("restartPolicy") == "Always" {
            add(&mut total, &own);
            add(&mut sidecars, &own);
            raise(&mut peak, &sidecars);
        } else {
            let mut with = own;
            add(&mut with, &sidecars);
            raise(&mut peak, &with);
        }
    }
    raise(&mut total, &peak);
    total
}

fn of_container(pod: &Value, c: &Value, side: Side, from: From, infeasible: bool) -> List {
    let spec = || parse(c.get("resources").and_then(|r| r.get(side.field())));
    if matches!(from, From::Spec) {
        return spec();
    }
    let name = c.str_at("name");
    let lists = ["status.containerStatuses", "status.initContainerStatuses"];
    let status = lists.iter().flat_map(|l| pod.array_at(l)).find(|s| s.str_at("name") == name);
    if let Some(s) = status {
        let actuated = s.get("resources").and_then(|r| r.get(side.field()));
        if let (From::Actuated, Some(r)) = (from, actuated) {
            return parse(Some(r));
        }
        if let (Side::Requests, Some(r)) = (side, s.get("allocatedResources")) {
            return parse(Some(r));
        }
    }
    if infeasible { List::new() } else { spec() }
}

/// Whether a resource is one of a domain of its own, `example.com/gpu` (pkg/apis/core/helper).
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && meta::names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether a resource is in the `kubernetes.io/` domain, or in none.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn show(l: &List) -> String {
        l.iter().map(|(k, q)| format!("{k}={q}")).collect::<Vec<_>>().join(" ")
    }
    fn c(name: &str, cpu: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu}}})
    }

    #[test]
    fn counts_containers() {
        let mut sidecar = c("s", "1");
        sidecar["restartPolicy"] = "Always".into();
        let pod = |init: Value| json!({"spec": {"containers": [c("a", "1"), c("b", "500m")], "initContainers": init}});
        let r = |v: &Value| show(&pod_requests(v, Options::default()));
        assert_eq!(r(&pod(json!([]))), "cpu=1500m");
        assert_eq!(r(&pod(json!([c("i", "2")]))), "cpu=2");
        assert_eq!(r(&pod(json!([sidecar, c("i", "2")]))), "cpu=3");
        assert_eq!(r(&pod(json!([c("i", "2"), sidecar]))), "cpu=2500m");
        let mut over = pod(json!([]));
        over["spec"]["overhead"] = json!({"cpu": "1", "memory": "1Mi"});
        assert_eq!(r(&over), "cpu=2500m memory=1Mi");
        assert_eq!(show(&pod_limits(&over, Options::default())), "cpu=2500m");
        assert_eq!(
            show(&pod_requests(&over, Options { exclude_overhead: true, ..Options::default() })),
            "cpu=1500m"
        );
        over["spec"]["resources"] = json!({"requests": {"cpu": "5", "x.y/z": "1"}});
        assert_eq!(r(&over), "cpu=6 memory=1Mi");
    }

    #[test]
    fn counts_what_is_in_force() {
        let o = Options { status: true, ..Options::default() };
        let mut pod = json!({"spec": {"containers": [c("a", "1")]}, "status": {"containerStatuses": [
            {"name": "a", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "3"}}}]}});
        assert_eq!(show(&pod_requests(&pod, o)), "cpu=3");
        assert_eq!(show(&pod_requests(&pod, Options::default())), "cpu=1");
        pod["spec"]["containers"][0] = c("a", "9");
        assert_eq!(show(&pod_requests(&pod, o)), "cpu=9");
        pod["status"]["conditions"] = json!([{"type": "PodResizePending", "reason": "Infeasible"}]);
        assert_eq!(show(&pod_requests(&pod, o)), "cpu=3");
    }

    #[test]
    fn knows_extended_resources() {
        for (name, want) in
            [("example.com/gpu", true), ("cpu", false), ("kubernetes.io/x", false), ("requests.a/b", false)]
        {
            assert_eq!(is_extended(name), want, "{name}");
        }
    }
}
