//! Everything that must be green before a change lands.

use crate::{e2e, faults, guide, ha, sh, suite};

type Part = (&'static str, fn(&[String]) -> Result<(), String>, &'static [&'static str]);

/// What is tried with real programs, after what cargo tests.
const END_TO_END: &[Part] = &[
    ("end to end, with real containers", e2e::run, &[]),
    ("end to end, on two nodes", e2e::run, &["--nodes", "2"]),
    ("a sample of upstream's own suite", suite::run, &["--sample", "--debug"]),
    ("faults of the store", faults::run, &["--quick", "--subject", "ours", "--seed", "1"]),
    ("three of everything, one of them lost", ha::run, &["--quick"]),
    ("the installation guide, on machines with systemd", guide::run, &["simple", "--quick"]),
];

pub fn run(_: &[String]) -> Result<(), String> {
    sh::step("formatting");
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;
    sh::step("lints");
    sh::run(sh::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    sh::step("tidy, unit and integration tests");
    sh::run(sh::cargo().args(["test", "--quiet", "--workspace"]))?;
    for (what, part, args) in END_TO_END {
        sh::step(what);
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        part(&args)?;
    }
    Ok(())
}
