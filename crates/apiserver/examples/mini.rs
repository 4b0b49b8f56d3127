//! An API server over a store in memory, on a loopback port of its own, with certificates made on the spot. Prints the
//! path of a kubeconfig: `KUBECONFIG=$(cargo run -p apiserver --example mini -- DIR) kubectl get ns`.

#![allow(clippy::unwrap_used, reason = "an example")]

#[path = "../tests/common/mem.rs"]
mod mem;

use apiserver::config::{Mode, ServiceAccounts};
use apiserver::{ApiServer, Config};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use runtime::Runtime;
use std::sync::Arc;

fn params(cn: &str, org: Option<&str>, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|s| (*s).to_owned()).collect();
    let mut p = CertificateParams::new(names).unwrap();
    p.distinguished_name = rcgen::DistinguishedName::new();
    p.distinguished_name.push(DnType::CommonName, cn);
    if let Some(o) = org {
        p.distinguished_name.push(DnType::OrganizationName, o);
    }
    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    p
}

#[tokio::main]
async fn main() {
    runtime::log::init(4);
    let dir = std::env::args().nth(1).unwrap_or_else(|| ".".into());
    let mut ca = params("mini-ca", None, &[]);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::from_params(&ca, &ca_key);
    let server_key = KeyPair::generate().unwrap();
    let server =
        params("kube-apiserver", None, &["127.0.0.1", "localhost"]).signed_by(&server_key, &issuer).unwrap();
    let admin_key = KeyPair::generate().unwrap();
    let admin = params("admin", Some("system:masters"), &[]).signed_by(&admin_key, &issuer).unwrap();

    let rt = Runtime::new();
    let ca_bundle = serve::ClientCa::from_pem(ca_cert.pem().as_bytes()).unwrap();
    let mut cfg = Config::new(Arc::new(mem::Home(mem::Mem::new())));
    cfg.authentication.client_ca = Some(ca_bundle.clone());
    cfg.authentication.service_accounts = Some(ServiceAccounts {
        signer: authn::keys::PrivateKey::from_pem(&KeyPair::generate().unwrap().serialize_pem()).unwrap(),
        keys: Vec::new(),
        issuers: vec!["https://kubernetes.default.svc".into()],
        audiences: Vec::new(),
        jwks_uri: String::new(),
        max_expiration: 0,
        extend_expiration: true,
    });
    cfg.authorization = vec![Mode::Node, Mode::Rbac];
    let api = ApiServer::new(cfg, rt.clone()).unwrap();
    let listener = serve::Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let tls = serve::TlsSettings {
        certificates: serve::CertSource::from_pem(
            server.pem().as_bytes(),
            server_key.serialize_pem().as_bytes(),
        )
        .unwrap(),
        client_ca: Some(ca_bundle),
        http2: true,
    };
    let b64 = |s: String| STANDARD.encode(s);
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters:\n- name: c\n  cluster:\n    server: https://{addr}\n    certificate-authority-data: {}\nusers:\n- name: u\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n",
        b64(ca_cert.pem()),
        b64(admin.pem()),
        b64(admin_key.serialize_pem()),
    );
    let path = format!("{dir}/kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    println!("{path}");
    let stop = rt.clone();
    rt.spawn("signals", async move {
        runtime::tasks::terminated().await;
        stop.stop_token().cancel();
    });
    api.start();
    api.serve(listener, Some(&tls)).await.unwrap();
}
