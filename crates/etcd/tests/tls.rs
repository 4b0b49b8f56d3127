//! Over TLS, only clients with a certificate of the authority are served.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{Dir, get, put};
use etcd::pb::etcdserverpb as pb;
use futures::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Ca {
    let mut p = CertificateParams::new(Vec::new()).unwrap();
    p.distinguished_name.push(rcgen::DnType::CommonName, name);
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = p.self_signed(&key).unwrap().pem();
    Ca { pem, issuer: Issuer::new(p, key) }
}

/// Certificate and key, PEM.
fn issued(ca: &Ca, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let mut p = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    p.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (p.signed_by(&key, &ca.issuer).unwrap().pem(), key.serialize_pem())
}

#[derive(Clone)]
struct Dial {
    at: SocketAddr,
    tls: TlsConnector,
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, std::io::Result<Self::Response>>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Uri) -> Self::Future {
        let d = self.clone();
        Box::pin(async move {
            let s = TcpStream::connect(d.at).await?;
            Ok(TokioIo::new(d.tls.connect(ServerName::try_from("localhost").unwrap(), s).await?))
        })
    }
}

async fn dial(at: SocketAddr, trust: &Ca, me: Option<(String, String)>) -> Channel {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trust.pem.as_bytes()).unwrap()).unwrap();
    let b = ClientConfig::builder_with_provider(serve::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut c = match me {
        None => b.with_no_client_auth(),
        Some((cert, key)) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
            b.with_client_auth_cert(vec![cert], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        }
    };
    c.alpn_protocols = vec![b"h2".to_vec()];
    let dial = Dial { at, tls: TlsConnector::from(Arc::new(c)) };
    Endpoint::from_static("http://localhost").connect_with_connector(dial).await.unwrap()
}

#[tokio::test]
async fn clients_need_a_certificate() {
    let dir = Dir::new();
    std::fs::create_dir_all(&dir.0).unwrap();
    let (ca, stranger) = (authority("ours"), authority("another"));
    let (cert, key) = issued(&ca, ExtendedKeyUsagePurpose::ServerAuth);
    for (name, text) in [("ca.crt", &ca.pem), ("server.crt", &cert), ("server.key", &key)] {
        std::fs::write(dir.0.join(name), text).unwrap();
    }
    let flag = |f: &str, n: &str| format!("--{f}={}", dir.0.join(n).display());
    let args = vec![
        flag("data-dir", "data"),
        flag("cert-file", "server.crt"),
        flag("key-file", "server.key"),
        flag("trusted-ca-file", "ca.crt"),
        "--client-cert-auth=true".to_owned(),
        "--listen-client-urls=https://127.0.0.1:0".to_owned(),
    ];
    let c = etcd::Config::from_args(args).unwrap();
    let running = etcd::start(c, runtime::Runtime::new()).await.unwrap();
    let at = running.addresses[0];
    let good = issued(&ca, ExtendedKeyUsagePurpose::ClientAuth);
    let bad = issued(&stranger, ExtendedKeyUsagePurpose::ClientAuth);
    let mut kv = pb::kv_client::KvClient::new(dial(at, &ca, Some(good)).await);
    kv.put(put("a", "1")).await.unwrap();
    for me in [None, Some(bad)] {
        let mut kv = pb::kv_client::KvClient::new(dial(at, &ca, me).await);
        let s = kv.range(get("a")).await.unwrap_err();
        assert_eq!(s.code(), Code::Unauthenticated, "{s:?}");
        assert!(s.message().starts_with("a client certificate is needed"), "{s:?}");
    }
    drop(kv);
    running.stop().await;
}
