//! Each of ours with upstream's, in both directions: our etcd under upstream's API server, and upstream's API server
//! beside ours on one etcd.

use super::cluster::{Cluster, Programs, Shape, Whose};
use super::load::Steady;
use super::report::Row;
use std::time::Duration;

/// Name, what it shows, whether the quick form has it, and what the cluster is made of.
pub type Swap = (&'static str, &'static str, bool, fn() -> Shape);

pub const CASES: &[Swap] = &[
    ("swap-etcd", "upstream's API server, controllers and scheduler on our etcd", false, || Shape {
        etcd: Whose::Ours,
        api: vec![Whose::Upstream],
        rest: Whose::Upstream,
    }),
    (
        "swap-api",
        "our API server under upstream's controllers and schedulers, on upstream's etcd",
        false,
        || Shape { etcd: Whose::Upstream, api: vec![Whose::Ours, Whose::Ours], rest: Whose::Upstream },
    ),
    ("mixed", "our API server and upstream's side by side on one etcd", false, || Shape {
        etcd: Whose::Upstream,
        api: vec![Whose::Ours, Whose::Upstream],
        rest: Whose::Ours,
    }),
];

/// Load for a while, with nothing done to the cluster, and a Deployment.
pub fn run(p: &Programs, shape: &Shape, seed: u64, row: &mut Row) -> Result<(), String> {
    let mut c = Cluster::up(p, shape)?;
    let steady = Steady::start(&c, "swap", seed)?;
    std::thread::sleep(Duration::from_secs(5));
    row.seen = steady.finish()?;
    super::judge(&row.seen, super::Strict::Nothing)?;
    row.converged = c.converge("swap")?;
    c.forget();
    Ok(())
}
