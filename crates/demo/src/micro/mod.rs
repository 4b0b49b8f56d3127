//! Four small services that need each other: a gateway, and behind it users (with a database), courses and messages.

pub mod course;
pub mod gateway;
pub mod message;
pub mod store;
pub mod user;

use crate::http::{self, Answer, Failed};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(5);
/// How long a service that is being replaced is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

/// Port: the first argument, else 8080.
fn port(args: &[String]) -> Result<u16, String> {
    args.first().map_or(Ok(8080), |p| p.parse().map_err(|_| format!("{p:?} is not a port")))
}

/// Where a service is: its name in the cluster's DNS, or what `NAME_AT` says.
fn at(service: &str) -> String {
    std::env::var(format!("{}_AT", service.to_ascii_uppercase())).unwrap_or_else(|_| service.to_owned())
}

/// Asks another service. A request that nobody got is sent again; one that somebody may have got only if it reads.
fn ask(service: &str, method: &str, target: &str, body: &[u8]) -> Result<(u16, String), String> {
    let (host, begun) = (at(service), Instant::now());
    loop {
        match http::call(&host, method, target, body, LIMIT) {
            Ok(a) => return Ok(a),
            Err(e) => {
                let safe = matches!(e, Failed::Connect(_)) || method == "GET";
                if !safe || begun.elapsed() > PATIENCE {
                    return Err(format!("{service}: {e}"));
                }
            }
        }
        std::thread::sleep(AGAIN);
    }
}

/// What every service answers: whether it is there, and who it is.
fn common(name: &str, path: &str) -> Option<Answer> {
    match path {
        "/healthz" | "/readyz" => Some(Answer::text("ok\n")),
        "/version" => {
            Some(Answer::text(format!("{name} {} {}\n", crate::version(), crate::tools::host_name())))
        }
        _ => None,
    }
}

/// Names go into files, paths and answers.
fn good_name(s: &str) -> bool {
    (1..=32).contains(&s.len()) && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}
