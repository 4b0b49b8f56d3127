//! loadgen: what `cargo xtask bench` puts load on an API server or a store with, and `cargo xtask ha` on several.
//! It knows only the wire, and prints one line of JSON: rates, latencies, and the CPU time of the processes it was told to watch.
#![allow(clippy::disallowed_methods, reason = "a tool of its own: no runtime to spawn on, no clock to share")]

mod ask;
mod balance;
mod converge;
mod crud;
pub mod delay;
mod dns;
mod etcd;
mod fill;
pub mod fixed;
mod list;
mod net;
mod objects;
mod pki;
mod pods;
mod ready;
mod schedule;
mod service;
mod stat;
mod steady;
mod watch;

use serde_json::Value;
use std::collections::BTreeMap;

/// `--name value` pairs.
pub struct Args(BTreeMap<String, String>);

impl Args {
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }
    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is needed"))
    }
    pub fn number(&self, name: &str, default: u64) -> Result<u64, String> {
        self.0.get(name).map_or(Ok(default), |v| v.parse().map_err(|_| format!("--{name} {v}: not a number")))
    }
    pub fn or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.0.get(name).map_or(default, String::as_str)
    }
    /// Whose CPU time is counted.
    fn servers(&self) -> stat::Servers {
        let list = |name| self.or(name, "").split(',').filter(|s| !s.is_empty()).map(str::to_owned);
        stat::Servers {
            pids: list("pids").filter_map(|p| p.parse().ok()).collect(),
            groups: list("groups").collect(),
        }
    }
}

/// Carries out one command; answers what it measured.
pub async fn run(command: &str, args: &Args) -> Result<Value, String> {
    match command {
        "pki" => pki::run(args),
        "ready" => ready::run(args).await,
        "crud" => crud::run(args).await,
        "fill" => fill::run(args).await,
        "list" => list::run(args).await,
        "watch" => watch::run(args).await,
        "etcd" => etcd::run(args).await,
        "schedule" => schedule::run(args).await,
        "services" => service::fill(args).await,
        "node" => service::node(args).await,
        "programmed" => service::ready(args).await,
        "change" => service::change(args).await,
        "connect" => service::connect(args).await,
        "dns" => dns::run(args).await,
        "pods" => pods::run(args).await,
        "delay" => delay::run(args).await,
        "steady" => steady::run(args).await,
        "balance" => balance::run(args).await,
        "relay" => balance::relay(args).await,
        "converge" => converge::run(args).await,
        "get" => ask::get(args).await,
        "leader" => ask::leader(args).await,
        _ => Err(format!(
            "usage: loadgen COMMAND --NAME VALUE..., the command one of pki ready crud fill list watch etcd schedule \
             services node programmed change connect dns pods delay steady balance relay converge get leader, not {command}"
        )),
    }
}
