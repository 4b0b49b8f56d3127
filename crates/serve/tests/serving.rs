//! Black-box tests of the server over loopback sockets.

#![allow(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serve::{Body, CertSource, ClientCa, Limits, Listener, Peer, Server, TlsSettings};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

struct Ca {
    cert: rcgen::Certificate,
    key: rcgen::KeyPair,
    params: rcgen::CertificateParams,
}

fn ca(name: &str) -> Ca {
    let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    Ca { cert, key, params }
}

fn leaf(ca: &Ca, cn: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
    let mut p = rcgen::CertificateParams::new(vec!["localhost".into()]).unwrap();
    p.distinguished_name.push(rcgen::DnType::CommonName, cn);
    p.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&ca.params, &ca.key);
    (p.signed_by(&key, &issuer).unwrap(), key)
}

async fn who(req: Request<Incoming>) -> Response<Body> {
    let p = req.extensions().get::<Arc<Peer>>().unwrap().clone();
    let text = format!(
        "{:?} {} tls={} certs={} verified={}",
        req.version(),
        req.uri().path(),
        p.tls,
        p.certificates.len(),
        p.verified.is_ok()
    );
    Response::new(serve::full(text))
}

fn client(root: &Ca, auth: Option<(&rcgen::Certificate, &rcgen::KeyPair)>, h2: bool) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.cert.der().clone()).unwrap();
    let b = rustls::ClientConfig::builder_with_provider(serve::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut c = match auth {
        None => b.with_no_client_auth(),
        Some((c, k)) => {
            let chain: Vec<CertificateDer<'static>> = vec![c.der().clone()];
            let key = PrivateKeyDer::try_from(k.serialize_der()).unwrap();
            b.with_client_auth_cert(chain, key).unwrap()
        }
    };
    c.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    c
}

async fn get(addr: SocketAddr, cfg: rustls::ClientConfig, h2: bool) -> String {
    let tcp = TcpStream::connect(addr).await.unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(cfg))
        .connect(ServerName::try_from("localhost").unwrap(), tcp)
        .await
        .unwrap();
    let req =
        Request::get("https://localhost/x").header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
    let rt = runtime::Runtime::new();
    let res = if h2 {
        let (mut s, c) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tls)).await.unwrap();
        rt.spawn("client", async move { drop(c.await) });
        s.send_request(req).await.unwrap()
    } else {
        let (mut s, c) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
        rt.spawn("client", async move { drop(c.await) });
        s.send_request(req).await.unwrap()
    };
    let body = res.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[tokio::test]
async fn protocols_and_client_certificates() {
    let (a, stranger) = (ca("a"), ca("stranger"));
    let (cert, key) = leaf(&a, "server");
    let rt = runtime::Runtime::new();
    let source = CertSource::from_pem(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let tls = TlsSettings {
        certificates: source.clone(),
        client_ca: Some(ClientCa::from_pem(a.cert.pem().as_bytes()).unwrap()),
        http2: true,
    };
    let l = Listener::bind(loopback()).await.unwrap();
    let addr = l.local_addr().unwrap();
    let server = Server::new(rt.clone()).tls(&tls).unwrap();
    rt.spawn("server", server.run(l, who));

    let good = leaf(&a, "good");
    let bad = leaf(&stranger, "bad");
    let cases = [
        (None, true, "HTTP/2.0 /x tls=true certs=0 verified=false"),
        (None, false, "HTTP/1.1 /x tls=true certs=0 verified=false"),
        (Some(&good), true, "HTTP/2.0 /x tls=true certs=1 verified=true"),
        (Some(&bad), false, "HTTP/1.1 /x tls=true certs=1 verified=false"),
    ];
    for (auth, h2, want) in cases {
        assert_eq!(get(addr, client(&a, auth.map(|(c, k)| (c, k)), h2), h2).await, want);
    }

    // A swapped certificate is seen by the next handshake.
    let b = ca("b");
    let (cert, key) = leaf(&b, "server");
    source.replace(cert.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert!(get(addr, client(&b, None, true), true).await.starts_with("HTTP/2.0"));
    assert!(rt.shutdown(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn taken_addresses_say_what_to_do() {
    let l = Listener::bind(loopback()).await.unwrap();
    let addr = l.local_addr().unwrap();
    let e = Listener::bind(addr).await.unwrap_err().to_string();
    assert!(e.starts_with(&format!("address already in use: {addr}: ")), "{e}");
    let e = Listener::bind("203.0.113.1:0".parse().unwrap()).await.unwrap_err().to_string();
    assert!(e.contains("is no address of this host"), "{e}");
}

#[tokio::test]
async fn unix_sockets_are_reused() {
    let dir = std::env::temp_dir().join(format!("serve-test-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("s");
    drop(Listener::bind_unix(&path).await.unwrap());
    let l = Listener::bind_unix(&path).await.unwrap();
    assert!(Listener::bind_unix(&path).await.unwrap_err().to_string().contains("another process listens"));
    let rt = runtime::Runtime::new();
    rt.spawn("server", Server::new(rt.clone()).cleartext_http2(true).run(l, who));
    let s = tokio::net::UnixStream::connect(&path).await.unwrap();
    let (mut s, c) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(s)).await.unwrap();
    rt.spawn_until_stop("client", async move { drop(c.await) });
    let res = s.send_request(Request::get("http://x/y").body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let b = res.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&b[..], b"HTTP/2.0 /y tls=false certs=0 verified=true");
    drop(s);
    assert!(rt.shutdown(Duration::from_secs(5)).await);
    std::fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_stop_lets_requests_finish() {
    let rt = runtime::Runtime::new();
    let l = Listener::bind(loopback()).await.unwrap();
    let addr = l.local_addr().unwrap();
    let begun = Arc::new(tokio::sync::Notify::new());
    let go = Arc::new(tokio::sync::Notify::new());
    let (b2, g2) = (begun.clone(), go.clone());
    let server = rt.child();
    let limits = Limits { grace: Duration::from_secs(5), ..Limits::default() };
    let run = Server::new(server.clone()).limits(limits).run(l, move |_req| {
        let (b, g) = (b2.clone(), g2.clone());
        async move {
            b.notify_one();
            g.notified().await;
            Response::new(serve::full("late"))
        }
    });
    let running = rt.spawn("server", run);
    let tcp = TcpStream::connect(addr).await.unwrap();
    let (mut s, c) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
    rt.spawn_until_stop("client", async move { drop(c.await) });
    let pending = s.send_request(Request::get("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap());
    let answer = async {
        let res = pending.await.unwrap();
        res.into_body().collect().await.unwrap().to_bytes()
    };
    let stop = async {
        begun.notified().await;
        server.stop_token().cancel();
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.notify_one();
    };
    let (b, ()) = tokio::join!(answer, stop);
    assert_eq!(&b[..], b"late");
    drop(s);
    running.await.unwrap();
}
