//! The installation guide to the letter, on three machines with systemd (`e2e/machines`): a master and two workers, each
//! component a process of its own, configured from one properties file. `docs/guide.md` shows what was typed and printed.

mod docs;
mod steps;

use crate::{images, packages, sh, suite};
use docs::Record;
use std::cell::RefCell;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use steps::Step;

const NAMES: [&str; 3] = ["m", "w1", "w2"];
const LINKS: &[&str] =
    &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];
/// Between the outputs of one command and the next.
const MARK: char = '\u{1}';

/// What of the guide is walked.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Scope {
    /// Without what other tests show too.
    quick: bool,
    /// With cloudflare's tools.
    cfssl: bool,
}

/// The parts of a form, in order.
fn parts(kind: &str, scope: Scope) -> Vec<&'static [Step]> {
    use steps::*;
    let mut all: Vec<&'static [Step]> = Vec::new();
    if kind == "simple" {
        all.extend([SIMPLE_PROPERTIES, DISK, SIMPLE, STATUS, SIMPLE_WORKERS]);
    } else {
        all.push(CERTIFICATES);
        if scope.cfssl {
            all.push(CFSSL);
        }
        all.extend([DISK, WITH_CA, STATUS, WITH_CA_WORKERS]);
    }
    all.extend([NODES, DEPLOYMENT, SERVICES, DASHBOARD]);
    if !scope.quick {
        all.push(MICRO);
        if kind == "with-ca" {
            all.extend([ROTATION, BAD]);
        }
    }
    all
}

fn script() -> Command {
    Command::new(sh::root().join("e2e/machines"))
}

/// The machines, taken away in the end unless kept.
struct Machines {
    keep: bool,
    ips: Vec<String>,
    kind: &'static str,
    /// What was shown, for the documents.
    shown: RefCell<Vec<Record>>,
}

impl Drop for Machines {
    fn drop(&mut self) {
        if !self.keep {
            let _ = sh::run(script().arg("down"));
        }
    }
}

pub fn run(args: &[String]) -> Result<(), String> {
    if !sh::is_root() {
        return Err("needs root, for network namespaces and containers".to_owned());
    }
    let has = |flag: &str| args.iter().any(|a| a == flag);
    let kinds: &[&'static str] = match args.first().filter(|a| !a.starts_with("--")).map(String::as_str) {
        None => &["simple", "with-ca"],
        Some("simple") => &["simple"],
        Some("with-ca") => &["with-ca"],
        Some(other) => return Err(format!("{other:?} is neither simple nor with-ca")),
    };
    let (quick, write) = (has("--quick"), has("--write"));
    if write && (quick || kinds.len() < 2) {
        return Err("--write keeps both forms, whole: leave the rest out".to_owned());
    }
    packages::install(&[("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("strip", "binutils")])?;
    let kubectl = suite::kubectl()?;
    let cfssl = if kinds.contains(&"with-ca") { cfssl() } else { false };
    let etcdctl = suite::peer("etcdctl")?;
    let exe = sh::keelson(false)?;
    let begun = Instant::now();
    let work = std::env::temp_dir().join(format!("keelson-guide-{}", std::process::id()));
    let done = prepare(&work, &exe, &[(&kubectl, "kubectl"), (&etcdctl, "etcdctl")], cfssl, has("--keep"))
        .and_then(|mut m| {
            walk(&m, steps::PREPARE)?;
            for (i, kind) in kinds.iter().enumerate() {
                sh::step(kind);
                m.kind = kind;
                if i > 0 {
                    walk(&m, steps::STOP)?;
                }
                for part in parts(kind, Scope { quick, cfssl }) {
                    walk(&m, part)?;
                }
            }
            if write { docs::write(&m.shown.borrow()) } else { Ok(()) }
        });
    let _ = std::fs::remove_dir_all(&work);
    if done.is_ok() {
        sh::step(&format!("the guide holds ({:.0} s)", begun.elapsed().as_secs_f64()));
    }
    done
}

/// Cloudflare's tools, from their Go module; where that cannot be had the steps with them are left out.
fn cfssl() -> bool {
    match suite::cfssl() {
        Ok(()) => true,
        Err(e) => {
            sh::step(&format!("without cfssl, which could not be built: {}", e.lines().next().unwrap_or("")));
            false
        }
    }
}

/// Boots the machines, with nothing on them but the binary, stock kubectl and etcdctl, and the images.
fn prepare(
    work: &Path,
    exe: &Path,
    tools: &[(&Path, &str)],
    cfssl: bool,
    keep: bool,
) -> Result<Machines, String> {
    let (bin, tars) = (work.join("bin"), work.join("images"));
    std::fs::create_dir_all(&bin).map_err(|e| e.to_string())?;
    sh::run(Command::new("strip").arg("-o").arg(bin.join("keelson")).arg(exe))?;
    for l in LINKS {
        std::os::unix::fs::symlink("keelson", bin.join(l)).map_err(|e| e.to_string())?;
    }
    let copy = |from: &Path, name: &str| {
        std::fs::copy(from, bin.join(name)).map(drop).map_err(|e| format!("{}: {e}", from.display()))
    };
    for (from, name) in tools {
        copy(from, name)?;
    }
    images::build(&tars)?;
    // The load on the services is made by a program of their image.
    copy(&images::build_demo()?, "demo")?;
    for tool in ["cfssl", "cfssljson"].iter().filter(|_| cfssl) {
        copy(&suite::bin(tool), tool)?;
    }
    sh::run(Command::new(bin.join("keelson")).arg("image").arg("--output").arg(tars.join("keelson.tar")))?;
    sh::step("booting three machines");
    sh::run(script().arg("down"))?;
    sh::run(script().arg("up").args(NAMES))?;
    let mut m = Machines { keep, ips: Vec::new(), kind: "simple", shown: RefCell::default() };
    for n in NAMES {
        m.ips.push(sh::output(script().args(["ip", n]))?.trim().to_owned());
        sh::run(script().args(["cp", n]).arg(&bin).arg("/root/bin"))?;
        if n == "m" {
            let yaml = sh::root().join("e2e/microservices");
            sh::run(script().args(["cp", n]).arg(yaml).arg("/root/microservices"))?;
        } else {
            sh::run(script().args(["cp", n]).arg(&tars).arg("/root/images"))?;
            let import = "systemctl start containerd; for t in /root/images/*.tar; do ctr -n k8s.io images import $t || exit 1; done; \
                for v in 3.6 3.8 3.10; do ctr -n k8s.io images tag keelson.local/pause:1 registry.k8s.io/pause:$v; done";
            sh::output(script().args(["exec", n, "bash", "-c", import]))?;
        }
    }
    Ok(m)
}

/// Puts files of the master onto another machine, as `scp` and `tar` would.
fn copy(paths: &str, machine: &str) -> Result<bool, String> {
    let mut from = script()
        .args(["exec", "m", "bash", "-c", &format!("tar -C / -c {paths}")])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let Some(out) = from.stdout.take() else { return Err("no output of tar".to_owned()) };
    let to = script().args(["exec", machine, "tar", "-C", "/", "-x"]).stdin(out).status();
    let ok = to.map_err(|e| e.to_string())?.success();
    Ok(from.wait().map_err(|e| e.to_string())?.success() && ok)
}

fn walk(m: &Machines, steps: &[Step]) -> Result<(), String> {
    for s in steps {
        let on: Vec<usize> = match s.on {
            "all" => vec![0, 1, 2],
            "workers" | "copy" => vec![1, 2],
            n => NAMES.iter().position(|x| *x == n).into_iter().collect(),
        };
        for i in on {
            step(m, s, i)?;
        }
    }
    Ok(())
}

/// A text with the machines' addresses in it.
fn filled(text: &str, ips: &[impl AsRef<str>], own: usize) -> String {
    let names = [("$M", 0), ("$W1", 1), ("$W2", 2), ("$IP", own)];
    names.iter().fold(text.to_owned(), |t, (name, i)| t.replace(name, ips[*i].as_ref()))
}

fn step(m: &Machines, s: &Step, i: usize) -> Result<(), String> {
    let begun = Instant::now();
    let expect = filled(s.expect, &m.ips, i);
    loop {
        let (ok, out) = attempt(m, s, i)?;
        let missing: Vec<&str> = expect
            .lines()
            .filter(|l| l.strip_prefix('!').map_or(!out.contains(*l), |no| out.contains(no)))
            .collect();
        if missing.is_empty() && ok {
            eprintln!("    ok {:5.1} s  {:3} {}", begun.elapsed().as_secs_f64(), NAMES[i], s.shows);
            let outputs = out.split(MARK).map(str::to_owned).collect();
            m.shown.borrow_mut().push(Record { kind: m.kind, shows: s.shows, outputs });
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(s.within) {
            let what = format!("{} on {}: `{}`", s.shows, NAMES[i], s.run);
            return Err(format!("{what}\nwanted {missing:?}, success: {ok}, got\n{}", out.replace(MARK, "")));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn attempt(m: &Machines, s: &Step, i: usize) -> Result<(bool, String), String> {
    if s.on == "copy" {
        return Ok((copy(s.run, NAMES[i])?, String::new()));
    }
    let lines: Vec<&str> = s.run.lines().collect();
    let shell = format!(
        "exec 2>&1; set -e; export PATH=/root/bin:$PATH; cd /root\n{}",
        filled(&lines.join("\nprintf '\\001'\n"), &m.ips, i)
    );
    let o = script()
        .args(["exec", NAMES[i], "timeout", &(s.within + 5).to_string(), "bash", "-c", &shell])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let text = format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr));
    Ok((o.status.success(), text))
}
