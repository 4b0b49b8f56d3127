//! A TCP balancer in front of API servers: connections in turn to those that are ready. One that cannot be reached is
//! passed over at once; one that has said for a while that it is not ready loses the connections it has.

use crate::Args;
use crate::net::{Call, Conn, Target};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CHECK_EVERY: Duration = Duration::from_millis(500);
const CHECK_WITHIN: Duration = Duration::from_secs(3);
/// How long a server that is not ready keeps its connections: time to end properly.
const CUT_AFTER: Duration = Duration::from_secs(3);

struct Backend {
    address: String,
    ready: AtomicBool,
    /// Counts up when its connections are cut.
    cut: watch::Sender<u64>,
}

/// Asks one server over and over whether it is ready.
async fn check(b: Arc<Backend>) {
    let target = Target::anonymous(&format!("https://{}", b.address));
    let mut conn: Option<Conn> = None;
    let mut since: Option<Instant> = None;
    loop {
        let asked = async {
            if conn.is_none() {
                conn = Some(target.connect().await?);
            }
            let Some(c) = conn.as_mut() else { return Err("no connection".to_owned()) };
            c.raw(Call::get("/readyz", "")).await.map(|(status, _)| status)
        };
        let answer =
            tokio::time::timeout(CHECK_WITHIN, asked).await.unwrap_or_else(|_| Err("no answer".into()));
        let ready = answer == Ok(200);
        if answer.is_err() {
            conn = None;
        }
        if b.ready.swap(ready, Ordering::Relaxed) != ready {
            eprintln!("balance: {} is {}ready: {answer:?}", b.address, if ready { "" } else { "not " });
        }
        since = if ready { None } else { since.or(Some(Instant::now())) };
        if since.is_some_and(|s| s.elapsed() > CUT_AFTER) {
            b.cut.send_modify(|n| *n += 1);
            since = Some(Instant::now());
        }
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// A connection to a server that takes it: ready ones first.
async fn reach(all: &[Arc<Backend>], first: usize) -> Option<(TcpStream, Arc<Backend>)> {
    for ready in [true, false] {
        for i in 0..all.len() {
            let b = &all[(first + i) % all.len()];
            if b.ready.load(Ordering::Relaxed) == ready
                && let Ok(Ok(s)) =
                    tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(&b.address)).await
            {
                return Some((s, b.clone()));
            }
        }
    }
    None
}

/// Serves until it is ended.
pub async fn run(args: &Args) -> Result<Value, String> {
    let listener = TcpListener::bind(args.text("listen")?).await.map_err(|e| e.to_string())?;
    let backend = |a: &str| {
        Arc::new(Backend { address: a.to_owned(), ready: AtomicBool::new(false), cut: watch::channel(0).0 })
    };
    let all: Arc<Vec<Arc<Backend>>> = Arc::new(args.text("to")?.split(',').map(backend).collect());
    for b in all.iter() {
        tokio::spawn(check(b.clone()));
    }
    let turn = Arc::new(AtomicUsize::new(0));
    loop {
        let (mut client, _) = match listener.accept().await {
            Ok(c) => c,
            Err(e) => {
                eprintln!("balance: {e}");
                tokio::time::sleep(CHECK_EVERY).await;
                continue;
            }
        };
        let (all, first) = (all.clone(), turn.fetch_add(1, Ordering::Relaxed));
        tokio::spawn(async move {
            let Some((mut server, b)) = reach(&all, first).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let mut cut = b.cut.subscribe();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

/// Passes connections on, address by address (`from=to,...`), until it is ended: a way that can be taken away.
pub async fn relay(args: &Args) -> Result<Value, String> {
    let mut listeners = Vec::new();
    for pair in args.text("map")?.split(',') {
        let (from, to) = pair.split_once('=').ok_or("--map: from=to,...")?;
        listeners.push((TcpListener::bind(from).await.map_err(|e| format!("{from}: {e}"))?, to.to_owned()));
    }
    for (listener, to) in listeners {
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let to = to.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(&to).await else { return };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
    }
    std::future::pending().await
}
