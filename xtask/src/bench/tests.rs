//! The benchmarks prove themselves: a list made slower is shown as slower.
#![allow(clippy::disallowed_methods, reason = "the load client's tasks belong to no runtime of ours")]

use super::side::Who;
use super::table::{Better, Table};
use std::time::Duration;
use tokio::net::TcpListener;

async fn list(address: &str) -> f64 {
    let args = [("url", format!("http://{address}")), ("repeat", "3".into()), ("millis", "1".into())];
    let args = loadgen::Args::new(args.map(|(n, v)| (n.to_owned(), v)));
    loadgen::run("list", &args).await.unwrap()["p50_us"].as_f64().unwrap() / 1e6
}

/// The lines that are shown as slower, when ours is what stands at one address and the peer what stands at the other.
async fn slower(ours: &str, peer: &str) -> Vec<String> {
    let mut t = Table::default();
    for _ in 0..3 {
        for (who, at) in [(Who::Ours, ours), (Who::Peer, peer)] {
            t.add("list 10000 pods, whole, json", "s", Better::Lower, who, (list(at).await, None, 0.0));
        }
    }
    t.slower().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_slower_list_is_shown_as_slower() {
    let (server, late) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    let (server, late) = (server.await.unwrap(), late.await.unwrap());
    let (quick, slow) = (server.local_addr().unwrap().to_string(), late.local_addr().unwrap().to_string());
    tokio::spawn(loadgen::fixed::serve(server, vec![b' '; 100_000].into()));
    // The same server, behind a wire on which each part of an answer takes so long.
    tokio::spawn(loadgen::delay::serve(late, quick.clone(), Duration::from_millis(20)));
    assert_eq!(slower(&slow, &quick).await, ["list 10000 pods, whole, json"]);
    assert!(slower(&quick, &slow).await.is_empty());
}
