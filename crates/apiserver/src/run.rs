//! `kube-apiserver` as a program of its own.

use crate::ApiServer;
use crate::flags::Flags;
use crate::old;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use runtime::Runtime;
use serve::{CertSource, Listener, TlsSettings};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long requests in flight and the store have to come to their end.
const GRACE: Duration = Duration::from_secs(15);

/// Runs an API server with its store in this process until the runtime stops. `args` without the program's name.
pub async fn run(args: Vec<String>, rt: Runtime) -> Result<(), String> {
    let Some(flags) = prepare(args)? else { return Ok(()) };
    if !flags.etcd_servers.is_empty() {
        return Err("--etcd-servers: this program has no client for etcd built in".into());
    }
    let options = storage::Options::default();
    // The store outlives the server: requests in flight still write.
    let below = Runtime::new();
    let store = storage::Embedded::open(&flags.store_file, options, below.clone())
        .await
        .map_err(|e| e.to_string())?;
    let done = run_on(&flags, store.clone(), rt.clone()).await;
    rt.shutdown(GRACE).await;
    below.shutdown(GRACE).await;
    store.close().await;
    done
}

/// Parses the command line and begins to log; `None` when all that was asked for was text.
pub fn prepare(args: Vec<String>) -> Result<Option<Flags>, String> {
    let (flags, notes) = match old::parse(args) {
        Ok(f) => f,
        Err((e, true)) => return Err(e.trim_start_matches("error: ").trim_end().to_owned()),
        Err((help, false)) => return say(&help).map(|()| None),
    };
    if flags.version {
        return say(&format!("Kubernetes {}\n", crate::version::GIT_VERSION)).map(|()| None);
    }
    runtime::log::init(flags.v);
    for n in notes {
        tracing::warn!("{n}");
    }
    flags.check()?;
    Ok(Some(flags))
}

/// On standard output, whose reader may have gone.
fn say(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.to_string()),
        _ => Ok(()),
    }
}

/// The same over any store. The store is the caller's to close.
pub async fn run_on(flags: &Flags, store: Arc<dyn storage::Storage>, rt: Runtime) -> Result<(), String> {
    let config = flags.config(store)?;
    let tls = tls(flags, config.advertise_address)?;
    let bind = async |flag: &str, ip: IpAddr, port: u16| {
        Listener::bind(SocketAddr::new(ip, port)).await.map_err(|e| format!("--{flag}: {e}"))
    };
    let secure = bind("secure-port", flags.bind_address, flags.secure_port).await?;
    let api = ApiServer::new(config, rt.clone())?;
    if let Some((address, port)) = flags.insecure() {
        let open = bind("insecure-port", address, port).await?;
        tracing::warn!(%address, port, "everybody who reaches the insecure port may do everything");
        let api = api.clone();
        rt.spawn("insecure port", async move { api.serve_insecure(open).await });
    }
    tracing::info!(address = %flags.bind_address, port = flags.secure_port, "the API is served");
    api.start();
    api.serve(secure, Some(&tls)).await.map_err(|e| e.to_string())
}

/// The server's certificate: the given one, or one made on the first start and kept.
fn tls(flags: &Flags, advertise: IpAddr) -> Result<TlsSettings, String> {
    let dir = &flags.cert_dir;
    let (cert, key) = match (&flags.tls_cert_file, &flags.tls_private_key_file) {
        (Some(c), Some(k)) => (c.clone(), k.clone()),
        _ => {
            let (c, k) = (dir.join("apiserver.crt"), dir.join("apiserver.key"));
            if !(c.exists() && k.exists()) {
                std::fs::create_dir_all(dir)
                    .map_err(|e| format!("--cert-dir: cannot make {}: {e}", dir.display()))?;
                self_signed(flags, advertise, &c, &k)?;
            }
            (c, k)
        }
    };
    let certificates = CertSource::from_files(&cert, &key)
        .map_err(|e| format!("--tls-cert-file, --tls-private-key-file: {e}"))?;
    Ok(TlsSettings { certificates, client_ca: None, http2: true })
}

fn self_signed(flags: &Flags, advertise: IpAddr, cert: &Path, key: &Path) -> Result<(), String> {
    let text = |e: rcgen::Error| format!("making a certificate: {e}");
    let names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];
    let mut p = CertificateParams::new(names.map(str::to_owned).to_vec()).map_err(text)?;
    let mut ips = vec![advertise, IpAddr::V4(Ipv4Addr::LOCALHOST)];
    ips.extend(flags.service_cluster_ip_range.iter().map(crate::alloc::Range::first));
    p.subject_alt_names.extend(ips.into_iter().map(SanType::IpAddress));
    p.distinguished_name.push(DnType::CommonName, format!("{advertise}@kube-apiserver"));
    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let pair = KeyPair::generate().map_err(text)?;
    let made = p.self_signed(&pair).map_err(text)?;
    write(key, &pair.serialize_pem(), 0o600)?;
    write(cert, &made.pem(), 0o644)
}

pub(crate) fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    file.and_then(|mut f| f.write_all(text.as_bytes()))
        .map_err(|e| format!("cannot write {}: {e}", path.display()))
}
