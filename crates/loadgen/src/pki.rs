//! Certificates, keys and kubeconfigs for upstream's components: what keelson makes for itself at its first start.

use crate::Args;
use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

pub fn run(args: &Args) -> Result<Value, String> {
    let dir = Path::new(args.text("dir")?);
    let server = args.text("server")?;
    let text = |e: rcgen::Error| e.to_string();
    let write = |name: &str, t: &str| std::fs::write(dir.join(name), t).map_err(|e| format!("{name}: {e}"));
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "ca");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate().map_err(text)?;
    let cert = ca.self_signed(&key).map_err(text)?;
    let (ca_pem, ca_key) = (cert.pem(), key.serialize_pem());
    write("ca.crt", &ca_pem)?;
    write("ca.key", &ca_key)?;
    write("sa.key", &KeyPair::generate().map_err(text)?.serialize_pem())?;
    let sa = KeyPair::from_pem(&std::fs::read_to_string(dir.join("sa.key")).map_err(|e| e.to_string())?)
        .map_err(text)?;
    write("sa.pub", &sa.public_key_pem())?;
    let issuer = Issuer::new(ca, key);
    for (name, common, org) in [
        ("apiserver", "kube-apiserver", ""),
        ("admin", "admin", "system:masters"),
        ("kcm", "system:kube-controller-manager", ""),
        ("scheduler", "system:kube-scheduler", ""),
    ] {
        let mut p = CertificateParams::default();
        p.distinguished_name.push(DnType::CommonName, common);
        if !org.is_empty() {
            p.distinguished_name.push(DnType::OrganizationName, org);
        }
        p.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into().map_err(text)?),
        ];
        p.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(text)?;
        let cert = p.signed_by(&key, &issuer).map_err(text)?;
        let (cert, key) = (cert.pem(), key.serialize_pem());
        let b64 = |t: &str| base64::engine::general_purpose::STANDARD.encode(t);
        write(
            &format!("{name}.conf"),
            &format!(
                "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: c, user: u}}\n\
                 clusters:\n- name: c\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\n\
                 users:\n- name: u\n  user:\n    client-certificate-data: {}\n    client-key-data: {}\n",
                b64(&ca_pem),
                b64(&cert),
                b64(&key)
            ),
        )?;
        write(&format!("{name}.crt"), &cert)?;
        write(&format!("{name}.key"), &key)?;
    }
    Ok(json!({}))
}
