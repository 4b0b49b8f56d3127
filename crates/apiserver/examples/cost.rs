//! What requests cost the API server itself: no network, a store in memory, one thread. For each verb the CPU time of a
//! request and the allocations it makes: `cargo run --release -p apiserver --example cost [REQUESTS] [KIND] [VERB]`.

#![allow(clippy::unwrap_used, reason = "an example")]

#[path = "../tests/common/mem.rs"]
mod mem;

use apiserver::body::Input;
use apiserver::config::Mode;
use apiserver::server::Sender;
use apiserver::{ApiServer, Config};
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use runtime::Runtime;
use serde_json::{Value, json};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to mimalloc, the allocator of the real program.
#[allow(unsafe_code, reason = "an allocator that counts")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(l.size() as u64, Ordering::Relaxed);
        unsafe { mimalloc::MiMalloc.alloc(l) }
    }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) {
        unsafe { mimalloc::MiMalloc.dealloc(p, l) }
    }
    unsafe fn realloc(&self, p: *mut u8, l: Layout, n: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(n as u64, Ordering::Relaxed);
        unsafe { mimalloc::MiMalloc.realloc(p, l, n) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// Microseconds that this thread has been running.
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e3
}

fn peer() -> (serve::Peer, Arc<serve::ClientCa>) {
    let named = |cn: &str, org: Option<&str>| {
        let mut p = CertificateParams::new(Vec::new()).unwrap();
        p.distinguished_name = rcgen::DistinguishedName::new();
        p.distinguished_name.push(DnType::CommonName, cn);
        if let Some(o) = org {
            p.distinguished_name.push(DnType::OrganizationName, o);
        }
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        p
    };
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = named("ca", None);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::from_params(&ca, &ca_key);
    let admin = named("admin", Some("kubeadm:cluster-admins")).signed_by(&key, &issuer).unwrap();
    let peer = serve::Peer {
        remote: serve::Addr::Tcp(([127, 0, 0, 1], 4000).into()),
        tls: true,
        certificates: vec![admin.der().clone().into_owned()],
        verified: Ok(()),
        memo: OnceLock::new(),
    };
    (peer, serve::ClientCa::from_pem(pem.as_bytes()).unwrap())
}

fn object(kind: &str, name: &str, mark: &str) -> Value {
    let meta = json!({"name": name, "namespace": "default", "labels": {"app": "bench", "mark": mark}});
    if kind == "configmaps" {
        return json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta,
            "data": {"one": "value of one", "two": "value of two"}});
    }
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta,
        "spec": {"schedulerName": "nobody", "automountServiceAccountToken": false, "serviceAccountName": "default",
            "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10",
                "env": [{"name": "FIRST", "value": "1"}, {"name": "SECOND", "value": "two"}],
                "resources": {"requests": {"cpu": "100m"}}}]}})
}

struct Bench {
    api: Arc<ApiServer>,
    peer: Arc<serve::Peer>,
}

impl Bench {
    async fn call(&self, method: &str, path: &str, content: &str, body: Bytes) -> (u16, Bytes) {
        let mut r = Request::builder().method(method).uri(format!("https://127.0.0.1:6443{path}"));
        r = r.header("user-agent", "cost/1").header("accept", "application/json");
        if !content.is_empty() {
            r = r.header("content-type", content);
        }
        let r = r.body(Input::Bytes(body)).unwrap();
        let res = self.api.handle(r, Sender::Network(Some(self.peer.clone()))).await;
        let code = res.status().as_u16();
        (code, res.into_body().collect().await.unwrap().to_bytes())
    }
    async fn put_up(&self, path: &str, o: Value) {
        let admin = meta::UserInfo::new("admin", &["system:masters"]);
        let r = Request::post(path).header("content-type", "application/json");
        let r = r.body(Input::Bytes(o.to_string().into())).unwrap();
        self.api.handle(r, Sender::Process(admin)).await;
    }
}

fn request(kind: &str, verb: &str, i: usize) -> (&'static str, String, &'static str, Bytes) {
    let base = format!("/api/v1/namespaces/default/{kind}");
    let name = format!("o-{i}");
    let path = format!("{base}/{name}");
    let mark = format!("{verb}-{i}");
    match verb {
        "create" => ("POST", base, "application/json", object(kind, &name, "0").to_string().into()),
        "update" => ("PUT", path, "application/json", object(kind, &name, &mark).to_string().into()),
        "patch" => {
            let body = json!({"metadata": {"labels": {"mark": mark}}}).to_string();
            ("PATCH", path, "application/merge-patch+json", body.into())
        }
        "apply" => {
            let kind = if kind == "pods" { "Pod" } else { "ConfigMap" };
            let body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "annotations": {"mark": mark}}});
            let path = format!("{path}?fieldManager=bench&force=true");
            ("PATCH", path, "application/apply-patch+yaml", body.to_string().into())
        }
        "get" => ("GET", path, "", Bytes::new()),
        _ => ("DELETE", path, "", Bytes::new()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    runtime::log::init(0);
    let args: Vec<String> = std::env::args().collect();
    let n: usize = args.get(1).map_or(5000, |a| a.parse().unwrap());
    let (peer, ca) = peer();
    let rt = Runtime::new();
    let mut cfg = Config::new(Arc::new(mem::Home(mem::Mem::new())));
    cfg.authentication.client_ca = Some(ca);
    cfg.authorization = vec![Mode::Node, Mode::Rbac];
    let api = ApiServer::new(cfg, rt.clone()).unwrap();
    api.start();
    let b = Bench { api, peer: Arc::new(peer) };
    b.put_up("/api/v1/namespaces", json!({"metadata": {"name": "default"}})).await;
    b.put_up("/api/v1/namespaces/default/serviceaccounts", json!({"metadata": {"name": "default"}})).await;
    let role =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
    let who =
        json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "kubeadm:cluster-admins"}]);
    b.put_up(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        json!({"metadata": {"name": "kubeadm:cluster-admins"}, "roleRef": role, "subjects": who}),
    )
    .await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for kind in ["pods", "configmaps"] {
        if args.get(2).is_some_and(|k| k != kind) {
            continue;
        }
        let mut line = format!("{kind:10}");
        for verb in ["create", "get", "update", "patch", "apply", "delete"] {
            let all: Vec<_> = (0..n).map(|i| request(kind, verb, i)).collect();
            let times = if args.get(3).is_some_and(|v| v == verb) { 20 } else { 1 };
            let (from, a, bytes) =
                (cpu(), ALLOCATIONS.load(Ordering::Relaxed), BYTES.load(Ordering::Relaxed));
            for _ in 0..times {
                for (method, path, content, body) in &all {
                    let (code, answer) = b.call(method, path, content, body.clone()).await;
                    assert!(code < 300 || times > 1, "{verb}: {code} {answer:?}");
                }
            }
            let each = |x: u64| x as f64 / (n * times) as f64;
            line += &format!(
                "  {verb} {:.1} µs {:.0} allocs {:.1} kB",
                (cpu() - from) / (n * times) as f64,
                each(ALLOCATIONS.load(Ordering::Relaxed) - a),
                each(BYTES.load(Ordering::Relaxed) - bytes) / 1e3,
            );
        }
        println!("{line}");
    }
}
