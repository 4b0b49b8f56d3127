//! Upstream's own end-to-end suite against a cluster on two test hosts: ours, upstream's, or one with parts swapped.
//!
//! `e2e/known-passing.txt` lists the conformance tests that pass; it only grows (`--bless` adds what newly passed).

mod alone;
mod build;
mod ginkgo;
mod outcome;
mod parts;
mod pki;

use crate::hosts::{self, EVICT, Hosts};
use crate::{sh, up};
pub use build::{bin, cache, cfssl, kubectl, peer};
use ginkgo::{Choice, Run};
use outcome::Outcome;
use parts::Cast;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Where the runtimes of hosts look for mirrors: of our server and agent, and where components run alone.
const MIRRORS: &str = "/var/lib/keelson/containerd/certs.d";
const MIRRORS_ALONE: &str = "/run/certs.d";

pub fn run(args: &[String]) -> Result<(), String> {
    let has = |name: &str| args.iter().any(|a| a == name);
    let cast = parts::cast(sh::flag(args, "--subject"), sh::flag(args, "--swap"))?;
    let (serial, bless) = (has("--serial"), has("--bless"));
    if bless && cast.is_some() {
        return Err("--bless is about our server and agent, not about other clusters".to_owned());
    }
    let minutes = sh::flag(args, "--timeout").unwrap_or("180");
    let minutes: u64 = minutes.parse().map_err(|_| format!("--timeout {minutes}: want minutes"))?;
    let stop = ginkgo::interrupts()?;
    let known_path = sh::root().join("e2e/known-passing.txt");
    let mut known: BTreeSet<String> =
        std::fs::read_to_string(&known_path).unwrap_or_default().lines().map(str::to_owned).collect();
    let (ginkgo, e2e) = build::tests()?;
    let sample = if has("--sample") { Some(sample_focus()?) } else { None };
    let focus = sample.as_deref().or(sh::flag(args, "--focus")).or_else(|| word(args));
    let asked = Choice { serial, focus, skip: sh::flag(args, "--skip") }.names(&e2e)?;
    kubectl()?;
    if let Some(cast) = &cast {
        alone::programs(cast)?;
    }
    let images = assemble()?;
    let exe = sh::keelson(!has("--debug"))?;

    let report = report_dir(cast.as_ref());
    let _ = std::fs::remove_dir_all(&report);
    std::fs::create_dir_all(&report).map_err(|e| format!("{}: {e}", report.display()))?;
    let mut hosts = Hosts::up(&alone::NODES)?;
    hosts.keep = has("--keep");
    let begun = Instant::now();
    let (kubeconfig, kubectl) = match &cast {
        None => (ours(&hosts, &exe, &images)?, kubectl()?),
        Some(cast) => {
            registry(&hosts, &images, MIRRORS_ALONE)?;
            let conf = alone::up(&hosts, cast, &exe, &images, &report.join("logs"))?;
            (conf.display().to_string(), alone::kubectl(cast, &exe)?)
        }
    };
    sh::step(&format!("the cluster is up after {:.0} s", begun.elapsed().as_secs_f64()));
    let procs = sh::flag(args, "--procs").unwrap_or("8");
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let run = Run { ginkgo, e2e, kubectl, kubeconfig, procs, serial, until, stop };
    let mut outcome = Outcome::default();
    let parts = ginkgo::parts(&asked, if serial { 5 } else { 150 });
    for (i, names) in parts.iter().enumerate() {
        if run.over() {
            break;
        }
        let dir = report.join(format!("part-{}", i + 1));
        let of = format!("part {} of {}, {} tests", i + 1, parts.len(), names.len());
        sh::step(&format!("{of}; the log is {}", dir.join("e2e.log").display()));
        run.part(hosts.on("n1"), names, &dir)?;
        outcome.read(&dir)?;
        eprintln!("    {} passed, {} failed so far", outcome.passed.len(), outcome.failed.len());
        if bless {
            outcome::bless(&known_path, &mut known, &outcome.passed)?;
        }
    }
    print!("{}", outcome.table(&known));
    judge(&run, &outcome, &known, &asked, cast.is_some(), &report)
}

/// What a run means for the exit code.
fn judge(
    run: &Run,
    outcome: &Outcome,
    known: &BTreeSet<String>,
    asked: &BTreeSet<String>,
    swapped: bool,
    report: &Path,
) -> Result<(), String> {
    let ran = outcome.passed.len() + outcome.failed.len();
    if run.over() {
        let why = if run.stop.load(Ordering::Relaxed) { "was interrupted" } else { "took too long" };
        return Err(format!(
            "the run {why}: {ran} of {} tests ran; junit is in {}",
            asked.len(),
            report.display()
        ));
    }
    if outcome.passed.is_empty() {
        return Err(format!("no test passed; logs are in {}", report.display()));
    }
    let lost = outcome.lost(known, asked);
    for (name, _) in lost.iter().filter(|(_, fate)| *fate != "failed") {
        println!("DID NOT RUN {name}   (was known to pass)");
    }
    if swapped && !outcome.failed.is_empty() {
        return Err(format!("{} tests failed; logs are in {}", outcome.failed.len(), report.display()));
    }
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!("{} tests that were known to pass did not", lost.len()))
    }
}

/// The first argument that is neither a flag nor a flag's value.
fn word(args: &[String]) -> Option<&str> {
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "--procs" | "--skip" | "--subject" | "--swap" | "--focus" | "--timeout" => _ = it.next(),
            w if !w.starts_with("--") => return Some(w),
            _ => {}
        }
    }
    None
}

/// Sets of hosts, and casts, have reports of their own.
fn report_dir(cast: Option<&Cast>) -> PathBuf {
    let set = hosts::dir().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = "conformance".to_owned();
    if set != "hosts" {
        name += &format!("-{set}");
    }
    if let Some(c) = cast {
        name += &format!("-{}", c.name());
    }
    sh::target_dir().join(name)
}

/// The suite's images, assembled offline.
fn assemble() -> Result<PathBuf, String> {
    let images = cache().join("images");
    sh::step("assembling the suite's images (what is there is kept)");
    let mut c = Command::new("python3");
    sh::run(c.arg(sh::root().join("e2e/images.py")).arg(&images).stdout(Stdio::null()))?;
    Ok(images)
}

/// What a cluster of upstream's needs, built and installed.
pub fn programs_of_upstream() -> Result<(), String> {
    alone::programs(&Cast { base: parts::Who::Upstream, swapped: Vec::new() })
}

/// Upstream's own cluster on the hosts n1 and n2. Answers the admin's kubeconfig.
pub fn upstream(hosts: &Hosts, exe: &Path, images: &Path, logs: &Path) -> Result<PathBuf, String> {
    let cast = Cast { base: parts::Who::Upstream, swapped: Vec::new() };
    alone::up(hosts, &cast, exe, images, logs)
}

/// Our server and agent. Answers the admin's kubeconfig, as n1 has it.
fn ours(hosts: &Hosts, exe: &Path, images: &Path) -> Result<String, String> {
    for n in alone::NODES {
        let dir = hosts::path(n, "/var/lib/keelson/images");
        crate::images::build(&dir)?;
        link_images(images, &dir)?;
    }
    registry(hosts, images, MIRRORS)?;
    let data = &hosts::path("n1", "/var/lib/keelson");
    cluster(hosts, exe, data, &[EVICT, "--image-gc-high-threshold=100"])?;
    Ok("/var/lib/keelson/admin.kubeconfig".to_owned())
}

/// The names of `e2e/sample.txt`, as an expression.
fn sample_focus() -> Result<String, String> {
    let path = sh::root().join("e2e/sample.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let names: Vec<String> = text.lines().filter(|l| !l.is_empty()).map(ginkgo::escape).collect();
    Ok(names.join("|"))
}

fn link_images(from: &Path, to: &Path) -> Result<(), String> {
    for e in std::fs::read_dir(from).map_err(|e| e.to_string())?.flatten() {
        if e.path().extension().is_some_and(|x| x == "tar") {
            let at = to.join(e.file_name());
            let _ = std::fs::remove_file(&at);
            std::fs::hard_link(e.path(), &at)
                .or_else(|_| std::fs::copy(e.path(), &at).map(drop))
                .map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Plays registry.k8s.io on n1 for the tests that insist on pulling, and points both hosts' runtimes at it.
fn registry(hosts: &Hosts, images: &Path, mirrors: &str) -> Result<(), String> {
    let ip = hosts.ip("n1")?;
    for n in alone::NODES {
        let dir = hosts::path(n, mirrors).join("registry.k8s.io");
        std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
        let text = format!(
            "server = \"https://registry.k8s.io\"\n[host.\"http://{ip}:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        std::fs::write(dir.join("hosts.toml"), text).map_err(|e| e.to_string())?;
    }
    let mut c = hosts.on("n1");
    c.arg("python3").arg(sh::root().join("e2e/registry.py")).arg(images).args([&ip, "5000"]);
    c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    c.spawn().map(drop).map_err(|e| format!("cannot start the registry: {e}"))
}

/// A server on n1 and an agent on n2, both Ready. `data` is n1's data directory as this machine sees it.
pub fn cluster(hosts: &Hosts, exe: &Path, data: &Path, extra: &[&str]) -> Result<(), String> {
    sh::step("starting a server on n1");
    let mut server = hosts.on("n1");
    server.arg(exe);
    up::start_on(server, "/var/lib/keelson", data, extra)?;
    let token = std::fs::read_to_string(data.join("token")).map_err(|e| format!("the join token: {e}"))?;
    sh::step("joining n2");
    let mut agent = hosts.on("n2");
    let log = std::fs::File::create(hosts::path("n2", "agent.log")).map_err(|e| e.to_string())?;
    agent.arg(exe).args(["agent", "--data-dir=/var/lib/keelson", "--token", token.trim(), "--server"]);
    agent.arg(format!("https://{}:6443", hosts.ip("n1")?)).args(extra);
    agent.stdin(Stdio::null()).stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
    agent.spawn().map_err(|e| format!("cannot start the agent: {e}"))?;
    let mut wait = hosts.on("n1");
    wait.arg(kubectl()?).args([
        "--kubeconfig=/var/lib/keelson/admin.kubeconfig",
        "wait",
        "--for=condition=Ready",
        "node/n1",
        "node/n2",
        "--timeout=90s",
    ]);
    for _ in 0..60 {
        let mut get = hosts.on("n1");
        get.arg(kubectl()?).args(["--kubeconfig=/var/lib/keelson/admin.kubeconfig", "get", "node", "n2"]);
        if sh::output(&mut get).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    sh::run(&mut wait)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_word_is_no_value() {
        let args: Vec<String> =
            ["--swap", "etcd=ours", "--serial", "Job", "--procs", "2"].map(str::to_owned).into();
        assert_eq!(super::word(&args), Some("Job"));
        assert_eq!(super::word(&args[..3]), None);
    }
}
