//! Amounts of resources, and what a pod asks for (component-helpers `resource/helpers.go`).

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What pods without requests count as when nodes are compared (`util/pod_resources.go`).
pub const DEFAULT_MILLI_CPU: i64 = 100;
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

type List = BTreeMap<String, Quantity>;

/// Amounts by name: CPU in thousandths, the rest in units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu: i64,
    pub memory: i64,
    pub storage: i64,
    /// Extended resources, huge pages; by name.
    pub scalars: Vec<(Arc<str>, i64)>,
}

impl Resources {
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.storage,
            _ => self.scalar(name),
        }
    }
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.iter().find(|s| &*s.0 == name).map_or(0, |s| s.1)
    }
    pub fn has_scalar(&self, name: &str) -> bool {
        self.scalars.iter().any(|s| &*s.0 == name)
    }
    pub fn is_zero(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.storage == 0 && self.scalars.is_empty()
    }
    pub fn add(&mut self, o: &Self) {
        self.zip(o, i64::saturating_add);
    }
    pub fn sub(&mut self, o: &Self) {
        self.zip(o, i64::saturating_sub);
    }
    pub fn max(&mut self, o: &Self) {
        self.zip(o, i64::max);
    }
    fn zip(&mut self, o: &Self, f: fn(i64, i64) -> i64) {
        self.cpu = f(self.cpu, o.cpu);
        self.memory = f(self.memory, o.memory);
        self.storage = f(self.storage, o.storage);
        for (name, n) in &o.scalars {
            match self.scalars.iter_mut().find(|s| s.0 == *name) {
                Some(s) => s.1 = f(s.1, *n),
                None => self.scalars.push((name.clone(), f(0, *n))),
            }
        }
    }
    fn set(&mut self, name: &str, n: i64) {
        match name {
            "cpu" => self.cpu = n,
            "memory" => self.memory = n,
            "ephemeral-storage" => self.storage = n,
            _ if is_scalar(name) => match self.scalars.iter_mut().find(|s| &*s.0 == name) {
                Some(s) => s.1 = n,
                None => self.scalars.push((name.into(), n)),
            },
            _ => {}
        }
    }
    /// From a `ResourceList`; names that schedulers do not count are left out.
    pub fn of(list: &List) -> Self {
        let mut r = Self::default();
        for (name, q) in list {
            r.set(name, amount(name, q));
        }
        r
    }
}

/// Whether a resource is counted beyond the three that have a field.
pub fn is_scalar(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-")
}

pub fn amount(name: &str, q: &Quantity) -> i64 {
    let Ok(q) = meta::quantity::Quantity::parse(&q.0) else { return 0 };
    if name == "cpu" { q.milli_value() } else { q.value() }
}

/// The size a claim asks for, or a volume has.
pub fn storage_of(list: Option<&List>) -> Option<i64> {
    list?.get("storage").map(|q| amount("storage", q))
}

/// What pods may ask for as a whole.
fn pod_level(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// How a pod is looked at.
#[derive(Clone, Copy, Default)]
struct Options {
    /// What the node has allocated counts too (in-place resize).
    status: bool,
    /// Containers that ask for no CPU count as the default, or for no memory.
    default_cpu: bool,
    default_memory: bool,
    /// What the pod asks for as a whole does not count.
    containers_only: bool,
}

/// All of these at once.
pub struct Demands {
    pub requests: Resources,
    pub charged: Resources,
    pub non_zero: (i64, i64),
    pub scored: Resources,
}

/// What a pod asks for, in every way it is looked at.
pub fn demands(pod: &Pod) -> Demands {
    let charged_by_status = pod.status.as_ref().is_some_and(|s| s.container_statuses.is_some());
    if !charged_by_status && pod.spec.as_ref().is_none_or(|s| s.resources.is_none()) {
        // Nothing but the containers' requests counts, with defaults or without.
        let requests = requests(pod);
        let scored = scored(pod);
        let (charged, non_zero) = (requests.clone(), (scored.cpu, scored.memory));
        return Demands { requests, charged, non_zero, scored };
    }
    let charged = charged(pod);
    Demands { requests: requests(pod), non_zero: non_zero(pod, &charged), scored: scored(pod), charged }
}

/// What a pod asks for by its spec.
pub fn requests(pod: &Pod) -> Resources {
    compute(pod, Options::default())
}
/// What a pod counts for on its node.
pub fn charged(pod: &Pod) -> Resources {
    compute(pod, Options { status: true, ..Options::default() })
}
/// CPU and memory of [`charged`], with defaults for containers that ask for none.
pub fn non_zero(pod: &Pod, charged: &Resources) -> (i64, i64) {
    let whole = pod_requests(pod).is_some();
    let r = compute(
        pod,
        Options {
            status: true,
            default_cpu: !whole || charged.cpu == 0,
            default_memory: !whole || charged.memory == 0,
            containers_only: false,
        },
    );
    (r.cpu, r.memory)
}
/// What a pod counts for when nodes are compared by how full they would be.
pub fn scored(pod: &Pod) -> Resources {
    let o = Options { status: false, default_cpu: true, default_memory: true, containers_only: true };
    compute(pod, o)
}

/// What the pod asks for as a whole, if it does.
fn pod_requests(pod: &Pod) -> Option<&List> {
    let list = pod.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    list.keys().any(|k| pod_level(k)).then_some(list)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Spec,
    Allocated,
    Actuated,
}

fn compute(pod: &Pod, o: Options) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let status = pod.status.as_ref();
    let infeasible = o.status && resize_infeasible(pod);
    let mut r = if o.status && status.is_some_and(|s| s.container_statuses.is_some()) {
        let (allocated, actuated) = match status.map(|s| (&s.allocated_resources, &s.resources)) {
            Some((Some(a), Some(ResourceRequirements { requests: Some(r), .. }))) => {
                (Resources::of(a), Resources::of(r))
            }
            _ => (
                aggregate(pod, o, Source::Allocated, infeasible),
                aggregate(pod, o, Source::Actuated, infeasible),
            ),
        };
        let mut r = if infeasible { Resources::default() } else { aggregate(pod, o, Source::Spec, false) };
        r.max(&allocated);
        r.max(&actuated);
        r
    } else {
        aggregate(pod, o, Source::Spec, false)
    };
    if let Some(list) = pod_requests(pod).filter(|_| !o.containers_only) {
        let mut whole = if infeasible { Resources::default() } else { Resources::of(list) };
        if o.status
            && let Some(s) = status
            && let Some(actuated) = &s.resources
        {
            whole.max(&actuated.requests.as_ref().map(Resources::of).unwrap_or_default());
            whole.max(&s.allocated_resources.as_ref().map(Resources::of).unwrap_or_default());
        }
        for name in list.keys().filter(|k| pod_level(k)) {
            r.set(name, whole.get(name));
        }
    }
    if let Some(overhead) = &spec.overhead {
        r.add(&Resources::of(overhead));
    }
    r
}

fn aggregate(pod: &Pod, o: Options, source: Source, infeasible: bool) -> Resources {
    let Some(spec) = &pod.spec else { return Resources::default() };
    let one = |c: &Container| of_container(pod, c, o, source, infeasible);
    let mut total = Resources::default();
    for c in &spec.containers {
        total.add(&one(c));
    }
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for c in spec.init_containers.iter().flatten() {
        let r = one(c);
        if c.restart_policy.as_deref() == Some("Always") {
            total.add(&r);
            sidecars.add(&r);
            peak.max(&sidecars);
        } else {
            let mut with = r;
            with.add(&sidecars);
            peak.max(&with);
        }
    }
    total.max(&peak);
    total
}

fn of_container(pod: &Pod, c: &Container, o: Options, source: Source, infeasible: bool) -> Resources {
    let spec = c.resources.as_ref().and_then(|r| r.requests.as_ref());
    let status = if source == Source::Spec { None } else { container_status(pod, &c.name) };
    let allocated = status.and_then(|s| s.allocated_resources.as_ref());
    let list = match source {
        Source::Spec => spec,
        Source::Allocated => allocated.or(if infeasible { None } else { spec }),
        Source::Actuated => status
            .and_then(|s| s.resources.as_ref())
            .and_then(|r| r.requests.as_ref())
            .or(allocated)
            .or(if infeasible { None } else { spec }),
    };
    let mut r = list.map(Resources::of).unwrap_or_default();
    let has = |k: &str| list.is_some_and(|l| l.contains_key(k));
    if o.default_cpu && !has("cpu") {
        r.cpu = DEFAULT_MILLI_CPU;
    }
    if o.default_memory && !has("memory") {
        r.memory = DEFAULT_MEMORY;
    }
    r
}

fn container_status<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    let s = pod.status.as_ref()?;
    let all = s.container_statuses.iter().flatten().chain(s.init_container_statuses.iter().flatten());
    all.into_iter().find(|c| c.name == name)
}

fn resize_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|s| s.conditions.iter().flatten());
    conditions
        .into_iter()
        .find(|c| c.type_ == "PodResizePending")
        .is_some_and(|c| c.reason.as_deref() == Some("Infeasible"))
}
