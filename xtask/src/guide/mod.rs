//! The installation guide to the letter, on three machines with systemd (`e2e/machines`): a master and two workers, each
//! component a process of its own, configured from one properties file.

mod steps;

use crate::{images, packages, sh, suite};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use steps::Step;

const NAMES: [&str; 3] = ["m", "w1", "w2"];
const LINKS: &[&str] =
    &["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"];

fn script() -> Command {
    Command::new(sh::root().join("e2e/machines"))
}

/// The machines, taken away in the end unless kept.
struct Machines {
    keep: bool,
    ips: Vec<String>,
    kind: &'static str,
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
    let kinds: &[&str] = match args.first().filter(|a| !a.starts_with("--")).map(String::as_str) {
        None => &["simple", "with-ca"],
        Some("simple") => &["simple"],
        Some("with-ca") => &["with-ca"],
        Some(other) => return Err(format!("{other:?} is neither simple nor with-ca")),
    };
    packages::install(&[("debootstrap", "debootstrap"), ("unshare", "util-linux"), ("strip", "binutils")])?;
    let kubectl = suite::kubectl()?;
    let exe = sh::keelson(false)?;
    let work = std::env::temp_dir().join(format!("keelson-guide-{}", std::process::id()));
    let done = prepare(&work, &exe, sh::flag(args, "--images"), &kubectl, args.iter().any(|a| a == "--keep"))
        .and_then(|mut m| {
            walk(&m, steps::PREPARE)?;
            for (i, kind) in kinds.iter().enumerate() {
                sh::step(kind);
                if i > 0 {
                    walk(&m, steps::STOP)?;
                }
                m.kind = kind;
                let (control, workers): (&[Step], &[Step]) = match *kind {
                    "simple" => (steps::SIMPLE, steps::SIMPLE_WORKERS),
                    _ => (steps::WITH_CA, steps::WITH_CA_WORKERS),
                };
                walk(&m, control.get(..2).unwrap_or_default())?;
                walk(&m, steps::DISK)?;
                for part in [control.get(2..).unwrap_or_default(), steps::STATUS] {
                    walk(&m, part)?;
                }
                if *kind == "with-ca" {
                    share_keys(&m)?;
                }
                walk(&m, workers)?;
                walk(&m, steps::CLUSTER)?;
            }
            Ok(())
        });
    let _ = std::fs::remove_dir_all(&work);
    done
}

/// Boots the machines, with nothing of ours on them but the binary, kubectl and the images.
fn prepare(
    work: &Path,
    exe: &Path,
    archives: Option<&str>,
    kubectl: &Path,
    keep: bool,
) -> Result<Machines, String> {
    let (bin, tars) = (work.join("bin"), work.join("images"));
    std::fs::create_dir_all(&bin).map_err(|e| e.to_string())?;
    sh::run(Command::new("strip").arg("-o").arg(bin.join("keelson")).arg(exe))?;
    for l in LINKS {
        std::os::unix::fs::symlink("keelson", bin.join(l)).map_err(|e| e.to_string())?;
    }
    std::fs::copy(kubectl, bin.join("kubectl")).map_err(|e| e.to_string())?;
    match archives {
        Some(dir) => sh::run(Command::new("cp").arg("-r").arg(dir).arg(&tars))?,
        None => images::build(&tars)?,
    }
    sh::run(Command::new(bin.join("keelson")).arg("image").arg("--output").arg(tars.join("keelson.tar")))?;
    sh::step("booting three machines");
    sh::run(script().arg("down"))?;
    sh::run(script().arg("up").args(NAMES))?;
    let mut m = Machines { keep, ips: Vec::new(), kind: "simple" };
    for n in NAMES {
        m.ips.push(sh::output(script().args(["ip", n]))?.trim().to_owned());
        sh::run(script().args(["cp", n]).arg(&bin).arg("/root/bin"))?;
        if n != "m" {
            sh::run(script().args(["cp", n]).arg(&tars).arg("/root/images"))?;
            let import = "systemctl start containerd; for t in /root/images/*.tar; do ctr -n k8s.io images import $t || exit 1; done; \
                for v in 3.6 3.8 3.10; do ctr -n k8s.io images tag keelson.local/pause:1 registry.k8s.io/pause:$v; done";
            sh::output(script().args(["exec", n, "bash", "-c", import]))?;
        }
    }
    Ok(m)
}

/// What the guide copies from the master to each worker.
fn share_keys(m: &Machines) -> Result<(), String> {
    for w in ["w1", "w2"] {
        let copy = "tar -C /etc/kubernetes -c ca/ca.pem ca/kube-proxy ca/net";
        let mut from = script()
            .args(["exec", "m", "bash", "-c", copy])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let Some(out) = from.stdout.take() else { return Err("no output of tar".to_owned()) };
        let mut to = script();
        to.args(["exec", w, "bash", "-c", "mkdir -p /etc/kubernetes && tar -C /etc/kubernetes -x"])
            .stdin(out);
        sh::run(&mut to)?;
        from.wait().map_err(|e| e.to_string())?;
    }
    let _ = m;
    Ok(())
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

fn step(m: &Machines, s: &Step, i: usize) -> Result<(), String> {
    let begun = Instant::now();
    let filled = |t: &str| t.replace("$W1", &m.ips[1]).replace("$W2", &m.ips[2]);
    let expect = filled(s.expect);
    loop {
        let (ok, out) = attempt(m, s, i)?;
        let missing: Vec<&str> = expect
            .lines()
            .filter(|l| l.strip_prefix('!').map_or(!out.contains(*l), |no| out.contains(no)))
            .collect();
        if missing.is_empty() && (ok || !expect.is_empty()) {
            eprintln!("    ok {:5.1} s  {:3} {}", begun.elapsed().as_secs_f64(), NAMES[i], s.shows);
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(s.within) {
            let what = format!("{} on {}: `{}`", s.shows, NAMES[i], s.run);
            return Err(format!("{what}\nwanted {missing:?}, got\n{out}"));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn attempt(m: &Machines, s: &Step, i: usize) -> Result<(bool, String), String> {
    if s.on == "copy" {
        let (from, to) = s.run.split_once(' ').ok_or("copy: two paths")?;
        let text = sh::output(script().args(["exec", "m", "cat", from]))?;
        let mut c = script();
        c.args(["exec", NAMES[i], "bash", "-c", &format!("mkdir -p $(dirname {to}) && cat > {to}")])
            .stdin(Stdio::piped());
        let mut child = c.spawn().map_err(|e| e.to_string())?;
        if let Some(mut w) = child.stdin.take() {
            use std::io::Write;
            w.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
        }
        return Ok((child.wait().map_err(|e| e.to_string())?.success(), String::new()));
    }
    let net = match m.kind {
        "simple" => "--master=http://$M:8080",
        _ => "--kubeconfig=/etc/kubernetes/net.kubeconfig",
    };
    let shell = format!(
        "export PATH=/root/bin:$PATH M={} W1={} W2={} IP={}; export NET=\"{net} --hostname-override=$IP --cluster-cidr=172.20.0.0/16\"; cd /root; {}",
        m.ips[0], m.ips[1], m.ips[2], m.ips[i], s.run
    );
    let o = script()
        .args(["exec", NAMES[i], "timeout", &(s.within + 5).to_string(), "bash", "-c", &shell])
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    let text = format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr));
    Ok((o.status.success(), text))
}
