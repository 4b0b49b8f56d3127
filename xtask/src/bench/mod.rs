//! Benchmarks: each row runs ours and the upstream peer in turn (A B A B), on this machine, in one run, with a client
//! (`crates/loadgen`) that knows neither. `--write` puts what was measured into docs/benchmarks.md.

mod api;
mod dns;
mod idle;
mod list;
mod memory;
mod plot;
mod pods;
mod process;
mod proxy;
mod scale;
mod schedule;
mod side;
mod space;
mod start;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod wanted;
mod watch;

use crate::{sh, suite};
use serde_json::Value;
use side::{Side, Who};
use std::path::PathBuf;
use std::time::Instant;
use table::Table;

type Row = (&'static str, &'static str, fn(&Bench, &mut Table) -> Result<(), String>);

/// The rows, in the order they run.
const ROWS: &[Row] = &[
    ("start", "first and later start until /readyz is ok", start::run),
    ("idle", "memory and CPU of a control plane with nothing to do", idle::run),
    ("api", "create, get, update, patch, apply, delete of pods and ConfigMaps", api::run),
    ("list", "lists of all pods: whole, paged, by label", list::run),
    ("memory", "memory that 10,000 pods cost", memory::run),
    ("watch", "one change to many watchers", watch::run),
    ("store", "puts and ranges over the etcd API", store::run),
    ("schedule", "pods scheduled onto simulated nodes", schedule::run),
    ("proxy", "Services: first sync, a change until packets follow it, connections a second", proxy::run),
    ("dns", "cluster DNS: questions a second, their latency and CPU", dns::run),
    (
        "scale",
        "how cost grows with pods and nodes, with --scale or --large (or by name, then to 10,000 and 500)",
        scale::run,
    ),
    ("pods", "pods with containers from create to Running", pods::run),
];

pub struct Bench {
    exe: PathBuf,
    loadgen: PathBuf,
    repeats: usize,
    /// Shorter, and the peer in its default setting only.
    quick: bool,
    /// As many pods and nodes as the issue asks for, where the default is fewer.
    large: bool,
    /// How cost grows is measured to the full size.
    scale: bool,
}

impl Bench {
    fn whos(&self) -> &'static [Who] {
        if self.quick { &[Who::Ours, Who::Peer] } else { &[Who::Ours, Who::Peer, Who::PeerTuned] }
    }
    /// How long one measure of a rate lasts.
    fn millis(&self) -> u32 {
        if self.large { 1000 } else { 400 }
    }
    /// Repeats of a row that takes long: a run of all rows is to end within 25 minutes.
    fn few(&self) -> usize {
        if self.large { self.repeats } else { self.repeats.min(3) }
    }
    /// Whether a side takes part in this repeat: the peer in its other setting, a column by the side, does twice.
    fn plays(&self, who: Who, repeat: usize) -> bool {
        who != Who::PeerTuned || repeat < 2
    }
    /// Runs the load client; answers what it measured.
    fn load(&self, command: &str, args: &[(&str, &str)]) -> Result<Value, String> {
        self.load_in(None, command, args)
    }
    /// The same in a network namespace.
    fn load_in(&self, space: Option<&str>, command: &str, args: &[(&str, &str)]) -> Result<Value, String> {
        let mut c = space::in_space(space, &self.loadgen);
        c.arg(command);
        for (name, value) in args {
            c.arg(format!("--{name}")).arg(value);
        }
        serde_json::from_str(&sh::output(&mut c)?).map_err(|e| e.to_string())
    }
    /// One control plane of each kind, up and ready for pods.
    fn sides(&self) -> Result<Vec<Side>, String> {
        self.whos().iter().map(|w| Side::up(self, *w)).collect()
    }
}

pub fn run(args: &[String]) -> Result<(), String> {
    if let Some(who) = sh::flag(args, "--hold") {
        return pods::hold(who);
    }
    let has = |f: &str| args.iter().any(|a| a == f);
    let repeats = sh::flag(args, "--repeats").unwrap_or("5");
    let names: Vec<&String> = args.iter().filter(|a| !a.starts_with("--") && *a != repeats).collect();
    if let Some(n) = names.iter().find(|n| !ROWS.iter().any(|(name, ..)| name == *n)) {
        let all: Vec<&str> = ROWS.iter().map(|(n, ..)| *n).collect();
        return Err(format!("there is no row {n}: {}", all.join(", ")));
    }
    for c in ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"] {
        suite::peer(c)?;
    }
    let no_build = has("--no-build");
    let release = sh::target_dir().join("release");
    let exe = if no_build && std::env::var_os("KEELSON_EXE").is_none() {
        release.join("keelson")
    } else {
        sh::keelson(true)?
    };
    if !no_build {
        sh::step("building the load client (release)");
        sh::run(sh::cargo().args(["build", "--release", "-p", "loadgen"]))?;
    }
    let bench = Bench {
        exe,
        loadgen: release.join("loadgen"),
        repeats: repeats.parse().ok().filter(|n| *n > 0).ok_or("--repeats: a number from 1")?,
        quick: has("--quick"),
        large: has("--large"),
        scale: has("--large") || has("--scale"),
    };
    let mut table = Table::default();
    let mut failed = Vec::new();
    for (name, what, row) in ROWS {
        let asked = names.contains(&&(*name).to_owned());
        if !asked && (!names.is_empty() || (*name == "scale" && !bench.scale)) {
            continue;
        }
        sh::step(&format!("{name}: {what}"));
        let (from, begun) = (table.len(), Instant::now());
        if let Err(e) = row(&bench, &mut table) {
            eprintln!("{name}: {e}");
            failed.push(*name);
        }
        println!("{}{name}: {:.0} s", table.text(from), begun.elapsed().as_secs_f64());
        // After each row: a run that is cut short leaves what it measured.
        if has("--write") {
            table.write(&sh::root().join("docs/benchmarks.md"), args)?;
        }
    }
    let slower = table.slower();
    if !slower.is_empty() {
        println!("slower than the peer: {}", slower.join("; "));
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("rows that did not run to their end: {}", failed.join(", ")))
    }
}
