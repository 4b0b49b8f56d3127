//! `/metrics` in the classic text format: what dashboards of the kubelet look at.

use crate::kubelet::Kubelet;
use crate::node::status::KUBELET_VERSION;
use crate::pod::helpers;
use std::fmt::Write;

/// One family's head.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value, escaped.
pub fn label(v: &str) -> String {
    v.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What every program tells of itself.
pub fn process(started: i64) -> String {
    let mut out = String::new();
    head(
        &mut out,
        "process_start_time_seconds",
        "gauge",
        "Start time of the process since unix epoch in seconds.",
    );
    #[allow(clippy::cast_precision_loss, reason = "seconds")]
    let _ = writeln!(out, "process_start_time_seconds {}", started as f64 / 1e9);
    if let Ok(t) = std::fs::read_to_string("/proc/self/statm")
        && let Some(pages) = t.split_whitespace().nth(1).and_then(|p| p.parse::<u64>().ok())
    {
        head(&mut out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
        let _ = writeln!(out, "process_resident_memory_bytes {}", pages * 4096);
    }
    out
}

pub(super) fn general(k: &Kubelet, started: i64) -> String {
    let mut out = process(started);
    head(
        &mut out,
        "kubernetes_build_info",
        "gauge",
        "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version.",
    );
    let _ = writeln!(
        out,
        "kubernetes_build_info{{git_version=\"{KUBELET_VERSION}\",major=\"1\",minor=\"37\",platform=\"linux/{}\"}} 1",
        k.machine.architecture
    );
    head(&mut out, "kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.");
    let _ = writeln!(out, "kubelet_node_name{{node=\"{}\"}} 1", label(&k.cfg.node_name));
    let entries = k.entries();
    let running = entries.iter().filter(|e| e.state().observed.active_sandbox().is_some()).count();
    head(&mut out, "kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox");
    let _ = writeln!(out, "kubelet_running_pods {running}");
    head(&mut out, "kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running");
    let mut states: Vec<_> = super::container_states(k).into_iter().collect();
    states.sort_unstable();
    for (s, n) in states {
        let _ = writeln!(out, "kubelet_running_containers{{container_state=\"{s}\"}} {n}");
    }
    head(
        &mut out,
        "kubelet_desired_pods",
        "gauge",
        "[ALPHA] The number of pods the kubelet is being instructed to run.",
    );
    let fixed = entries.iter().filter(|e| helpers::is_static(&e.pod())).count();
    let _ = writeln!(out, "kubelet_desired_pods{{static=\"true\"}} {fixed}");
    let _ = writeln!(out, "kubelet_desired_pods{{static=\"false\"}} {}", entries.len() - fixed);
    out
}
