//! loadgen: what `cargo xtask bench` puts load on an API server or a store with. It knows only the wire, and prints one
//! line of JSON: rates, latencies, and the CPU time of the processes it was told to watch.
#![allow(clippy::disallowed_methods, reason = "a tool of its own: no runtime to spawn on, no clock to share")]

mod crud;
mod etcd;
mod fill;
mod list;
mod net;
mod objects;
mod pki;
mod ready;
mod schedule;
mod stat;
mod watch;

use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// `--name value` pairs.
pub struct Args(BTreeMap<String, String>);

impl Args {
    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is needed"))
    }
    pub fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        self.0.get(name).map_or(Ok(default), |v| v.parse().map_err(|_| format!("--{name} {v}: not a number")))
    }
    pub fn or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }
    pub fn pids(&self) -> Vec<u32> {
        self.or("pids", "").split(',').filter_map(|p| p.parse().ok()).collect()
    }
}

async fn run(command: &str, args: &Args) -> Result<Value, String> {
    match command {
        "pki" => pki::run(args),
        "ready" => ready::run(args).await,
        "crud" => crud::run(args).await,
        "fill" => fill::run(args).await,
        "list" => list::run(args).await,
        "watch" => watch::run(args).await,
        "etcd" => etcd::run(args).await,
        "schedule" => schedule::run(args).await,
        _ => Err("usage: loadgen pki|ready|crud|fill|list|watch|etcd|schedule --NAME VALUE...".into()),
    }
}

fn main() -> ExitCode {
    let mut it = std::env::args().skip(1);
    let command = it.next().unwrap_or_default();
    let mut args = BTreeMap::new();
    while let (Some(name), Some(value)) = (it.next(), it.next()) {
        args.insert(name.trim_start_matches('-').to_owned(), value);
    }
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|rt| rt.block_on(run(&command, &Args(args))));
    match done {
        Ok(v) => {
            println!("{v}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("loadgen {command}: {e}");
            ExitCode::FAILURE
        }
    }
}
