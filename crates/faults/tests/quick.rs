//! The short form of the fault tests, on our store served by the tool itself: what `cargo xtask faults --quick` does to
//! a built keelson and to etcd. `FAULTS_SEED` picks another run.
#![allow(clippy::unwrap_used, reason = "a test, though it has its own main")]

use std::process::{Command, ExitCode, Stdio};

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|l| l.starts_with("Uid:") && l.split_whitespace().nth(2) == Some("0"))
}

fn main() -> ExitCode {
    // `cargo test` asks harnesses for their list, and names tests to run.
    if std::env::args().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let tool = env!("CARGO_BIN_EXE_faults");
    let seed = std::env::var("FAULTS_SEED").unwrap_or_else(|_| "7".into());
    let mut cases = vec!["kill", "clock", "pause"];
    if is_root() {
        cases.extend(["power", "io"]);
    } else {
        println!("without root no file system is mounted: left out are power, io");
    }
    let mut c = Command::new(tool);
    c.args(["run", "--quick", "--seed", &seed, "--keelson", tool]).args(&cases);
    let o = c.stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&o.stdout);
    let failed = text.lines().filter(|l| !l.contains("\"wrong\":[]")).count();
    let passed = text.lines().count() - failed;
    println!("\ntest result: {passed} passed; {failed} failed (seed {seed})");
    if o.status.success() && passed == cases.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
