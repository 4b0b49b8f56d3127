//! Connections to etcd: the servers of a cluster in turn, by TLS where their address says so.

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long one server has to answer a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the cluster is, and the keys for it (`--etcd-servers`, `--etcd-cafile`, `--etcd-certfile`, `--etcd-keyfile`).
#[derive(Clone, Debug, Default)]
pub struct Servers {
    pub urls: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

struct Server {
    host: String,
    port: u16,
    tls: bool,
}

fn server(url: &str) -> Result<Server, String> {
    let bad = || format!("--etcd-servers: {url:?} is no address such as https://192.0.2.1:2379");
    let u: Uri = url.trim().parse().map_err(|_| bad())?;
    let tls = match u.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(bad()),
    };
    let host = u.host().filter(|h| !h.is_empty()).ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Server { host, port: u.port_u16().unwrap_or(2379), tls })
}

fn read(flag: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("--{flag}: cannot read {}: {e}", path.display()))
}

impl Servers {
    fn parse(&self) -> Result<Vec<Server>, String> {
        let all: Vec<Server> = self.urls.iter().map(|u| server(u)).collect::<Result<_, _>>()?;
        if all.is_empty() {
            return Err("--etcd-servers names no server".into());
        }
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err("--etcd-certfile and --etcd-keyfile go together".into());
        }
        if all.iter().any(|s| s.tls) {
            self.tls()?;
        }
        Ok(all)
    }

    /// Read for each connection: the files may have changed.
    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, String> {
        let Some(ca) = &self.ca_file else {
            return Err("an https address in --etcd-servers needs --etcd-cafile".into());
        };
        let certificates = |flag: &str, path: &Path| -> Result<Vec<CertificateDer<'static>>, String> {
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(flag, path)?).collect();
            let all = all.map_err(|e| format!("--{flag} {}: {e}", path.display()))?;
            if all.is_empty() {
                return Err(format!("--{flag} {}: there is no certificate in it", path.display()));
            }
            Ok(all)
        };
        let mut roots = rustls::RootCertStore::empty();
        for c in certificates("etcd-cafile", ca)? {
            roots.add(c).map_err(|e| format!("--etcd-cafile {}: {e}", ca.display()))?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .with_root_certificates(roots);
        let mut config = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let chain = certificates("etcd-certfile", cert)?;
                let key_der = PrivateKeyDer::from_pem_slice(&read("etcd-keyfile", key)?)
                    .map_err(|e| format!("--etcd-keyfile {}: {e}", key.display()))?;
                builder.with_client_auth_cert(chain, key_der).map_err(|e| format!("--etcd-certfile: {e}"))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Makes a connection to one of the servers, beginning with the one after the last that failed.
#[derive(Clone)]
struct Dial(Arc<Inner>);

struct Inner {
    from: Servers,
    servers: Vec<Server>,
    turn: AtomicUsize,
}

impl Inner {
    async fn one(&self, s: &Server) -> Result<TokioIo<Box<dyn Io>>, String> {
        let tcp = TcpStream::connect((s.host.as_str(), s.port)).await.map_err(|e| e.to_string())?;
        tcp.set_nodelay(true).map_err(|e| e.to_string())?;
        if !s.tls {
            return Ok(TokioIo::new(Box::new(tcp)));
        }
        let name = ServerName::try_from(s.host.clone()).map_err(|e| e.to_string())?;
        let tls = tokio_rustls::TlsConnector::from(self.from.tls()?).connect(name, tcp).await;
        Ok(TokioIo::new(Box::new(tls.map_err(|e| e.to_string())?)))
    }

    async fn any(&self) -> Result<TokioIo<Box<dyn Io>>, std::io::Error> {
        let mut why = String::new();
        let first = self.turn.load(Ordering::Relaxed);
        for i in 0..self.servers.len() {
            let n = (first + i) % self.servers.len();
            let s = &self.servers[n];
            let done = tokio::time::timeout(PATIENCE, self.one(s)).await;
            match done.unwrap_or_else(|_| Err("no answer".to_owned())) {
                Ok(io) => {
                    // The next connection goes elsewhere: this one ends when its server is in trouble.
                    self.turn.store(n + 1, Ordering::Relaxed);
                    return Ok(io);
                }
                Err(e) => {
                    let at = format!("{}:{}: {e}", s.host, s.port);
                    why = if why.is_empty() { at } else { format!("{why}; {at}") };
                }
            }
        }
        Err(std::io::Error::other(why))
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.any().await })
    }
}

/// A channel that connects when it is used, and anew when the connection is lost.
pub fn channel(from: &Servers) -> Result<tonic::transport::Channel, String> {
    let servers = from.parse()?;
    let dial = Dial(Arc::new(Inner { from: from.clone(), servers, turn: AtomicUsize::new(0) }));
    let endpoint = tonic::transport::Endpoint::from_static("http://etcd")
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(endpoint.connect_with_connector_lazy(dial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let check = |urls: &[&str], ca: Option<&str>| {
            let urls = urls.iter().map(|u| (*u).to_owned()).collect();
            let s = Servers { urls, ca_file: ca.map(PathBuf::from), ..Servers::default() };
            s.parse().map(|a| a.into_iter().map(|s| (s.host, s.port, s.tls)).collect::<Vec<_>>())
        };
        assert_eq!(
            check(&["http://192.0.2.1:2379", "http://[::1]"], None).unwrap(),
            [("192.0.2.1".to_owned(), 2379, false), ("::1".to_owned(), 2379, false)]
        );
        for (urls, words) in [
            (&[][..], "names no server"),
            (&["192.0.2.1:2379"], "is no address"),
            (&["ftp://x"], "is no address"),
            (&["https://192.0.2.1:2379"], "needs --etcd-cafile"),
        ] {
            assert!(check(urls, None).unwrap_err().contains(words), "{urls:?}");
        }
        assert!(check(&["https://x"], Some("/nowhere")).unwrap_err().contains("/nowhere"));
    }
}
