//! Connections to kubelets, pods and services.

use super::Outgoing;
use super::target::{Target, Tls};
use crate::server::ApiServer;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
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
        Ok(Arc::new(Self {
            tls: client_config(ca.map_or(Trust::Anybody, Trust::Bundle), Some((cert, key)))?,
        }))
    }
    /// Without a certificate: for kubelets that let anybody in.
    pub fn anonymous(ca: Option<&[u8]>) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { tls: client_config(ca.map_or(Trust::Anybody, Trust::Bundle), None)? }))
    }
}

/// Whose certificates are believed.
#[derive(Clone, Copy)]
pub enum Trust<'a> {
    Anybody,
    /// The machine's own authorities.
    System,
    /// A bundle in PEM.
    Bundle(&'a [u8]),
}

/// How to speak TLS as a client; `own`: certificate and key in PEM.
pub fn client_config(trust: Trust<'_>, own: Option<(&[u8], &[u8])>) -> Result<Arc<ClientConfig>, String> {
    let text = |e: serve::TlsError| e.to_string();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Anybody => Arc::new(Anybody(serve::provider())),
        Trust::System => client::server_verifier(None, serve::provider()).map_err(|e| e.to_string())?,
        Trust::Bundle(pem) => {
            client::server_verifier(Some(pem), serve::provider()).map_err(|e| e.to_string())?
        }
    };
    let b = ClientConfig::builder_with_provider(serve::provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(Arc::new(match own {
        None => b.with_no_client_auth(),
        Some((cert, key)) => b
            .with_client_auth_cert(
                serve::parse_certs(cert).map_err(text)?,
                serve::parse_key(key).map_err(text)?,
            )
            .map_err(|e| e.to_string())?,
    }))
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
    pub async fn open(server: &ApiServer, t: &Target) -> Result<Self, String> {
        let tcp = tokio::time::timeout(CONNECT, TcpStream::connect(&t.address))
            .await
            .map_err(|_| format!("dial tcp {}: i/o timeout", t.address))?
            .map_err(|e| format!("dial tcp {}: {e}", t.address))?;
        let _ = tcp.set_nodelay(true);
        let host = || {
            let a = t.address.rsplit_once(':').map_or(t.address.as_str(), |(h, _)| h);
            a.trim_matches(['[', ']']).to_owned()
        };
        let (tls, host) = match (&t.tls, &server.cfg.kubelet) {
            (Tls::No, _) => return Self::start(server, tcp).await,
            (Tls::Kubelet, Some(k)) => (k.tls.clone(), host()),
            (Tls::Kubelet, None) => {
                return Err("this API server has no client certificate for kubelets".to_owned());
            }
            (Tls::Unchecked, _) => (client_config(Trust::Anybody, None)?, host()),
            (Tls::Named(config, name), _) => (config.clone(), name.clone()),
        };
        let name = ServerName::try_from(host).map_err(|e| e.to_string())?;
        let stream = tokio::time::timeout(CONNECT, TlsConnector::from(tls).connect(name, tcp))
            .await
            .map_err(|_| "TLS handshake timeout".to_owned())?
            .map_err(|e| format!("tls: {e}"))?;
        Self::start(server, stream).await
    }

    async fn start<S>(server: &ApiServer, stream: S) -> Result<Self, String>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let task = server.rt.spawn_until_stop("passing-on", async move {
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
