//! Tests of caches against the server in memory.

use super::*;
use crate::fake::FakeApi;
use crate::raw::ListWatch;
use k8s_openapi::api::core::v1::Pod;
use runtime::Runtime;
use serde_json::{Value, json};
use std::time::Duration;

fn pod(ns: &str, name: &str, node: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "spec": {"nodeName": node, "containers": []}, "metadata": {
        "name": name, "namespace": ns, "labels": {"app": name},
        "ownerReferences": [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "owner", "controller": true}]}})
}

fn show(e: &Event) -> String {
    match e {
        Event::Added(o) => format!("+{}", o.key()),
        Event::Updated { new, .. } => format!("~{}", new.key()),
        Event::Deleted(o) => format!("-{}", o.key()),
    }
}

fn drain(s: &mut Subscription) -> String {
    let mut out = Vec::new();
    while let Some(e) = s.try_next() {
        out.push(show(&e));
    }
    out.join(" ")
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn lists_watches_and_indexes() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    api.seed("pods", pod("a", "p", "n1"));
    let pods: Informer<Pod> = f.informer();
    pods.add_index("node", |p: &Pod| p.spec.iter().filter_map(|s| s.node_name.clone()).collect());
    pods.synced().await;
    let mut sub = pods.subscribe();
    assert_eq!(drain(&mut sub), "+a/p");
    api.seed("pods", pod("a", "q", "n2"));
    api.seed("pods", pod("b", "p", "n1"));
    settle().await;
    assert_eq!(drain(&mut sub), "+a/q +b/p");
    assert_eq!(pods.by_index("node", "n1").len(), 2);
    assert_eq!(pods.in_namespace("a").len(), 2);
    assert_eq!(pods.by_owner("owner").len(), 3);
    let q = pods.get("a", "q").unwrap();
    assert_eq!(
        q.metadata.resource_version.as_deref(),
        Some(pods.revision().saturating_sub(1).to_string().as_str())
    );
    let sel = Selector::parse("app in (p)").unwrap();
    assert_eq!(pods.select("", &sel).len(), 2);
    assert_eq!(
        f.raw(ListWatch {
            metadata_only: true,
            version: "v1".into(),
            resource: "pods".into(),
            ..ListWatch::default()
        })
        .len(),
        3
    );

    let mut moved = pod("a", "q", "n1");
    moved["metadata"]["uid"] = q.metadata.uid.clone().into();
    moved["metadata"]["ownerReferences"] = json!([]);
    api.seed("pods", moved);
    settle().await;
    assert_eq!(drain(&mut sub), "~a/q");
    assert_eq!((pods.by_index("node", "n1").len(), pods.by_index("node", "n2").len()), (3, 0));
    assert_eq!((pods.by_owner("owner").len(), pods.raw().index_values("node")), (2, vec!["n1".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_is_found_by_listing_again() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    for n in ["stays", "goes", "changes", "replaced"] {
        api.seed("pods", pod("a", n, ""));
    }
    let pods: Informer<Pod> = f.informer();
    pods.synced().await;
    let mut sub = pods.subscribe();
    drain(&mut sub);
    let c = crate::Client::new(Arc::new(api.clone()));
    api.expire_watches();
    c.delete::<Pod>(Some("a"), "goes", &Default::default()).await.unwrap();
    let mut p: Pod = c.get(Some("a"), "changes").await.unwrap();
    p.metadata.labels = None;
    c.replace(&p).await.unwrap();
    api.seed("pods", pod("a", "replaced", ""));
    settle().await;
    assert_eq!(drain(&mut sub), "", "the watch is down");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(drain(&mut sub), "-a/goes ~a/changes -a/replaced +a/replaced");
    assert!(pods.get("a", "goes").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_a_subscriber_missed_is_merged() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    let pods: Informer<Pod> = f.informer();
    pods.synced().await;
    let mut sub = pods.subscribe();
    let c = crate::Client::new(Arc::new(api.clone()));
    for i in 0..3 {
        let mut p = pod("a", "p", "");
        p["metadata"]["uid"] = "u".into();
        p["metadata"]["labels"]["i"] = i.to_string().into();
        api.seed("pods", p);
    }
    api.seed("pods", pod("a", "brief", ""));
    c.delete::<Pod>(Some("a"), "brief", &Default::default()).await.unwrap();
    settle().await;
    assert_eq!(drain(&mut sub), "+a/p -a/brief");
    c.delete::<Pod>(Some("a"), "p", &Default::default()).await.unwrap();
    api.seed("pods", pod("a", "p", ""));
    settle().await;
    assert_eq!(drain(&mut sub), "-a/p +a/p", "another object of the same name");
}

#[tokio::test(start_paused = true)]
async fn handlers_share_a_task_and_hear_everything() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    api.seed("pods", pod("a", "p", ""));
    let pods: Informer<Pod> = f.informer();
    pods.synced().await;
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let teller = |who: &'static str| {
        let told = told.clone();
        move |e: &Event| told.lock().unwrap().push(format!("{who}{}", show(e)))
    };
    let heard = || std::mem::take(&mut *told.lock().unwrap()).join(" ");
    let one = pods.raw().on_event(&rt, teller("1"));
    pods.raw().on_event(&rt, |_| panic!("on purpose")).forever();
    settle().await;
    assert_eq!(heard(), "1+a/p");
    // What waits when a handler joins is told to the others as it was, to the new one as it is.
    api.seed("pods", pod("a", "q", ""));
    let two = pods.raw().on_event(&rt, teller("2"));
    settle().await;
    let mut all: Vec<String> = heard().split(' ').map(str::to_owned).collect();
    all.sort();
    assert_eq!(all, ["1+a/q", "2+a/p", "2+a/q"]);
    api.seed("pods", pod("a", "r", ""));
    settle().await;
    assert_eq!(heard(), "1+a/r 2+a/r");
    drop(one);
    api.seed("pods", pod("a", "s", ""));
    settle().await;
    assert_eq!(heard(), "2+a/s");
    two.forever();
    let (a, b) = (pods.raw().get("a", "s").unwrap(), pods.raw().get("a", "s").unwrap());
    assert!(Arc::ptr_eq(&a.shared::<Pod>().unwrap(), &b.shared::<Pod>().unwrap()));
    assert_eq!(*a.shared::<Pod>().unwrap(), a.decode::<Pod>().unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_a_batch_holds_is_decoded_once() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    for i in 0..48 {
        api.seed("pods", pod("a", &format!("p{i}"), ""));
    }
    let pods = f.informer::<Pod>();
    pods.raw().synced().await;
    let all: Vec<_> = (0..48).map(|i| pods.raw().get("a", &format!("p{i}")).unwrap()).collect();
    // One looks at all of them, then another one does.
    let read = || all.iter().map(|o| o.shared::<Pod>().unwrap()).collect::<Vec<_>>();
    let (first, second) = (read(), read());
    let same = first.iter().zip(&second).filter(|p| Arc::ptr_eq(p.0, p.1)).count();
    assert!(same >= 24, "{same} of 48 were decoded once");
}

#[tokio::test(start_paused = true)]
async fn a_cache_ends_with_its_last_handler() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    let pods: Informer<Pod> = f.informer();
    let weak = Arc::downgrade(&pods.raw().0);
    let handler = pods.raw().on_event(&rt, |_| {});
    drop(pods);
    settle().await;
    assert!(weak.upgrade().is_some());
    drop(handler);
    settle().await;
    assert!(weak.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cache_ends_with_its_last_user() {
    let api = FakeApi::new();
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(api.clone()), &rt);
    let pods: Informer<Pod> = f.informer();
    let again: Informer<Pod> = f.informer();
    assert!(Arc::ptr_eq(&pods.raw().0, &again.raw().0));
    let weak = Arc::downgrade(&pods.raw().0);
    let sub = pods.subscribe();
    drop((pods, again));
    assert!(weak.upgrade().is_some());
    drop(sub);
    assert!(weak.upgrade().is_none());
    settle().await;
    assert!(rt.shutdown(Duration::from_secs(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_waited_for() {
    struct Down(FakeApi, std::sync::atomic::AtomicU32);
    impl crate::Transport for Down {
        fn call(
            &self,
            r: http::Request<bytes::Bytes>,
        ) -> futures::future::BoxFuture<'_, Result<http::Response<crate::Body>, Error>> {
            self.0.call(r)
        }
        fn list(&self, w: ListWatch) -> futures::future::BoxFuture<'_, Result<crate::RawList, Error>> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 4 {
                return Box::pin(async { Err(Error::Transport("refused".into())) });
            }
            self.0.list(w)
        }
        fn watch(
            &self,
            w: ListWatch,
            rv: u64,
        ) -> futures::future::BoxFuture<'_, Result<crate::RawStream, Error>> {
            self.0.watch(w, rv)
        }
    }
    let api = FakeApi::new();
    api.seed("pods", pod("a", "p", ""));
    let rt = Runtime::new();
    let f = InformerFactory::new(Arc::new(Down(api, 0.into())), &rt);
    let pods: Informer<Pod> = f.informer();
    let t = tokio::time::Instant::now();
    pods.synced().await;
    assert_eq!(pods.list().len(), 1);
    assert!((12..24).contains(&t.elapsed().as_secs()), "{:?}", t.elapsed());
}
