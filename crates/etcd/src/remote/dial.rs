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
use tonic::transport::Channel;

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

/// Makes connections to one server.
#[derive(Clone)]
struct Dial(Arc<(Servers, Server)>);

async fn connect(from: &Servers, s: &Server) -> Result<TokioIo<Box<dyn Io>>, String> {
    let tcp = TcpStream::connect((s.host.as_str(), s.port)).await.map_err(|e| e.to_string())?;
    tcp.set_nodelay(true).map_err(|e| e.to_string())?;
    if !s.tls {
        return Ok(TokioIo::new(Box::new(tcp)));
    }
    let name = ServerName::try_from(s.host.clone()).map_err(|e| e.to_string())?;
    let tls = tokio_rustls::TlsConnector::from(from.tls()?).connect(name, tcp).await;
    Ok(TokioIo::new(Box::new(tls.map_err(|e| e.to_string())?)))
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let to = self.0.clone();
        Box::pin(async move {
            let done = tokio::time::timeout(PATIENCE, connect(&to.0, &to.1)).await;
            done.unwrap_or_else(|_| Err("no answer".to_owned()))
                .map_err(|e| std::io::Error::other(format!("{}:{}: {e}", to.1.host, to.1.port)))
        })
    }
}

/// The members of a cluster, each with a channel that connects when it is used, and anew when the connection is lost.
/// One of them is asked until it is in trouble.
pub struct Members {
    channels: Vec<Channel>,
    turn: AtomicUsize,
}

impl Members {
    pub fn new(from: &Servers) -> Result<Self, String> {
        let channel = |s: Server| {
            tonic::transport::Endpoint::from_static("http://etcd")
                // Not more often than etcd allows (--grpc-keepalive-min-time, 5 s).
                .http2_keep_alive_interval(Duration::from_secs(6))
                .keep_alive_timeout(Duration::from_secs(4))
                .keep_alive_while_idle(true)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20)
                .connect_with_connector_lazy(Dial(Arc::new((from.clone(), s))))
        };
        Ok(Self { channels: from.parse()?.into_iter().map(channel).collect(), turn: AtomicUsize::new(0) })
    }
    pub fn len(&self) -> usize {
        self.channels.len()
    }
    /// Who is asked now, and by what number it is known.
    pub fn now(&self) -> (usize, Channel) {
        let n = self.turn.load(Ordering::Relaxed);
        (n, self.channels[n % self.channels.len()].clone())
    }
    /// The one with this number is in trouble: the next is asked from now on, unless that was said already.
    pub fn next(&self, after: usize) {
        let _ = self.turn.compare_exchange(after, after + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
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
