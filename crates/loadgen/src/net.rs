//! Connections: HTTP/2 over TLS as a kubeconfig says, or in the clear. One connection is one client.

use base64::Engine;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpStream;

const WINDOW: u32 = 4 << 20;

/// Which server, and who asks.
#[derive(Clone)]
pub struct Target {
    address: String,
    tls: Option<Arc<ClientConfig>>,
}

/// Takes any certificate: the server is a process that the benchmark has just started on loopback.
#[derive(Debug)]
struct AnyServer;

impl ServerCertVerifier for AnyServer {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as S;
        vec![
            S::ECDSA_NISTP256_SHA256,
            S::ECDSA_NISTP384_SHA384,
            S::ED25519,
            S::RSA_PSS_SHA256,
            S::RSA_PSS_SHA384,
            S::RSA_PSS_SHA512,
            S::RSA_PKCS1_SHA256,
            S::RSA_PKCS1_SHA384,
            S::RSA_PKCS1_SHA512,
        ]
    }
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

impl Target {
    /// Does `n` things, numbered from zero, with so many connections, each of which takes the next thing when it is done.
    pub async fn each<F, G>(&self, connections: u64, n: u64, work: F) -> Result<(), String>
    where
        F: Fn(Conn, u64) -> G + Clone + Send + Sync + 'static,
        G: Future<Output = Result<(), String>> + Send,
    {
        let next = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let conn = self.connect().await?;
            let (next, work) = (next.clone(), work.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= n {
                        return Ok::<_, String>(());
                    }
                    work(conn.clone(), i).await?;
                }
            }));
        }
        for t in tasks {
            t.await.map_err(|e| e.to_string())??;
        }
        Ok(())
    }
    /// The server that `--kubeconfig` or `--url` names.
    pub fn of(args: &crate::Args) -> Result<Self, String> {
        match args.text("url") {
            Ok(url) => Ok(Self::anonymous(url)),
            Err(_) => Self::kubeconfig(args.text("kubeconfig")?),
        }
    }
    /// The server and the client certificate of a kubeconfig.
    pub fn kubeconfig(path: &str) -> Result<Self, String> {
        let all = std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"))?;
        // YAML of one field a line, or JSON.
        let field = |name: &str| {
            all.match_indices(name)
                .find_map(|(i, _)| {
                    let v = all[i + name.len()..].trim_start_matches('"').strip_prefix(':')?;
                    v.trim_start_matches([' ', '"']).split(['"', '\n', ',', '}']).next()
                })
                .map(str::to_owned)
                .ok_or_else(|| format!("{path}: no {name}"))
        };
        // The data itself, or the name of the file that holds it.
        let data = |name: &str| -> Result<Vec<u8>, String> {
            match field(&format!("{name}-data")) {
                Ok(b64) => base64::engine::general_purpose::STANDARD.decode(b64).map_err(text),
                Err(_) => {
                    let file = field(name)?;
                    std::fs::read(&file).map_err(|e| format!("{file}: {e}"))
                }
            }
        };
        let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&data("client-certificate")?).collect();
        let key = PrivateKeyDer::from_pem_slice(&data("client-key")?).map_err(text)?;
        let mut tls = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_client_auth_cert(certs.map_err(text)?, key)
            .map_err(text)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { address: plain(&field("server")?), tls: Some(Arc::new(tls)) })
    }
    /// A server that is asked by nobody in particular.
    pub fn anonymous(url: &str) -> Self {
        let tls = url.starts_with("https").then(|| {
            let mut tls = ClientConfig::builder()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyServer))
                .with_no_client_auth();
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Arc::new(tls)
        });
        Self { address: plain(url), tls }
    }
    pub async fn connect(&self) -> Result<Conn, String> {
        let tcp = TcpStream::connect(&self.address).await.map_err(text)?;
        tcp.set_nodelay(true).map_err(text)?;
        let mut b = Builder::new(TokioExecutor::new());
        b.initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .max_frame_size(1 << 16);
        let send = match &self.tls {
            Some(tls) => {
                let host = self.address.rsplit_once(':').map_or("", |(h, _)| h).to_owned();
                let name = ServerName::try_from(host).map_err(text)?;
                let io =
                    tokio_rustls::TlsConnector::from(tls.clone()).connect(name, tcp).await.map_err(text)?;
                let (send, conn) = b.handshake(TokioIo::new(io)).await.map_err(text)?;
                tokio::spawn(conn);
                send
            }
            None => {
                let (send, conn) = b.handshake(TokioIo::new(tcp)).await.map_err(text)?;
                tokio::spawn(conn);
                send
            }
        };
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(Conn { send, base: format!("{scheme}://{}", self.address) })
    }
}

fn plain(url: &str) -> String {
    url.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned()
}

/// One client's connection.
#[derive(Clone)]
pub struct Conn {
    send: SendRequest<Full<Bytes>>,
    base: String,
}

pub struct Call<'a> {
    pub method: Method,
    pub path: &'a str,
    pub content: &'a str,
    pub accept: &'a str,
    pub body: Bytes,
}

impl<'a> Call<'a> {
    pub fn get(path: &'a str, accept: &'a str) -> Self {
        Self { method: Method::GET, path, content: "", accept, body: Bytes::new() }
    }
}

impl Conn {
    /// Whether another request may be sent: false once the server has ended the connection, or said that it will.
    pub async fn open(&mut self) -> bool {
        self.send.ready().await.is_ok()
    }
    pub async fn start(&mut self, c: Call<'_>) -> Result<Response<Incoming>, String> {
        let mut r = Request::builder()
            .method(c.method)
            .uri(format!("{}{}", self.base, c.path))
            .header(USER_AGENT, "loadgen/1");
        if !c.accept.is_empty() {
            r = r.header(ACCEPT, c.accept);
        }
        if !c.content.is_empty() {
            r = r.header(CONTENT_TYPE, c.content);
        }
        if c.content == "application/grpc" {
            r = r.header("te", "trailers");
        }
        let r = r.body(Full::new(c.body)).map_err(text)?;
        self.send.ready().await.map_err(text)?;
        self.send.send_request(r).await.map_err(text)
    }
    /// The status and the whole answer.
    pub async fn raw(&mut self, c: Call<'_>) -> Result<(u16, Bytes), String> {
        let answer = self.start(c).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(text)?;
        Ok((status, body.to_bytes()))
    }
    /// The answer of a request that must go well.
    pub async fn call(&mut self, c: Call<'_>) -> Result<Bytes, String> {
        let what = format!("{} {}", c.method, c.path);
        let (status, body) = self.raw(c).await?;
        if !(200..300).contains(&status) {
            let head = &body[..body.len().min(600)];
            return Err(format!("{what}: {status} {}", String::from_utf8_lossy(head)));
        }
        Ok(body)
    }
}
