//! `cargo xtask ha`: a highly available control plane of ours on real etcd loses one thing after the other, under load.
//!
//! Each case begins with everything well. Writers and watchers (`loadgen steady`) work through the balancer while one
//! thing is killed, stopped, frozen, cut off or restarted; then the load judges what it saw: every acknowledged write is
//! there, every watcher heard each change once and in order, no request failed that its one retry did not save. A
//! Deployment made afterwards must be carried out.

mod cases;
mod cluster;
mod load;
mod process;
mod report;
mod servers;
mod swap;

use crate::{sh, suite};
use cases::{CASES, Case, Strict};
use cluster::{Cluster, Programs, Shape, Whose};
use load::{Seen, Steady};
use report::Row;
use std::time::Duration;

fn one(c: &mut Cluster, case: &Case, seed: u64, row: &mut Row) -> Result<(), String> {
    let (name, _, strict, _, act) = case;
    c.repair()?;
    let steady = Steady::start(c, &format!("ha-{name}"), seed)?;
    std::thread::sleep(Duration::from_millis(1500));
    row.told = act(c)?;
    std::thread::sleep(Duration::from_millis(1500));
    let seen = steady.finish()?;
    row.seen = seen.clone();
    judge(&seen, *strict)?;
    row.converged = c.converge(&format!("after-{name}"))?;
    Ok(())
}

/// What must not be, of what the load saw.
fn judge(seen: &Seen, strict: Strict) -> Result<(), String> {
    let mut wrong = seen.wrong.clone();
    let mut must_be_none = |n: u64, what: &str| {
        if n > 0 {
            wrong.push(format!("{n} {what}"));
        }
    };
    must_be_none(seen.failed, "requests failed with their retry");
    must_be_none(seen.relists, "watchers had to list again");
    if strict == Strict::Nothing {
        must_be_none(seen.retried, &format!("requests needed a retry: {}", seen.reasons));
        must_be_none(seen.broken, "watches broke");
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n    ")) }
}

pub fn run(args: &[String]) -> Result<(), String> {
    let has = |f: &str| args.iter().any(|a| a == f);
    let seed = sh::flag(args, "--seed").unwrap_or("1");
    let count = sh::flag(args, "--servers").unwrap_or("3");
    let images = sh::flag(args, "--images");
    let values = [seed, count, images.unwrap_or_default()];
    let names: Vec<&String> =
        args.iter().filter(|a| !a.starts_with("--") && !values.contains(&a.as_str())).collect();
    let all: Vec<&str> = CASES
        .iter()
        .map(|(n, ..)| *n)
        .chain(swap::CASES.iter().map(|(n, ..)| *n))
        .chain([servers::NAME])
        .collect();
    if let Some(n) = names.iter().find(|n| !all.contains(&n.as_str())) {
        return Err(format!("there is no case {n}: {}", all.join(", ")));
    }
    let seed_number: u64 = seed.parse().map_err(|_| format!("--seed {seed}: not a number"))?;
    let count: usize = count.parse().ok().filter(|n| *n >= 2).ok_or("--servers: a number from 2")?;
    let programs = programs()?;
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        suite::peer(name)?;
    }
    let wanted = |name: &str, quick: bool| {
        if names.is_empty() { quick || !has("--quick") } else { names.iter().any(|n| *n == name) }
    };
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    let chosen: Vec<&Case> = CASES.iter().filter(|(n, _, _, quick, _)| wanted(n, *quick)).collect();
    if !chosen.is_empty() {
        sh::step(
            "bringing up three members of etcd, API servers behind a balancer, controllers and schedulers twice",
        );
        let shape = Shape { etcd: Whose::Upstream, api: vec![Whose::Ours; count], rest: Whose::Ours };
        let mut c = Cluster::up(&programs, &shape)?;
        c.converge("before")?;
        eprintln!("    logs are in {}; the seed is {seed}", c.dir().display());
        for case in chosen {
            sh::step(&format!("{}: {}", case.0, case.1));
            let mut row = Row::new(case.1);
            if let Err(e) = one(&mut c, case, seed_number, &mut row) {
                eprintln!("  FAILED\n    {e}");
                row.failed = true;
                failed.push(case.0);
            }
            println!("{}", row.text());
            rows.push(row);
        }
        if failed.is_empty() && !has("--keep") {
            c.forget();
        }
    }
    for (name, what, quick, shape) in swap::CASES {
        if wanted(name, *quick) {
            sh::step(&format!("{name}: {what}"));
            let mut row = Row::new(what);
            if let Err(e) = swap::run(&programs, &shape(), seed_number, &mut row) {
                eprintln!("  FAILED\n    {e}");
                row.failed = true;
                failed.push(name);
            }
            println!("{}", row.text());
            rows.push(row);
        }
    }
    if wanted(servers::NAME, false) {
        sh::step(servers::WHAT);
        let mut row = Row::new(servers::WHAT);
        if let Err(e) = servers::run(&programs, seed_number, images, has("--keep"), &mut row) {
            eprintln!("  FAILED\n    {e}");
            row.failed = true;
            failed.push(servers::NAME);
        }
        println!("{}", row.text());
        rows.push(row);
    }
    if has("--write") {
        report::write(&rows, args)?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("cases that failed: {}", failed.join(", "))) }
}

/// keelson and the load client.
fn programs() -> Result<Programs, String> {
    let exe = sh::keelson(false)?;
    sh::run(sh::cargo().args(["build", "-p", "loadgen"]))?;
    Ok(Programs { exe, loadgen: sh::target_dir().join("debug/loadgen") })
}
