//! What one object counts for (pkg/quota/v1/evaluator/core).

use super::scopes;
use crate::plugins::persistent_volume_claim_resize::class_of;
use crate::resources::{self, List, Options, is_extended, is_native, quantity};
use crate::{Attributes, Lookup, Operation};
use meta::Value;
use meta::object::ObjectExt;
use meta::quantity::{Format, Quantity};
use meta::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

const STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
const IMPLICIT_DEVICE_CLASS: &str = "requests.deviceclass.resource.kubernetes.io/";
/// Devices that a request for "all" may get.
const ALL_DEVICES: i64 = 32;

/// A resource and how its objects are counted.
pub(super) struct Counted<'a> {
    group: &'a str,
    resource: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pod,
    Service,
    Claim,
    DeviceClaim,
    Other,
}

/// What an object counts for, by quota name: `pods`, `requests.cpu`, `count/deployments.apps`. `l` is asked for device
/// classes and pods where the object is a resource claim.
pub fn usage(group: &str, resource: &str, obj: &Value, now: Timestamp, l: &dyn Lookup) -> List {
    Counted::of(group, resource).usage(obj, now, l)
}

fn count(n: i64) -> Quantity {
    Quantity::from_units(n, Format::DecimalSi)
}

impl<'a> Counted<'a> {
    pub(super) fn of(group: &'a str, resource: &'a str) -> Self {
        let kind = match (group, resource) {
            ("", "pods") => Kind::Pod,
            ("", "services") => Kind::Service,
            ("", "persistentvolumeclaims") => Kind::Claim,
            ("resource.k8s.io", "resourceclaims") => Kind::DeviceClaim,
            _ => Kind::Other,
        };
        Self { group, resource, kind }
    }

    /// `count/deployments.apps`
    fn count_name(&self) -> String {
        match self.group {
            "" => format!("count/{}", self.resource),
            g => format!("count/{}.{g}", self.resource),
        }
    }

    /// The name from before `count/…`, of those that have one.
    fn alias(&self) -> Option<&'a str> {
        let old = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
        (self.group.is_empty() && old.contains(&self.resource)).then_some(self.resource)
    }

    /// Whether such a request can change what is counted.
    pub(super) fn handles(&self, a: &Attributes<'_>) -> bool {
        let create = a.operation == Operation::Create;
        match (self.kind, a.subresource) {
            (Kind::Pod, "") => {
                create || (a.updates() && scopes::terminating(a.old()) != scopes::terminating(a.obj()))
            }
            (Kind::Pod, "resize") => a.updates(),
            (Kind::Service | Kind::DeviceClaim | Kind::Claim, "") => create || a.updates(),
            (Kind::Claim, "status") => true,
            (Kind::Other, "") => create,
            _ => false,
        }
    }

    pub(super) fn has_scopes(&self) -> bool {
        matches!(self.kind, Kind::Pod | Kind::Claim)
    }

    pub(super) fn matches_scope(&self, selector: &Value, obj: &Value) -> bool {
        match self.kind {
            Kind::Pod => scopes::pod(selector, obj),
            Kind::Claim => scopes::claim(selector, obj),
            _ => false,
        }
    }

    /// Those of a quota's names that objects of this resource count for.
    pub(super) fn matching<'n>(
        &self,
        names: impl Iterator<Item = &'n String>,
        l: &dyn Lookup,
    ) -> BTreeSet<String> {
        let own = self.count_name();
        names.filter(|n| **n == own || self.is_for(n, l)).cloned().collect()
    }

    fn is_for(&self, name: &str, l: &dyn Lookup) -> bool {
        match self.kind {
            Kind::Pod => {
                matches!(
                    name,
                    "pods"
                        | "cpu"
                        | "memory"
                        | "ephemeral-storage"
                        | "requests.cpu"
                        | "requests.memory"
                        | "requests.ephemeral-storage"
                        | "limits.cpu"
                        | "limits.memory"
                        | "limits.ephemeral-storage"
                ) || name.starts_with("hugepages-")
                    || name.starts_with("requests.hugepages-")
                    || extended_for_quota(name)
            }
            Kind::Service => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            Kind::Claim => {
                let plain = |n: &str| matches!(n, "persistentvolumeclaims" | "requests.storage");
                plain(name) || name.rsplit_once(STORAGE_CLASS).is_some_and(|(_, n)| plain(n))
            }
            Kind::DeviceClaim => {
                name.ends_with(DEVICE_CLASS)
                    || name.strip_prefix(IMPLICIT_DEVICE_CLASS).is_some_and(|c| extended_name(c, l).is_some())
                    || (extended_for_quota(name)
                        && name.strip_prefix("requests.").is_some_and(|r| has_device_class(r, l)))
            }
            Kind::Other => self.alias() == Some(name),
        }
    }

    /// A quota of processor or memory wants every container to say how much it needs.
    pub(super) fn constraints(&self, tracked: &BTreeSet<String>, obj: &Value) -> Result<(), String> {
        if self.kind != Kind::Pod || resources::pod_level_set(obj) {
            return Ok(());
        }
        const REQUIRED: [&str; 6] =
            ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for list in ["spec.containers", "spec.initContainers"] {
            for c in obj.array_at(list) {
                let of = |f: &str| resources::parse(c.get("resources").and_then(|r| r.get(f)));
                let has = compute(&of("requests"), &of("limits"));
                for name in REQUIRED.iter().filter(|n| tracked.contains(**n) && !has.contains_key(**n)) {
                    missing.entry(name).or_default().insert(c.str_at("name"));
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let parts: Vec<String> = missing
            .into_iter()
            .map(|(k, names)| format!("{k} for: {}", names.into_iter().collect::<Vec<_>>().join(",")))
            .collect();
        Err(format!("must specify {}", parts.join("; ")))
    }

    pub(super) fn usage(&self, obj: &Value, now: Timestamp, l: &dyn Lookup) -> List {
        let mut out = List::from([(self.count_name(), count(1))]);
        match self.kind {
            Kind::Pod => resources::add(&mut out, &pod(obj, now)),
            Kind::Service => service(obj, &mut out),
            Kind::Claim => volume_claim(obj, &mut out),
            Kind::DeviceClaim => device_claim(obj, now, l, &mut out),
            Kind::Other => out.extend(self.alias().map(|a| (a.to_owned(), count(1)))),
        }
        out
    }
}

fn extended_for_quota(name: &str) -> bool {
    (name.starts_with("requests.") && !is_native(name)) || name.starts_with(IMPLICIT_DEVICE_CLASS)
}

/// What a pod takes besides being an object: nothing when it has ended, or should have long ago.
fn pod(pod: &Value, now: Timestamp) -> List {
    if matches!(pod.str_at("status.phase"), "Failed" | "Succeeded") {
        return List::new();
    }
    if let (Some(t), Some(grace)) = (
        pod.deletion_timestamp().and_then(Timestamp::parse),
        pod.i64_at("metadata.deletionGracePeriodSeconds"),
    ) && now > t.plus_seconds(grace)
    {
        return List::new();
    }
    let o = Options { status: true, ..Options::default() };
    compute(&resources::pod_requests(pod, o), &resources::pod_limits(pod, o))
}

fn compute(requests: &List, limits: &List) -> List {
    let mut out = List::from([("pods".to_owned(), count(1))]);
    for name in ["cpu", "memory", "ephemeral-storage"] {
        if let Some(q) = requests.get(name) {
            out.insert(name.into(), *q);
            out.insert(format!("requests.{name}"), *q);
        }
        if let Some(q) = limits.get(name) {
            out.insert(format!("limits.{name}"), *q);
        }
    }
    for (name, q) in requests {
        if name.starts_with("hugepages-") {
            out.insert(name.clone(), *q);
            out.insert(format!("requests.{name}"), *q);
        }
        if is_extended(name) || name.starts_with("deviceclass.resource.kubernetes.io/") {
            out.insert(format!("requests.{name}"), *q);
        }
    }
    out
}

fn service(svc: &Value, out: &mut List) {
    let ports = svc.array_at("spec.ports");
    let (mut node_ports, mut balancers) = (0, 0);
    match svc.str_at("spec.type") {
        "NodePort" => node_ports = ports.len(),
        "LoadBalancer" => {
            balancers = 1;
            let allocated =
                svc.at("spec.allocateLoadBalancerNodePorts").and_then(Value::as_bool) != Some(false);
            let explicit = ports.iter().filter(|p| p.i64_at("nodePort").unwrap_or(0) != 0).count();
            node_ports = if allocated { ports.len() } else { explicit };
        }
        _ => {}
    }
    out.insert("services".into(), count(1));
    out.insert("services.loadbalancers".into(), count(balancers));
    out.insert("services.nodeports".into(), count(node_ports as i64));
}

fn volume_claim(claim: &Value, out: &mut List) {
    let class = class_of(claim);
    let mut put = |name: &str, q: Quantity| {
        out.insert(name.to_owned(), q);
        if !class.is_empty() {
            out.insert(format!("{class}{STORAGE_CLASS}{name}"), q);
        }
    };
    put("persistentvolumeclaims", count(1));
    let whole = |q: Quantity| if q.is_whole() { q } else { Quantity::from_units(q.value(), q.format) };
    if let Some(mut size) = claim.at("spec.resources.requests.storage").and_then(quantity).map(whole) {
        let allocated = claim.at("status.allocatedResources.storage").and_then(quantity);
        if let Some(q) = allocated.filter(|q| *q > size) {
            size = whole(q);
        }
        put("requests.storage", size);
    }
}

fn device_claim(claim: &Value, now: Timestamp, l: &dyn Lookup, out: &mut List) {
    let devices = |r: &Value| match r.str_at("allocationMode") {
        "ExactCount" => r.i64_at("count").unwrap_or(0),
        "All" => ALL_DEVICES,
        _ => 0,
    };
    let class = |r: &Value| format!("{}{DEVICE_CLASS}", r.str_at("deviceClassName"));
    let mut total: BTreeMap<String, i64> = BTreeMap::new();
    for request in claim.array_at("spec.devices.requests") {
        let alternatives = request.array_at("firstAvailable");
        if !alternatives.is_empty() {
            // Of alternatives the worst counts, for each class.
            let mut worst: BTreeMap<String, i64> = BTreeMap::new();
            for sub in alternatives {
                let n = worst.entry(class(sub)).or_default();
                *n = devices(sub).max(*n);
            }
            for (k, n) in worst.into_iter().filter(|(_, n)| *n > 0) {
                *total.entry(k).or_default() += n;
            }
        } else if let Some(exactly) = request.get("exactly") {
            *total.entry(class(exactly)).or_default() += devices(exactly);
        }
    }
    let of_pod = owner_usage(claim, now, l);
    let mut extended = List::new();
    for (name, n) in &total {
        let Some(class) = name.strip_suffix(DEVICE_CLASS).filter(|c| !c.is_empty()) else { continue };
        extended.insert(format!("{IMPLICIT_DEVICE_CLASS}{class}"), count(*n));
        if let Some(resource) = extended_name(class, l) {
            extended.insert(format!("requests.{resource}"), count(*n));
        }
    }
    out.extend(total.into_iter().map(|(k, n)| (k, count(n))));
    // What the pod has been charged for already does not count twice.
    for (name, q) in extended {
        let q = of_pod.get(&name).map_or(q, |p| q.minus(p));
        if q > Quantity::zero() {
            out.insert(name, q);
        }
    }
}

/// The extended resource that stands for a device class.
fn extended_name(class: &str, l: &dyn Lookup) -> Option<String> {
    let class = l.get("resource.k8s.io", "deviceclasses", "", class)?;
    let name = class.str_at("spec.extendedResourceName");
    (!name.is_empty()).then(|| name.to_owned())
}

fn has_device_class(resource: &str, l: &dyn Lookup) -> bool {
    if let Some(class) = resource.strip_prefix("deviceclass.resource.kubernetes.io/") {
        return l.get("resource.k8s.io", "deviceclasses", "", class).is_some();
    }
    let all = l.list("resource.k8s.io", "deviceclasses", "");
    all.iter().any(|c| c.str_at("spec.extendedResourceName") == resource)
}

/// The usage of the pod that a claim was made for, where the claim stands for extended resources of that pod.
fn owner_usage(claim: &Value, now: Timestamp, l: &dyn Lookup) -> List {
    const ANNOTATION: &str = "resource.kubernetes.io/extended-resource-claim";
    let none = List::new();
    if claim.annotation(ANNOTATION) != Some("true") {
        return none;
    }
    let owner = claim.array_at("metadata.ownerReferences").iter().find(|o| o.bool_at("controller"));
    let Some(owner) = owner.filter(|o| o.str_at("kind") == "Pod" && o.str_at("apiVersion") == "v1") else {
        return none;
    };
    let ns = claim.namespace();
    let Some(owning) = l.get("", "pods", ns, owner.str_at("name")).filter(|p| p.uid() == owner.str_at("uid"))
    else {
        return none;
    };
    match owning.at("status.extendedResourceClaimStatus") {
        Some(s) if s.str_at("resourceClaimName") != claim.name() => return none,
        Some(_) => {}
        // Before the pod names its claim, only the first that was made for it goes free.
        None => {
            let key = |c: &Value| {
                let made = Timestamp::parse(c.str_at("metadata.creationTimestamp")).unwrap_or_default();
                (made, c.name().to_owned())
            };
            let mine = key(claim);
            let earlier = l.list("resource.k8s.io", "resourceclaims", ns).iter().any(|c| {
                let owned = c
                    .array_at("metadata.ownerReferences")
                    .iter()
                    .any(|o| o.bool_at("controller") && o.str_at("uid") == owner.str_at("uid"));
                owned && c.annotation(ANNOTATION) == Some("true") && key(c) < mine
            });
            if earlier {
                return none;
            }
        }
    }
    pod(&owning, now)
}
