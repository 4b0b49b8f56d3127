//! Running other programs, saying so.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

pub fn cargo() -> Command {
    let mut c = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    c.current_dir(root());
    c
}

/// The program: the one `KEELSON_EXE` names, else built from the checkout.
pub fn keelson(release: bool) -> Result<PathBuf, String> {
    if let Some(exe) = std::env::var_os("KEELSON_EXE") {
        step(&format!("taking {} (KEELSON_EXE) in place of a build", exe.to_string_lossy()));
        return Ok(PathBuf::from(exe));
    }
    step("building keelson (the first time takes some minutes)");
    let mut c = cargo();
    c.args(["build", "-p", "keelson"]);
    if release {
        c.arg("--release");
    }
    run(&mut c)?;
    Ok(target_dir().join(if release { "release/keelson" } else { "debug/keelson" }))
}

/// Prints what is being done.
pub fn step(what: &str) {
    eprintln!("\x1b[1m==>\x1b[0m {what}");
}

/// Runs a command to its end; its output goes where ours goes.
pub fn run(c: &mut Command) -> Result<(), String> {
    let shown = show(c);
    let s = c.status().map_err(|e| format!("cannot run {shown}: {e}"))?;
    if s.success() { Ok(()) } else { Err(format!("{shown}: {s}")) }
}

/// Runs a command and answers its standard output.
pub fn output(c: &mut Command) -> Result<String, String> {
    let shown = show(c);
    let o = c.output().map_err(|e| format!("cannot run {shown}: {e}"))?;
    if o.status.success() {
        Ok(String::from_utf8_lossy(&o.stdout).into_owned())
    } else {
        Err(format!(
            "{shown}: {}\n{}{}",
            o.status,
            String::from_utf8_lossy(&o.stdout),
            String::from_utf8_lossy(&o.stderr)
        ))
    }
}

fn show(c: &Command) -> String {
    let args: Vec<_> = c.get_args().map(OsStr::to_string_lossy).collect();
    format!("{} {}", c.get_program().to_string_lossy(), args.join(" "))
}

/// So many free TCP ports of loopback.
pub fn ports(n: usize) -> Result<Vec<u16>, String> {
    let held: Result<Vec<_>, _> = (0..n).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect();
    let held = held.map_err(|e| e.to_string())?;
    held.iter().map(|l| l.local_addr().map(|a| a.port()).map_err(|e| e.to_string())).collect()
}

/// Whether a program is on the PATH or in the places for administrators.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(["/usr/sbin", "/sbin"]).map(|d| Path::new(d).join(name)).find(|p| p.is_file())
}

pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|s| {
        s.lines().any(|l| l.strip_prefix("Uid:").is_some_and(|u| u.split_whitespace().nth(1) == Some("0")))
    })
}

/// The value after a flag in a list of arguments.
pub fn flag<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).map(String::as_str)
}
