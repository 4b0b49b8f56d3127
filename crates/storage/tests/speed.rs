//! Measures: `cargo test -p storage --test speed -- --ignored --nocapture` (add `--release` for numbers that mean
//! something). The directory is `KEELSON_SPEED_DIR`, or the system's temporary one.

use bytes::Bytes;
use mvcc::Outcome;
use runtime::Runtime;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use storage::{Embedded, Options, Storage, WatchItem};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let base = std::env::var_os("KEELSON_SPEED_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        Self(base.join(format!("keelson-speed-{name}-{}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let f: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    f[11..13].iter().map(|t| t.parse::<f64>().unwrap_or(0.0) / 100.0).sum()
}

fn resident() -> u64 {
    let m = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    m.split_whitespace().nth(1).and_then(|x| x.parse::<u64>().ok()).unwrap_or(0) * 4096
}

async fn writers(s: &Arc<Embedded>, rt: &Runtime, writers: u64, each: u64, size: usize) {
    let (begun, used) = (Instant::now(), cpu());
    let tasks: Vec<_> = (0..writers)
        .map(|w| {
            let s = s.clone();
            rt.spawn("writer", async move {
                for n in 0..each {
                    let key = format!("/registry/pods/ns{w}/pod-{}", n % 500);
                    let v = Bytes::from(vec![n as u8; size]);
                    assert!(matches!(s.put(&key, v, None, 0).await, Ok(Outcome::Done(_))));
                }
            })
        })
        .collect();
    for t in tasks {
        t.await.expect("a writer was cancelled");
    }
    let (took, n) = (begun.elapsed().as_secs_f64(), (writers * each) as f64);
    println!(
        "{writers:4} writers of {size} bytes: {:7.0} writes/s, {:5.1} us of CPU each",
        n / took,
        (cpu() - used) * 1e6 / n
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn writes() {
    let d = Dir::new("writes");
    let rt = Runtime::new();
    let s = Embedded::open(&d.0.join("state.db"), Options::default(), rt.clone()).await.unwrap();
    for (n, each) in [(1, 2000), (4, 2000), (16, 2000), (64, 500), (256, 200)] {
        writers(&s, &rt, n, each, 1024).await;
    }
    writers(&s, &rt, 16, 1000, 9000).await;
    println!("{} bytes on disk, {} resident", s.size(), resident());
    s.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn watching() {
    let d = Dir::new("watching");
    let rt = Runtime::new();
    let s = Embedded::open(&d.0.join("state.db"), Options::default(), rt.clone()).await.unwrap();
    for (groups, members) in [(0, 0), (1, 1000), (1000, 1)] {
        let seen = Arc::new(AtomicU64::new(0));
        let child = rt.child();
        for g in 0..groups {
            for _ in 0..members {
                let (mut w, seen) =
                    (s.watch(&format!("/registry/pods/ns{g}/"), s.revision()).unwrap(), seen.clone());
                child.spawn_until_stop("watcher", async move {
                    while let Some(item) = w.next().await {
                        if let WatchItem::Events(e) = item {
                            seen.fetch_add(e.len() as u64, Ordering::Relaxed);
                        }
                    }
                });
            }
        }
        let used = cpu();
        println!("{groups} prefixes watched by {members} each:");
        writers(&s, &rt, 16, 200, 1024).await;
        let want = groups.min(16) * members * 200;
        let begun = Instant::now();
        while seen.load(Ordering::Relaxed) < want && begun.elapsed() < Duration::from_secs(20) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let seen = seen.load(Ordering::Relaxed);
        assert_eq!(seen, want);
        println!(
            "    {seen} deliveries, {:.2} us of CPU each, writes included",
            (cpu() - used) * 1e6 / seen.max(1) as f64
        );
        child.shutdown(Duration::from_secs(5)).await;
    }
    s.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn opening() {
    let d = Dir::new("opening");
    let db = d.0.join("state.db");
    let rt = Runtime::new();
    let s = Embedded::open(&db, Options { durable: false, ..Options::default() }, rt.clone()).await.unwrap();
    let puts = (0..100_000).map(|i| {
        let s = s.clone();
        async move {
            s.put(&format!("/registry/pods/ns{}/pod-{i}", i % 50), Bytes::from(vec![1; 2000]), None, 0).await
        }
    });
    let mut puts: Vec<_> = puts.map(Box::pin).collect();
    while !puts.is_empty() {
        futures::future::join_all(puts.split_off(puts.len().saturating_sub(500))).await;
    }
    s.compact(s.revision()).await.unwrap();
    s.close().await;
    drop(s);
    let (begun, before) = (Instant::now(), resident());
    let s = Embedded::open(&db, Options::default(), rt).await.unwrap();
    println!(
        "100,000 keys of 2,000 bytes opened in {:.2} s, {} MB more resident",
        begun.elapsed().as_secs_f64(),
        resident().saturating_sub(before) >> 20
    );
    let begun = Instant::now();
    assert_eq!(s.cached().count("/registry/pods/"), 100_000);
    println!("counted in {:?}", begun.elapsed());
    s.close().await;
}
