//! The handlers of probes and lifecycle hooks: exec, HTTP, TCP, gRPC.

use bytes::Bytes;
use cri::v1 as rt;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::{Container, HTTPGetAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::net::TcpStream;

const MAX_BODY: usize = 10 << 10;
/// Output of an exec probe in a message.
const MAX_OUTPUT: usize = 10 << 10;

/// What a handler came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// Good, with a remark.
    Warning(String),
    Failure(String),
    /// The handler could not be run.
    Error(String),
}

pub fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A port by number or by the container's name for it.
pub fn resolve_port(port: &IntOrString, c: &Container) -> Result<u16, String> {
    let n = match port {
        IntOrString::Int(n) => *n,
        IntOrString::String(name) => match c.ports.iter().flatten().find(|p| p.name.as_deref() == Some(name))
        {
            Some(p) => p.container_port,
            None => name.parse().map_err(|_| format!("couldn't find port: {name:?} in container ports"))?,
        },
    };
    u16::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| format!("invalid port number: {n}"))
}

/// Runs a command in a container. A timeout of zero is none.
pub async fn exec(
    cri: &dyn cri::Runtime,
    id: &str,
    cmd: &[String],
    timeout: Duration,
) -> Result<rt::ExecSyncResponse, cri::Error> {
    let seconds = i64::try_from(timeout.as_secs()).unwrap_or(0);
    cri.exec_sync(rt::ExecSyncRequest { container_id: id.to_owned(), cmd: cmd.to_vec(), timeout: seconds })
        .await
}

/// Standard output and error together, cut.
pub fn output(r: &rt::ExecSyncResponse) -> String {
    let mut b = r.stdout.to_vec();
    b.extend_from_slice(&r.stderr);
    b.truncate(MAX_OUTPUT);
    String::from_utf8_lossy(&b).into_owned()
}

pub async fn exec_probe(cri: &dyn cri::Runtime, id: &str, cmd: &[String], timeout: Duration) -> Outcome {
    match exec(cri, id, cmd, timeout).await {
        Ok(r) if r.exit_code == 0 => Outcome::Success,
        Ok(r) => Outcome::Failure(output(&r)),
        Err(e) if e.is_timeout() => Outcome::Failure(format!(
            "command timed out: {:?} timed out after {}s",
            cmd.join(" "),
            timeout.as_secs()
        )),
        Err(e) => Outcome::Error(e.to_string()),
    }
}

async fn dial(host: &str, port: u16) -> Result<TcpStream, String> {
    let addr = join_host_port(host, port);
    TcpStream::connect(&addr).await.map_err(|e| format!("dial tcp {addr}: {}", go_dial_error(&e)))
}

/// Words as Go's net package has them.
fn go_dial_error(e: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match e.kind() {
        K::ConnectionRefused => "connect: connection refused".into(),
        K::HostUnreachable => "connect: no route to host".into(),
        K::NetworkUnreachable => "connect: network is unreachable".into(),
        K::TimedOut => "connect: connection timed out".into(),
        K::ConnectionReset => "connect: connection reset by peer".into(),
        _ => e.to_string(),
    }
}

pub async fn tcp_probe(host: &str, port: u16, timeout: Duration) -> Outcome {
    match tokio::time::timeout(timeout, dial(host, port)).await {
        Ok(Ok(s)) => {
            // Probes leave no connection in TIME_WAIT behind.
            let _ = s.set_zero_linger();
            Outcome::Success
        }
        Ok(Err(e)) => Outcome::Failure(e),
        Err(_) => Outcome::Failure(format!("dial tcp {}: i/o timeout", join_host_port(host, port))),
    }
}

pub async fn grpc_probe(host: &str, port: u16, service: &str, timeout: Duration) -> Outcome {
    match cri::health::check(host, port, service, timeout).await {
        Ok(()) => Outcome::Success,
        Err(e) => Outcome::Failure(e),
    }
}

/// Takes any certificate: probes ask whether it answers, not who.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

static TLS: LazyLock<Option<tokio_rustls::TlsConnector>> = LazyLock::new(|| {
    let provider = serve::provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Some(tokio_rustls::TlsConnector::from(Arc::new(config)))
});

/// Where an HTTP handler goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub scheme: String,
    pub host: String,
    pub port: u16,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub h2c: bool,
}

impl Target {
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, join_host_port(&self.host, self.port), self.path)
    }
}

/// The target of an action. `agent` is the product in User-Agent: `kube-probe` or `kube-lifecycle`.
pub fn http_target(a: &HTTPGetAction, c: &Container, pod_ip: &str, agent: &str) -> Result<Target, String> {
    let port = resolve_port(&a.port, c)?;
    let host = a.host.as_deref().filter(|h| !h.is_empty()).unwrap_or(pod_ip);
    let path = a.path.as_deref().unwrap_or("");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let mut headers: Vec<(String, String)> = vec![];
    for h in a.http_headers.iter().flatten() {
        headers.push((h.name.clone(), h.value.clone()));
    }
    let has = |l: &[(String, String)], n: &str| l.iter().any(|(k, _)| k.eq_ignore_ascii_case(n));
    if !has(&headers, "user-agent") {
        headers.push(("User-Agent".into(), format!("{agent}/1.37")));
    }
    if !has(&headers, "accept") {
        headers.push(("Accept".into(), "*/*".into()));
    }
    // An empty value leaves the header out.
    headers.retain(|(k, v)| {
        !(v.is_empty() && (k.eq_ignore_ascii_case("user-agent") || k.eq_ignore_ascii_case("accept")))
    });
    Ok(Target {
        scheme: a.scheme.as_deref().unwrap_or("HTTP").to_lowercase(),
        host: host.to_owned(),
        port,
        path,
        headers,
        h2c: a.protocol.as_deref() == Some("HTTP2"),
    })
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Io for T {}

/// One GET: status, Location, the body's beginning.
async fn get(t: &Target) -> Result<(u16, Option<String>, String), String> {
    let stream = dial(&t.host, t.port).await?;
    let io: Box<dyn Io> = if t.scheme == "https" {
        let tls = TLS.as_ref().ok_or("TLS is not available")?;
        let name = ServerName::try_from(t.host.clone()).map_err(|e| e.to_string())?;
        Box::new(tls.connect(name, stream).await.map_err(|e| e.to_string())?)
    } else {
        Box::new(stream)
    };
    let mut req = http::Request::get(if t.h2c { t.url() } else { t.path.clone() });
    let custom_host = t.headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("host"));
    if !custom_host && !t.h2c {
        req = req.header("Host", join_host_port(&t.host, t.port));
    }
    for (k, v) in &t.headers {
        req = req.header(k, v);
    }
    let req = req.body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
    let response = if t.h2c {
        let (mut send, conn) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io))
            .await
            .map_err(|e| e.to_string())?;
        drive(conn, async move { send.send_request(req).await }).await?
    } else {
        let (mut send, conn) =
            hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|e| e.to_string())?;
        drive(conn, async move { send.send_request(req).await }).await?
    };
    Ok(response)
}

/// Runs a connection beside a request until the answer's head and the beginning of its body are there.
async fn drive(
    conn: impl Future<Output = Result<(), hyper::Error>>,
    send: impl Future<Output = Result<http::Response<hyper::body::Incoming>, hyper::Error>>,
) -> Result<(u16, Option<String>, String), String> {
    let work = async {
        let r = send.await.map_err(|e| hyper_error(&e))?;
        let status = r.status().as_u16();
        let location =
            r.headers().get(http::header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut body = r.into_body();
        let mut text = vec![];
        while text.len() < MAX_BODY {
            match body.frame().await {
                Some(Ok(f)) => {
                    if let Some(d) = f.data_ref() {
                        text.extend_from_slice(&d[..d.len().min(MAX_BODY - text.len())]);
                    }
                }
                Some(Err(_)) | None => break,
            }
        }
        Ok((status, location, String::from_utf8_lossy(&text).into_owned()))
    };
    let (mut conn, mut work) = (std::pin::pin!(conn), std::pin::pin!(work));
    let mut ended = false;
    loop {
        tokio::select! {
            r = &mut work => return r,
            r = &mut conn, if !ended => {
                ended = true;
                if let Err(e) = r { tracing::trace!(error = %e, "probe connection"); }
            }
        }
    }
}

fn hyper_error(e: &hyper::Error) -> String {
    use std::error::Error;
    if e.is_incomplete_message() {
        return "EOF".into();
    }
    e.source().map_or_else(|| e.to_string(), |s| format!("{e}: {s}"))
}

/// An HTTP probe: redirects to the same host are followed, others are a warning.
pub async fn http_probe(first: &Target, timeout: Duration) -> Outcome {
    let failed = |t: &Target, e: &str| Outcome::Failure(format!("Get \"{}\": {e}", t.url()));
    let work = async {
        let mut t = first.clone();
        for _ in 0..10 {
            let (status, location, body) = match get(&t).await {
                Ok(r) => r,
                Err(e) => return failed(&t, &e),
            };
            if (300..400).contains(&status) {
                match location.and_then(|l| redirect(&t, &l)) {
                    Some(next) if next.host == first.host && !matches!(status, 300 | 304) => t = next,
                    _ => {
                        return Outcome::Warning(format!(
                            "Probe terminated redirects, Response body: {body}"
                        ));
                    }
                }
                continue;
            }
            return if (200..300).contains(&status) {
                Outcome::Success
            } else {
                Outcome::Failure(format!("HTTP probe failed with statuscode: {status}"))
            };
        }
        failed(&t, "stopped after 10 redirects")
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(o) => o,
        Err(_) => failed(first, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
    }
}

fn redirect(from: &Target, location: &str) -> Option<Target> {
    let mut t = from.clone();
    if location.starts_with('/') && !location.starts_with("//") {
        t.path = location.to_owned();
        return Some(t);
    }
    let uri: http::Uri = location.parse().ok()?;
    t.scheme = uri.scheme_str()?.to_owned();
    t.host = uri.host()?.trim_matches(['[', ']']).to_owned();
    t.port = uri.port_u16().unwrap_or(if t.scheme == "https" { 443 } else { 80 });
    t.path = uri.path_and_query().map_or("/".into(), |p| p.as_str().to_owned());
    Some(t)
}

/// A lifecycle hook's GET: any answer will do; HTTPS that turns out to be HTTP is asked again.
pub async fn http_hook(t: &Target) -> Result<(), String> {
    match get(t).await {
        Ok(_) => Ok(()),
        Err(e) if t.scheme == "https" && !e.starts_with("dial") => {
            let plain = Target { scheme: "http".into(), ..t.clone() };
            get(&plain).await.map(|_| ()).map_err(|_| format!("Get \"{}\": {e}", t.url()))
        }
        Err(e) => Err(format!("Get \"{}\": {e}", t.url())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[allow(clippy::disallowed_methods, reason = "a test's own server")]
    async fn server(answers: Vec<&'static str>) -> u16 {
        let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = l.local_addr().unwrap().port();
        tokio::spawn(async move {
            for a in answers {
                let (mut s, _) = l.accept().await.unwrap();
                let mut buf = [0; 2048];
                let _ = s.read(&mut buf).await;
                s.write_all(a.as_bytes()).await.unwrap();
            }
        });
        port
    }

    fn target(port: u16) -> Target {
        let a = HTTPGetAction {
            path: Some("x".into()),
            port: IntOrString::Int(i32::from(port)),
            ..Default::default()
        };
        http_target(&a, &Container::default(), "127.0.0.1", "kube-probe").unwrap()
    }

    #[tokio::test]
    async fn http_answers() {
        let second = Duration::from_secs(5);
        for (answers, want) in [
            (vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], Outcome::Success),
            (
                vec!["HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"],
                Outcome::Failure("HTTP probe failed with statuscode: 503".into()),
            ),
            (
                vec![
                    "HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 0\r\n\r\n",
                    "HTTP/1.1 204 No\r\n\r\n",
                ],
                Outcome::Success,
            ),
            (
                vec!["HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/y\r\ncontent-length: 1\r\n\r\nb"],
                Outcome::Warning("Probe terminated redirects, Response body: b".into()),
            ),
        ] {
            let port = server(answers).await;
            assert_eq!(http_probe(&target(port), second).await, want);
        }
    }

    #[tokio::test]
    async fn refused() {
        let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = l.local_addr().unwrap().port();
        assert_eq!(tcp_probe("127.0.0.1", port, Duration::from_secs(1)).await, Outcome::Success);
        drop(l);
        let want = format!("dial tcp 127.0.0.1:{port}: connect: connection refused");
        assert_eq!(
            tcp_probe("127.0.0.1", port, Duration::from_secs(1)).await,
            Outcome::Failure(want.clone())
        );
        let got = http_probe(&target(port), Duration::from_secs(1)).await;
        assert_eq!(got, Outcome::Failure(format!("Get \"http://127.0.0.1:{port}/x\": {want}")));
    }

    #[test]
    fn ports() {
        let c: Container = serde_json::from_value(
            serde_json::json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}),
        )
        .unwrap();
        assert_eq!(resolve_port(&IntOrString::String("web".into()), &c), Ok(8080));
        assert!(resolve_port(&IntOrString::String("no".into()), &c).is_err());
        assert!(resolve_port(&IntOrString::Int(0), &c).is_err());
    }
}
