//! Makes certificates: subject, public key and alternative names as requested, usages and validity as decided here
//! (upstream `pkg/controller/certificates/authority`).

use crate::config::KeyPair;
use crate::k8s::Timestamp;
use crate::util::csr::Request;
use rustls::SignatureScheme as S;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, alg_id};
use rustls::sign::SigningKey;
use std::sync::Arc;
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::certificate::{TbsCertificate, Version};
use x509_cert::der::asn1::{BitString, GeneralizedTime, ObjectIdentifier, OctetString, UtcTime};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::pem::LineEnding;
use x509_cert::der::{Decode, Encode, EncodePem};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::{Time, Validity};

/// Certificates begin so much before they are made, for clocks that are behind.
const BACKDATE: i64 = 300;
/// The end of those that live shorter is not moved along with their beginning.
const SHORT: i64 = 8 * 3600;

/// A certificate authority.
pub struct Authority {
    cert: Certificate,
    key: Arc<dyn SigningKey>,
}

impl Authority {
    pub fn new(pair: &KeyPair) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pair.cert_pem.as_bytes())
            .map_err(|e| format!("the signing certificate is not PEM: {e}"))?;
        let cert =
            Certificate::from_der(&der).map_err(|e| format!("the signing certificate is not valid: {e}"))?;
        let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes())
            .map_err(|e| format!("the signing key is not PEM: {e}"))?;
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|e| format!("the signing key: {e}"))?;
        let spki = cert.tbs_certificate.subject_public_key_info.to_der().map_err(|e| e.to_string())?;
        if key.public_key().is_some_and(|k| k.as_ref() != spki.as_slice()) {
            return Err("the signing key does not belong to the signing certificate".into());
        }
        Ok(Self { cert, key })
    }

    /// Signs a request; answers PEM.
    pub fn sign(
        &self,
        req: &Request,
        usages: &[String],
        life: Duration,
        now: Timestamp,
        serial: [u8; 16],
    ) -> Result<String, String> {
        verify(req)?;
        let der = |e: x509_cert::der::Error| e.to_string();
        let schemes = [
            S::ECDSA_NISTP256_SHA256,
            S::ECDSA_NISTP384_SHA384,
            S::ECDSA_NISTP521_SHA512,
            S::RSA_PKCS1_SHA256,
            S::ED25519,
        ];
        let signer = self.key.choose_scheme(&schemes).ok_or("the signing key is of an unknown kind")?;
        let algorithm = match signer.scheme() {
            S::ECDSA_NISTP256_SHA256 => alg_id::ECDSA_SHA256,
            S::ECDSA_NISTP384_SHA384 => alg_id::ECDSA_SHA384,
            S::ECDSA_NISTP521_SHA512 => alg_id::ECDSA_SHA512,
            S::ED25519 => alg_id::ED25519,
            _ => alg_id::RSA_PKCS1_SHA256,
        };
        let algorithm = AlgorithmIdentifierOwned::from_der(&sequence(&algorithm)).map_err(der)?;
        let tbs = TbsCertificate {
            version: Version::V3,
            serial_number: positive(serial).map_err(der)?,
            signature: algorithm.clone(),
            issuer: self.cert.tbs_certificate.subject.clone(),
            validity: self.validity(life, now)?,
            subject: req.inner.info.subject.clone(),
            subject_public_key_info: req.inner.info.public_key.clone(),
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions(req, usages)?),
        };
        let signature = signer.sign(&tbs.to_der().map_err(der)?).map_err(|e| e.to_string())?;
        let cert = Certificate {
            tbs_certificate: tbs,
            signature_algorithm: algorithm,
            signature: BitString::from_bytes(&signature).map_err(der)?,
        };
        cert.to_pem(LineEnding::LF).map_err(der)
    }

    fn validity(&self, life: Duration, now: Timestamp) -> Result<Validity, String> {
        let end = &self.cert.tbs_certificate.validity.not_after;
        let ca_end = i64::try_from(end.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
        let (now, life) = (now.as_second(), i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
        if now >= ca_end {
            return Err(format!("refusing to sign a certificate that expired in the past: NotAfter={end}"));
        }
        let to = now.saturating_add(if life < SHORT { life } else { life - BACKDATE });
        Ok(Validity { not_before: time(now - BACKDATE)?, not_after: time(to.min(ca_end))? })
    }

    fn extensions(&self, req: &Request, usages: &[String]) -> Result<Vec<Extension>, String> {
        let (key, extended) = split_usages(usages)?;
        let mut all = Vec::new();
        if !key.0.is_empty() {
            all.push(extension(&key, true)?);
        }
        if !extended.is_empty() {
            all.push(extension(&ExtendedKeyUsage(extended), false)?);
        }
        all.push(extension(&BasicConstraints { ca: false, path_len_constraint: None }, true)?);
        if let Ok(Some((_, id))) = self.cert.tbs_certificate.get::<SubjectKeyIdentifier>() {
            let id =
                AuthorityKeyIdentifier { key_identifier: Some(id.0), ..AuthorityKeyIdentifier::default() };
            all.push(extension(&id, false)?);
        }
        if !req.names.is_empty() {
            let anonymous = req.inner.info.subject.is_empty();
            all.push(extension(&SubjectAltName(req.names.clone()), anonymous)?);
        }
        Ok(all)
    }
}

fn extension<T: Encode + AssociatedOid>(v: &T, critical: bool) -> Result<Extension, String> {
    let value = v.to_der().and_then(OctetString::new).map_err(|e| e.to_string())?;
    Ok(Extension { extn_id: T::OID, critical, extn_value: value })
}

/// Checks that the request is signed with the key it is for.
fn verify(req: &Request) -> Result<(), String> {
    let r = &req.inner;
    let bad = |e: x509_cert::der::Error| e.to_string();
    let message = r.info.to_der().map_err(bad)?;
    let key = &r.info.public_key;
    let (key_alg, alg) = (key.algorithm.to_der().map_err(bad)?, r.algorithm.to_der().map_err(bad)?);
    let (key, signature) = (key.subject_public_key.raw_bytes(), r.signature.raw_bytes());
    let known = aws_lc_rs::default_provider().signature_verification_algorithms;
    let ok = known.all.iter().any(|a| {
        sequence(&a.public_key_alg_id()) == key_alg
            && sequence(&a.signature_alg_id()) == alg
            && a.verify_signature(key, &message, signature).is_ok()
    });
    if ok { Ok(()) } else { Err("unable to verify certificate request signature".into()) }
}

/// The contents as a DER sequence.
fn sequence(contents: &[u8]) -> Vec<u8> {
    // Identifiers of algorithms are shorter than what needs a second length byte.
    let mut v = vec![0x30, u8::try_from(contents.len()).unwrap_or(0x7f) & 0x7f];
    v.extend_from_slice(contents);
    v
}

fn positive(mut serial: [u8; 16]) -> x509_cert::der::Result<SerialNumber> {
    serial[0] = serial[0] & 0x7f | 0x40;
    SerialNumber::new(&serial)
}

fn time(seconds: i64) -> Result<Time, String> {
    let d = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    if let Ok(t) = UtcTime::from_unix_duration(d) {
        return Ok(Time::UtcTime(t));
    }
    GeneralizedTime::from_unix_duration(d).map(Time::GeneralTime).map_err(|e| e.to_string())
}

/// Extended usages in the order in which Go numbers them.
const EXTENDED: &[(&str, &str)] = &[
    ("any", "2.5.29.37.0"),
    ("server auth", "1.3.6.1.5.5.7.3.1"),
    ("client auth", "1.3.6.1.5.5.7.3.2"),
    ("code signing", "1.3.6.1.5.5.7.3.3"),
    ("email protection", "1.3.6.1.5.5.7.3.4"),
    ("s/mime", "1.3.6.1.5.5.7.3.4"),
    ("ipsec end system", "1.3.6.1.5.5.7.3.5"),
    ("ipsec tunnel", "1.3.6.1.5.5.7.3.6"),
    ("ipsec user", "1.3.6.1.5.5.7.3.7"),
    ("timestamping", "1.3.6.1.5.5.7.3.8"),
    ("ocsp signing", "1.3.6.1.5.5.7.3.9"),
    ("microsoft sgc", "1.3.6.1.4.1.311.10.3.3"),
    ("netscape sgc", "2.16.840.1.113730.4.1"),
];

fn split_usages(usages: &[String]) -> Result<(KeyUsage, Vec<ObjectIdentifier>), String> {
    let mut key = KeyUsage(Default::default());
    let mut extended: Vec<usize> = Vec::new();
    let mut unknown = Vec::new();
    for u in usages {
        let bit = match u.as_str() {
            "signing" | "digital signature" => KeyUsages::DigitalSignature,
            "content commitment" => KeyUsages::NonRepudiation,
            "key encipherment" => KeyUsages::KeyEncipherment,
            "key agreement" => KeyUsages::KeyAgreement,
            "data encipherment" => KeyUsages::DataEncipherment,
            "cert sign" => KeyUsages::KeyCertSign,
            "crl sign" => KeyUsages::CRLSign,
            "encipher only" => KeyUsages::EncipherOnly,
            "decipher only" => KeyUsages::DecipherOnly,
            other => {
                match EXTENDED.iter().position(|(n, _)| *n == other) {
                    Some(i) => extended.push(i),
                    None => unknown.push(other),
                }
                continue;
            }
        };
        key.0 |= bit;
    }
    if !unknown.is_empty() {
        return Err(format!("unrecognized usage values: {unknown:?}"));
    }
    extended.sort_unstable();
    let mut oids: Vec<ObjectIdentifier> =
        extended.into_iter().map(|i| ObjectIdentifier::new_unwrap(EXTENDED[i].1)).collect();
    oids.dedup();
    Ok((key, oids))
}
