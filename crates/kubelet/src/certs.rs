//! Certificates asked for at the API server: the first client certificate (TLS bootstrap), its renewal, and a serving
//! certificate.

use crate::pod::helpers;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use client::{Body, Error as ClientError, RawList, RawStream};
use client::{Client, Config, HttpTransport, ListWatch, Transport};
use futures::future::BoxFuture;
use runtime::Runtime;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
const POLL: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Make(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("certificate signing request {name}: {why}")]
    Refused { name: String, why: String },
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// A transport that can be exchanged for one with newer credentials.
pub struct Swap(RwLock<Arc<HttpTransport>>);

impl Swap {
    pub fn new(t: HttpTransport) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Arc::new(t))))
    }
    fn current(&self) -> Arc<HttpTransport> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// New calls use the new one; watches go on where they are until they end.
    pub fn replace(&self, t: HttpTransport) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(t);
    }
}

impl Transport for Swap {
    fn call(&self, req: http::Request<Bytes>) -> BoxFuture<'_, Result<http::Response<Body>, ClientError>> {
        let t = self.current();
        Box::pin(async move { t.call(req).await })
    }
    fn list(&self, what: ListWatch) -> BoxFuture<'_, Result<RawList, ClientError>> {
        let t = self.current();
        Box::pin(async move { t.list(what).await })
    }
    fn watch(&self, what: ListWatch, rv: u64) -> BoxFuture<'_, Result<RawStream, ClientError>> {
        let t = self.current();
        Box::pin(async move { t.watch(what, rv).await })
    }
}

/// What to ask for.
pub struct Want {
    pub signer: &'static str,
    pub usages: &'static [&'static str],
    pub node: String,
    pub dns: Vec<String>,
    pub ips: Vec<String>,
}

impl Want {
    pub fn client(node: &str) -> Self {
        Self {
            signer: CLIENT_SIGNER,
            usages: &["digital signature", "client auth"],
            node: node.to_owned(),
            dns: vec![],
            ips: vec![],
        }
    }
    pub fn serving(node: &str, ips: &[String]) -> Self {
        Self {
            signer: SERVING_SIGNER,
            usages: &["digital signature", "server auth"],
            node: node.to_owned(),
            dns: vec![node.to_owned()],
            ips: ips.to_vec(),
        }
    }
}

/// A new key, and a signing request for it, both as PEM.
pub fn make_request(w: &Want) -> Result<(String, String), Error> {
    let err = |e: rcgen::Error| Error::Make(format!("making a signing request: {e}"));
    let key = rcgen::KeyPair::generate().map_err(err)?;
    let mut p = rcgen::CertificateParams::new(w.dns.clone()).map_err(err)?;
    for ip in &w.ips {
        if let Ok(ip) = ip.parse() {
            p.subject_alt_names.push(rcgen::SanType::IpAddress(ip));
        }
    }
    p.distinguished_name = rcgen::DistinguishedName::new();
    p.distinguished_name.push(rcgen::DnType::OrganizationName, "system:nodes");
    p.distinguished_name.push(rcgen::DnType::CommonName, format!("system:node:{}", w.node));
    let csr = p.serialize_request(&key).map_err(err)?;
    Ok((key.serialize_pem(), csr.pem().map_err(err)?))
}

fn condition<'a>(v: &'a Value, kind: &str) -> Option<&'a Value> {
    v.pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|c| c.get("type").and_then(Value::as_str) == Some(kind))
}

/// Asks for a certificate and waits until it is there; answers key and certificate as PEM. Waits as long as nobody
/// approves.
pub async fn request(c: &Client, w: &Want) -> Result<(String, String), Error> {
    let (key, csr) = make_request(w)?;
    let prefix = if w.signer == CLIENT_SIGNER { "node-csr-" } else { "csr-" };
    let base = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let body = json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"generateName": prefix},
        "spec": {"request": STANDARD.encode(&csr), "signerName": w.signer, "usages": w.usages},
    });
    let made = c.request(http::Method::POST, base, Some(&body)).await?;
    let name = made.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("").to_owned();
    tracing::info!(csr = name, "asked for a certificate; waiting for its approval");
    let path = format!("{base}/{name}");
    loop {
        let v = match c.request(http::Method::GET, &path, None).await {
            Ok(v) => v,
            Err(e) if e.is_not_found() => {
                return Err(Error::Refused { name, why: "it was deleted".into() });
            }
            Err(e) => {
                tracing::debug!(error = %e, "looking at the signing request failed");
                tokio::time::sleep(POLL).await;
                continue;
            }
        };
        for kind in ["Denied", "Failed"] {
            if let Some(d) = condition(&v, kind) {
                let m = d.get("message").and_then(Value::as_str).unwrap_or("");
                return Err(Error::Refused { name, why: format!("{kind} {m}") });
            }
        }
        let cert = v.pointer("/status/certificate").and_then(Value::as_str).unwrap_or("");
        if !cert.is_empty() {
            let pem = STANDARD.decode(cert).map_err(|e| Error::Make(format!("the certificate: {e}")))?;
            let pem = String::from_utf8(pem).map_err(|e| Error::Make(format!("the certificate: {e}")))?;
            return Ok((key, pem));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Where certificates are kept: `<dir>/<name>-<time>.pem` and a link `<name>-current.pem` to the newest.
pub struct Store {
    dir: PathBuf,
    name: &'static str,
}

impl Store {
    pub fn new(dir: &Path, name: &'static str) -> Self {
        Self { dir: dir.to_owned(), name }
    }
    pub fn current(&self) -> PathBuf {
        self.dir.join(format!("{}-current.pem", self.name))
    }
    /// The seconds since 1970 between which the current certificate is valid, if there is one.
    pub fn validity(&self) -> Option<(i64, i64)> {
        let pem = std::fs::read(self.current()).ok()?;
        validity(&pem)
    }
    pub fn save(&self, key: &str, cert: &str, now: i64) -> Result<PathBuf, Error> {
        let stamp = helpers::time(now).0.strftime("%Y-%m-%d-%H-%M-%S").to_string();
        let file = self.dir.join(format!("{}-{stamp}.pem", self.name));
        let err = |p: &Path| {
            let p = p.to_owned();
            move |e| Error::File(p, e)
        };
        std::fs::create_dir_all(&self.dir).map_err(err(&self.dir))?;
        let mut f = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)
            .map_err(err(&file))?;
        io::Write::write_all(&mut f, format!("{}\n{}", cert.trim_end(), key).as_bytes())
            .map_err(err(&file))?;
        let link = self.current();
        let tmp = self.dir.join(format!(".{}-new.pem", self.name));
        let _ = std::fs::remove_file(&tmp);
        std::os::unix::fs::symlink(&file, &tmp).map_err(err(&tmp))?;
        std::fs::rename(&tmp, &link).map_err(err(&link))?;
        Ok(link)
    }
}

/// Not-before and not-after of a PEM text's first certificate.
pub fn validity(pem: &[u8]) -> Option<(i64, i64)> {
    use x509_cert::der::Decode;
    let der = rustls::pki_types::CertificateDer::from_pem_slice(pem).ok()?;
    let c = x509_cert::Certificate::from_der(&der).ok()?;
    let v = &c.tbs_certificate.validity;
    let s = |t: &x509_cert::time::Time| i64::try_from(t.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Some((s(&v.not_before), s(&v.not_after)))
}

/// When to renew: at 70 to 90 % of the life, spread over nodes.
pub fn renew_at(validity: (i64, i64), fraction: f64) -> i64 {
    let life = (validity.1 - validity.0).max(0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "seconds")]
    let part = (life as f64 * (0.7 + 0.2 * fraction)).round() as i64;
    validity.0 + part
}

/// Makes a kubeconfig with a client certificate where there is none: asks with the bootstrap kubeconfig's identity.
pub async fn bootstrap(
    bootstrap: &Path,
    kubeconfig: &Path,
    store: &Store,
    node: &str,
    rt: &Runtime,
) -> Result<(), Error> {
    let valid = store.validity().is_some_and(|v| rt.clock.unix_seconds() < v.1);
    if kubeconfig.exists() && (valid || store.validity().is_none()) {
        return Ok(());
    }
    let config = Config::from_kubeconfig_file(bootstrap)?;
    let transport = HttpTransport::new(config, rt)?;
    let c = Client::new(Arc::new(transport)).named("kubelet");
    let mut wait = Duration::from_secs(1);
    let (key, cert) = loop {
        match request(&c, &Want::client(node)).await {
            Ok(r) => break r,
            Err(e) => {
                let hint = match &e {
                    Error::Client(c) if c.is(meta::Reason::Unauthorized) => {
                        " (the API server does not know that token: see its --token-auth-file, or the bootstrap token's Secret)"
                    }
                    _ => "",
                };
                tracing::warn!(
                    "no client certificate with --bootstrap-kubeconfig {} yet, trying again: {e}{hint}",
                    bootstrap.display()
                );
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(60));
            }
        }
    };
    let pem = store.save(&key, &cert, rt.clock.unix_nanos())?;
    write_kubeconfig(bootstrap, kubeconfig, &pem)
}

/// The bootstrap kubeconfig's cluster with the certificate as user.
fn write_kubeconfig(bootstrap: &Path, to: &Path, pem: &Path) -> Result<(), Error> {
    let text = std::fs::read_to_string(bootstrap).map_err(|e| Error::File(bootstrap.to_owned(), e))?;
    let v = crate::yaml::parse(&text).map_err(Error::Make)?;
    let named = |list: &str, name: &str, key: &str| -> Value {
        v.get(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .find(|c| c.get("name").and_then(Value::as_str) == Some(name))
            .and_then(|c| c.get(key))
            .cloned()
            .unwrap_or(Value::Null)
    };
    let context =
        named("contexts", v.get("current-context").and_then(Value::as_str).unwrap_or(""), "context");
    let mut cluster =
        named("clusters", context.get("cluster").and_then(Value::as_str).unwrap_or(""), "cluster");
    // Relative to the bootstrap file, whose folder may be another.
    if let Some(p) = cluster.get("certificate-authority").and_then(Value::as_str)
        && !p.starts_with('/')
        && let Some(d) = bootstrap.parent()
    {
        cluster["certificate-authority"] = json!(d.join(p));
    }
    let out = json!({
        "apiVersion": "v1", "kind": "Config", "preferences": {},
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": {"client-certificate": pem, "client-key": pem}}],
        "contexts": [{"name": "default-context", "context": {"cluster": "default-cluster", "namespace": "default", "user": "default-auth"}}],
        "current-context": "default-context",
    });
    if let Some(d) = to.parent() {
        std::fs::create_dir_all(d).map_err(|e| Error::File(d.to_owned(), e))?;
    }
    let mut f = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)
        .map_err(|e| Error::File(to.to_owned(), e))?;
    io::Write::write_all(&mut f, schema::yaml::to_string(&out).as_bytes())
        .map_err(|e| Error::File(to.to_owned(), e))
}

/// Renews the client certificate until the runtime stops.
pub async fn rotate_client(
    swap: Arc<Swap>,
    client: Client,
    kubeconfig: PathBuf,
    store: Store,
    node: String,
    rt: Runtime,
) {
    let fraction = crate::rand::fraction();
    loop {
        // A kubeconfig with a certificate of its own is nothing to renew.
        let Some(v) = store.validity() else { return };
        sleep_until(renew_at(v, fraction), &rt).await;
        if rt.is_stopping() {
            return;
        }
        let renewed = async {
            let (key, cert) = request(&client, &Want::client(&node)).await?;
            store.save(&key, &cert, rt.clock.unix_nanos())?;
            let config = Config::from_kubeconfig_file(&kubeconfig)?;
            swap.replace(HttpTransport::new(config, &rt)?);
            Ok::<(), Error>(())
        }
        .await;
        match renewed {
            Ok(()) => tracing::info!("renewed the client certificate"),
            Err(e) => {
                tracing::warn!(error = %e, "renewing the client certificate failed, trying again");
                tokio::select! { () = tokio::time::sleep(Duration::from_secs(60)) => {}, () = rt.stopping() => return }
            }
        }
    }
}

/// Asks for a serving certificate and renews it until the runtime stops.
pub async fn rotate_serving(
    certificates: Arc<serve::CertSource>,
    client: Client,
    store: Store,
    want: Want,
    rt: Runtime,
) {
    let fraction = crate::rand::fraction();
    let mut wait = Duration::from_secs(5);
    loop {
        if let Some(v) = store.validity()
            && rt.clock.unix_seconds() < renew_at(v, fraction)
        {
            if let Ok(pem) = std::fs::read(store.current())
                && let Err(e) = certificates.replace(&pem, &pem)
            {
                tracing::warn!(error = %e, "the serving certificate cannot be used");
            }
            sleep_until(renew_at(v, fraction), &rt).await;
            if rt.is_stopping() {
                return;
            }
        }
        let result = async {
            let (key, cert) = request(&client, &want).await?;
            store.save(&key, &cert, rt.clock.unix_nanos()).map(drop)
        };
        let result = tokio::select! { r = result => r, () = rt.stopping() => return };
        if let Err(e) = result {
            tracing::warn!(error = %e, "no serving certificate, trying again");
            tokio::select! { () = tokio::time::sleep(wait) => {}, () = rt.stopping() => return }
            wait = (wait * 2).min(Duration::from_secs(600));
        }
    }
}

async fn sleep_until(unix_seconds: i64, rt: &Runtime) {
    loop {
        let left = unix_seconds - rt.clock.unix_seconds();
        if left <= 0 {
            return;
        }
        // A clock that is set is noticed within the hour.
        let nap = Duration::from_secs(u64::try_from(left.min(3600)).unwrap_or(3600));
        tokio::select! { () = tokio::time::sleep(nap) => {}, () = rt.stopping() => return }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_and_life() {
        let dir = std::env::temp_dir().join(format!("kubelet-certs-{}", crate::rand::hex8()));
        let (key, csr) = make_request(&Want::serving("n1", &["192.0.2.1".into()])).unwrap();
        assert!(csr.contains("BEGIN CERTIFICATE REQUEST"));
        let made = rcgen::generate_simple_self_signed(vec!["n1".into()]).unwrap();
        let s = Store::new(&dir, "kubelet-client");
        assert_eq!(s.validity(), None);
        let at = s.save(&key, &made.cert.pem(), 5_000_000_000).unwrap();
        assert_eq!(at, dir.join("kubelet-client-current.pem"));
        assert!(s.validity().is_some_and(|(a, b)| a < b));
        s.save(&key, &made.cert.pem(), 6_000_000_000).unwrap();
        assert!(std::fs::read_link(&at).unwrap().ends_with("kubelet-client-1970-01-01-00-00-06.pem"));
        assert_eq!(renew_at((1000, 2000), 0.0), 1700);
        assert_eq!(renew_at((1000, 2000), 0.5), 1800);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn kubeconfig_of_the_bootstrap_cluster() {
        let dir = std::env::temp_dir().join(format!("kubelet-certs-{}", crate::rand::hex8()));
        std::fs::create_dir_all(&dir).unwrap();
        let b = dir.join("bootstrap.kubeconfig");
        std::fs::write(&b, "apiVersion: v1\nkind: Config\ncurrent-context: x\nclusters:\n- name: c\n  cluster: {server: 'https://h:1', certificate-authority: ca.crt}\ncontexts:\n- name: x\n  context: {cluster: c, user: u}\nusers:\n- name: u\n  user: {token: t}\n").unwrap();
        let to = dir.join("out/kubelet.kubeconfig");
        write_kubeconfig(&b, &to, Path::new("/p.pem")).unwrap();
        let v = crate::yaml::parse(&std::fs::read_to_string(&to).unwrap()).unwrap();
        assert_eq!(v.pointer("/clusters/0/cluster/server"), Some(&json!("https://h:1")));
        assert_eq!(v.pointer("/clusters/0/cluster/certificate-authority"), Some(&json!(dir.join("ca.crt"))));
        assert_eq!(v.pointer("/users/0/user/client-key"), Some(&json!("/p.pem")));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
