//! LimitRanger: containers get the default requests and limits of their namespace, and stay within its bounds
//! (plugin/pkg/admission/limitranger).

use crate::pod::containers_mut;
use crate::resources::{self, List, Options};
use crate::{Attributes, Lookup, Operation, Plugin};
use meta::field::aggregate;
use meta::object::ObjectExt;
use meta::quantity::Quantity;
use meta::{Map, Status, Value};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Above this, thousandths overflow and whole units are compared.
const MAX_MILLI: i64 = i64::MAX / 1000;

pub(crate) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !concerned(a) || a.resource.resource != "pods" {
            return Ok(());
        }
        for range in l.list("", "limitranges", a.namespace) {
            if let Some(pod) = a.object.as_deref_mut() {
                fill(pod, &range);
            }
        }
        Ok(())
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !concerned(a) {
            return Ok(());
        }
        for range in l.list("", "limitranges", a.namespace) {
            let errors = match a.resource.resource.as_str() {
                "pods" => check_pod(a.obj(), &range),
                "persistentvolumeclaims" => check_claim(a.obj(), &range),
                _ => Vec::new(),
            };
            if !errors.is_empty() {
                return Err(a.forbidden(aggregate(&errors)));
            }
        }
        Ok(())
    }
}

fn concerned(a: &Attributes<'_>) -> bool {
    let kind = if a.kind.group.is_empty() { a.kind.kind.as_str() } else { "" };
    let yes = match (kind, a.subresource) {
        // A pod's containers do not change but through `resize`.
        ("Pod", "resize") => a.updates(),
        ("Pod", "") => a.creates(),
        ("PersistentVolumeClaim", "") => true,
        _ => false,
    };
    yes && a.old().deletion_timestamp().is_none()
}

/// Sets what the containers leave open, and notes on the pod what was set.
fn fill(pod: &mut Value, range: &Value) {
    let of = |field: &str| -> Map<String, Value> {
        let items = range.array_at("spec.limits").iter().filter(|i| i.str_at("type") == "Container");
        items.filter_map(|i| i.get(field)?.as_object().cloned()).flatten().collect()
    };
    let defaults = [("requests", "request", of("defaultRequest")), ("limits", "limit", of("default"))];
    let mut notes: Vec<String> = Vec::new();
    for (list, what) in [("containers", "container"), ("initContainers", "init container")] {
        for c in containers_mut(pod, list).into_iter().flatten() {
            for (field, word, values) in &defaults {
                let mut set: Vec<&str> = Vec::new();
                for (k, v) in values {
                    if c.get("resources").and_then(|r| r.get(field)).and_then(|m| m.get(k)).is_some() {
                        continue;
                    }
                    set.push(k);
                    let at = format!("resources.{field}");
                    let mut map = c.at(&at).and_then(Value::as_object).cloned().unwrap_or_default();
                    map.insert(k.clone(), v.clone());
                    c.set_at(&at, map);
                }
                if !set.is_empty() {
                    set.sort_unstable();
                    notes.push(format!("{} {word} for {what} {}", set.join(", "), c.str_at("name")));
                }
            }
        }
    }
    if !notes.is_empty() {
        let at = pod.metadata_mut().entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(m) = at {
            m.insert(ANNOTATION.into(), format!("LimitRanger plugin set: {}", notes.join("; ")).into());
        }
    }
}

fn check_pod(pod: &Value, range: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    for item in range.array_at("spec.limits") {
        let bounds = Bounds::of(item);
        match bounds.kind {
            "Container" => {
                for list in ["spec.containers", "spec.initContainers"] {
                    for c in pod.array_at(list) {
                        let of = |f: &str| resources::parse(c.get("resources").and_then(|r| r.get(f)));
                        bounds.check(&of("requests"), &of("limits"), &mut errors);
                    }
                }
            }
            "Pod" => {
                let o = Options { exclude_overhead: true, ..Options::default() };
                bounds.check(&resources::pod_requests(pod, o), &resources::pod_limits(pod, o), &mut errors);
            }
            _ => {}
        }
    }
    errors
}

fn check_claim(claim: &Value, range: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let requests = resources::parse(claim.at("spec.resources.requests"));
    for item in range.array_at("spec.limits") {
        let b = Bounds::of(item);
        if b.kind != "PersistentVolumeClaim" {
            continue;
        }
        for (k, q) in &b.min {
            b.at_least(k, q, &requests, &List::new(), &mut errors);
        }
        for (k, q) in &b.max {
            let head = format!("maximum {k} usage per {} is {q}", b.kind);
            match requests.get(k) {
                None => errors.push(format!("{head}.  No request is specified")),
                Some(r) if more(r, q, &[]) => errors.push(format!("{head}, but request is {r}")),
                Some(_) => {}
            }
        }
    }
    errors
}

/// One item of a LimitRange.
struct Bounds<'a> {
    kind: &'a str,
    min: List,
    max: List,
    ratio: List,
}

/// Whether a is more than b, in thousandths if all numbers allow it.
fn more(a: &Quantity, b: &Quantity, others: &[&Quantity]) -> bool {
    let all = [a, b].into_iter().chain(others.iter().copied());
    if all.into_iter().all(|q| q.value() <= MAX_MILLI) {
        a.milli_value() > b.milli_value()
    } else {
        a.value() > b.value()
    }
}

impl<'a> Bounds<'a> {
    fn of(item: &'a Value) -> Self {
        Self {
            kind: item.str_at("type"),
            min: resources::parse(item.get("min")),
            max: resources::parse(item.get("max")),
            ratio: resources::parse(item.get("maxLimitRequestRatio")),
        }
    }

    fn check(&self, requests: &List, limits: &List, errors: &mut Vec<String>) {
        for (k, q) in &self.min {
            self.at_least(k, q, requests, limits, errors);
        }
        for (k, q) in &self.max {
            let head = format!("maximum {k} usage per {} is {q}", self.kind);
            let request = requests.get(k);
            match limits.get(k) {
                None => errors.push(format!("{head}.  No limit is specified")),
                Some(l) if more(l, q, &request.into_iter().collect::<Vec<_>>()) => {
                    errors.push(format!("{head}, but limit is {l}"));
                }
                Some(l) => {
                    if let Some(r) = request.filter(|r| more(r, q, &[l])) {
                        errors.push(format!("{head}, but request is {r}"));
                    }
                }
            }
        }
        for (k, q) in &self.ratio {
            let head = format!("{k} max limit to request ratio per {} is {q}", self.kind);
            let positive = |l: &List| l.get(k).copied().filter(|v| v.milli_value() != 0);
            let Some(request) = positive(requests) else {
                errors.push(format!("{head}, but no request is specified or request is 0"));
                continue;
            };
            let Some(limit) = positive(limits) else {
                errors.push(format!("{head}, but no limit is specified or limit is 0"));
                continue;
            };
            let ratio = limit.as_f64() / request.as_f64();
            if ratio * 1000.0 > q.milli_value() as f64 {
                errors.push(format!("{head}, but provided ratio is {ratio:.6}"));
            }
        }
    }

    fn at_least(&self, k: &str, q: &Quantity, requests: &List, limits: &List, errors: &mut Vec<String>) {
        let head = format!("minimum {k} usage per {} is {q}", self.kind);
        let limit = limits.get(k);
        match requests.get(k) {
            None => errors.push(format!("{head}.  No request is specified")),
            Some(r) if more(q, r, &limit.into_iter().collect::<Vec<_>>()) => {
                errors.push(format!("{head}, but request is {r}"));
            }
            Some(r) => {
                if let Some(l) = limit.filter(|l| more(q, l, &[r])) {
                    errors.push(format!("{head}, but limit is {l}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};
    use serde_json::json;

    fn store(limits: Value) -> Store {
        Store::default().with(
            "/limitranges",
            json!({"metadata": {"namespace": "ns", "name": "l"}, "spec": {"limits": limits}}),
        )
    }
    fn run(s: &Store, resources: Value) -> Result<Value, String> {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}});
        Ask::new("create pods").run(&LimitRanger, s, &mut pod, None).map(|()| pod)
    }

    #[test]
    fn sets_defaults() {
        let s = store(
            json!([{"type": "Container", "default": {"cpu": "1", "memory": "1Gi"}, "defaultRequest": {"cpu": "100m"}}]),
        );
        let pod = run(&s, json!({"limits": {"cpu": "2"}})).unwrap();
        assert_eq!(
            pod["spec"]["containers"][0]["resources"],
            json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}})
        );
        assert_eq!(
            pod["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: cpu request for container c; memory limit for container c"
        );
    }

    #[test]
    fn holds_bounds() {
        let container = |f: &str, v: Value| {
            let mut item = json!({"type": "Container"});
            item[f] = v;
            store(json!([item]))
        };
        let r = |f: &str, bound: Value, resources: Value| run(&container(f, bound), resources).map(|_| ());
        let err = |m: &str| Err(format!("pods \"p\" is forbidden: {m}"));
        let min = json!({"cpu": "100m"});
        assert_eq!(r("min", min.clone(), json!({"requests": {"cpu": "100m"}})), Ok(()));
        assert_eq!(
            r("min", min.clone(), json!({"requests": {"cpu": "50m"}})),
            err("minimum cpu usage per Container is 100m, but request is 50m")
        );
        assert_eq!(
            r("min", min, json!({})),
            err("minimum cpu usage per Container is 100m.  No request is specified")
        );
        let max = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(
            r("max", max, json!({"limits": {"cpu": "2"}})),
            err(
                "[maximum cpu usage per Container is 1, but limit is 2, maximum memory usage per Container is 1Gi.  No limit is specified]"
            )
        );
        let ratio = json!({"cpu": "2"});
        assert_eq!(
            r(
                "maxLimitRequestRatio",
                ratio.clone(),
                json!({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}})
            ),
            Ok(())
        );
        assert_eq!(
            r("maxLimitRequestRatio", ratio, json!({"limits": {"cpu": "3"}, "requests": {"cpu": "1"}})),
            err("cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000")
        );
    }

    #[test]
    fn holds_bounds_of_pods_and_claims() {
        let s = store(
            json!([{"type": "Pod", "max": {"cpu": "1"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}, "min": {"storage": "1Mi"}}]),
        );
        assert!(run(&s, json!({"limits": {"cpu": "1"}})).is_ok());
        assert!(
            run(&s, json!({"limits": {"cpu": "1100m"}}))
                .unwrap_err()
                .ends_with("maximum cpu usage per Pod is 1, but limit is 1100m")
        );
        let claim = |size: &str| {
            let mut c =
                json!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": size}}}});
            Ask::new("create persistentvolumeclaims").run(&LimitRanger, &s, &mut c, None)
        };
        assert_eq!(claim("1Gi"), Ok(()));
        assert!(
            claim("2Gi")
                .unwrap_err()
                .ends_with("maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi")
        );
        assert!(
            claim("1Ki")
                .unwrap_err()
                .ends_with("minimum storage usage per PersistentVolumeClaim is 1Mi, but request is 1Ki")
        );
    }
}
