//! `KubeSchedulerConfiguration` (`kubescheduler.config.k8s.io/v1`): profiles, their plugins and arguments.

mod args;

use crate::framework::{Plugin, Profile};
use crate::plugins::default_preemption::DefaultPreemption;
use crate::plugins::{self, ALL};
use crate::queue::Backoff;
use args::Args;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";

/// What a configuration file says, with the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub profiles: Vec<ProfileConfig>,
    /// 0: by the size of the cluster.
    pub percentage_to_score: i64,
    /// Seconds.
    pub initial_backoff: i64,
    pub max_backoff: i64,
    pub leader_election: LeaderElection,
    /// `clientConnection.kubeconfig`.
    pub kubeconfig: Option<String>,
    /// `delayCacheUntilActive`: who does not lead does not watch the cluster.
    pub watch_late: bool,
    /// Settings of the file that change nothing here.
    pub without_effect: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LeaderElection {
    pub on: bool,
    pub namespace: String,
    pub name: String,
    pub lease_duration: Duration,
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ProfileConfig {
    pub name: String,
    pub percentage_to_score: Option<i64>,
    /// By extension point.
    points: BTreeMap<String, PluginSet>,
    args: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct PluginSet {
    enabled: Vec<(String, i64)>,
    disabled: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profiles: vec![ProfileConfig::new("default-scheduler")],
            percentage_to_score: 0,
            initial_backoff: 1,
            max_backoff: 10,
            leader_election: LeaderElection {
                on: true,
                namespace: "kube-system".into(),
                name: "kube-scheduler".into(),
                lease_duration: Duration::from_secs(15),
                renew_deadline: Duration::from_secs(10),
                retry_period: Duration::from_secs(2),
            },
            kubeconfig: None,
            watch_late: false,
            without_effect: Vec::new(),
        }
    }
}

/// Reads fields of an object and complains about those that are not known.
struct Fields<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn of(at: &str, v: &'a Value, known: &[&str]) -> Result<Self, String> {
        let map = v.as_object().ok_or_else(|| format!("{at}: expected an object"))?;
        if let Some(k) = map.keys().find(|k| !known.contains(&k.as_str())) {
            let dot = if at.is_empty() { "" } else { "." };
            return Err(format!("strict decoding error: unknown field \"{at}{dot}{k}\""));
        }
        Ok(Self { at: at.to_owned(), map })
    }
    fn get(&self, k: &str) -> Option<&'a Value> {
        self.map.get(k).filter(|v| !v.is_null())
    }
    fn path(&self, k: &str) -> String {
        if self.at.is_empty() { k.to_owned() } else { format!("{}.{k}", self.at) }
    }
    fn int(&self, k: &str) -> Result<Option<i64>, String> {
        let int = |v: &Value| v.as_i64().ok_or_else(|| format!("{}: expected a whole number", self.path(k)));
        self.get(k).map(int).transpose()
    }
    fn text(&self, k: &str) -> Result<Option<&'a str>, String> {
        let text = |v: &'a Value| v.as_str().ok_or_else(|| format!("{}: expected a string", self.path(k)));
        self.get(k).map(text).transpose()
    }
    fn bool(&self, k: &str) -> Result<Option<bool>, String> {
        let b = |v: &Value| v.as_bool().ok_or_else(|| format!("{}: expected true or false", self.path(k)));
        self.get(k).map(b).transpose()
    }
    fn list(&self, k: &str) -> Result<&'a [Value], String> {
        match self.get(k) {
            None => Ok(&[]),
            Some(Value::Array(a)) => Ok(a),
            Some(_) => Err(format!("{}: expected a list", self.path(k))),
        }
    }
}

/// Go's `15s`, `1m30s`, `1.5h`, `200ms`.
pub fn duration(s: &str) -> Result<Duration, String> {
    let bad = || format!("time: invalid duration {}", meta::field::quote(s));
    if s == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (Duration::ZERO, s);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, more) = tail.split_at(end);
        let unit = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        let n: f64 = number.parse().map_err(|_| bad())?;
        let part = Duration::try_from_secs_f64(n * unit).map_err(|_| bad())?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = more;
    }
    if s.is_empty() { Err(bad()) } else { Ok(total) }
}

impl Config {
    /// Reads a configuration; the error says what is wrong and where.
    pub fn parse(v: &Value) -> Result<Self, String> {
        let f = Fields::of(
            "",
            v,
            &[
                "apiVersion",
                "kind",
                "parallelism",
                "leaderElection",
                "clientConnection",
                "enableProfiling",
                "enableContentionProfiling",
                "percentageOfNodesToScore",
                "podInitialBackoffSeconds",
                "podMaxBackoffSeconds",
                "profiles",
                "extenders",
                "delayCacheUntilActive",
            ],
        )?;
        let (version, kind) = (f.text("apiVersion")?.unwrap_or(""), f.text("kind")?.unwrap_or(""));
        if version != API_VERSION || kind != KIND {
            return Err(format!("no kind \"{kind}\" is registered for version \"{version}\""));
        }
        if !f.list("extenders")?.is_empty() {
            return Err("extenders: not supported; use a scheduler that has them for those pods".into());
        }
        let mut c = Self::default();
        if let Some(p) = f.int("percentageOfNodesToScore")? {
            if !(0..=100).contains(&p) {
                return Err(format!(
                    "percentageOfNodesToScore: Invalid value: {p}: not in valid range [0-100]"
                ));
            }
            c.percentage_to_score = p;
        }
        c.initial_backoff = f.int("podInitialBackoffSeconds")?.unwrap_or(c.initial_backoff);
        c.max_backoff = f.int("podMaxBackoffSeconds")?.unwrap_or(c.max_backoff);
        if c.initial_backoff <= 0 {
            return Err(format!(
                "podInitialBackoffSeconds: Invalid value: {}: must be greater than 0",
                c.initial_backoff
            ));
        }
        if c.max_backoff < c.initial_backoff {
            return Err(format!(
                "podMaxBackoffSeconds: Invalid value: {}: must be greater than or equal to PodInitialBackoffSeconds",
                c.max_backoff
            ));
        }
        if let Some(l) = f.get("leaderElection") {
            c.leader_election.read(l)?;
        }
        if let Some(k) = f.get("clientConnection") {
            let known = ["kubeconfig", "acceptContentTypes", "contentType", "qps", "burst"];
            let k = Fields::of("clientConnection", k, &known)?;
            c.kubeconfig = k.text("kubeconfig")?.filter(|k| !k.is_empty()).map(str::to_owned);
            let names = ["acceptContentTypes", "contentType", "qps", "burst"];
            c.without_effect.extend(names.into_iter().filter(|n| k.get(n).is_some()));
        }
        c.watch_late = f.bool("delayCacheUntilActive")?.unwrap_or(false);
        let names = ["parallelism", "enableProfiling", "enableContentionProfiling"];
        c.without_effect.extend(names.into_iter().filter(|n| f.get(n).is_some()));
        let profiles = f.list("profiles")?;
        if !profiles.is_empty() {
            let mut all = Vec::new();
            for (i, p) in profiles.iter().enumerate() {
                let at = format!("profiles[{i}]");
                let p = ProfileConfig::parse(&at, p, profiles.len() == 1)?;
                if all.iter().any(|a: &ProfileConfig| a.name == p.name) {
                    return Err(format!("{at}.schedulerName: Duplicate value: \"{}\"", p.name));
                }
                all.push(p);
            }
            c.profiles = all;
        }
        // Mistakes in plugins show now, not with the first pod.
        c.build()?;
        Ok(c)
    }
    pub fn backoff(&self) -> Backoff {
        Backoff { initial: self.initial_backoff * 1000, max: self.max_backoff * 1000 }
    }
    /// How long volumes may take to be bound, in seconds.
    pub fn volume_timeout(&self) -> i64 {
        let of = |p: &ProfileConfig| p.args.get("VolumeBinding")?.get("bindTimeoutSeconds")?.as_i64();
        self.profiles.iter().filter_map(of).max().unwrap_or(600)
    }
    /// The profiles with their plugins.
    pub fn build(&self) -> Result<Vec<Profile>, String> {
        self.profiles.iter().map(|p| p.build(self.percentage_to_score)).collect()
    }
}

impl LeaderElection {
    fn read(&mut self, v: &Value) -> Result<(), String> {
        let at = "leaderElection";
        let f = Fields::of(
            at,
            v,
            &[
                "leaderElect",
                "leaseDuration",
                "renewDeadline",
                "retryPeriod",
                "resourceLock",
                "resourceName",
                "resourceNamespace",
            ],
        )?;
        self.on = f.bool("leaderElect")?.unwrap_or(self.on);
        for (k, into) in [
            ("leaseDuration", &mut self.lease_duration),
            ("renewDeadline", &mut self.renew_deadline),
            ("retryPeriod", &mut self.retry_period),
        ] {
            if let Some(s) = f.text(k)? {
                *into = duration(s).map_err(|e| format!("{}: {e}", f.path(k)))?;
            }
        }
        if let Some(l) = f.text("resourceLock")?.filter(|l| *l != "leases") {
            return Err(format!(
                "{at}.resourceLock: Invalid value: \"{l}\": resourceLock value must be \"leases\""
            ));
        }
        self.name = f.text("resourceName")?.map_or(std::mem::take(&mut self.name), str::to_owned);
        self.namespace =
            f.text("resourceNamespace")?.map_or(std::mem::take(&mut self.namespace), str::to_owned);
        self.check().map_err(|e| format!("{at}.{e}"))
    }
    /// Whether the times go together.
    pub fn check(&self) -> Result<(), String> {
        if self.lease_duration <= self.renew_deadline {
            return Err("leaseDuration: LeaseDuration must be greater than RenewDeadline".to_owned());
        }
        // Retries come up to a fifth later than planned.
        if self.retry_period.is_zero() || self.renew_deadline <= self.retry_period.mul_f64(1.2) {
            return Err(
                "renewDeadline: RenewDeadline must be greater than RetryPeriod*JitterFactor".to_owned()
            );
        }
        Ok(())
    }
}

/// Plugins that take arguments.
const WITH_ARGS: [&str; 8] = [
    "DefaultPreemption",
    "DynamicResources",
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "PodTopologySpread",
    "VolumeBinding",
];

const POINTS: [&str; 13] = [
    "preEnqueue",
    "queueSort",
    "preFilter",
    "filter",
    "postFilter",
    "preScore",
    "score",
    "reserve",
    "permit",
    "preBind",
    "bind",
    "postBind",
    "multiPoint",
];

impl ProfileConfig {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            percentage_to_score: None,
            points: BTreeMap::new(),
            args: BTreeMap::new(),
        }
    }
    fn parse(at: &str, v: &Value, only: bool) -> Result<Self, String> {
        let f = Fields::of(at, v, &["schedulerName", "percentageOfNodesToScore", "plugins", "pluginConfig"])?;
        let name = match f.text("schedulerName")? {
            Some(n) => n,
            None if only => "default-scheduler",
            None => return Err(format!("{at}.schedulerName: Required value")),
        };
        let mut p = Self::new(name);
        p.percentage_to_score = f.int("percentageOfNodesToScore")?;
        if let Some(plugins) = f.get("plugins") {
            let at = format!("{at}.plugins");
            let f = Fields::of(&at, plugins, &POINTS)?;
            for point in POINTS {
                let Some(set) = f.get(point) else { continue };
                p.points.insert(point.to_owned(), PluginSet::parse(&format!("{at}.{point}"), set)?);
            }
        }
        for (i, c) in f.list("pluginConfig")?.iter().enumerate() {
            let at = format!("{at}.pluginConfig[{i}]");
            let f = Fields::of(&at, c, &["name", "args"])?;
            let name = f.text("name")?.unwrap_or_default();
            if !ALL.iter().any(|a| a.0 == name) {
                return Err(format!("{at}: Invalid value: \"{name}\": does not exist"));
            }
            if f.get("args").is_some() && !WITH_ARGS.contains(&name) {
                return Err(format!(
                    "{at}.args: no kind \"{name}Args\" is registered for version \"{API_VERSION}\""
                ));
            }
            if p.args.insert(name.to_owned(), f.get("args").cloned().unwrap_or(Value::Null)).is_some() {
                return Err(format!("{at}: Duplicate value: \"{name}\""));
            }
        }
        Ok(p)
    }
    /// Whether a plugin acts at a point, and with which weight.
    fn at(&self, point: &str, name: &str) -> Option<i64> {
        let own = ALL.iter().find(|a| a.0 == name).map_or(1, |a| a.1);
        let set = self.points.get(point);
        if let Some((_, w)) = set.and_then(|s| s.enabled.iter().find(|e| e.0 == name)) {
            return Some(if *w == 0 { own.max(1) } else { *w });
        }
        if set.is_some_and(|s| s.disables(name)) {
            return None;
        }
        let multi = self.points.get("multiPoint");
        if let Some((_, w)) = multi.and_then(|s| s.enabled.iter().find(|e| e.0 == name)) {
            return Some(if *w == 0 { own.max(1) } else { *w });
        }
        if multi.is_some_and(|s| s.disables(name)) { None } else { Some(own) }
    }
    fn build(&self, percentage: i64) -> Result<Profile, String> {
        let args = Args { profile: &self.name, all: &self.args };
        let on = |points: &[&str], name: &str| points.iter().all(|p| self.at(p, name).is_some());
        let mut profile = Profile {
            name: self.name.clone(),
            pre_enqueue: Vec::new(),
            filters: Vec::new(),
            scores: Vec::new(),
            preemption: None,
            binds_volumes: on(&["reserve", "preBind"], "VolumeBinding"),
            percentage_to_score: self.percentage_to_score.unwrap_or(percentage),
        };
        for needed in [("queueSort", "PrioritySort"), ("bind", "DefaultBinder")] {
            if self.at(needed.0, needed.1).is_none() {
                return Err(format!("profile {}: {} is needed for {}", self.name, needed.1, needed.0));
            }
        }
        for (name, _) in ALL {
            let plugin: Arc<dyn Plugin> = match name {
                "PrioritySort" | "DefaultBinder" => continue,
                "DefaultPreemption" => {
                    let p: DefaultPreemption = args.default_preemption()?;
                    profile.preemption = on(&["postFilter"], name).then_some(p);
                    continue;
                }
                "SchedulingGates" => Arc::new(plugins::scheduling_gates::SchedulingGates),
                "NodeName" => Arc::new(plugins::node_name::NodeName),
                "NodeUnschedulable" => Arc::new(plugins::node_unschedulable::NodeUnschedulable),
                "TaintToleration" => Arc::new(plugins::taint_toleration::TaintToleration),
                "NodeAffinity" => Arc::new(args.node_affinity()?),
                "NodePorts" => Arc::new(plugins::node_ports::NodePorts),
                "NodeResourcesFit" => Arc::new(args.resources_fit()?),
                "VolumeRestrictions" => Arc::new(plugins::volume_restrictions::VolumeRestrictions),
                "NodeVolumeLimits" => Arc::new(plugins::node_volume_limits::NodeVolumeLimits),
                "VolumeBinding" => Arc::new(args.volume_binding()?),
                "VolumeZone" => Arc::new(plugins::volume_zone::VolumeZone),
                "PodTopologySpread" => Arc::new(args.topology_spread()?),
                "InterPodAffinity" => Arc::new(args.inter_pod_affinity()?),
                "DynamicResources" => Arc::new(plugins::dynamic_resources::DynamicResources),
                "NodeDeclaredFeatures" => Arc::new(plugins::node_declared_features::NodeDeclaredFeatures),
                "NodeResourcesBalancedAllocation" => Arc::new(args.balanced_allocation()?),
                "ImageLocality" => Arc::new(plugins::image_locality::ImageLocality),
                other => return Err(format!("plugin \"{other}\" has no constructor")),
            };
            if name == "SchedulingGates" {
                if on(&["preEnqueue"], name) {
                    profile.pre_enqueue.push(plugin);
                }
                continue;
            }
            let scores = [
                "TaintToleration",
                "NodeAffinity",
                "NodeResourcesFit",
                "VolumeBinding",
                "PodTopologySpread",
                "InterPodAffinity",
                "NodeResourcesBalancedAllocation",
                "ImageLocality",
            ];
            if scores.contains(&name)
                && let Some(w) = self.at("score", name)
            {
                profile.scores.push((plugin.clone(), w.max(1)));
            }
            if !["NodeResourcesBalancedAllocation", "ImageLocality"].contains(&name)
                && on(&["preFilter", "filter"], name)
            {
                profile.filters.push(plugin);
            }
        }
        Ok(profile)
    }
}

impl PluginSet {
    fn parse(at: &str, v: &Value) -> Result<Self, String> {
        let f = Fields::of(at, v, &["enabled", "disabled"])?;
        let mut s = Self::default();
        for (i, p) in f.list("enabled")?.iter().enumerate() {
            let at = format!("{at}.enabled[{i}]");
            let p = Fields::of(&at, p, &["name", "weight"])?;
            let name = p.text("name")?.unwrap_or_default();
            if !ALL.iter().any(|a| a.0 == name) {
                return Err(format!("{at}: plugin \"{name}\" does not exist"));
            }
            s.enabled.push((name.to_owned(), p.int("weight")?.unwrap_or(0)));
        }
        for (i, p) in f.list("disabled")?.iter().enumerate() {
            let p = Fields::of(&format!("{at}.disabled[{i}]"), p, &["name", "weight"])?;
            s.disabled.push(p.text("name")?.unwrap_or_default().to_owned());
        }
        Ok(s)
    }
    fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|d| d == name || d == "*")
    }
}

#[cfg(test)]
mod tests;
