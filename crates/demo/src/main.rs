//! The program inside the demo and pause images: static, small, without dependencies.
//!
//! One binary, many names, as in a busybox: `pause` holds a pod's namespaces and reaps; `serve` is a web server that
//! says who answers; the rest are the few tools one wants inside a container that has nothing else.

mod serve;
mod signals;
mod tools;

use std::process::ExitCode;

/// Name, what it does, the function.
type Tool = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const TOOLS: &[Tool] = &[
    ("pause", "do nothing until told to stop", tools::pause),
    ("serve", "answer HTTP on [PORT, default 8080] with version, pod name and path", serve::run),
    ("sleep", "wait for SECONDS (or `infinity`)", tools::sleep),
    ("echo", "print the arguments", tools::echo),
    ("cat", "print FILES", tools::cat),
    ("ls", "list FOLDERS", tools::ls),
    ("env", "print the environment", tools::env),
    ("hostname", "print the host's name", tools::hostname),
    (
        "wget",
        "fetch an http URL and print its body; -q and -O- are accepted, -T SECONDS limits the time",
        tools::wget,
    ),
    ("nslookup", "print the addresses of NAME", tools::nslookup),
    ("nc", "connect to HOST PORT, send standard input, print the answer", tools::nc),
    ("true", "succeed", |_| Ok(())),
    ("false", "fail", |_| Err(String::new())),
    ("exit", "end with status N", tools::exit),
];

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    let mut name = args.remove(0).rsplit('/').next().unwrap_or_default().to_owned();
    if name == "demo" {
        name = if args.is_empty() { "serve".to_owned() } else { args.remove(0) };
    }
    let Some((_, _, run)) = TOOLS.iter().find(|(n, _, _)| *n == name) else {
        eprintln!("{name}: unknown; this image has:");
        for (n, what, _) in TOOLS {
            eprintln!("  {n:10} {what}");
        }
        return ExitCode::from(127);
    };
    signals::on_terminate(if name == "serve" { serve::LAME_DUCK } else { std::time::Duration::ZERO });
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            if let Some(code) = e.strip_prefix("exit ").and_then(|c| c.parse::<u8>().ok()) {
                return ExitCode::from(code);
            }
            if !e.is_empty() {
                eprintln!("{name}: {e}");
            }
            ExitCode::FAILURE
        }
    }
}
