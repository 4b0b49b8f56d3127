//! faults: what `cargo xtask faults` does to a store, and how it bears it. Each case is a seeded load on a subject, a
//! fault under it, and the judgement of a model on everything that clients saw.
//!
//!   faults run --keelson FILE --etcd FILE --subject ours|etcd [--seed N] [--quick] [--dir DIR] [CASE...]
//!   faults list
//!   faults etcd ARGS...      our store served by this program, for `--keelson` to name it itself
#![allow(clippy::disallowed_methods, reason = "a tool of its own: no runtime to spawn on, no clock to share")]

mod api;
mod cases;
mod client;
mod history;
mod image;
mod inject;
mod model;
mod proxy;
mod rng;
mod run;
mod subject;
mod watcher;

use cases::{Bed, CASES, Report};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use subject::{Program, Who};

struct Args {
    subject: Who,
    exe: PathBuf,
    seed: u64,
    quick: bool,
    dir: PathBuf,
    cases: Vec<String>,
}

fn parse(args: &[String]) -> Result<Args, String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let (mut ours, mut etcd) = (here, PathBuf::from("etcd"));
    let mut out = Args {
        subject: Who::Ours,
        exe: PathBuf::new(),
        seed: 1,
        quick: false,
        dir: std::env::temp_dir().join(format!("faults-{}", std::process::id())),
        cases: Vec::new(),
    };
    let mut it = args.iter();
    while let Some(a) = it.next() {
        let mut value = || it.next().cloned().ok_or(format!("{a} needs a value"));
        match a.as_str() {
            "--keelson" => ours = value()?.into(),
            "--etcd" => etcd = value()?.into(),
            "--dir" => out.dir = value()?.into(),
            "--seed" => out.seed = value()?.parse().map_err(|_| "--seed: not a number".to_owned())?,
            "--quick" => out.quick = true,
            "--subject" => {
                out.subject = match value()?.as_str() {
                    "ours" => Who::Ours,
                    "etcd" => Who::Etcd,
                    other => return Err(format!("--subject {other}: ours or etcd")),
                }
            }
            name if CASES.iter().any(|(n, ..)| *n == name) => out.cases.push(name.to_owned()),
            other => return Err(format!("there is no case {other}")),
        }
    }
    out.exe = if out.subject == Who::Ours { ours } else { etcd };
    Ok(out)
}

/// Runs the cases; a line of JSON for each. Whether all were as they should be.
async fn run(args: Args) -> Result<bool, String> {
    let mut good = true;
    for (name, what, case) in CASES {
        if !args.cases.is_empty() && !args.cases.iter().any(|c| c == name) {
            continue;
        }
        // Of keelson's control plane alone.
        if *name == "api" && args.subject != Who::Ours {
            continue;
        }
        eprintln!("{name}: {what} ({}, seed {})", args.subject.name(), args.seed);
        let dir = args.dir.join(name);
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let program = Program { who: args.subject, exe: args.exe.clone() };
        let bed = Bed { program, seed: args.seed, quick: args.quick, dir };
        let begun = Instant::now();
        let (r, error) = match case(&bed).await {
            Ok(r) => (r, None),
            Err(e) => (Report::default(), Some(e)),
        };
        let mut wrong = r.complaints();
        wrong.extend(error);
        for w in &wrong {
            eprintln!("    {w}");
        }
        if wrong.is_empty() {
            let _ = std::fs::remove_dir_all(&bed.dir);
        } else {
            good = false;
            eprintln!("    what is left: {}", bed.dir.display());
        }
        let line = json!({
            "case": name, "what": what, "subject": args.subject.name(), "seed": args.seed, "rounds": r.rounds,
            "ops": r.ops, "acknowledged": r.acknowledged, "unknown": r.unknown, "told": r.told,
            "seconds": begun.elapsed().as_secs_f64(), "notes": r.notes, "wrong": wrong,
        });
        println!("{line}");
    }
    Ok(good)
}

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let command = if args.is_empty() { String::new() } else { args.remove(0) };
    if command == "list" {
        CASES.iter().for_each(|(name, what, _)| println!("{name}\t{what}"));
        return ExitCode::SUCCESS;
    }
    // Before there are threads. Without the right to mount it is not needed.
    if command == "run"
        && let Err(e) = image::alone()
    {
        eprintln!("faults: {e}");
    }
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let done = rt.map_err(|e| e.to_string()).and_then(|rt| match command.as_str() {
        "run" => rt.block_on(run(parse(&args)?)),
        "etcd" => rt.block_on(etcd::run(args, runtime::Runtime::new())).map(|()| true),
        _ => Err("usage: faults run|list|etcd ...".into()),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("faults {command}: {e}");
            ExitCode::FAILURE
        }
    }
}
