//! The command line and the KubeletConfiguration file (`kubelet.config.k8s.io/v1beta1`), as one [`Config`].
//!
//! Both say the same things: a flag is a path into the configuration. The file is read first, then the drop-ins of
//! `--config-dir`, then the flags.

mod old;
mod table;

use crate::config::Config;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use table::FLAGS;
use table::{FIELDS, Kind, UNSUPPORTED};

/// What the command line says beyond the configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub kubeconfig: Option<PathBuf>,
    pub bootstrap_kubeconfig: Option<PathBuf>,
    pub cert_dir: Option<PathBuf>,
    pub verbosity: u8,
    pub help: bool,
    pub version: bool,
    pub rotate_certificates: bool,
    pub server_tls_bootstrap: bool,
    /// What is to be logged about old flags.
    pub notes: Vec<String>,
}

/// A Go duration: `10s`, `1m30s`, `1.5h`, `100ms`, `0`.
pub fn duration(s: &str) -> Result<Duration, String> {
    let bad = || format!("invalid duration {s:?}");
    if s == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = s.strip_prefix('+').unwrap_or(s);
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0.0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(bad)?;
        let n: f64 = rest[..end].parse().map_err(|_| bad())?;
        let unit_end =
            rest[end..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |i| end + i);
        total += n * match &rest[end..unit_end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(bad()),
        };
        rest = &rest[unit_end..];
    }
    Duration::try_from_secs_f64(total).map_err(|_| bad())
}

/// Splits `a=b,c=d` at commas.
fn pairs(s: &str, sep: char) -> Result<Vec<(String, String)>, String> {
    s.split(',')
        .filter(|p| !p.is_empty())
        .map(|p| {
            let (k, v) =
                p.split_once(sep).ok_or_else(|| format!("malformed pair {p:?}, want key{sep}value"))?;
            Ok((k.trim().to_owned(), v.trim().to_owned()))
        })
        .collect()
}

fn value(kind: Kind, flag: &str, text: &str) -> Result<Value, String> {
    let bad = |want: &str| format!("invalid argument {text:?} for \"--{flag}\" flag: want {want}");
    Ok(match kind {
        Kind::Text => json!(text),
        Kind::Bool => match text {
            "true" | "1" | "t" | "T" | "TRUE" | "True" => json!(true),
            "false" | "0" | "f" | "F" | "FALSE" | "False" => json!(false),
            _ => return Err(bad("true or false")),
        },
        Kind::Int => json!(text.parse::<i64>().map_err(|_| bad("a number"))?),
        Kind::Duration => {
            duration(text).map_err(|_| bad("a duration like 10s"))?;
            json!(text)
        }
        Kind::List => json!(text.split(',').filter(|t| !t.is_empty()).collect::<Vec<_>>()),
        Kind::Map => pairs(text, '=')
            .map_err(|e| bad(&e))?
            .into_iter()
            .map(|(k, v)| (k, json!(v)))
            .collect::<Map<_, _>>()
            .into(),
        // evictionHard=memory.available<100Mi
        Kind::Below => pairs(text, '<')
            .map_err(|e| bad(&e))?
            .into_iter()
            .map(|(k, v)| (k, json!(v)))
            .collect::<Map<_, _>>()
            .into(),
        Kind::BoolMap => pairs(text, '=')
            .map_err(|e| bad(&e))?
            .into_iter()
            .map(|(k, v)| (k, json!(v == "true")))
            .collect::<Map<_, _>>()
            .into(),
        Kind::Taints => {
            let mut list = vec![];
            for t in text.split(',').filter(|t| !t.is_empty()) {
                let t = crate::node::status::parse_taint(t).ok_or_else(|| bad("key=value:Effect"))?;
                list.push(serde_json::to_value(t).map_err(|e| e.to_string())?);
            }
            Value::Array(list)
        }
    })
}

/// Puts a value at a dotted path.
fn set(root: &mut Value, path: &str, v: Value) {
    let mut at = root;
    for p in path.split('.') {
        if !at.is_object() {
            *at = json!({});
        }
        let Some(m) = at.as_object_mut() else { return };
        at = m.entry(p.to_owned()).or_insert(Value::Null);
    }
    *at = v;
}

/// Merges a drop-in: objects by key, everything else replaced.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(a), Value::Object(b)) => {
            for (k, v) in b {
                merge(a.entry(k).or_insert(Value::Null), v);
            }
        }
        (a, b) => *a = b,
    }
}

fn read_config(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| format!("failed to load kubelet config file, path: {}, error: {e}", path.display()))?;
    let v = crate::yaml::parse(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let kind = v.get("kind").and_then(Value::as_str).unwrap_or("");
    let version = v.get("apiVersion").and_then(Value::as_str).unwrap_or("");
    if kind != "KubeletConfiguration" || version != "kubelet.config.k8s.io/v1beta1" {
        return Err(format!(
            "{}: want apiVersion kubelet.config.k8s.io/v1beta1, kind KubeletConfiguration, not {version:?}, {kind:?}",
            path.display()
        ));
    }
    if let Some(m) = v.as_object() {
        for k in m.keys() {
            if !FIELDS.contains(&k.as_str()) {
                return Err(format!("{}: unknown field {k:?}", path.display()));
            }
        }
    }
    Ok(v)
}

/// One flag with its value, if it takes one.
fn take(args: &mut std::collections::VecDeque<String>) -> Result<Option<(String, Option<String>)>, String> {
    let Some(a) = args.pop_front() else { return Ok(None) };
    let body = a
        .strip_prefix("--")
        .or_else(|| a.strip_prefix('-'))
        .filter(|b| !b.is_empty())
        .ok_or_else(|| format!("unknown command: {a}"))?;
    Ok(Some(match body.split_once('=') {
        Some((k, v)) => (k.to_owned(), Some(v.to_owned())),
        None => (body.to_owned(), None),
    }))
}

/// Reads the whole command line (without the program's name).
pub fn parse(args: Vec<String>) -> Result<(Config, Options), String> {
    let (args, notes) = old::translate(args)?;
    let mut args: std::collections::VecDeque<String> = args.into();
    let mut o = Options { notes, ..Options::default() };
    let mut cfg = Config::default();
    let mut over: Vec<(&'static str, Value)> = vec![];
    let (mut file, mut dir) = (None, None);
    while let Some((name, inline)) = take(&mut args)? {
        let name = name.replace('_', "-");
        match name.as_str() {
            "h" | "help" => {
                o.help = true;
                continue;
            }
            "version" => {
                o.version = true;
                continue;
            }
            _ => {}
        }
        let row = FLAGS.iter().find(|f| f.name == name);
        let is_bool = row.is_some_and(|r| r.kind == Kind::Bool);
        let text = match inline {
            Some(v) => v,
            None if is_bool => "true".to_owned(),
            None => args.pop_front().ok_or_else(|| format!("flag needs an argument: --{name}"))?,
        };
        if let Some(r) = row.filter(|r| !r.path.is_empty()) {
            let v = value(r.kind, r.name, &text)?;
            // A list or map that is given twice adds up.
            match (v, over.iter_mut().find(|(p, _)| *p == r.path)) {
                (Value::Array(mut more), Some((_, Value::Array(a)))) => a.append(&mut more),
                (Value::Object(more), Some((_, Value::Object(a)))) => a.extend(more),
                (v, Some((_, old))) => *old = v,
                (v, None) => over.push((r.path, v)),
            }
            continue;
        }
        match name.as_str() {
            "kubeconfig" => o.kubeconfig = Some(text.into()),
            "bootstrap-kubeconfig" => o.bootstrap_kubeconfig = Some(text.into()),
            "cert-dir" => o.cert_dir = Some(text.into()),
            "config" => file = Some(PathBuf::from(text)),
            "config-dir" => dir = Some(PathBuf::from(text)),
            "v" => o.verbosity = text.parse().map_err(|_| format!("invalid argument {text:?} for \"-v\""))?,
            "hostname-override" => cfg.node_name = text.trim().to_lowercase(),
            "node-ip" => {
                cfg.node_ips = text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
            }
            "root-dir" => cfg.root_dir = text.into(),
            "node-labels" => cfg.node_labels.extend(pairs(&text, '=')?),
            "pod-infra-container-image" => cfg.pod_infra_container_image = Some(text),
            _ => return Err(format!("unknown flag: --{name}")),
        }
    }
    let mut raw = match &file {
        Some(f) => read_config(f)?,
        // Without a file the defaults are those of the flags' time, as upstream has them.
        None => json!({"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"}, "readOnlyPort": 10255}),
    };
    if let Some(d) = dir {
        let mut list: Vec<PathBuf> = std::fs::read_dir(&d)
            .map_err(|e| format!("{}: {e}", d.display()))?
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "conf"))
            .collect();
        list.sort();
        for f in list {
            merge(&mut raw, read_config(&f)?);
        }
    }
    for (path, v) in over {
        set(&mut raw, path, v);
    }
    o.rotate_certificates = raw.get("rotateCertificates").and_then(Value::as_bool).unwrap_or(false);
    o.server_tls_bootstrap = raw.get("serverTLSBootstrap").and_then(Value::as_bool).unwrap_or(false);
    fill(&mut cfg, &raw)?;
    complete(&mut raw, &cfg);
    cfg.raw = raw;
    Ok((cfg, o))
}

/// Takes typed fields out of a configuration.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self.0, |v, p| v.get(p)).filter(|v| !v.is_null())
    }
    fn wrong(path: &str, want: &str) -> String {
        format!("KubeletConfiguration: {path}: want {want}")
    }
    fn text(&self, path: &str, to: &mut String) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            v.as_str().ok_or_else(|| Self::wrong(path, "a string"))?.clone_into(to);
        }
        Ok(())
    }
    fn file(&self, path: &str, to: &mut Option<PathBuf>) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            let t = v.as_str().ok_or_else(|| Self::wrong(path, "a string"))?;
            *to = (!t.is_empty()).then(|| t.into());
        }
        Ok(())
    }
    fn flag(&self, path: &str, to: &mut bool) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            *to = v.as_bool().ok_or_else(|| Self::wrong(path, "true or false"))?;
        }
        Ok(())
    }
    fn int<T: TryFrom<i64>>(&self, path: &str, to: &mut T) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            let n = v.as_i64().ok_or_else(|| Self::wrong(path, "a number"))?;
            *to = T::try_from(n).map_err(|_| Self::wrong(path, "a number in range"))?;
        }
        Ok(())
    }
    /// Zero means the default, as in upstream's defaulting.
    fn time(&self, path: &str, to: &mut Duration) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            let d = duration(v.as_str().ok_or_else(|| Self::wrong(path, "a duration"))?)
                .map_err(|e| format!("KubeletConfiguration: {path}: {e}"))?;
            if !d.is_zero() {
                *to = d;
            }
        }
        Ok(())
    }
    fn list(&self, path: &str, to: &mut Vec<String>) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            let a = v.as_array().ok_or_else(|| Self::wrong(path, "a list"))?;
            *to = a
                .iter()
                .map(|s| s.as_str().map(str::to_owned).ok_or_else(|| Self::wrong(path, "strings")))
                .collect::<Result<_, _>>()?;
        }
        Ok(())
    }
    fn map(&self, path: &str, to: &mut BTreeMap<String, String>) -> Result<(), String> {
        if let Some(v) = self.at(path) {
            let m = v.as_object().ok_or_else(|| Self::wrong(path, "a map"))?;
            *to = m
                .iter()
                .map(|(k, v)| {
                    let t = v.as_str().map(str::to_owned).or_else(|| v.is_number().then(|| v.to_string()));
                    Ok((k.clone(), t.ok_or_else(|| Self::wrong(path, "strings"))?))
                })
                .collect::<Result<_, String>>()?;
        }
        Ok(())
    }
}

fn fill(c: &mut Config, raw: &Value) -> Result<(), String> {
    let f = Fields(raw);
    for (path, harmless) in UNSUPPORTED {
        if let Some(v) = f.at(path)
            && !harmless.contains(&v.as_str().map_or_else(|| v.to_string(), str::to_owned).as_str())
            && !v.as_object().is_some_and(Map::is_empty)
            && !v.as_array().is_some_and(Vec::is_empty)
        {
            return Err(format!("KubeletConfiguration: {path} = {v} is not supported by this kubelet"));
        }
    }
    f.file("staticPodPath", &mut c.static_pod_path)?;
    let mut logs = c.pod_logs_dir.to_string_lossy().into_owned();
    f.text("podLogsDir", &mut logs)?;
    c.pod_logs_dir = logs.into();
    f.time("syncFrequency", &mut c.sync_frequency)?;
    f.time("fileCheckFrequency", &mut c.file_check)?;
    let mut server = true;
    f.flag("enableServer", &mut server)?;
    f.text("address", &mut c.address)?;
    f.int("port", &mut c.port)?;
    if !server {
        c.port = 0;
    }
    f.int("readOnlyPort", &mut c.read_only_port)?;
    f.int("healthzPort", &mut c.healthz_port)?;
    f.text("healthzBindAddress", &mut c.healthz_address)?;
    f.file("tlsCertFile", &mut c.tls_cert_file)?;
    f.file("tlsPrivateKeyFile", &mut c.tls_key_file)?;
    f.file("authentication.x509.clientCAFile", &mut c.client_ca_file)?;
    f.flag("authentication.anonymous.enabled", &mut c.auth.anonymous)?;
    f.flag("authentication.webhook.enabled", &mut c.auth.webhook)?;
    let mut mode = if c.auth.authorize { "Webhook".to_owned() } else { "AlwaysAllow".to_owned() };
    f.text("authorization.mode", &mut mode)?;
    c.auth.authorize = match mode.as_str() {
        "Webhook" => true,
        "AlwaysAllow" => false,
        m => return Err(format!("KubeletConfiguration: authorization.mode: unknown mode {m:?}")),
    };
    f.time("authentication.webhook.cacheTTL", &mut c.auth.token_ttl)?;
    f.time("authorization.webhook.cacheAuthorizedTTL", &mut c.auth.allowed_ttl)?;
    f.time("authorization.webhook.cacheUnauthorizedTTL", &mut c.auth.denied_ttl)?;
    f.flag("enableDebuggingHandlers", &mut c.debugging_handlers)?;
    f.text("clusterDomain", &mut c.cluster_domain)?;
    f.list("clusterDNS", &mut c.cluster_dns)?;
    f.file("resolvConf", &mut c.resolv_conf)?;
    f.time("nodeStatusUpdateFrequency", &mut c.node_status_update)?;
    f.time("nodeStatusReportFrequency", &mut c.node_status_report)?;
    f.int("nodeLeaseDurationSeconds", &mut c.lease_duration_seconds)?;
    f.time("imageMinimumGCAge", &mut c.image_gc.min_age)?;
    f.time("imageMaximumGCAge", &mut c.image_gc.max_age)?;
    f.int("imageGCHighThresholdPercent", &mut c.image_gc.high_percent)?;
    f.int("imageGCLowThresholdPercent", &mut c.image_gc.low_percent)?;
    if c.image_gc.low_percent >= c.image_gc.high_percent {
        return Err("KubeletConfiguration: imageGCHighThresholdPercent must be greater than imageGCLowThresholdPercent".into());
    }
    f.text("cgroupRoot", &mut c.cgroup_root)?;
    f.flag("cgroupsPerQOS", &mut c.cgroups_per_qos)?;
    f.text("cgroupDriver", &mut c.cgroup_driver)?;
    if !matches!(c.cgroup_driver.as_str(), "cgroupfs" | "systemd") {
        return Err(format!("KubeletConfiguration: cgroupDriver: unknown driver {:?}", c.cgroup_driver));
    }
    f.time("runtimeRequestTimeout", &mut c.runtime_request_timeout)?;
    f.int("maxPods", &mut c.max_pods)?;
    f.int("podPidsLimit", &mut c.pod_pids_limit)?;
    f.flag("cpuCFSQuota", &mut c.cpu_cfs_quota)?;
    f.time("cpuCFSQuotaPeriod", &mut c.cpu_cfs_period)?;
    f.flag("serializeImagePulls", &mut c.serialize_image_pulls)?;
    f.int("maxParallelImagePulls", &mut c.max_parallel_image_pulls)?;
    let mut hard = BTreeMap::new();
    f.map("evictionHard", &mut hard)?;
    if f.at("evictionHard").is_some() {
        let mut keep_defaults = false;
        f.flag("mergeDefaultEvictionSettings", &mut keep_defaults)?;
        if keep_defaults {
            c.eviction.hard.extend(hard);
        } else {
            c.eviction.hard = hard;
        }
    }
    f.map("evictionSoft", &mut c.eviction.soft)?;
    let mut graces = BTreeMap::new();
    f.map("evictionSoftGracePeriod", &mut graces)?;
    for (k, v) in graces {
        c.eviction.soft_grace.insert(k, duration(&v)?);
    }
    if let Some(k) = c.eviction.soft.keys().find(|k| !c.eviction.soft_grace.contains_key(*k)) {
        return Err(format!(
            "KubeletConfiguration: grace period must be specified for the soft eviction threshold {k}"
        ));
    }
    f.int("evictionMaxPodGracePeriod", &mut c.eviction.max_pod_grace)?;
    f.map("evictionMinimumReclaim", &mut c.eviction.minimum_reclaim)?;
    f.time("evictionPressureTransitionPeriod", &mut c.eviction.transition)?;
    let mut size = String::new();
    f.text("containerLogMaxSize", &mut size)?;
    if !size.is_empty() {
        c.container_log_max_size = meta::quantity::Quantity::parse(&size)
            .map_err(|e| format!("KubeletConfiguration: containerLogMaxSize: {e}"))?
            .value();
    }
    f.int("containerLogMaxFiles", &mut c.container_log_max_files)?;
    if c.container_log_max_files < 2 {
        return Err("KubeletConfiguration: containerLogMaxFiles must be greater than 1".into());
    }
    f.map("systemReserved", &mut c.system_reserved)?;
    f.map("kubeReserved", &mut c.kube_reserved)?;
    f.list("enforceNodeAllocatable", &mut c.enforce_node_allocatable)?;
    if let Some(x) = c.enforce_node_allocatable.iter().find(|e| !matches!(e.as_str(), "pods" | "none")) {
        return Err(format!(
            "KubeletConfiguration: enforceNodeAllocatable: {x:?} is not supported by this kubelet"
        ));
    }
    f.list("allowedUnsafeSysctls", &mut c.allowed_unsafe_sysctls)?;
    f.text("providerID", &mut c.provider_id)?;
    f.flag("seccompDefault", &mut c.seccomp_default)?;
    f.flag("registerNode", &mut c.register_node)?;
    if let Some(Value::Array(list)) = f.at("registerWithTaints") {
        c.register_taints = list
            .iter()
            .map(|t| {
                let s = |k: &str| t.get(k).and_then(Value::as_str).unwrap_or("").to_owned();
                format!("{}={}:{}", s("key"), s("value"), s("effect"))
            })
            .collect();
    }
    f.text("containerRuntimeEndpoint", &mut c.runtime_endpoint)?;
    f.text("imageServiceEndpoint", &mut c.image_endpoint)?;
    f.time("crashLoopBackOff.maxContainerRestartPeriod", &mut c.max_container_restart_period)?;
    let mut swap = true;
    f.flag("failSwapOn", &mut swap)?;
    c.fail_swap_on = swap;
    Ok(())
}

/// The configuration with its defaults, for /configz.
fn complete(raw: &mut Value, c: &Config) {
    let seconds = |d: Duration| format!("{}s", d.as_secs());
    let defaults = json!({
        "address": c.address, "port": c.port, "maxPods": c.max_pods, "clusterDomain": c.cluster_domain,
        "clusterDNS": c.cluster_dns, "cgroupDriver": c.cgroup_driver, "cgroupsPerQOS": c.cgroups_per_qos,
        "syncFrequency": seconds(c.sync_frequency), "fileCheckFrequency": seconds(c.file_check),
        "nodeStatusUpdateFrequency": seconds(c.node_status_update), "nodeStatusReportFrequency": seconds(c.node_status_report),
        "nodeLeaseDurationSeconds": c.lease_duration_seconds, "evictionHard": c.eviction.hard,
        "evictionPressureTransitionPeriod": seconds(c.eviction.transition),
        "imageGCHighThresholdPercent": c.image_gc.high_percent, "imageGCLowThresholdPercent": c.image_gc.low_percent,
        "serializeImagePulls": c.serialize_image_pulls, "cpuCFSQuota": c.cpu_cfs_quota,
        "containerLogMaxFiles": c.container_log_max_files, "podPidsLimit": c.pod_pids_limit,
        "enforceNodeAllocatable": c.enforce_node_allocatable, "containerRuntimeEndpoint": c.runtime_endpoint,
        "registerNode": c.register_node, "seccompDefault": c.seccomp_default,
        "authentication": {"anonymous": {"enabled": c.auth.anonymous}, "webhook": {"enabled": c.auth.webhook},
            "x509": {"clientCAFile": c.client_ca_file}},
        "authorization": {"mode": if c.auth.authorize { "Webhook" } else { "AlwaysAllow" }},
    });
    let given = std::mem::replace(raw, defaults);
    merge(raw, given);
}

/// The help text.
pub fn help() -> String {
    let mut out = String::from("The kubelet: runs the pods of one node.\n\nusage: kubelet [flags]\n\n");
    for f in FLAGS {
        let arg = match f.kind {
            Kind::Bool => "",
            Kind::Int => " int",
            Kind::Duration => " duration",
            Kind::Text => " string",
            Kind::List | Kind::Taints => " a,b,...",
            Kind::Map | Kind::BoolMap => " a=b,...",
            Kind::Below => " a<b,...",
        };
        let head = format!("--{}{arg}", f.name);
        let about = if f.path.is_empty() {
            f.about.to_owned()
        } else {
            format!(
                "{}{}sets {} of the configuration",
                f.about,
                if f.about.is_empty() { "" } else { "; " },
                f.path
            )
        };
        out.push_str(&format!("  {head:46} {about}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(s: &str) -> Vec<String> {
        s.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn durations() {
        for (s, ms) in
            [("10s", 10_000), ("1m30s", 90_000), ("100ms", 100), ("1.5h", 5_400_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(duration(s).unwrap(), Duration::from_millis(ms), "{s}");
        }
        for bad in ["", "10", "s", "-1s", "1x"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn flags_over_file() {
        let dir = std::env::temp_dir().join(format!("kubelet-flags-{}", crate::rand::hex8()));
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(
            dir.join("c.yaml"),
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nfailCgroupV1: false\nmaxPods: 50\nclusterDNS: [10.0.0.10]\nevictionHard: {memory.available: 100Mi, nodefs.available: \"1%\"}\nauthentication: {x509: {clientCAFile: /ca.crt}, anonymous: {enabled: false}}\nstaticPodPath: /m\nsyncFrequency: 0s\n",
        )
        .unwrap();
        std::fs::write(
            dir.join("d/10.conf"),
            "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nport: 11250\n",
        )
        .unwrap();
        let d = dir.display();
        let (c, o) = parse(args(&format!(
            "--config={d}/c.yaml --config-dir {d}/d --kubeconfig /k --hostname-override=N1 --node-labels=a=b,c=d --max-pods 20 --cluster-dns=10.0.0.2 --cluster-dns=10.0.0.3 --register-node --anonymous-auth=true -v=2 --register-with-taints=x=y:NoSchedule"
        )))
        .unwrap();
        assert_eq!((c.max_pods, c.port, c.node_name.as_str()), (20, 11250, "n1"));
        assert_eq!(c.cluster_dns, ["10.0.0.2", "10.0.0.3"]);
        assert_eq!(c.eviction.hard.len(), 2);
        assert_eq!(c.client_ca_file.as_deref(), Some(Path::new("/ca.crt")));
        assert!(c.auth.anonymous && c.register_node);
        assert_eq!(c.register_taints, ["x=y:NoSchedule"]);
        assert_eq!(c.sync_frequency, Duration::from_secs(60), "zero is the default");
        assert_eq!((o.kubeconfig.as_deref(), o.verbosity), (Some(Path::new("/k")), 2));
        assert_eq!(
            (c.raw["maxPods"].as_i64(), c.raw["kind"].as_str()),
            (Some(20), Some("KubeletConfiguration"))
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn nothing_is_ignored() {
        for (a, want) in [
            ("--nonsense=1", "unknown flag: --nonsense"),
            ("--max-pods=x", "invalid argument \"x\" for \"--max-pods\" flag: want a number"),
            ("--max-pods", "flag needs an argument: --max-pods"),
            ("run", "unknown command: run"),
            (
                "--cpu-manager-policy=static",
                "KubeletConfiguration: cpuManagerPolicy = \"static\" is not supported by this kubelet",
            ),
            ("--cgroup-driver=x", "KubeletConfiguration: cgroupDriver: unknown driver \"x\""),
            (
                "--eviction-soft=memory.available<1Gi",
                "KubeletConfiguration: grace period must be specified for the soft eviction threshold memory.available",
            ),
        ] {
            assert_eq!(parse(args(a)).err().as_deref(), Some(want), "{a}");
        }
        assert!(parse(args("--cpu-manager-policy=none --topology-manager-policy=none")).is_ok());
    }

    #[test]
    fn every_flag_leads_to_a_field() {
        for f in FLAGS.iter().filter(|f| !f.path.is_empty()) {
            let top = f.path.split('.').next().unwrap();
            assert!(FIELDS.contains(&top), "{}", f.name);
        }
        for (path, _) in UNSUPPORTED {
            assert!(FIELDS.contains(&path.split('.').next().unwrap()), "{path}");
        }
    }
}
