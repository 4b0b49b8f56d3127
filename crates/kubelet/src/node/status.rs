//! The Node object: making it, and keeping its status.

use super::machine::{self, Machine};
use super::runtime_state;
use crate::config::Config;
use crate::kubelet::Kubelet;
use crate::pod::helpers;
use crate::pod::qos::{self, List};
use client::PatchKind;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus, NodeSwapStatus, NodeSystemInfo,
    Taint,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub const KUBELET_VERSION: &str = "v1.37.2";
const MAX_IMAGES: usize = 50;
const MAX_NAMES: usize = 5;

/// What the node is short of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pid: bool,
}

fn q(s: impl Into<String>) -> Quantity {
    Quantity(s.into())
}

/// What the machine has.
pub fn capacity(m: &Machine, disk: Option<machine::Disk>, max_pods: usize) -> List {
    let mut l = List::from([
        ("cpu".to_owned(), q(m.cpus.to_string())),
        ("memory".to_owned(), q(format!("{}Ki", m.memory / 1024))),
        ("pods".to_owned(), q(max_pods.to_string())),
        ("ephemeral-storage".to_owned(), q(format!("{}Ki", disk.unwrap_or_default().capacity / 1024))),
    ]);
    for (size, bytes) in &m.hugepages {
        l.insert(format!("hugepages-{size}"), q(machine::binary(*bytes)));
    }
    l
}

/// A threshold of bytes: a quantity, or a part of the whole.
pub fn threshold(text: &str, whole: i64) -> i64 {
    if let Some(p) = text.strip_suffix('%') {
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a percentage")]
        let n = (whole as f64 * p.trim().parse::<f64>().unwrap_or(0.0) / 100.0) as i64;
        return n;
    }
    meta::quantity::Quantity::parse(text).map_or(0, |q| q.value())
}

/// What pods may use: the capacity without what is reserved and what eviction keeps free.
pub fn allocatable(capacity: &List, cfg: &Config) -> List {
    let mut out = capacity.clone();
    for (k, v) in &mut out {
        let mut milli = qos::milli(Some(capacity), k);
        for reserved in [&cfg.kube_reserved, &cfg.system_reserved] {
            if let Some(r) = reserved.get(k) {
                milli -= meta::quantity::Quantity::parse(r).map_or(0, |q| q.milli_value());
            }
        }
        let hard = match k.as_str() {
            "memory" => cfg.eviction.hard.get("memory.available"),
            "ephemeral-storage" => cfg.eviction.hard.get("nodefs.available"),
            _ => None,
        };
        if let Some(h) = hard {
            milli -= threshold(h, qos::value(Some(capacity), k)) * 1000;
        }
        let milli = milli.max(0);
        *v = match k.as_str() {
            "cpu" if milli % 1000 != 0 => q(format!("{milli}m")),
            "memory" if milli / 1000 % 1024 == 0 => q(format!("{}Ki", milli / 1000 / 1024)),
            k if k.starts_with("hugepages-") => q(machine::binary(milli / 1000)),
            _ => q((milli / 1000).to_string()),
        };
    }
    // Reserved huge pages are not memory for pods.
    let huge: i64 = capacity
        .iter()
        .filter(|(k, _)| k.starts_with("hugepages-"))
        .map(|(k, _)| qos::value(Some(capacity), k))
        .sum();
    if huge > 0
        && let Some(m) = out.get_mut("memory")
    {
        let left = meta::quantity::Quantity::parse(&m.0).map_or(0, |q| q.value()) - huge;
        *m = q(left.max(0).to_string());
    }
    out
}

fn condition(kind: &str, on: bool, reason: &str, message: &str, now: i64) -> NodeCondition {
    NodeCondition {
        type_: kind.into(),
        status: if on { "True" } else { "False" }.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_heartbeat_time: Some(helpers::time(now)),
        last_transition_time: Some(helpers::time(now)),
    }
}

fn conditions(p: &Pressure, r: &runtime_state::State, capacity_known: bool, now: i64) -> Vec<NodeCondition> {
    let mut trouble: Vec<String> = vec![];
    for r in [&r.runtime, &r.network] {
        if let Err(e) = r
            && !trouble.contains(e)
        {
            trouble.push(e.clone());
        }
    }
    if !capacity_known {
        trouble.push("missing node capacity for resources: ephemeral-storage".into());
    }
    let pick = |on: bool, kind: &str, a: (&str, &str), b: (&str, &str)| {
        let (reason, message) = if on { a } else { b };
        condition(kind, on, reason, message, now)
    };
    let ready = match trouble.len() {
        0 => condition("Ready", true, "KubeletReady", "kubelet is posting ready status", now),
        1 => condition("Ready", false, "KubeletNotReady", &trouble[0], now),
        _ => condition("Ready", false, "KubeletNotReady", &format!("[{}]", trouble.join(", ")), now),
    };
    vec![
        pick(
            p.memory,
            "MemoryPressure",
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        pick(
            p.disk,
            "DiskPressure",
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pick(
            p.pid,
            "PIDPressure",
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        ready,
    ]
}

async fn images(k: &Kubelet) -> Vec<ContainerImage> {
    let Ok(l) = k.cri.list_images(cri::v1::ListImagesRequest::default()).await else { return vec![] };
    let mut all = l.images;
    all.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.id.cmp(&b.id)));
    all.into_iter()
        .take(MAX_IMAGES)
        .map(|i| {
            let mut names = i.repo_digests;
            names.extend(i.repo_tags);
            names.truncate(MAX_NAMES);
            ContainerImage { names: Some(names), size_bytes: i64::try_from(i.size).ok() }
        })
        .collect()
}

fn handlers(r: &runtime_state::State) -> Option<Vec<NodeRuntimeHandler>> {
    if r.handlers.is_empty() {
        return None;
    }
    let mut list: Vec<NodeRuntimeHandler> = r
        .handlers
        .iter()
        .map(|h| NodeRuntimeHandler {
            name: Some(h.name.clone()),
            features: h.features.as_ref().map(|f| NodeRuntimeHandlerFeatures {
                recursive_read_only_mounts: Some(f.recursive_read_only_mounts),
                user_namespaces: Some(f.user_namespaces),
            }),
        })
        .collect();
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Some(list)
}

/// What this kubelet does that others ask for by name, sorted (upstream `component-helpers/nodedeclaredfeatures`).
const DECLARED: &[&str] = &[streams::translate::NODE_FEATURE];

/// The node's status now; transition times as if everything had just changed.
pub async fn status(k: &Kubelet) -> NodeStatus {
    let r = k.runtime_state.get();
    let now = k.now();
    let mut addresses: Vec<NodeAddress> =
        k.host_ips.iter().map(|ip| NodeAddress { type_: "InternalIP".into(), address: ip.clone() }).collect();
    addresses.push(NodeAddress { type_: "Hostname".into(), address: k.cfg.node_name.clone() });
    let m = &k.machine;
    let disk = machine::disk(&k.cfg.root_dir);
    let capacity = capacity(m, disk, k.cfg.max_pods);
    let pressure = k.conditions.lock().unwrap_or_else(PoisonError::into_inner).clone();
    NodeStatus {
        addresses: Some(addresses),
        conditions: Some(conditions(&pressure, &r, disk.is_some(), now)),
        allocatable: Some(allocatable(&capacity, &k.cfg)),
        capacity: Some(capacity),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(k.cfg.port) }),
        }),
        node_info: Some(NodeSystemInfo {
            architecture: m.architecture.into(),
            boot_id: m.boot_id.clone(),
            container_runtime_version: format!("{}://{}", r.name, r.version.trim_start_matches('v')),
            kernel_version: m.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: KUBELET_VERSION.into(),
            machine_id: m.machine_id.clone(),
            operating_system: "linux".into(),
            os_image: m.os_image.clone(),
            running_in_user_namespace: Some(false),
            swap: (m.swap > 0).then_some(NodeSwapStatus { capacity: Some(m.swap) }),
            system_uuid: m.system_uuid.clone(),
        }),
        images: Some(images(k).await),
        runtime_handlers: handlers(&r),
        declared_features: Some(DECLARED.iter().map(|f| (*f).to_owned()).collect()),
        features: Some(NodeFeatures { supplemental_groups_policy: Some(r.supplemental_groups_policy) }),
        ..Default::default()
    }
}

/// Labels that the kubelet sets.
pub fn labels(cfg: &Config, m: &Machine) -> BTreeMap<String, String> {
    let mut l = BTreeMap::from([
        ("kubernetes.io/hostname".to_owned(), cfg.node_name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), m.architecture.to_owned()),
        ("beta.kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("beta.kubernetes.io/arch".to_owned(), m.architecture.to_owned()),
    ]);
    l.extend(cfg.node_labels.clone());
    l
}

/// `key=value:Effect` or `key:Effect`
pub fn parse_taint(t: &str) -> Option<Taint> {
    let (kv, effect) = t.rsplit_once(':')?;
    let (key, value) = kv.split_once('=').unwrap_or((kv, ""));
    if key.is_empty() || !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return None;
    }
    Some(Taint {
        key: key.into(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        effect: effect.into(),
        time_added: None,
    })
}

/// Registers the node, or brings its labels up to date.
pub async fn register(k: &Kubelet) -> Result<(), client::Error> {
    let name = k.cfg.node_name.as_str();
    let wanted = labels(&k.cfg, &k.machine);
    let mut node = Node::default();
    node.metadata.name = Some(name.into());
    node.metadata.labels = Some(wanted.clone());
    node.metadata.annotations = Some(BTreeMap::from([(
        "volumes.kubernetes.io/controller-managed-attach-detach".to_owned(),
        "true".to_owned(),
    )]));
    let taints: Vec<Taint> = k.cfg.register_taints.iter().filter_map(|t| parse_taint(t)).collect();
    node.spec = Some(NodeSpec {
        taints: (!taints.is_empty()).then_some(taints),
        provider_id: (!k.cfg.provider_id.is_empty()).then(|| k.cfg.provider_id.clone()),
        ..Default::default()
    });
    node.status = Some(status(k).await);
    match k.client.create(&node).await {
        Ok(_) => {
            tracing::info!(node = name, "registered the node");
            return Ok(());
        }
        Err(e) if e.is_already_exists() => {}
        Err(e) => return Err(e),
    }
    let have: Node = k.client.get(None, name).await?;
    let old = have.metadata.labels.unwrap_or_default();
    let changed: BTreeMap<&String, &String> =
        wanted.iter().filter(|(l, v)| old.get(*l) != Some(*v)).collect();
    if !changed.is_empty() {
        let patch = json!({"metadata": {"labels": changed}});
        let _: Node = k.client.patch(None, name, "", PatchKind::Strategic, &patch).await?;
    }
    Ok(())
}

/// Heartbeats and image lists put aside: what decides whether the status has changed.
fn essence(s: &NodeStatus) -> Value {
    let mut s = s.clone();
    for c in s.conditions.iter_mut().flatten() {
        c.last_heartbeat_time = None;
        c.last_transition_time = None;
    }
    serde_json::to_value(s).unwrap_or_default()
}

/// Whether the API server has our conditions: others change them when they miss us.
fn agree(ours: &NodeStatus, is: &NodeStatus) -> bool {
    ours.conditions.iter().flatten().all(|c| {
        let other = is.conditions.iter().flatten().find(|o| o.type_ == c.type_);
        other.is_some_and(|o| o.status == c.status && o.reason == c.reason)
    })
}

/// Keeps transition times of conditions that did not change.
fn keep_times(new: &mut NodeStatus, old: &NodeStatus) {
    for c in new.conditions.iter_mut().flatten() {
        let before = old.conditions.iter().flatten().find(|o| o.type_ == c.type_);
        if let Some(o) = before.filter(|o| o.status == c.status) {
            c.last_transition_time.clone_from(&o.last_transition_time);
        }
    }
}

/// A patch that makes the status ours and leaves others' parts alone.
fn patch(s: &NodeStatus, old: &NodeStatus) -> Value {
    let mut v = serde_json::to_value(s).unwrap_or_default();
    if s.addresses != old.addresses
        && let Some(Value::Array(a)) = v.get_mut("addresses")
    {
        a.insert(0, json!({"$patch": "replace"}));
    }
    json!({"status": v})
}

/// Registers and reports until the runtime stops.
pub async fn run(k: Arc<Kubelet>) {
    let mut registered = !k.cfg.register_node;
    // The API server's last known status, and when it was told.
    let mut told: Option<(NodeStatus, i64)> = None;
    let mut wait = Duration::from_millis(100);
    let report = i64::try_from(k.cfg.node_status_report.as_nanos()).unwrap_or(i64::MAX);
    loop {
        let result = async {
            if !registered {
                register(&k).await?;
                registered = true;
            }
            let mut new = status(&k).await;
            let now = k.now();
            let old = match &told {
                // Whoever was away was given up meanwhile: the API server's word counts, not what it was told last.
                Some((old, at)) if essence(old) == essence(&new) && now - at < report => {
                    let is = k.client.get::<Node>(None, &k.cfg.node_name).await?.status.unwrap_or_default();
                    if agree(&new, &is) {
                        return Ok(());
                    }
                    is
                }
                Some((old, _)) => old.clone(),
                None => k.client.get::<Node>(None, &k.cfg.node_name).await?.status.unwrap_or_default(),
            };
            keep_times(&mut new, &old);
            announce(&k, &new, &old, told.is_some());
            let body = patch(&new, &old);
            let got: Node =
                k.client.patch(None, &k.cfg.node_name, "status", PatchKind::Strategic, &body).await?;
            *k.node_labels.write().unwrap_or_else(PoisonError::into_inner) = got.metadata.labels.clone();
            told = Some((new, now));
            Ok::<(), client::Error>(())
        }
        .await;
        let period = k.cfg.node_status_update;
        let pause = match result {
            Ok(()) => {
                wait = Duration::from_millis(100);
                k.rt.ready.set("kubelet-node", Ok(()));
                period
            }
            Err(e) => {
                if e.is_not_found() {
                    registered = !k.cfg.register_node;
                    told = None;
                }
                tracing::warn!(node = k.cfg.node_name, error = %e, "reporting the node's status failed, trying again");
                k.rt.ready.set("kubelet-node", Err(e.to_string()));
                wait = (wait * 2).min(period);
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = k.node_changed.notified() => {}
            () = k.rt.stopping() => return,
        }
    }
}

/// Events for conditions that turned.
fn announce(k: &Kubelet, new: &NodeStatus, old: &NodeStatus, running: bool) {
    for c in new.conditions.iter().flatten() {
        let before = old.conditions.iter().flatten().find(|o| o.type_ == c.type_).map(|o| o.status.as_str());
        if before == Some(c.status.as_str()) || (before.is_none() && running) {
            continue;
        }
        let reason = match (c.type_.as_str(), c.status.as_str()) {
            ("Ready", "True") => "NodeReady",
            ("Ready", _) if before.is_some() => "NodeNotReady",
            ("MemoryPressure", "True") => "NodeHasInsufficientMemory",
            ("MemoryPressure", _) => "NodeHasSufficientMemory",
            ("DiskPressure", "True") => "NodeHasDiskPressure",
            ("DiskPressure", _) => "NodeHasNoDiskPressure",
            ("PIDPressure", "True") => "NodeHasInsufficientPID",
            ("PIDPressure", _) => "NodeHasSufficientPID",
            _ => continue,
        };
        let m = format!("Node {} status is now: {reason}", k.cfg.node_name);
        k.recorder.node("Normal", reason, &m);
    }
}

/// Asks the runtime how it is until the runtime stops; the node's status follows when that changes.
pub async fn watch_runtime(k: Arc<Kubelet>) {
    loop {
        let before = k.runtime_state.get();
        let now = runtime_state::ask(&*k.cri, &before).await;
        let good = now.runtime.is_ok();
        let network = before.network.is_err() && now.network.is_ok();
        if k.runtime_state.set(now) {
            k.node_changed.notify_one();
        }
        if network {
            for e in k.entries() {
                e.wake.notify_one();
            }
        }
        let pause = if good && k.runtime_state.get().network.is_ok() {
            Duration::from_secs(5)
        } else {
            Duration::from_millis(500)
        };
        tokio::select! { () = tokio::time::sleep(pause) => {}, () = k.rt.stopping() => return }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources() {
        let m = Machine {
            cpus: 4,
            memory: 8 << 30,
            hugepages: vec![("2Mi".into(), 1 << 30)],
            ..Default::default()
        };
        let disk = machine::Disk { capacity: 100 << 30, ..Default::default() };
        let c = capacity(&m, Some(disk), 110);
        let mut cfg = Config::default();
        cfg.kube_reserved.insert("cpu".into(), "100m".into());
        cfg.system_reserved.insert("memory".into(), "1Gi".into());
        let a = allocatable(&c, &cfg);
        let show = |l: &List| l.iter().map(|(k, v)| format!("{k}={}", v.0)).collect::<Vec<_>>().join(" ");
        assert_eq!(
            show(&c),
            "cpu=4 ephemeral-storage=104857600Ki hugepages-2Mi=1Gi memory=8388608Ki pods=110"
        );
        let memory = (8i64 << 30) - (1 << 30) - (100 << 20) - (1 << 30);
        assert_eq!(
            show(&a),
            format!("cpu=3900m ephemeral-storage=96636764160 hugepages-2Mi=1Gi memory={memory} pods=110")
        );
    }

    #[test]
    fn ready_says_why_not() {
        let good = runtime_state::State { runtime: Ok(()), network: Ok(()), ..Default::default() };
        let c = conditions(&Pressure::default(), &good, true, 0);
        assert_eq!((c[3].status.as_str(), c[0].status.as_str()), ("True", "False"));
        let bad = runtime_state::State { network: Err("no network".into()), ..good };
        let c = conditions(&Pressure { disk: true, ..Default::default() }, &bad, true, 0);
        assert_eq!((c[3].status.as_str(), c[3].message.as_deref()), ("False", Some("no network")));
        assert_eq!(c[1].reason.as_deref(), Some("KubeletHasDiskPressure"));
    }

    /// As the node lifecycle controller leaves a node that it missed for a while.
    #[test]
    fn a_node_that_was_given_up_says_so_no_more() {
        let with = |kind: &str, status: &str, reason: &str| NodeCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            ..Default::default()
        };
        let status = |ready: NodeCondition| NodeStatus {
            conditions: Some(vec![with("NetworkUnavailable", "False", "Theirs"), ready]),
            ..Default::default()
        };
        let ours = NodeStatus {
            conditions: Some(vec![with("Ready", "True", "KubeletReady")]),
            ..Default::default()
        };
        assert!(super::agree(&ours, &status(with("Ready", "True", "KubeletReady"))));
        assert!(!super::agree(&ours, &status(with("Ready", "Unknown", "NodeStatusUnknown"))));
        assert!(!super::agree(&ours, &NodeStatus::default()));
    }

    #[test]
    fn unchanged_is_unchanged() {
        let good = runtime_state::State { runtime: Ok(()), network: Ok(()), ..Default::default() };
        let at = |now| NodeStatus {
            conditions: Some(conditions(&Pressure::default(), &good, true, now)),
            ..Default::default()
        };
        let (old, mut new) = (at(1_000_000_000), at(9_000_000_000));
        assert_eq!(essence(&old), essence(&new));
        keep_times(&mut new, &old);
        assert_eq!(new.conditions.unwrap()[0].last_transition_time, Some(helpers::time(1_000_000_000)));
        assert_eq!(parse_taint("a=b:NoSchedule").unwrap().value.as_deref(), Some("b"));
        assert!(parse_taint("a=b").is_none());
    }
}
