//! `keelson server`: a whole cluster in one process.

use crate::flags::{self, Server};
use crate::keys::Keys;
use crate::{cluster, node, shared, trim};
use apiserver::ApiServer;
use client::Client;
use meta::UserInfo;
use meta::user::{AUTHENTICATED, NODES, SYSTEM_MASTERS};
use runtime::Runtime;
use runtime::notify::Notify;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How long each layer has to end, from the outside in.
const GRACE: Duration = Duration::from_secs(10);

pub fn main(args: Vec<String>) -> ExitCode {
    let f: Server = match flags::parse("keelson server", args) {
        Ok(f) => f,
        Err(code) => return code,
    };
    runtime::log::init(f.common.v);
    crate::block_on(async {
        if f.stop_containers { node::stop_containers(&f.common).await } else { run(f).await }
    })
}

/// The layers of a server, each with tasks of its own, so that they can end one after the other.
struct Layers {
    api: Runtime,
    work: Runtime,
    node: Runtime,
}

async fn run(f: Server) -> Result<(), String> {
    f.common.check()?;
    if f.runs("kubelet") {
        node::may_run()?;
    }
    let notify = Notify::from_env();
    let layers = Layers { api: Runtime::new(), work: Runtime::new(), node: Runtime::new() };
    let dir = f.common.data_dir.clone();
    setup::files::private_dir(&dir).map_err(|e| e.to_string())?;
    let advertise = f.advertise_address.unwrap_or_else(|| f.common.host_ip());

    notify.status("opening the store");
    // The store outlives the server: requests in flight still write.
    let below = Runtime::new();
    let (store, embedded, _lock) = if f.etcd_servers.is_empty() {
        let database = dir.join("store/state.db");
        let s = storage::Embedded::open(&database, storage::Options::default(), below.clone())
            .await
            .map_err(|e| e.to_string())?;
        (s.clone() as Arc<dyn storage::Storage>, Some(s), None)
    } else {
        let lock = own(&dir)?;
        let Some(s) = shared::store(&f, &below).await? else { return Ok(()) };
        shared::keys(&f, &s, below.clock.unix_seconds()).await?;
        (s as Arc<dyn storage::Storage>, None, Some(lock))
    };
    // From here on this process owns the data directory.
    let pid = dir.join("server.pid");
    setup::files::write(&pid, format!("{}\n", std::process::id()).as_bytes(), 0o644)
        .map_err(|e| e.to_string())?;
    let keys = Keys::open(&f, advertise, layers.api.clock.unix_seconds())?;

    notify.status("starting the API server");
    let address = SocketAddr::new(f.bind_address, f.secure_port);
    let listener = serve::Listener::bind(address).await.map_err(|e| e.to_string())?;
    let api = cluster::api_server(&f, &keys, store.clone(), advertise, &layers.api)?;
    let tls = cluster::tls(&keys)?;
    let serving = api.clone();
    let api_tls = tls.clone();
    layers.api.spawn("apiserver", async move {
        if let Err(e) = serving.serve(listener, Some(&api_tls)).await {
            tracing::error!("the API server cannot serve: {e}");
        }
    });
    tracing::info!(%address, "the API is served");

    cluster::dashboard(&f, &keys, tls, &layers.work).await?;

    let outcome = tokio::select! {
        r = bring_up(&f, &api, &keys, &layers, &notify) => r.map(|()| true),
        () = runtime::tasks::terminated() => Ok(false),
    };
    if let Ok(true) = outcome {
        notify.ready();
        tracing::info!("ready");
        layers.work.spawn_until_stop("trim", trim::after_start());
        runtime::tasks::terminated().await;
    }
    notify.stopping();
    tracing::info!("stopping");
    // From the outside in: who writes stops before who stores. Containers go on.
    for layer in [&layers.node, &layers.work, &layers.api] {
        layer.shutdown(GRACE).await;
    }
    below.shutdown(GRACE).await;
    if let Some(s) = embedded {
        s.close().await;
    }
    let _ = std::fs::remove_file(pid);
    outcome.map(drop)
}

/// Takes the data directory of a server whose store is elsewhere, for as long as the answer is kept.
fn own(dir: &std::path::Path) -> Result<std::fs::File, String> {
    let path = dir.join("server.lock");
    let file = std::fs::File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
        format!("another keelson server uses {}: stop it, or choose another --data-dir", dir.display())
    })?;
    Ok(file)
}

async fn bring_up(
    f: &Server,
    api: &Arc<ApiServer>,
    keys: &Keys,
    layers: &Layers,
    notify: &Notify,
) -> Result<(), String> {
    let client = |user: UserInfo| Client::new(api.transport(user));
    api.start();
    // The last of the objects that the API server makes by itself.
    api.rt.ready.wait_for("apiserver/autoregister-completion").await;
    let master = client(UserInfo::new("system:apiserver", &[SYSTEM_MASTERS]));
    if let Err(e) = cluster::bootstrap(&master, f, &keys.token).await {
        tracing::error!("{e}");
    }
    if f.runs("kube-controller-manager") {
        notify.status("starting the controllers");
        cluster::controllers(f, api, keys, &layers.work);
    }
    if f.runs("kube-scheduler") {
        let user = UserInfo::new("system:kube-scheduler", &[AUTHENTICATED]);
        cluster::scheduler(f, client(user), &layers.work);
    }
    let name = f.common.node_name();
    let host = node::Host {
        common: &f.common,
        pki: Some(&keys.ca),
        kubelet: f
            .runs("kubelet")
            .then(|| client(UserInfo::new(format!("system:node:{name}"), &[NODES, AUTHENTICATED]))),
        network: client(UserInfo::new("system:kube-proxy", &[AUTHENTICATED])),
        proxy: f.runs("kube-proxy"),
    };
    node::start(host, &layers.node, notify).await?;
    if f.runs("kube-dns") {
        let user = UserInfo::service_account("kube-system", "kube-dns");
        cluster::dns(f, client(user), &master, &layers.node).await?;
        if !f.etcd_servers.is_empty() {
            layers.work.spawn_until_stop("cluster DNS", cluster::keep_dns(f.clone(), master.clone()));
        }
    }
    if f.runs("kubelet") {
        notify.status("waiting for the node to be Ready");
        node::wait_ready(&master, &name).await;
    }
    Ok(())
}

impl Server {
    /// Whether a part is to run.
    fn runs(&self, part: &str) -> bool {
        !self.disable.iter().any(|d| d == part)
    }
}
