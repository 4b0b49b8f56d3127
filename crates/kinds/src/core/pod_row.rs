//! A pod's row: its status in a word, containers ready, restarts.

use crate::kit::*;

pub(super) fn row(pod: &Value, now: Timestamp) -> Row {
    let (spec, status) = (pod.v("spec"), pod.v("status"));
    let s = summary(pod);
    let restarts = match s.last_restart {
        Some(t) if s.restarts != 0 => {
            format!("{} ({} ago)", s.restarts, meta::time::human_duration(now.seconds_since(&t)))
        }
        _ => s.restarts.to_string(),
    };
    let ip = status.list("podIPs").first().map_or("", |i| i.s("ip"));
    let gates = spec.list("readinessGates");
    let readiness = if gates.is_empty() {
        "<none>".to_owned()
    } else {
        let up = gates.iter().filter(|g| rows::condition_true(pod, g.s("conditionType"))).count();
        format!("{up}/{}", gates.len())
    };
    row![
        pod.name(),
        format!("{}/{}", s.ready, s.total),
        s.reason,
        restarts,
        age(pod, now),
        or_none(ip),
        or_none(spec.s("nodeName")),
        or_none(status.s("nominatedNodeName")),
        readiness,
    ]
}

#[derive(Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

fn restartable(c: Option<&Value>) -> bool {
    c.is_some_and(|c| c.s("restartPolicy") == "Always")
}

fn last_termination(c: &Value) -> Option<Timestamp> {
    Timestamp::parse(c.v("lastState").v("terminated").s("finishedAt"))
}

/// `Reason`, or the signal or exit code that ended it.
fn ended(t: &Value) -> String {
    match (t.s("reason"), t.i("signal"), t.i("exitCode")) {
        ("", 0, code) => format!("ExitCode:{code}"),
        ("", signal, _) => format!("Signal:{signal}"),
        (reason, ..) => reason.to_owned(),
    }
}

fn summary(pod: &Value) -> Summary {
    let (spec, status) = (pod.v("spec"), pod.v("status"));
    let phase = status.s("phase");
    let mut s = Summary { total: spec.list("containers").len(), ..Summary::default() };
    phase.clone_into(&mut s.reason);
    if !status.s("reason").is_empty() {
        status.s("reason").clone_into(&mut s.reason);
    }
    let gated = |c: &&Value| c.s("type") == "PodScheduled" && c.s("reason") == "SchedulingGated";
    if status.list("conditions").iter().any(|c| gated(&c)) {
        "SchedulingGated".clone_into(&mut s.reason);
    }
    let inits = spec.list("initContainers");
    s.total += inits.iter().filter(|c| restartable(Some(c))).count();

    let (mut sidecar_restarts, mut sidecar_last) = (0, None);
    let mut initializing = false;
    for (i, c) in status.list("initContainerStatuses").iter().enumerate() {
        s.restarts += c.i("restartCount");
        s.last_restart = s.last_restart.max(last_termination(c));
        let sidecar = restartable(inits.iter().find(|x| x.s("name") == c.s("name")));
        if sidecar {
            sidecar_restarts += c.i("restartCount");
            sidecar_last = sidecar_last.max(last_termination(c));
        }
        let state = c.v("state");
        let (terminated, waiting) = (state.set("terminated"), state.v("waiting").s("reason"));
        if terminated.is_some_and(|t| t.i("exitCode") == 0) {
            continue;
        }
        if sidecar && c.b("started") {
            s.ready += usize::from(c.b("ready"));
            continue;
        }
        s.reason = match (terminated, waiting) {
            (Some(t), _) => format!("Init:{}", ended(t)),
            (None, "" | "PodInitializing") => format!("Init:{i}/{}", inits.len()),
            (None, why) => format!("Init:{why}"),
        };
        initializing = true;
        break;
    }

    if !initializing || rows::condition_true(pod, "Initialized") {
        s.restarts = sidecar_restarts;
        s.last_restart = sidecar_last;
        let (mut running, mut failed) = (false, String::new());
        for c in status.list("containerStatuses").iter().rev() {
            s.restarts += c.i("restartCount");
            s.last_restart = s.last_restart.max(last_termination(c));
            let state = c.v("state");
            let waiting = state.v("waiting").s("reason");
            if !waiting.is_empty() {
                waiting.clone_into(&mut s.reason);
            } else if let Some(t) = state.set("terminated") {
                s.reason = ended(t);
                if t.i("exitCode") != 0 {
                    s.reason.clone_into(&mut failed);
                }
            } else if c.b("ready") && state.has("running") {
                running = true;
                s.ready += 1;
            }
        }
        if s.reason == "Completed" {
            if running && rows::condition_true(pod, "Ready") {
                "Running".clone_into(&mut s.reason);
            } else if !failed.is_empty() {
                s.reason = failed;
            } else if running {
                "NotReady".clone_into(&mut s.reason);
            }
        }
    }

    if pod.deletion_timestamp().is_some() {
        if status.s("reason") == "NodeLost" {
            "Unknown".clone_into(&mut s.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut s.reason);
        }
    }
    s
}
