//! The project's automation. `cargo xtask` alone lists the commands.

mod bench;
mod dashboard;
mod e2e;
mod faults;
mod guide;
mod ha;
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

/// Name, flags (those with `=` take a value), what it does, and the doing.
type Command = (&'static str, &'static [&'static str], &'static str, fn(&[String]) -> Result<(), String>);

const COMMANDS: &[Command] = &[
    (
        "up",
        &["--data-dir="],
        "build keelson, install what it needs, bring up a cluster on this machine   [--data-dir DIR]",
        up::up,
    ),
    (
        "down",
        &["--data-dir="],
        "stop that cluster and its containers; its data stays                        [--data-dir DIR]",
        up::down,
    ),
    ("test", &[], "formatting, lints, tidy, unit and integration tests, the fast end-to-end part", test::run),
    (
        "dashboard",
        &["--test", "--url=", "--kubeconfig=", "--shots=", "--containers="],
        "build the web interface; --test: try it in Chromium   [--test --url URL --kubeconfig FILE [--shots DIR]]",
        dashboard::run,
    ),
    ("tidy", &[], "check layers, purity, file sizes and headers", tidy::run),
    ("images", &[], "build the demo and pause images into DIR", images::run),
    (
        "e2e",
        &["--keep", "--release", "--nodes="],
        "the user's day on a fresh cluster with real containers            [--nodes 2] [--keep] [--release]",
        e2e::run,
    ),
    (
        "guide",
        &["--keep", "--quick", "--write"],
        "the installation guide to the letter, on three machines with systemd
               [simple|with-ca] [--quick: no microservices, no mistakes] [--keep] [--write: docs/guide.md, docs/guide.zh.md]",
        guide::run,
    ),
    (
        "conformance",
        &[
            "--keep", "--debug", "--serial", "--bless", "--sample", "--procs=", "--skip=", "--focus=", "--timeout=",
            "--subject=", "--swap=",
        ],
        "upstream's suite on two test hosts, against the known-passing list
               [FOCUS] [--serial] [--sample: the fast part that CI runs] [--procs N] [--skip RE] [--timeout MINUTES]
               [--subject ours|alone|upstream: whose cluster; alone is ours, a process for each component]
               [--swap COMPONENT=ours: upstream's cluster with that part ours; COMPONENT=upstream: ours with it theirs]
               [--bless] [--keep] [--debug]",
        suite::run,
    ),
    (
        "bench",
        &["--quick", "--large", "--scale", "--write", "--no-build", "--repeats=", "--hold="],
        "ours and upstream's in turn: speed, CPU and memory of each row
               [ROW...] [--quick] [--scale: also plots to 100,000 pods and 5,000 nodes] [--large: all rows of that size] [--repeats N]
               [--write: docs/benchmarks.md and docs/benchmarks/*.svg]
               [--no-build: what lies in target/release]",
        bench::run,
    ),
    (
        "faults",
        &["--seed=", "--subject=", "--quick", "--write"],
        "what the store and a cluster bear: kills, power cuts, bad and full disks, clocks, partitions
               [CASE...] [--seed N] [--subject ours|etcd] [--quick: under a minute, the store alone] [--write: docs/faults.md]",
        faults::run,
    ),
    (
        "ha",
        &["--quick", "--keep", "--write", "--seed=", "--servers=", "--images="],
        "a highly available control plane loses one thing after the other, under load
               [CASE...] [--quick: the part that CI runs] [--seed N] [--servers 3] [--images DIR: of `xtask images`] [--keep]
               [--write: docs/availability.md]",
        ha::run,
    ),
];

/// `--flag=value` becomes two words; a flag that the command does not have is an error.
fn words(args: &[String], flags: &[&str]) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    let mut it = args.iter();
    while let Some(a) = it.next() {
        if !a.starts_with("--") {
            out.push(a.clone());
            continue;
        }
        let (name, value) = a.split_once('=').map_or((a.as_str(), None), |(n, v)| (n, Some(v.to_owned())));
        if flags.iter().any(|f| f.strip_suffix('=') == Some(name)) {
            let value =
                value.or_else(|| it.next().cloned()).ok_or_else(|| format!("{name} needs a value"))?;
            out.extend([name.to_owned(), value]);
        } else if flags.contains(&name) && value.is_none() {
            out.push(name.to_owned());
        } else {
            return Err(format!("unknown flag: {a}"));
        }
    }
    Ok(out)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let name = args.first().map_or("", String::as_str);
    let Some((_, flags, _, run)) = COMMANDS.iter().find(|(n, ..)| *n == name) else {
        eprintln!("usage: cargo xtask COMMAND\n");
        for (n, _, what, _) in COMMANDS {
            eprintln!("  {n:12} {what}");
        }
        eprintln!("\nKEELSON_EXE=FILE: try that program, in place of one built from the checkout.");
        return if matches!(name, "" | "help" | "--help" | "-h") {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match words(&args[1..], flags).and_then(|a| run(&a)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("\nxtask {name}: {e}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_are_known() {
        let words = |a: &[&str]| {
            super::words(&a.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>(), &["--dir=", "--keep"])
        };
        assert_eq!(words(&["--dir=/x", "a", "--keep"]).unwrap(), ["--dir", "/x", "a", "--keep"]);
        assert_eq!(words(&["--dir", "/x"]).unwrap(), ["--dir", "/x"]);
        for bad in [&["--dir"][..], &["--keep=1"], &["--other"]] {
            assert!(words(bad).is_err(), "{bad:?}");
        }
    }
}
