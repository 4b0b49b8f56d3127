//! Certificates that are signed, and requests that are not.

use super::sign::Authority;
use crate::config::KeyPair;
use crate::testing::Cluster;
use crate::util::csr::{Request, testing::request};
use base64::Engine;
use meta::object::ObjectExt;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectAltName};

fn authority(alg: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    let key = rcgen::KeyPair::generate_for(alg).unwrap();
    let mut p = rcgen::CertificateParams::default();
    p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    p.not_after = rcgen::date_time_ymd(2030, 1, 1);
    KeyPair { cert_pem: p.self_signed(&key).unwrap().pem(), key_pem: key.serialize_pem() }
}

/// Of openssl: `/O=o1/O=o2/CN=cn`, DNS:a.b, IP:10.0.0.1.
const TWO_ORGANIZATIONS: &str = "-----BEGIN CERTIFICATE REQUEST-----
MIIBCDCBsAIBADAnMQswCQYDVQQKDAJvMTELMAkGA1UECgwCbzIxCzAJBgNVBAMM
AmNuMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEGajK6OaPut69v0eWnqmmm9e5
rqh702GLr4ZhFkDVSRIH+uSjRNpCACuRNsGQ/sZ+3UuU69ukWjjcdcp0UPkSaaAn
MCUGCSqGSIb3DQEJDjEYMBYwFAYDVR0RBA0wC4IDYS5ihwQKAAABMAoGCCqGSM49
BAMCA0cAMEQCIDmeXWhZF3f5TIIxxmXxnVWOJc5aDBoTYepFYCg4vDBlAiAEeOdp
KHh5GrIe/GRJhlNiGjjKLd7ROgssbr9yUAbcuw==
-----END CERTIFICATE REQUEST-----
";

fn parse(pem: &str) -> Certificate {
    Certificate::from_der(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap()
}

#[test]
fn keeps_what_was_requested() {
    for alg in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        let pair = authority(alg);
        let a = Authority::new(&pair).unwrap();
        let req = Request::parse(TWO_ORGANIZATIONS.as_bytes()).unwrap();
        let usages = ["client auth", "digital signature", "server auth"].map(str::to_owned);
        let now = "2024-01-01T00:00:00Z".parse().unwrap();
        let pem = a.sign(&req, &usages, Duration::from_secs(86400), now, [0; 16]).unwrap();
        let cert = parse(&pem).tbs_certificate;
        assert_eq!(cert.subject, req.inner.info.subject);
        assert_eq!(cert.subject.to_string(), "CN=cn,O=o2,O=o1");
        assert_eq!(cert.subject_public_key_info, req.inner.info.public_key);
        assert_eq!(cert.validity.not_before.to_string(), "2023-12-31T23:55:00Z");
        assert_eq!(cert.validity.not_after.to_string(), "2024-01-01T23:55:00Z");
        assert_eq!(cert.get::<SubjectAltName>().unwrap().unwrap().1.0, req.names);
        let eku = cert.get::<ExtendedKeyUsage>().unwrap().unwrap().1;
        assert_eq!(
            eku.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]
        );
        let (critical, ku) = cert.get::<KeyUsage>().unwrap().unwrap();
        assert!(critical && ku.digital_signature() && !ku.key_encipherment());
        // A verifier accepts it as a client's certificate.
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pair.cert_pem.as_bytes()).unwrap()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
        let at = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(1_704_067_200));
        let der = CertificateDer::from(parse(&pem).to_der().unwrap());
        verifier.verify_client_cert(&der, &[], at).unwrap();
        // It never outlives the authority, and short ones are not cut.
        let pem = a.sign(&req, &usages, Duration::from_secs(10 * 366 * 86400), now, [255; 16]).unwrap();
        assert_eq!(parse(&pem).tbs_certificate.validity.not_after.to_string(), "2030-01-01T00:00:00Z");
        let pem = a.sign(&req, &usages, Duration::from_secs(600), now, [1; 16]).unwrap();
        assert_eq!(parse(&pem).tbs_certificate.validity.not_after.to_string(), "2024-01-01T00:10:00Z");
        assert!(a.sign(&req, &["x".to_owned()], Duration::from_secs(600), now, [1; 16]).is_err());
        let late = "2031-01-01T00:00:00Z".parse().unwrap();
        assert!(a.sign(&req, &usages, Duration::from_secs(600), late, [1; 16]).is_err());
        // Another key's signature is refused.
        let mut forged = req;
        let other = Request::parse(request("cn", &["o1"], &[]).as_bytes()).unwrap();
        forged.inner.info = other.inner.info;
        assert!(a.sign(&forged, &usages, Duration::from_secs(600), now, [1; 16]).is_err());
    }
}

#[test]
fn wants_a_matching_key() {
    let (a, b) = (authority(&rcgen::PKCS_ECDSA_P256_SHA256), authority(&rcgen::PKCS_ECDSA_P256_SHA256));
    assert!(Authority::new(&KeyPair { cert_pem: a.cert_pem, key_pem: b.key_pem }).is_err());
}

#[tokio::test(start_paused = true)]
async fn signs_what_is_approved() {
    let pair = authority(&rcgen::PKCS_ECDSA_P256_SHA256);
    let c = Cluster::with(&["csrsigning"], |c| c.signer = Some(pair)).await;
    let csr = |name: &str, signer: &str, usages: &[&str], approved: bool| -> Value {
        let pem = request("alice", &["dev"], &[]);
        let conditions = if approved { json!([{"type": "Approved", "status": "True"}]) } else { json!([]) };
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": base64::engine::general_purpose::STANDARD.encode(pem), "signerName": signer, "usages": usages},
            "status": {"conditions": conditions}})
    };
    let client = "kubernetes.io/kube-apiserver-client";
    c.api.seed("certificatesigningrequests", csr("ok", client, &["client auth"], true));
    c.api.seed("certificatesigningrequests", csr("waits", client, &["client auth"], false));
    c.api.seed("certificatesigningrequests", csr("bad", client, &["server auth"], true));
    c.api.seed("certificatesigningrequests", csr("foreign", "example.com/x", &["client auth"], true));
    c.settle().await;
    let status = |n: &str| {
        let v = c.api.object("certificates.k8s.io", "certificatesigningrequests", "", n).unwrap();
        (
            !v.str_at("status.certificate").is_empty(),
            v.array_at("status.conditions").last().map(|c| c.str_at("reason").to_owned()),
        )
    };
    assert_eq!(status("ok"), (true, Some(String::new())));
    assert_eq!(status("waits"), (false, None));
    assert_eq!(status("bad"), (false, Some("SignerValidationFailure".into())));
    assert_eq!(status("foreign"), (false, Some(String::new())));
}
