//! A web server that says who answers; `/healthz`, `/version`, `/env`, `/slow?SECONDS`, `/exit`.

use crate::http::{self, Answer, Request};
use std::sync::Arc;
use std::time::Duration;

pub fn run(args: &[String]) -> Result<(), String> {
    let port: u16 = match args.first() {
        None => 8080,
        Some(p) => p.parse().map_err(|_| format!("{p:?} is not a port"))?,
    };
    http::listen(port, "serving", Arc::new(answer))
}

fn answer(r: &Request) -> Answer {
    match r.path() {
        "/healthz" | "/readyz" => Answer::text("ok\n"),
        "/version" => Answer::text(format!("{}\n", crate::version())),
        "/client" => Answer::text(format!("{}\n", r.client)),
        "/env" => {
            let mut e: Vec<String> = std::env::vars().map(|(k, v)| format!("{k}={v}\n")).collect();
            e.sort();
            Answer::text(e.concat())
        }
        "/slow" => {
            std::thread::sleep(Duration::from_secs(r.query().parse().unwrap_or(1).min(60)));
            Answer::text("slow\n")
        }
        "/exit" => std::process::abort(),
        path => {
            let (host, version) = (crate::tools::host_name(), crate::version());
            Answer::text(format!("Hello from {host}, version {version}, path {path}\n"))
        }
    }
}
