//! The program inside the demo and pause images: static, small, without dependencies.
//!
//! One binary, many names, as in a busybox: `pause` holds a pod's namespaces and reaps; `serve` is a web server that
//! says who answers; the rest are the few tools one wants inside a container that has nothing else.

mod http;
mod load;
mod micro;
mod serve;
mod signals;
mod tools;

use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

/// How long services still answer after SIGTERM, while load balancers learn that they go.
const LAME_DUCK: Duration = Duration::from_secs(2);
/// What answers requests.
const SERVICES: [&str; 5] = ["serve", "gateway", "user", "course", "message"];

/// Name, what it does, the function.
type Tool = (&'static str, &'static str, fn(&[String]) -> Result<(), String>);

const TOOLS: &[Tool] = &[
    ("pause", "do nothing until told to stop", tools::pause),
    ("serve", "answer HTTP on [PORT, default 8080] with version, pod name and path", serve::run),
    (
        "gateway",
        "pass /api/users, /api/courses, /api/messages on to user, course, message",
        micro::gateway::run,
    ),
    ("user", "register users, kept in $DATA", micro::user::run),
    ("course", "list courses, of the file $COURSES, and let users join", micro::course::run),
    ("message", "tell users things, in the log", micro::message::run),
    ("load", "ask for URLs over and over: SECONDS WORKERS URL...", load::run),
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
    signals::on_terminate(if SERVICES.contains(&name.as_str()) { LAME_DUCK } else { Duration::ZERO });
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

/// What the image says of itself.
pub fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let v = std::fs::read_to_string("/etc/demo-version").unwrap_or_else(|_| "dev".to_owned());
        v.trim().to_owned()
    })
}
