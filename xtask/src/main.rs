//! The project's automation. `cargo xtask` alone lists the commands.

mod e2e;
mod hosts;
mod images;
mod packages;
mod sh;
mod suite;
mod test;
mod tidy;
mod tour;
mod up;

use std::process::ExitCode;

type Command = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const COMMANDS: &[Command] = &[
    (
        "up",
        "build keelson, install what it needs, bring up a cluster on this machine   [--data-dir DIR]",
        up::up,
    ),
    (
        "down",
        "stop that cluster and its containers; its data stays                        [--data-dir DIR]",
        up::down,
    ),
    ("test", "formatting, lints, tidy, unit and integration tests, the fast end-to-end part", test::run),
    ("tidy", "check layers, purity, file sizes and headers", tidy::run),
    ("images", "build the demo and pause images into DIR", images::run),
    ("e2e", "the user's day on a fresh cluster with real containers                      [--keep]", e2e::run),
    (
        "conformance",
        "a part of upstream's suite on test hosts, against the known-passing list    [FOCUS]",
        suite::run,
    ),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("", String::as_str);
    let Some((_, _, run)) = COMMANDS.iter().find(|(n, _, _)| *n == name) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for (n, what, _) in COMMANDS {
            eprintln!("  {n:12} {what}");
        }
        return if matches!(name, "" | "help" | "--help" | "-h") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match run(&args[1..]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("\nxtask {name}: {e}");
            ExitCode::FAILURE
        }
    }
}
