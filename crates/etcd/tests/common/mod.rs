//! A server on a port of its own, and clients of it.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part; helpers of tests")]

use etcd::pb::etcdserverpb as pb;
use etcd::{Config, Running};
use futures::future::BoxFuture;
use runtime::Runtime;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tonic::transport::{Channel, Endpoint};

pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static N: AtomicU32 = AtomicU32::new(0);
        let n = N.fetch_add(1, Ordering::SeqCst);
        Self(std::env::temp_dir().join(format!("keelson-etcd-{}-{n}", std::process::id())))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ours in this process, or the program that `ETCD_SUBJECT` names: upstream's proves the tests.
enum Subject {
    Ours(Running),
    Other(std::process::Child),
}

pub struct Etcd {
    subject: Option<Subject>,
    pub at: SocketAddr,
    pub dir: Dir,
    pub channel: Channel,
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(Subject::Other(c)) = &mut self.subject {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}

pub fn ours() -> bool {
    std::env::var_os("ETCD_SUBJECT").is_none()
}

pub async fn start(flags: &[&str]) -> Etcd {
    let dir = Dir::new();
    if let Some(program) = std::env::var_os("ETCD_SUBJECT") {
        return start_other(program, dir, flags).await;
    }
    let (running, channel) = start_in(&dir, flags).await;
    let at = running.addresses[0];
    Etcd { subject: Some(Subject::Ours(running)), at, dir, channel }
}

async fn start_other(program: std::ffi::OsString, dir: Dir, flags: &[&str]) -> Etcd {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (at, peer) = (free(), free());
    let name = flags.iter().find_map(|f| f.strip_prefix("--name=")).unwrap_or("default");
    let mut c = std::process::Command::new(program);
    c.arg(format!("--data-dir={}", dir.0.display()))
        .arg(format!("--listen-client-urls=http://{at}"))
        .arg(format!("--listen-peer-urls=http://{peer}"))
        .arg(format!("--initial-advertise-peer-urls=http://{peer}"))
        .arg(format!("--initial-cluster={name}=http://{peer}"))
        .args(["--unsafe-no-fsync", "--log-level=panic"]);
    if !flags.iter().any(|f| f.starts_with("--advertise-client-urls")) {
        c.arg(format!("--advertise-client-urls=http://{at}"));
    }
    let mut child = c.args(flags).env_remove("ETCD_SUBJECT").spawn().unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{at}")).unwrap();
    let channel = loop {
        if let Ok(c) = endpoint.connect().await {
            break c;
        }
        assert!(child.try_wait().unwrap().is_none(), "the program ended");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let e = Etcd { subject: Some(Subject::Other(child)), at, dir, channel };
    while e.kv().range(get("x")).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    e
}

pub async fn start_in(dir: &Dir, flags: &[&str]) -> (Running, Channel) {
    let mut args = vec![
        format!("--data-dir={}", dir.0.display()),
        "--listen-client-urls=http://127.0.0.1:0".to_owned(),
        "--unsafe-no-fsync".to_owned(),
    ];
    args.extend(flags.iter().map(|f| (*f).to_owned()));
    let config = Config::from_args(args).unwrap();
    let running = etcd::start(config, Runtime::new()).await.unwrap();
    let at = format!("http://{}", running.addresses[0]);
    let channel = Endpoint::from_shared(at).unwrap().connect().await.unwrap();
    (running, channel)
}

impl Etcd {
    pub fn kv(&self) -> pb::kv_client::KvClient<Channel> {
        pb::kv_client::KvClient::new(self.channel.clone())
    }
    pub fn lease(&self) -> pb::lease_client::LeaseClient<Channel> {
        pb::lease_client::LeaseClient::new(self.channel.clone())
    }
    pub fn maintenance(&self) -> pb::maintenance_client::MaintenanceClient<Channel> {
        pb::maintenance_client::MaintenanceClient::new(self.channel.clone())
    }
    /// A watch stream on a connection of its own: unread, it must not hold up others.
    pub async fn watch(&self) -> Stream {
        let own = Endpoint::from_shared(format!("http://{}", self.at)).unwrap().connect().await.unwrap();
        let mut c = pb::watch_client::WatchClient::new(own);
        let (tx, rx) = tokio::sync::mpsc::channel(64);
        let rx = tokio_stream::wrappers::ReceiverStream::new(rx);
        // Upstream answers not before it was asked something: whoever reads first waits for that.
        let call = Box::pin(async move { c.watch(rx).await });
        Stream { tx, incoming: Incoming::Called(call) }
    }
    /// Puts a key; the revision.
    pub async fn put(&self, key: &str, value: &str) -> i64 {
        let r = self.kv().put(put(key, value)).await.unwrap().into_inner();
        r.header.unwrap().revision
    }
    /// Watches that the server holds.
    pub fn watchers(&self) -> usize {
        match &self.subject {
            Some(Subject::Ours(r)) => r.watchers(),
            _ => 0,
        }
    }
    pub async fn stop(mut self) {
        match self.subject.take() {
            Some(Subject::Ours(r)) => {
                self.channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
                r.stop().await;
            }
            // Ended when dropped.
            other => self.subject = other,
        }
    }
}

pub fn put(key: &str, value: &str) -> pb::PutRequest {
    pb::PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() }
}

pub fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.to_owned().into(), ..Default::default() }
}

pub fn under(prefix: &str) -> pb::RangeRequest {
    let mut end = prefix.as_bytes().to_vec();
    *end.last_mut().unwrap() += 1;
    pb::RangeRequest { key: prefix.to_owned().into(), range_end: end.into(), ..Default::default() }
}

pub fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest { key: key.to_owned().into(), ..Default::default() }
}

pub struct Stream {
    tx: tokio::sync::mpsc::Sender<pb::WatchRequest>,
    incoming: Incoming,
}

type Responses = tonic::Streaming<pb::WatchResponse>;

enum Incoming {
    Called(BoxFuture<'static, Result<tonic::Response<Responses>, tonic::Status>>),
    Answered(Box<Responses>),
}

impl Stream {
    pub async fn ask(&self, r: pb::watch_request::RequestUnion) {
        self.tx.send(pb::WatchRequest { request_union: Some(r) }).await.unwrap();
    }
    pub async fn create(&self, c: pb::WatchCreateRequest) {
        self.ask(pb::watch_request::RequestUnion::CreateRequest(c)).await;
    }
    pub async fn next(&mut self) -> pb::WatchResponse {
        let wait = std::time::Duration::from_secs(20);
        if let Incoming::Called(c) = &mut self.incoming {
            let r = tokio::time::timeout(wait, c).await.unwrap().unwrap();
            self.incoming = Incoming::Answered(Box::new(r.into_inner()));
        }
        let Incoming::Answered(i) = &mut self.incoming else { panic!() };
        tokio::time::timeout(wait, i.message()).await.unwrap().unwrap().unwrap()
    }
    /// The next response in short.
    pub async fn line(&mut self) -> String {
        let r = self.next().await;
        let mut out = format!("watch {}", r.watch_id);
        for (said, word) in [(r.created, "created"), (r.canceled, "canceled"), (r.fragment, "fragment")] {
            if said {
                out.push_str(&format!(" {word}"));
            }
        }
        if r.compact_revision != 0 {
            out.push_str(&format!(" compacted {}", r.compact_revision));
        }
        if !r.cancel_reason.is_empty() {
            out.push_str(&format!(" {:?}", r.cancel_reason));
        }
        if r.events.is_empty() {
            out.push_str(&format!(" at {}", r.header.unwrap().revision));
        }
        for e in &r.events {
            let kv = e.kv.as_ref().unwrap();
            let key = String::from_utf8_lossy(&kv.key);
            let what =
                if e.r#type == 1 { "gone".to_owned() } else { String::from_utf8_lossy(&kv.value).into() };
            out.push_str(&format!(" {key}={what}@{}", kv.mod_revision));
            if let Some(p) = &e.prev_kv {
                out.push_str(&format!("(was {}@{})", String::from_utf8_lossy(&p.value), p.mod_revision));
            }
        }
        out
    }
}
