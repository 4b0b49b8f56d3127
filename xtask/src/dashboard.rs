//! `cargo xtask dashboard`: builds the web interface into `crates/dashboard/dist`, and tries it in a browser.

use crate::sh;
use std::process::Command;

/// `--test --url URL --kubeconfig FILE` runs the test of a dashboard that is being served.
pub fn run(args: &[String]) -> Result<(), String> {
    let web = sh::root().join("crates/dashboard/web");
    let npm = |a: &[&str]| sh::run(Command::new("npm").args(a).current_dir(&web));
    if !web.join("node_modules").is_dir() {
        npm(&["ci", "--no-audit", "--no-fund"])?;
    }
    if !args.iter().any(|a| a == "--test") {
        return npm(&["run", "build"]);
    }
    let mut test = Command::new("node");
    test.current_dir(&web).arg("test/run.mjs");
    for flag in ["--url", "--kubeconfig", "--shots", "--containers"] {
        if let Some(v) = sh::flag(args, flag) {
            test.args([flag, v]);
        }
    }
    sh::run(&mut test)
}
