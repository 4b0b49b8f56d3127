//! Several servers over one etcd: the store, and how each further one comes by the keys of the cluster.

use crate::flags::Server;
use etcd::remote::{Remote, SERVERS, Servers};
use runtime::Runtime;
use setup::{ServerToken, Shared, files};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::{Outcome, Storage};

/// How often the history of etcd is compacted, as kube-apiserver does it.
const COMPACT: Duration = Duration::from_secs(300);

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// The store in etcd; waits until that is there. `None`: told to stop meanwhile.
pub async fn store(f: &Server, below: &Runtime) -> Result<Option<Arc<Remote>>, String> {
    let servers = Servers {
        urls: f.etcd_servers.clone(),
        ca_file: f.etcd_cafile.clone(),
        cert_file: f.etcd_certfile.clone(),
        key_file: f.etcd_keyfile.clone(),
    };
    tokio::select! {
        r = Remote::open(&servers, COMPACT, below.clone()) => r.map(Some),
        () = runtime::tasks::terminated() => Ok(None),
    }
}

/// What must be the same on every server of a cluster.
fn settings(f: &Server) -> BTreeMap<String, String> {
    let (first, last) = f.service_node_port_range;
    [
        ("cluster-cidr", f.common.cluster_cidr.to_string()),
        ("service-cluster-ip-range", f.common.service_cluster_ip_range.to_string()),
        ("cluster-domain", f.common.cluster_domain.trim_end_matches('.').to_owned()),
        ("cluster-dns", f.common.dns_ip().to_string()),
        ("service-node-port-range", format!("{first}-{last}")),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The token that was given, or that is kept from an earlier start.
fn given(f: &Server, kept: &Path) -> Result<Option<ServerToken>, String> {
    let said = match (&f.token, &f.token_file) {
        (Some(t), _) => Some(t.clone()),
        (None, Some(p)) => Some(std::fs::read_to_string(p).map_err(|e| format!("{}: {e}", p.display()))?),
        (None, None) => files::read(kept).map_err(text)?,
    };
    said.map(|t| ServerToken::parse(&t).map_err(text)).transpose()
}

fn random<const N: usize>() -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(text)?;
    Ok(bytes)
}

/// Takes the keys of the cluster from etcd, or makes them and puts them there; they are in the data directory then.
pub async fn keys(f: &Server, store: &Remote, now: i64) -> Result<(), String> {
    let data = &f.common.data_dir;
    let kept = data.join("server-token");
    let mut token = given(f, &kept)?;
    let mine = settings(f);
    let shared = loop {
        let found = store.latest().await.map_err(text)?.get(SERVERS);
        if let Some(record) = found {
            let Some(t) = &token else {
                return Err(format!(
                    "there is a cluster in this etcd already: give its server token with --token (it is in {} of each of its servers)",
                    kept.display()
                ));
            };
            break Shared::open(&record.value, t).map_err(text)?;
        }
        let t = match &token {
            Some(t) => t.clone(),
            None => ServerToken::new(&random()?),
        };
        let made = Shared::make(data, mine.clone(), &random()?, now).map_err(text)?;
        let sealed = made.seal(&t, random()?).map_err(text)?;
        match store.put(SERVERS, sealed.into(), Some(0), 0).await.map_err(text)? {
            Outcome::Done(_) => {
                tracing::info!("a new cluster; the token for further servers is in {}", kept.display());
                token = Some(t);
                break made;
            }
            // Another server began the cluster at the same moment.
            Outcome::Conflict(_) => {}
        }
    };
    shared.check(&mine).map_err(text)?;
    shared.install(data).map_err(text)?;
    let token = token.map(|t| format!("{}\n", t.render())).unwrap_or_default();
    files::write(&kept, token.as_bytes(), 0o600).map_err(text)
}
