//! The demo and pause images, from our own static binary.

use crate::sh;
use oci::{Config, Entry};
use std::path::{Path, PathBuf};

const TOOLS: &[&str] = &[
    "pause", "serve", "gateway", "user", "course", "message", "load", "sleep", "echo", "cat", "ls", "env",
    "hostname", "wget", "nslookup", "nc", "true", "false", "exit",
];

pub fn run(args: &[String]) -> Result<(), String> {
    let dir = args.first().ok_or("usage: cargo xtask images DIR")?;
    build(Path::new(dir))
}

/// Builds an archive with nothing but the pause program into `dir`, by these names.
pub fn pause(dir: &Path, names: &[&str]) -> Result<(), String> {
    let demo = std::fs::read(build_demo()?).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let mut entries = oci::base();
    entries.push(Entry::File { path: "bin/pause".into(), mode: 0o755, content: demo });
    let config = Config { entrypoint: vec!["/bin/pause".to_owned()], ..Config::default() };
    let bytes = oci::archive(names, arch, &entries, &config).map_err(|e| e.to_string())?;
    std::fs::write(dir.join("pause.tar"), bytes).map_err(|e| e.to_string())
}

/// Builds the archives into `dir`.
pub fn build(dir: &Path) -> Result<(), String> {
    let demo = std::fs::read(build_demo()?).map_err(|e| e.to_string())?;
    std::fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    for (file, name, version, entrypoint, cmd) in [
        ("pause.tar", "keelson.local/pause:1", "", "/bin/pause", None),
        ("demo-1.tar", "keelson.local/demo:1", "1", "/bin/demo", Some("serve")),
        ("demo-2.tar", "keelson.local/demo:2", "2", "/bin/demo", Some("serve")),
    ] {
        let mut entries = oci::base();
        entries.push(Entry::File { path: "bin/demo".into(), mode: 0o755, content: demo.clone() });
        for t in TOOLS {
            entries.push(Entry::Link { path: format!("bin/{t}"), target: "demo".into() });
        }
        if !version.is_empty() {
            let content = format!("{version}\n").into_bytes();
            entries.push(Entry::File { path: "etc/demo-version".into(), mode: 0o644, content });
        }
        let config = Config {
            entrypoint: vec![entrypoint.to_owned()],
            cmd: cmd.map(str::to_owned).into_iter().collect(),
            env: vec!["PATH=/bin".to_owned()],
            exposed_ports: if cmd.is_some() { vec!["8080/tcp".to_owned()] } else { Vec::new() },
            ..Config::default()
        };
        let bytes = oci::archive(&[name], arch, &entries, &config).map_err(|e| e.to_string())?;
        let path = dir.join(file);
        if std::fs::read(&path).is_ok_and(|old| old == bytes) {
            continue;
        }
        let tmp = dir.join(format!(".{file}.new"));
        std::fs::write(&tmp, bytes)
            .and_then(|()| std::fs::rename(&tmp, &path))
            .map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(())
}

/// Builds the static binary; flags that only it needs go to a target folder of its own.
pub fn build_demo() -> Result<PathBuf, String> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let dir = sh::target_dir().join("static");
    sh::run(
        sh::cargo()
            .args(["build", "--quiet", "--release", "-p", "demo", "--target", &target])
            .env("CARGO_TARGET_DIR", &dir)
            .env("RUSTFLAGS", "-C target-feature=+crt-static -C strip=symbols"),
    )?;
    Ok(dir.join(target).join("release/demo"))
}
