//! `gen-config certs`: every certificate that the requests under `target/ca` ask for, and the bootstrap token.
//!
//! What is there already is kept: the authority above all, so that a second host's certificates are of the same one
//! when `ca.pem` and `ca-key.pem` were copied there first.

use super::Files;
use super::csr::{self, Csr, Profile};
use crate::files;
use rcgen::string::{Ia5String, PrintableString};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RsaKeySize, SanType,
};
use std::path::Path;

/// How long the authority is good where its request does not say: five years, as cfssl has it.
const CA_SECONDS: i64 = 5 * 365 * 86_400;

type Result<T> = std::result::Result<T, String>;

fn key(c: &Csr) -> Result<KeyPair> {
    let made = match (c.key.algo.as_str(), c.key.size) {
        ("ecdsa", 384) => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        ("ecdsa", _) => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        (_, 4096) => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096),
        (_, 3072) => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_3072),
        _ => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048),
    };
    made.map_err(|e| e.to_string())
}

fn subject(c: &Csr) -> DistinguishedName {
    let mut d = DistinguishedName::new();
    for n in &c.names {
        for (kind, value) in [
            (DnType::CountryName, &n.country),
            (DnType::StateOrProvinceName, &n.state),
            (DnType::LocalityName, &n.locality),
            (DnType::OrganizationName, &n.organization),
            (DnType::OrganizationalUnitName, &n.unit),
        ] {
            if !value.is_empty() {
                d.push(kind, value.as_str());
            }
        }
    }
    d.push(DnType::CommonName, c.cn.as_str());
    d
}

fn params(c: &Csr, now: i64, seconds: i64) -> Result<CertificateParams> {
    let mut p = CertificateParams::default();
    p.distinguished_name = subject(c);
    for h in c.hosts.iter().filter(|h| !h.is_empty()) {
        p.subject_alt_names.push(match h.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => SanType::DnsName(Ia5String::try_from(h.as_str()).map_err(|e| format!("{h:?}: {e}"))?),
        });
    }
    crate::pki::between(&mut p, now, seconds);
    Ok(p)
}

fn authority(c: &Csr, now: i64) -> Result<(String, String)> {
    let seconds = c.ca.as_ref().map_or(Ok(CA_SECONDS), |ca| csr::expiry(&ca.expiry))?;
    let mut p = params(c, now, seconds)?;
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let k = key(c)?;
    let made = p.self_signed(&k).map_err(|e| e.to_string())?;
    Ok((made.pem(), k.serialize_pem()))
}

/// The authority, called as its certificate calls it (cfssl writes names in other string types than this program, and
/// verifiers compare bytes) and with that certificate's key identifier.
fn issuer(ca: &(String, String)) -> Result<Issuer<'static, KeyPair>> {
    use x509_cert::der::{DecodePem, Tag, Tagged};
    use x509_cert::ext::pkix::SubjectKeyIdentifier;
    let key = KeyPair::from_pem(&ca.1).map_err(|e| format!("ca-key.pem: {e}"))?;
    let bad = |e: &dyn std::fmt::Display| format!("ca.pem: {e}");
    let cert = x509_cert::Certificate::from_pem(&ca.0).map_err(|e| bad(&e))?.tbs_certificate;
    let mut p = CertificateParams::default();
    p.distinguished_name = DistinguishedName::new();
    for a in cert.subject.0.iter().flat_map(|r| r.0.iter()) {
        let kind = DnType::from_oid(&a.oid.arcs().map(u64::from).collect::<Vec<_>>());
        let text = String::from_utf8_lossy(a.value.value()).into_owned();
        p.distinguished_name.push(
            kind,
            match a.value.tag() {
                Tag::PrintableString => {
                    DnValue::PrintableString(PrintableString::try_from(text).map_err(|e| bad(&e))?)
                }
                Tag::Ia5String => DnValue::Ia5String(Ia5String::try_from(text).map_err(|e| bad(&e))?),
                _ => DnValue::Utf8String(text),
            },
        );
    }
    if let Ok(Some((_, id))) = cert.get::<SubjectKeyIdentifier>() {
        p.key_identifier_method = KeyIdMethod::PreSpecified(id.0.into_bytes());
    }
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(Issuer::new(p, key))
}

/// Whether a certificate names its issuer as that calls itself, byte for byte, as verifiers compare.
fn is_of(cert: &str, ca: &str) -> Result<bool> {
    use x509_cert::der::{DecodePem, Encode};
    let read = |pem: &str| x509_cert::Certificate::from_pem(pem).map_err(|e| format!("ca.pem: {e}"));
    let (cert, ca) = (read(cert)?, read(ca)?);
    let der = |n: &x509_cert::name::Name| n.to_der().map_err(|e| e.to_string());
    Ok(der(&cert.tbs_certificate.issuer)? == der(&ca.tbs_certificate.subject)?)
}

fn leaf(c: &Csr, profile: &Profile, ca: &(String, String), now: i64) -> Result<(String, String)> {
    let mut p = params(c, now, csr::expiry(&profile.expiry)?)?;
    p.use_authority_key_identifier_extension = true;
    for u in &profile.usages {
        match u.as_str() {
            "signing" | "digital signature" => p.key_usages.push(KeyUsagePurpose::DigitalSignature),
            "key encipherment" => p.key_usages.push(KeyUsagePurpose::KeyEncipherment),
            "server auth" => p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth),
            _ => p.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth),
        }
    }
    let k = key(c)?;
    let made = p.signed_by(&k, &issuer(ca)?).map_err(|e| e.to_string())?;
    if !is_of(&made.pem(), &ca.0)? {
        return Err(
            "ca.pem calls itself in a way that cannot be written: sign with the tool that made it".into()
        );
    }
    Ok((made.pem(), k.serialize_pem()))
}

/// A pair of files, where both are there.
fn kept(cert: &Path, key: &Path) -> Result<Option<(String, String)>> {
    let text = |e: crate::Error| e.to_string();
    Ok(match (files::read(cert).map_err(text)?, files::read(key).map_err(text)?) {
        (Some(c), Some(k)) => Some((c, k)),
        (None, None) => None,
        (Some(_), None) => return Err(format!("{} is there without {}", cert.display(), key.display())),
        (None, Some(_)) => return Err(format!("{} is there without {}", key.display(), cert.display())),
    })
}

/// Makes what is missing under `dir` (`target/ca`); answers what to print.
pub fn make(dir: &Path, now: i64) -> std::result::Result<String, Vec<String>> {
    work(dir, now).map_err(|e| vec![e])
}

fn work(dir: &Path, now: i64) -> Result<String> {
    let mut all = Files::new();
    if !dir.is_dir() {
        return Err(format!("{}: there is nothing; run `gen-config with-ca` first", dir.display()));
    }
    super::read_folder(dir, dir, &mut all).map_err(|e| e.join("\n"))?;
    let mut requests = csr::requests(&all, "")?;
    // The authority first: it signs the others.
    requests.sort_by_key(|(name, folder, _)| !(name == "ca" && folder.is_empty()));
    let policy_text = all.get("ca-config.json").ok_or("ca-config.json is missing")?;
    let profile = csr::policy("ca-config.json", policy_text)?;
    let mut ca: Option<(String, String)> = None;
    let mut out = String::new();
    for (name, folder, c) in requests {
        let at = |suffix: &str| dir.join(&folder).join(format!("{name}{suffix}.pem"));
        let (cert, key_path) = (at(""), at("-key"));
        let shown = Path::new(&folder).join(format!("{name}.pem"));
        let is_ca = ca.is_none();
        if is_ca && !(name == "ca" && folder.is_empty()) {
            return Err("ca-csr.json is missing".into());
        }
        let pair = match (kept(&cert, &key_path)?, &ca) {
            (Some(pair), _) => {
                out += &format!("{} is there already\n", shown.display());
                ca.get_or_insert(pair);
                continue;
            }
            (None, None) => authority(&c, now),
            (None, Some(ca)) => leaf(&c, &profile, ca, now),
        };
        let pair = pair.map_err(|e| format!("{}: {e}", shown.display()))?;
        let text = |e: crate::Error| e.to_string();
        files::write(&key_path, pair.1.as_bytes(), 0o600).map_err(text)?;
        files::write(&cert, pair.0.as_bytes(), 0o644).map_err(text)?;
        out += &format!("{}\n", shown.display());
        if is_ca {
            ca = Some(pair);
        }
    }
    let token = dir.join("kubernetes/token.csv");
    if token.exists() {
        out += "kubernetes/token.csv is there already\n";
    } else {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(|e| e.to_string())?;
        let hex: String = random.iter().map(|b| format!("{b:02x}")).collect();
        let line = format!("{hex},kubelet-bootstrap,10001,\"system:kubelet-bootstrap\"\n");
        files::write(&token, line.as_bytes(), 0o600).map_err(|e| e.to_string())?;
        out += "kubernetes/token.csv\n";
    }
    Ok(out)
}
