//! The store over gRPC, against the applet `etcd` in this process: what the API server asks of any store.

use super::*;
use std::net::TcpListener;
use storage::WatchItem;

async fn etcd(rt: &Runtime) -> (crate::Running, String, std::path::PathBuf) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dir = std::env::temp_dir().join(format!("keelson-remote-{}-{port}", std::process::id()));
    let url = format!("http://127.0.0.1:{port}");
    let args = [
        format!("--data-dir={}", dir.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
    ];
    let config = crate::Config::from_args(args.to_vec()).unwrap();
    (crate::start(config, rt.child()).await.unwrap(), url, dir)
}

fn done(o: Outcome) -> Arc<Record> {
    match o {
        Outcome::Done(r) => r,
        Outcome::Conflict(c) => panic!("conflict with {c:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_of_one_etcd_agree() {
    let rt = Runtime::new();
    let (running, url, dir) = etcd(&rt).await;
    let servers = Servers { urls: vec![url], ..Servers::default() };
    let a = Remote::open(&servers, Duration::ZERO, rt.child()).await.unwrap();
    let b = Remote::open(&servers, Duration::ZERO, rt.child()).await.unwrap();
    let key = "/registry/pods/default/a";
    let value = |s: &'static str| Bytes::from_static(s.as_bytes());

    let mut watch = b.watch("/registry/pods/", b.cached().revision()).unwrap();
    let one = done(a.put(key, value("1"), Some(0), 0).await.unwrap());
    assert_eq!((one.version, one.create_revision), (1, one.mod_revision));
    // Its own write is in the cache at once; the other's in the newest state.
    assert_eq!(a.cached().get(key).unwrap().mod_revision, one.mod_revision);
    assert_eq!(b.latest().await.unwrap().get(key).unwrap().value, "1");
    let Some(WatchItem::Events(e)) = watch.next().await else { panic!("no event") };
    assert!(e[0].record.is_create());

    assert!(
        matches!(b.put(key, value("x"), Some(0), 0).await.unwrap(), Outcome::Conflict(Some(r)) if r.value == "1")
    );
    let two = done(b.put(key, value("2"), Some(one.mod_revision), 0).await.unwrap());
    assert_eq!((two.version, two.create_revision), (2, one.create_revision));
    done(b.put(key, value("3"), None, 0).await.unwrap());
    assert_eq!(a.latest().await.unwrap().get(key).unwrap().version, 3);
    assert_eq!(a.at(one.mod_revision).await.unwrap().get(key).unwrap().value, "1");

    assert!(matches!(a.delete(key, Some(one.mod_revision)).await.unwrap(), Outcome::Conflict(Some(_))));
    assert!(done(a.delete(key, None).await.unwrap()).is_tombstone());
    assert!(matches!(a.delete(key, None).await.unwrap(), Outcome::Conflict(None)));
    assert!(b.latest().await.unwrap().get(key).is_none());

    let lease = a.lease(3600).await.unwrap();
    assert_eq!(a.lease(3600).await.unwrap(), lease);
    let r = done(a.put("/registry/events/e", value("e"), Some(0), lease).await.unwrap());
    assert_eq!(r.lease, lease);

    let c = Remote::open(&servers, Duration::ZERO, rt.child()).await.unwrap();
    assert_eq!(c.cached().count("/registry/"), 1);
    assert_eq!(c.cached().get("/registry/events/e").unwrap().lease, lease);

    let (time, mark) = a.compact_turn(0, 0).await.unwrap();
    assert_eq!(time, 1);
    assert_eq!(b.compact_turn(0, 0).await.unwrap().0, 1);
    a.compact_turn(time, mark).await.unwrap();
    assert!(a.at(two.mod_revision).await.is_err());
    rt.stop_token().cancel();
    running.stop().await;
    std::fs::remove_dir_all(dir).unwrap();
}

/// What becomes of what goes over a way to etcd.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Open,
    /// Requests are lost, and then the connection.
    Deaf,
    /// Requests arrive, answers do not; and then the connection is lost.
    Mute,
}

async fn becomes(mut state: tokio::sync::watch::Receiver<Way>, what: fn(Way) -> bool) {
    let _ = state.wait_for(|s| what(*s)).await;
}

/// A way to etcd that can be made bad for one connection at a time; it is good again for the next.
async fn way(rt: &Runtime, to: &str) -> (String, tokio::sync::watch::Sender<Way>) {
    let to = to.trim_start_matches("http://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (change, state) = tokio::sync::watch::channel(Way::Open);
    let tasks = rt.clone();
    rt.spawn_until_stop("way", async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = tokio::net::TcpStream::connect(&to).await.unwrap();
            let (mut cr, mut cw) = client.into_split();
            let (mut sr, mut sw) = server.into_split();
            let state = state.clone();
            tasks.spawn_until_stop("connection", async move {
                let there = async {
                    tokio::select! {
                        r = tokio::io::copy(&mut cr, &mut sw) => r.map(drop).unwrap_or_default(),
                        () = becomes(state.clone(), |s| s == Way::Deaf) => std::future::pending().await,
                    }
                };
                let back = async {
                    tokio::select! {
                        r = tokio::io::copy(&mut sr, &mut cw) => r.map(drop).unwrap_or_default(),
                        () = becomes(state.clone(), |s| s != Way::Open) => std::future::pending().await,
                    }
                };
                let lost = async {
                    becomes(state.clone(), |s| s != Way::Open).await;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                };
                tokio::select! { () = there => {}, () = back => {}, () = lost => {} }
            });
        }
    });
    (url, change)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_happens_once() {
    let rt = Runtime::new();
    let (running, url, dir) = etcd(&rt).await;
    let (bad, change) = way(&rt, &url).await;
    // The first member is not there at all.
    let urls = vec!["http://127.0.0.1:1".to_owned(), bad];
    let a = Remote::open(&Servers { urls, ..Servers::default() }, Duration::ZERO, rt.child()).await.unwrap();
    let good = Servers { urls: vec![url], ..Servers::default() };
    let b = Remote::open(&good, Duration::ZERO, rt.child()).await.unwrap();
    let mut watch = b.watch("/registry/x/", b.cached().revision()).unwrap();
    a.health().await.unwrap();
    let mut expected = Vec::new();
    for (i, state) in [Way::Mute, Way::Deaf].into_iter().enumerate() {
        let key = format!("/registry/x/{i}");
        let spoil = || async {
            change.send_replace(state);
            tokio::time::sleep(Duration::from_millis(400)).await;
            change.send_replace(Way::Open);
        };
        let value = Bytes::from(format!("{state:?}"));
        let (made, ()) = tokio::join!(a.put(&key, value, Some(0), 0), spoil());
        let one = done(made.unwrap());
        assert_eq!(one.version, 1, "{state:?}");
        let (two, ()) = tokio::join!(a.put(&key, "two".into(), Some(one.mod_revision), 0), spoil());
        assert_eq!(done(two.unwrap()).version, 2, "{state:?}");
        let (gone, ()) = tokio::join!(a.delete(&key, None), spoil());
        assert!(done(gone.unwrap()).is_tombstone(), "{state:?}");
        expected.extend([(key.clone(), 1), (key.clone(), 2), (key, 0)]);
    }
    // Another who is not disturbed sees each change once.
    let mut seen = Vec::new();
    while seen.len() < expected.len() {
        let Some(WatchItem::Events(e)) = watch.next().await else { panic!("no event") };
        seen.extend(e.iter().map(|e| (e.record.key.to_string(), e.record.version)));
    }
    assert_eq!(seen, expected);
    // What nobody waits for any more does not happen later.
    let waiting = storage::Waiting::default();
    // Deaf before the write is sent; the connection has heard of it once it has had a turn.
    change.send_replace(Way::Deaf);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let late = waiting.work(a.put("/registry/x/late", "late".into(), Some(0), 0));
    let leave = async {
        drop(waiting);
        tokio::time::sleep(Duration::from_millis(400)).await;
        change.send_replace(Way::Open);
    };
    assert!(tokio::join!(late, leave).0.is_err());
    assert!(b.latest().await.unwrap().get("/registry/x/late").is_none());
    // A conflict stays one.
    done(b.put("/registry/x/c", "b".into(), Some(0), 0).await.unwrap());
    assert!(
        matches!(a.put("/registry/x/c", "a".into(), Some(0), 0).await.unwrap(), Outcome::Conflict(Some(r)) if r.value == "b")
    );
    running.stop().await;
    assert!(a.health().await.is_err());
    rt.stop_token().cancel();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test(start_paused = true)]
async fn patience_ends_and_no_sooner() {
    let begin = tokio::time::Instant::now();
    let mut patience = ask::Patience::new(3);
    let mut tries = 0;
    while patience.or(Error::Io("refused".into())).await.is_ok() {
        tries += 1;
    }
    assert!(begin.elapsed() >= ask::PATIENCE && begin.elapsed() < ask::PATIENCE * 2);
    assert!(tries > 60, "{tries}");
    assert!(patience.attempt() <= ask::PATIENCE);
}
