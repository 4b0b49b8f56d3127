//! How cost grows with the cluster: time of a list and memory over the number of pods, pods scheduled a second over the
//! number of nodes. With `--scale` to 100,000 pods and 5,000 nodes, as far as memory allows.

use super::Bench;
use super::plot::Plot;
use super::side::Who;
use super::table::{Better, Table};
use std::time::Duration;

/// Left free on the machine whatever is measured.
const RESERVE_MIB: f64 = 3000.0;

fn available() -> f64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"));
    line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok()).map_or(0.0, |kib| kib / 1024.0)
}

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let sizes: &[u32] = if b.scale { &[1_000, 10_000, 50_000, 100_000] } else { &[1_000, 10_000] };
    let mut lists = Plot {
        file: "list.svg",
        title: "A list of all pods in JSON",
        x: "pods",
        y: "seconds",
        points: Vec::new(),
    };
    let mut memory = Plot {
        file: "memory.svg",
        title: "Memory of the control plane",
        x: "pods",
        y: "MiB resident",
        points: Vec::new(),
    };
    let done = pods(b, t, sizes, &mut lists, &mut memory);
    t.plots.extend([lists, memory]);
    done?;
    let counts: &[&str] = if b.scale { &["100", "500", "1000", "2000", "5000"] } else { &["100", "500"] };
    let mut rate = Plot {
        file: "schedule.svg",
        title: "Pods scheduled a second (plain)",
        x: "nodes",
        y: "pods a second",
        points: Vec::new(),
    };
    let done = counts.iter().try_for_each(|n| nodes(b, t, n, &mut rate));
    t.plots.push(rate);
    done
}

fn pods(b: &Bench, t: &mut Table, sizes: &[u32], lists: &mut Plot, memory: &mut Plot) -> Result<(), String> {
    let mut sides = b.sides()?;
    // Ours and the peer: a third control plane of this size finds no room.
    sides.truncate(2);
    let mut first = 0;
    for size in sizes {
        // What the last pods took tells what the next will.
        let have: f64 = sides.iter().map(super::side::Side::resident).sum();
        let next = have * f64::from(*size) / f64::from(first.max(1_000));
        if first > 0 && next - have > available() - RESERVE_MIB {
            println!("{size} pods would not fit into memory: the rest is left out");
            return Ok(());
        }
        for s in &sides {
            super::memory::fill(b, s, first, *size)?;
        }
        first = *size;
        std::thread::sleep(Duration::from_secs(if b.quick { 5 } else { 15 }));
        for s in &sides {
            let resident = s.resident();
            t.add(&format!("{size} pods: memory"), "MiB", Better::Lower, s.who, (resident, None, s.peak()));
            memory.points.push((s.who, f64::from(*size), resident));
            let (config, pids) = (s.config(), s.pid_list());
            let args = [("kubeconfig", config.as_str()), ("pids", &pids), ("encoding", "json")];
            let v = b.load("list", &args)?;
            let number = |n: &str| v[n].as_f64().unwrap_or_default();
            let seconds = number("p50_us") / 1e6;
            let measured = (seconds, Some(number("cpu_us")), s.peak());
            t.add(&format!("{size} pods: list"), "s", Better::Lower, s.who, measured);
            lists.points.push((s.who, f64::from(*size), seconds));
        }
    }
    Ok(())
}

fn nodes(b: &Bench, t: &mut Table, count: &str, rate: &mut Plot) -> Result<(), String> {
    for s in b.sides()?.iter().filter(|s| s.who != Who::PeerTuned) {
        let (config, pids) = (s.config(), s.pid_list());
        let args = [
            ("kubeconfig", config.as_str()),
            ("pids", &pids),
            ("nodes", count),
            ("pods", if b.scale { "2000" } else { "500" }),
            ("kind", "plain"),
            ("run", "scale"),
        ];
        let v = b.load("schedule", &args)?;
        let number = |n: &str| v[n].as_f64().unwrap_or_default();
        let measured = (number("rate"), Some(number("cpu_us")), s.peak());
        t.add(&format!("{count} nodes: pods scheduled"), "pods/s", Better::Higher, s.who, measured);
        rate.points.push((s.who, count.parse().unwrap_or_default(), number("rate")));
    }
    Ok(())
}
