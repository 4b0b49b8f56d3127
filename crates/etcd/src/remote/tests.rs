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
