//! Connections to kubelets, pods and services.

use super::Outgoing;
use super::target::Target;
use crate::cx::Cx;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

const CONNECT: Duration = Duration::from_secs(10);

/// How kubelets are spoken to (`--kubelet-client-certificate`, `--kubelet-certificate-authority`).
pub struct KubeletClient {
    tls: Arc<ClientConfig>,
}

/// Accepts whoever answers: without an authority given, upstream does not verify kubelets either, and pods' and
/// services' own certificates are nobody's to check here.
#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        m: &[u8],
        c: &CertificateDer<'_>,
        d: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(m, c, d, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl KubeletClient {
    /// Certificate and key in PEM; `ca`: the bundle that kubelets' certificates are checked against, none: unchecked.
    pub fn new(cert: &[u8], key: &[u8], ca: Option<&[u8]>) -> Result<Arc<Self>, String> {
        let text = |e: serve::TlsError| e.to_string();
        let b = builder(ca)?;
        let tls = b
            .with_client_auth_cert(
                serve::parse_certs(cert).map_err(text)?,
                serve::parse_key(key).map_err(text)?,
            )
            .map_err(|e| e.to_string())?;
        Ok(Arc::new(Self { tls: Arc::new(tls) }))
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(ca: Option<&[u8]>) -> Result<Builder, String> {
    let b = ClientConfig::builder_with_provider(serve::provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?;
    Ok(match ca {
        None => b.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(serve::provider()))),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for c in serve::parse_certs(pem).map_err(|e| e.to_string())? {
                roots.add(c).map_err(|e| e.to_string())?;
            }
            b.with_root_certificates(roots)
        }
    })
}

/// One HTTP/1.1 connection; it ends when this is dropped.
pub struct Connection {
    send: SendRequest<Outgoing>,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    pub async fn open(cx: &Cx, t: &Target) -> Result<Self, String> {
        let tcp = tokio::time::timeout(CONNECT, TcpStream::connect(&t.address))
            .await
            .map_err(|_| format!("dial tcp {}: i/o timeout", t.address))?
            .map_err(|e| format!("dial tcp {}: {e}", t.address))?;
        let _ = tcp.set_nodelay(true);
        if !t.tls {
            return Self::start(cx, tcp).await;
        }
        let tls = match (t.kubelet, &cx.server.cfg.kubelet) {
            (true, Some(k)) => k.tls.clone(),
            (true, None) => return Err("this API server has no client certificate for kubelets".to_owned()),
            (false, _) => Arc::new(builder(None)?.with_no_client_auth()),
        };
        let host = t
            .address
            .rsplit_once(':')
            .map_or(t.address.as_str(), |(h, _)| h)
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
        let stream = tokio::time::timeout(CONNECT, TlsConnector::from(tls).connect(name, tcp))
            .await
            .map_err(|_| "TLS handshake timeout".to_owned())?
            .map_err(|e| format!("tls: {e}"))?;
        Self::start(cx, stream).await
    }

    async fn start<S>(cx: &Cx, stream: S) -> Result<Self, String>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let task = cx.server.rt.spawn_until_stop("passing-on", async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Self { send, task })
    }

    pub async fn send(&mut self, req: Request<Outgoing>) -> Result<Response<Incoming>, String> {
        self.send.send_request(req).await.map_err(|e| e.to_string())
    }
}

pin_project_lite::pin_project! {
    /// A body together with the connection it comes over.
    pub struct Held<B> {
        #[pin]
        body: B,
        connection: Connection,
    }
}

impl<B> Held<B> {
    pub fn new(body: B, connection: Connection) -> Self {
        Self { body, connection }
    }
}

impl<B: HttpBody<Data = Bytes>> HttpBody for Held<B> {
    type Data = Bytes;
    type Error = B::Error;
    fn poll_frame(self: Pin<&mut Self>, c: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(c)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
