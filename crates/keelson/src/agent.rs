//! `keelson agent`: a node of a cluster whose server is elsewhere.
//!
//! It joins as upstream's kubelet does: a bootstrap token asks for a client certificate, the cluster's controllers
//! approve and sign it, and from then on the node is itself. The server is known by the hash of its CA in the token.

use crate::flags::{self, Agent};
use crate::node;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::config::{Auth, Pem};
use client::{Client, Config, HttpTransport};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use runtime::Runtime;
use runtime::notify::Notify;
use serde_json::json;
use setup::{JoinToken, files, pki, token};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// How often a node asks to join, a second apart, before it gives up.
const JOIN_TRIES: u32 = 60;
const GRACE: Duration = Duration::from_secs(10);
/// A certificate with less than this left is asked for anew at start, and while running.
const RENEW_SECONDS: i64 = 30 * 86_400;

pub fn main(args: Vec<String>) -> ExitCode {
    let f: Agent = match flags::parse("keelson agent", args) {
        Ok(f) => f,
        Err(code) => return code,
    };
    runtime::log::init(f.common.v);
    crate::block_on(run(f))
}

/// Where the node's own credentials are.
struct Home {
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

impl Home {
    fn new(f: &Agent) -> Self {
        let dir = f.common.data_dir.join("pki");
        Self { ca: dir.join("ca.crt"), cert: dir.join("node.crt"), key: dir.join("node.key") }
    }
    fn config(&self, f: &Agent) -> Config {
        Config {
            server: f.server[0].clone(),
            others: f.server[1..].to_vec(),
            ca: Some(Pem::File(self.ca.clone())),
            client_cert: Some((Pem::File(self.cert.clone()), Pem::File(self.key.clone()))),
            ..Config::default()
        }
    }
}

fn read_token(f: &Agent) -> Result<JoinToken, String> {
    let text = match (&f.token, &f.token_file) {
        (Some(t), _) => t.clone(),
        (None, Some(p)) => std::fs::read_to_string(p).map_err(|e| format!("{}: {e}", p.display()))?,
        (None, None) => {
            return Err(
                "this node has not joined yet: give --token (from <data-dir>/token on the server)".to_owned()
            );
        }
    };
    JoinToken::parse(&text).map_err(|e| e.to_string())
}

/// The CA that the token names, from the server itself.
async fn trusted_ca(server: &str, t: &JoinToken) -> Result<String, String> {
    let chain = client::peer::certificates(server).await.map_err(|e| e.to_string())?;
    let ca = chain.iter().find(|c| token::ca_hash(c) == t.ca_hash);
    ca.map(|c| pki::to_pem(c)).ok_or_else(|| {
        format!("the server at {server} does not belong to the cluster of this token: nothing was sent to it; check --server and --token")
    })
}

/// From the first of the servers that answers.
async fn any_trusted_ca(servers: &[String], t: &JoinToken) -> Result<String, String> {
    let mut why = Vec::new();
    for s in servers {
        match trusted_ca(s, t).await {
            Ok(ca) => return Ok(ca),
            Err(e) => why.push(e),
        }
    }
    Err(why.join("; "))
}

/// Asks for a client certificate for this node and waits for it.
async fn certificate(c: &Client, name: &str) -> Result<(String, String), String> {
    let (csr, key) =
        pki::request(&format!("system:node:{name}"), "system:nodes").map_err(|e| e.to_string())?;
    let request = json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": format!("node-csr-{name}-")},
        "spec": {"request": STANDARD.encode(&csr), "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
            "usages": ["digital signature", "client auth"]}});
    let request =
        <CertificateSigningRequest as client::Kind>::from_value(request).map_err(|e| e.to_string())?;
    let made = c.create(&request).await.map_err(|e| format!("cannot ask for a certificate: {e}"))?;
    let csr_name = made.metadata.name.unwrap_or_default();
    for n in 0u32.. {
        let now: CertificateSigningRequest = c.get(None, &csr_name).await.map_err(|e| e.to_string())?;
        let status = now.status.unwrap_or_default();
        if let Some(c) = status.certificate {
            let pem = String::from_utf8(c.0).map_err(|e| e.to_string())?;
            return Ok((pem, key));
        }
        if let Some(no) =
            status.conditions.unwrap_or_default().iter().find(|c| c.type_ == "Denied" || c.type_ == "Failed")
        {
            let why = no.message.clone().unwrap_or_default();
            return Err(format!("the certificate request {csr_name} was refused: {why}"));
        }
        if n == 20 {
            tracing::info!("waiting for the certificate request {csr_name} to be approved");
        }
        tokio::time::sleep(Duration::from_millis(if n < 40 { 50 } else { 1000 })).await;
    }
    Err("unreachable".to_owned())
}

fn store(home: &Home, cert: &str, key: &str) -> Result<(), String> {
    files::write(&home.key, key.as_bytes(), 0o600)
        .and_then(|()| files::write(&home.cert, cert.as_bytes(), 0o644))
        .map_err(|e| e.to_string())
}

async fn join(f: &Agent, home: &Home, rt: &Runtime) -> Result<(), String> {
    let now = rt.clock.unix_seconds();
    let have = files::read(&home.cert).map_err(|e| e.to_string())?;
    if have.and_then(|c| pki::seconds_left(&c, now)).is_some_and(|left| left > RENEW_SECONDS) {
        return Ok(());
    }
    let t = read_token(f)?;
    let ca = loop {
        match any_trusted_ca(&f.server, &t).await {
            Ok(ca) => break ca,
            Err(e) if e.contains("does not belong") => return Err(e),
            Err(e) => tracing::warn!("the server is not there yet: {e}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    files::write(&home.ca, ca.as_bytes(), 0o644).map_err(|e| e.to_string())?;
    let config = Config {
        server: f.server[0].clone(),
        others: f.server[1..].to_vec(),
        ca: Some(Pem::File(home.ca.clone())),
        auth: Auth::Token(t.bearer()),
        ..Config::default()
    };
    let c = Client::new(Arc::new(HttpTransport::new(config, rt).map_err(|e| e.to_string())?));
    // A server that has just begun does not know its own token yet.
    let mut tries = 0;
    let (cert, key) = loop {
        match certificate(&c, &f.common.node_name()).await {
            Err(e) if tries < JOIN_TRIES => {
                tries += 1;
                tracing::warn!("{e}; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            other => break other?,
        }
    };
    store(home, &cert, &key)
}

/// Renews the certificate before it ends; new connections use the new one.
async fn renew(home: Home, c: Client, name: String, clock: runtime::Clock) {
    loop {
        tokio::time::sleep(Duration::from_secs(12 * 3600)).await;
        let have = files::read(&home.cert).ok().flatten();
        if have
            .and_then(|c| pki::seconds_left(&c, clock.unix_seconds()))
            .is_some_and(|left| left > RENEW_SECONDS)
        {
            continue;
        }
        match certificate(&c, &name).await.and_then(|(cert, key)| store(&home, &cert, &key)) {
            Ok(()) => tracing::info!("the node's certificate was renewed"),
            Err(e) => tracing::warn!("the node's certificate could not be renewed yet: {e}"),
        }
    }
}

async fn run(f: Agent) -> Result<(), String> {
    f.common.check()?;
    node::may_run()?;
    let notify = Notify::from_env();
    let rt = Runtime::new();
    let dir = f.common.data_dir.clone();
    files::private_dir(&dir)
        .and_then(|()| files::private_dir(&dir.join("pki")))
        .map_err(|e| e.to_string())?;
    let home = Home::new(&f);
    notify.status("joining the cluster");
    join(&f, &home, &rt).await?;
    let transport = HttpTransport::new(home.config(&f), &rt).map_err(|e| e.to_string())?;
    let c = Client::new(Arc::new(transport));
    let name = f.common.node_name();
    let host = node::Host {
        common: &f.common,
        pki: None,
        kubelet: Some(c.clone()),
        network: c.clone(),
        proxy: true,
    };
    let up = async {
        node::start(host, &rt, &notify).await?;
        notify.status("waiting for the node to be Ready");
        node::wait_ready(&c, &name).await;
        Ok(true)
    };
    let outcome: Result<bool, String> = tokio::select! {
        r = up => r,
        () = runtime::tasks::terminated() => Ok(false),
    };
    if let Ok(true) = outcome {
        rt.spawn_until_stop("renewal", renew(home, c, name, rt.clock.clone()));
        notify.ready();
        tracing::info!("ready");
        runtime::tasks::terminated().await;
    }
    notify.stopping();
    tracing::info!("stopping");
    rt.shutdown(GRACE).await;
    outcome.map(drop)
}
