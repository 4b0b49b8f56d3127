//! The cluster's certificate authority and what it signs.

use crate::{Error, files};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use x509_cert::der::{DecodePem, Encode};

const DAY: i64 = 86_400;
const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;
/// A leaf with less than this left is made anew at start.
const RENEW_DAYS: i64 = 90;

/// A certificate (with its chain) and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert_pem: String,
    pub key_pem: String,
}

/// What a leaf certificate says.
#[derive(Clone, Debug, Default)]
pub struct LeafSpec {
    pub common_name: String,
    /// Empty: none.
    pub organization: String,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub server: bool,
    pub client: bool,
}

/// The certificate authority, kept in `<dir>/<name>.crt` and `.key`.
pub struct Pki {
    dir: PathBuf,
    name: String,
    /// The CA's certificate in PEM: what clients trust.
    pub ca_pem: String,
    pub ca_key_pem: String,
    now: i64,
}

fn cert_err(name: &str, e: impl std::fmt::Display) -> Error {
    Error::Certificate { name: name.to_owned(), why: e.to_string() }
}

fn dn(cn: &str, org: &str) -> DistinguishedName {
    let mut d = DistinguishedName::new();
    if !org.is_empty() {
        d.push(DnType::OrganizationName, org);
    }
    d.push(DnType::CommonName, cn);
    d
}

/// Civil date of a Unix time, for rcgen's dates.
fn date(unix: i64) -> (i32, u8, u8) {
    let z = unix.div_euclid(DAY) + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (i32::try_from(year).unwrap_or(9999), u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
}

fn dated(p: &mut CertificateParams, now: i64, days: i64) {
    let (y, m, d) = date(now - DAY);
    p.not_before = rcgen::date_time_ymd(y, m, d);
    let (y, m, d) = date(now + days * DAY);
    p.not_after = rcgen::date_time_ymd(y, m, d);
}

/// Valid from a moment (less an hour, for clocks that are behind) for so many seconds.
pub(crate) fn between(p: &mut CertificateParams, now: i64, seconds: i64) {
    let at = |unix: i64| {
        let (y, m, d) = date(unix);
        rcgen::date_time_ymd(y, m, d) + std::time::Duration::from_secs(unix.rem_euclid(DAY).unsigned_abs())
    };
    p.not_before = at(now - 3600);
    p.not_after = at(now + seconds);
}

fn ca_params(name: &str, now: i64) -> CertificateParams {
    let mut p = CertificateParams::default();
    p.distinguished_name = dn(&format!("keelson-{name}"), "");
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    p.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    dated(&mut p, now, CA_DAYS);
    p
}

impl Pki {
    /// Opens the authority `name` in `dir`, making it on first use. `now` in Unix seconds.
    pub fn open(dir: &Path, name: &str, now: i64) -> Result<Self, Error> {
        files::private_dir(dir)?;
        let (crt, key) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
        let (ca_pem, ca_key_pem) = match (files::read(&crt)?, files::read(&key)?) {
            (Some(c), Some(k)) => {
                parse(&crt, &c)?;
                KeyPair::from_pem(&k)
                    .map_err(|e| Error::Malformed { path: key.display().to_string(), why: e.to_string() })?;
                (c, k)
            }
            _ => {
                let kp = KeyPair::generate().map_err(|e| cert_err(name, e))?;
                let cert = ca_params(name, now).self_signed(&kp).map_err(|e| cert_err(name, e))?;
                files::write(&key, kp.serialize_pem().as_bytes(), 0o600)?;
                files::write(&crt, cert.pem().as_bytes(), 0o644)?;
                (cert.pem(), kp.serialize_pem())
            }
        };
        Ok(Self { dir: dir.to_owned(), name: name.to_owned(), ca_pem, ca_key_pem, now })
    }

    /// The CA certificate's DER.
    pub fn ca_der(&self) -> Result<Vec<u8>, Error> {
        parse(&self.dir.join(format!("{}.crt", self.name)), &self.ca_pem)?
            .to_der()
            .map_err(|e| cert_err(&self.name, e))
    }

    /// A leaf kept in `<dir>/<file>.crt` and `.key`: reused while it is valid for [`RENEW_DAYS`] more, carries every
    /// name asked for, and was signed by this authority.
    pub fn leaf(&self, file: &str, spec: &LeafSpec) -> Result<Identity, Error> {
        let (crt, key) = (self.dir.join(format!("{file}.crt")), self.dir.join(format!("{file}.key")));
        if let (Some(c), Some(k)) = (files::read(&crt)?, files::read(&key)?)
            && self.still_good(&c, spec)
        {
            return Ok(Identity { cert_pem: c, key_pem: k });
        }
        let id = self.sign(spec)?;
        files::write(&key, id.key_pem.as_bytes(), 0o600)?;
        files::write(&crt, id.cert_pem.as_bytes(), 0o644)?;
        Ok(id)
    }

    /// Signs a new leaf and writes it nowhere. The chain holds the CA too, so that a joining agent can compare it with
    /// the hash in its token.
    pub fn sign(&self, spec: &LeafSpec) -> Result<Identity, Error> {
        let name = spec.common_name.as_str();
        let ca_key = KeyPair::from_pem(&self.ca_key_pem).map_err(|e| cert_err(&self.name, e))?;
        let issuer = Issuer::new(ca_params(&self.name, self.now), ca_key);
        let mut p = CertificateParams::default();
        p.distinguished_name = dn(name, &spec.organization);
        for d in &spec.dns {
            p.subject_alt_names.push(SanType::DnsName(d.as_str().try_into().map_err(|e| cert_err(name, e))?));
        }
        p.subject_alt_names.extend(spec.ips.iter().map(|ip| SanType::IpAddress(*ip)));
        p.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        if spec.server {
            p.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if spec.client {
            p.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        p.use_authority_key_identifier_extension = true;
        dated(&mut p, self.now, LEAF_DAYS);
        let kp = KeyPair::generate().map_err(|e| cert_err(name, e))?;
        let cert = p.signed_by(&kp, &issuer).map_err(|e| cert_err(name, e))?;
        Ok(Identity { cert_pem: format!("{}{}", cert.pem(), self.ca_pem), key_pem: kp.serialize_pem() })
    }

    fn still_good(&self, pem: &str, spec: &LeafSpec) -> bool {
        use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
        let Some(first) = pem.strip_suffix(self.ca_pem.as_str()) else { return false };
        let Ok(cert) = x509_cert::Certificate::from_pem(first.as_bytes()) else { return false };
        let tbs = &cert.tbs_certificate;
        let ends = tbs.validity.not_after.to_unix_duration().as_secs();
        if i64::try_from(ends).unwrap_or(0) < self.now + RENEW_DAYS * DAY {
            return false;
        }
        let Ok(san) = tbs.get::<SubjectAltName>() else { return false };
        let names = san.map(|(_, s)| s.0).unwrap_or_default();
        let has_dns =
            |d: &String| names.iter().any(|n| matches!(n, GeneralName::DnsName(x) if x.as_str() == d));
        let has_ip = |ip: &IpAddr| {
            let b: Vec<u8> = match ip {
                IpAddr::V4(a) => a.octets().to_vec(),
                IpAddr::V6(a) => a.octets().to_vec(),
            };
            names.iter().any(|n| matches!(n, GeneralName::IpAddress(x) if x.as_bytes() == b))
        };
        spec.dns.iter().all(has_dns) && spec.ips.iter().all(has_ip)
    }
}

fn parse(path: &Path, pem: &str) -> Result<x509_cert::Certificate, Error> {
    x509_cert::Certificate::from_pem(pem.as_bytes())
        .map_err(|e| Error::Malformed { path: path.display().to_string(), why: e.to_string() })
}

/// A new key and a request (PEM) for a client certificate with this subject.
pub fn request(common_name: &str, organization: &str) -> Result<(String, String), Error> {
    let err = |e: rcgen::Error| cert_err(common_name, e);
    let key = KeyPair::generate().map_err(err)?;
    let mut p = CertificateParams::default();
    p.distinguished_name = dn(common_name, organization);
    let csr = p.serialize_request(&key).map_err(err)?.pem().map_err(err)?;
    Ok((csr, key.serialize_pem()))
}

/// How many seconds a certificate (the first of a PEM text) is still good for; `None` when it cannot be read.
pub fn seconds_left(pem: &str, now: i64) -> Option<i64> {
    const END: &str = "-----END CERTIFICATE-----";
    let first = pem.split_inclusive(END).next()?;
    let cert = x509_cert::Certificate::from_pem(format!("{}\n", first.trim()).as_bytes()).ok()?;
    let ends = cert.tbs_certificate.validity.not_after.to_unix_duration().as_secs();
    Some(i64::try_from(ends).ok()? - now)
}

/// DER to PEM.
pub fn to_pem(der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out + "-----END CERTIFICATE-----\n"
}

/// The service-account signing key (ECDSA P-256, PKCS#8 PEM) in `<dir>/sa.key`, with its public half in `sa.pub`.
pub fn service_account_key(dir: &Path) -> Result<(String, String), Error> {
    files::private_dir(dir)?;
    let path = dir.join("sa.key");
    let pem = match files::read(&path)? {
        Some(k) => k,
        None => {
            let k = KeyPair::generate().map_err(|e| cert_err("sa", e))?.serialize_pem();
            files::write(&path, k.as_bytes(), 0o600)?;
            k
        }
    };
    let kp = KeyPair::from_pem(&pem)
        .map_err(|e| Error::Malformed { path: path.display().to_string(), why: e.to_string() })?;
    let public = kp.public_key_pem();
    let pub_path = dir.join("sa.pub");
    if files::read(&pub_path)?.as_deref() != Some(&public) {
        files::write(&pub_path, public.as_bytes(), 0o644)?;
    }
    Ok((pem, public))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let d = std::env::temp_dir().join(format!("keelson-setup-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&d);
        d
    }

    fn spec(dns: &[&str]) -> LeafSpec {
        LeafSpec {
            common_name: "kube-apiserver".into(),
            dns: dns.iter().map(|s| (*s).to_owned()).collect(),
            ips: vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
            server: true,
            ..LeafSpec::default()
        }
    }

    #[test]
    fn a_second_start_reuses_and_a_missing_name_or_a_near_end_renews() {
        let dir = scratch("reuse");
        let now = 1_800_000_000;
        let a = Pki::open(&dir, "ca", now).unwrap();
        let one = a.leaf("apiserver", &spec(&["kubernetes"])).unwrap();
        let b = Pki::open(&dir, "ca", now + DAY).unwrap();
        assert_eq!(a.ca_pem, b.ca_pem);
        assert_eq!(one.cert_pem, b.leaf("apiserver", &spec(&["kubernetes"])).unwrap().cert_pem);
        let two = b.leaf("apiserver", &spec(&["kubernetes", "m"])).unwrap();
        assert_ne!(one.cert_pem, two.cert_pem);
        let late = Pki::open(&dir, "ca", now + (LEAF_DAYS - RENEW_DAYS + 2) * DAY).unwrap();
        assert_ne!(two.cert_pem, late.leaf("apiserver", &spec(&["kubernetes", "m"])).unwrap().cert_pem);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn keys_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = scratch("modes");
        Pki::open(&dir, "ca", 1_800_000_000).unwrap();
        service_account_key(&dir).unwrap();
        for f in ["ca.key", "sa.key"] {
            assert_eq!(std::fs::metadata(dir.join(f)).unwrap().permissions().mode() & 0o777, 0o600, "{f}");
        }
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_damaged_authority_is_named_and_left_alone() {
        let dir = scratch("damaged");
        Pki::open(&dir, "ca", 1_800_000_000).unwrap();
        std::fs::write(dir.join("ca.crt"), "rubbish").unwrap();
        let e = Pki::open(&dir, "ca", 1_800_000_000).err().map(|e| e.to_string()).unwrap();
        assert!(e.contains("ca.crt"), "{e}");
        assert_eq!(std::fs::read_to_string(dir.join("ca.crt")).unwrap(), "rubbish");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
