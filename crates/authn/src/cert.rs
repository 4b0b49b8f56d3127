//! Identities in client certificates: common name → user, organizations → groups
//! (apiserver `pkg/authentication/request/x509`).

use crate::{CREDENTIAL_ID, Error};
use meta::UserInfo;
use meta::time::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::{Any, Decode, Encode, Tag, Tagged};

const COMMON_NAME: &str = "2.5.4.3";
const ORGANIZATION: &str = "2.5.4.10";
/// Upstream's own arc, for the uid of the user.
const UID: &str = "1.3.6.1.4.1.57683.2";

/// The user a certificate names; `None` when it has no common name. The chain is for the caller to verify.
pub fn user_from_der(der: &[u8]) -> Result<Option<UserInfo>, Error> {
    user(&parse(der)?, der)
}

/// Whom a certificate names, and when it is valid.
#[derive(Clone, Debug)]
pub struct Named {
    user: Result<Option<UserInfo>, Error>,
    from: i64,
    to: i64,
}

impl Named {
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let cert = parse(der)?;
        let v = &cert.tbs_certificate.validity;
        Ok(Self {
            user: user(&cert, der),
            from: v.not_before.to_unix_duration().as_secs() as i64,
            to: v.not_after.to_unix_duration().as_secs() as i64,
        })
    }
    /// The user, refusing a certificate that is not valid at `now`: connections may outlive certificates.
    pub fn at(&self, now: Timestamp) -> Result<Option<UserInfo>, Error> {
        if now.seconds < self.from || now.seconds > self.to {
            let day = |seconds| Timestamp { seconds, nanos: 0 }.rfc3339();
            return Err(Error::Certificate(format!(
                "certificate has expired or is not yet valid: it is valid from {} to {}, and now is {}",
                day(self.from),
                day(self.to),
                now.rfc3339()
            )));
        }
        self.user.clone()
    }
}

/// Seconds until the certificate expires, for renewals and metrics.
pub fn expires_in(der: &[u8], now: Timestamp) -> Result<i64, Error> {
    let to = parse(der)?.tbs_certificate.validity.not_after.to_unix_duration().as_secs() as i64;
    Ok(to - now.seconds)
}

/// The SubjectPublicKeyInfo of a certificate.
pub(crate) fn public_key_der(der: &[u8]) -> Result<Vec<u8>, Error> {
    parse(der)?
        .tbs_certificate
        .subject_public_key_info
        .to_der()
        .map_err(|e| Error::Certificate(e.to_string()))
}

/// Who a certificate signing request wants a certificate for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub common_name: String,
    pub organizations: Vec<String>,
}

/// The subject of the `spec.request` of a CertificateSigningRequest (PEM in base64).
pub fn csr_subject(request: &str) -> Result<Subject, Error> {
    use base64::Engine;
    let bad = |e: &dyn std::fmt::Display| Error::Certificate(e.to_string());
    let text = base64::engine::general_purpose::STANDARD.decode(request).map_err(|e| bad(&e))?;
    let text = String::from_utf8_lossy(&text);
    let block = crate::pem::blocks(&text).into_iter().next();
    let Some((_, der)) = block.filter(|(label, _)| label == "CERTIFICATE REQUEST") else {
        return Err(bad(&"PEM block type must be CERTIFICATE REQUEST"));
    };
    let csr = x509_cert::request::CertReq::from_der(&der).map_err(|e| bad(&e))?;
    let name = &csr.info.subject;
    Ok(Subject {
        common_name: values(name, COMMON_NAME).pop().flatten().unwrap_or_default(),
        organizations: values(name, ORGANIZATION).into_iter().flatten().collect(),
    })
}

/// The common name, for lists of allowed names.
pub(crate) fn common_name(der: &[u8]) -> Result<String, Error> {
    let cert = parse(der)?;
    Ok(attributes(&cert, COMMON_NAME).pop().flatten().unwrap_or_default())
}

fn parse(der: &[u8]) -> Result<Certificate, Error> {
    Certificate::from_der(der).map_err(|e| Error::Certificate(e.to_string()))
}

fn user(cert: &Certificate, der: &[u8]) -> Result<Option<UserInfo>, Error> {
    // Go keeps the last common name where there are several.
    let Some(name) = attributes(cert, COMMON_NAME).pop().flatten().filter(|n| !n.is_empty()) else {
        return Ok(None);
    };
    let mut uids = attributes(cert, UID);
    let uid = match (uids.pop(), uids.is_empty()) {
        (None, _) => String::new(),
        (Some(None), _) => return Err(Error::Certificate("unable to parse UID into a string".into())),
        (Some(Some(_)), false) => {
            return Err(Error::Certificate("expected 1 UID, but found multiple".into()));
        }
        (Some(Some(u)), true) if u.is_empty() => {
            return Err(Error::Certificate("UID cannot be an empty string".into()));
        }
        (Some(Some(u)), true) => u,
    };
    let mut user = UserInfo {
        name,
        uid,
        groups: attributes(cert, ORGANIZATION).into_iter().flatten().collect(),
        ..UserInfo::default()
    };
    let mut id = String::from("X509SHA256=");
    for b in Sha256::digest(der) {
        id.push_str(&format!("{b:02x}"));
    }
    user.extra.insert(CREDENTIAL_ID.into(), vec![id]);
    add_authenticated(&mut user);
    Ok(Some(user))
}

/// The values of an attribute of the subject, in order; `None` for one that is no string.
fn attributes(cert: &Certificate, oid: &str) -> Vec<Option<String>> {
    values(&cert.tbs_certificate.subject, oid)
}

fn values(name: &x509_cert::name::Name, oid: &str) -> Vec<Option<String>> {
    let all = name.0.iter().flat_map(|rdn| rdn.0.iter());
    all.filter(|a| a.oid.to_string() == oid).map(|a| text(&a.value)).collect()
}

fn text(v: &Any) -> Option<String> {
    match v.tag() {
        Tag::Utf8String => Utf8StringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        Tag::PrintableString => PrintableStringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        Tag::Ia5String => Ia5StringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        Tag::TeletexString => TeletexStringRef::try_from(v).ok().map(|s| s.as_str().to_owned()),
        _ => None,
    }
}

/// Puts a user into `system:authenticated`, unless it is in that or in `system:unauthenticated`, or anonymous.
pub(crate) fn add_authenticated(user: &mut UserInfo) {
    use meta::user::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
    if user.name != ANONYMOUS && !user.in_group(AUTHENTICATED) && !user.in_group(UNAUTHENTICATED) {
        user.groups.push(AUTHENTICATED.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, DnValue, KeyPair};

    fn cert(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut p = CertificateParams::default();
        p.distinguished_name = rcgen::DistinguishedName::new();
        for (t, v) in names {
            p.distinguished_name.push(t.clone(), DnValue::Utf8String((*v).into()));
        }
        p.not_before = rcgen::date_time_ymd(2026, 1, 1);
        p.not_after = rcgen::date_time_ymd(2027, 1, 1);
        p.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }
    fn uid() -> DnType {
        DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2])
    }

    #[test]
    fn reads_the_subject() {
        let der = cert(&[
            (DnType::CommonName, "system:node:n"),
            (DnType::OrganizationName, "system:nodes"),
            (uid(), "u1"),
        ]);
        let u = user_from_der(&der).unwrap().unwrap();
        assert_eq!((u.name.as_str(), u.uid.as_str()), ("system:node:n", "u1"));
        assert_eq!(u.groups, ["system:nodes", "system:authenticated"]);
        let id = &u.extra[CREDENTIAL_ID][0];
        assert!(id.starts_with("X509SHA256=") && id.len() == 11 + 64, "{id}");
        assert_eq!(user_from_der(&cert(&[(DnType::OrganizationName, "x")])), Ok(None));
        assert!(user_from_der(&cert(&[(DnType::CommonName, "x"), (uid(), "")])).is_err());
        assert!(user_from_der(b"no certificate").is_err());
    }

    #[test]
    fn reads_requests() {
        use base64::Engine;
        let mut p = CertificateParams::default();
        p.distinguished_name.push(DnType::CommonName, "system:node:n");
        p.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        let pem = p.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let b64 = |s: &str| base64::engine::general_purpose::STANDARD.encode(s);
        let s = csr_subject(&b64(&pem)).unwrap();
        assert_eq!(
            (s.common_name.as_str(), s.organizations),
            ("system:node:n", vec!["system:nodes".to_owned()])
        );
        assert!(csr_subject(&b64(&pem.replace("CERTIFICATE REQUEST", "CERTIFICATE"))).is_err());
        assert!(csr_subject("!").is_err());
    }

    #[test]
    fn knows_when_it_is_valid() {
        let der = cert(&[(DnType::CommonName, "x")]);
        let at = |s: i64| Named::from_der(&der)?.at(Timestamp { seconds: s, nanos: 0 });
        let (from, to) = (1_767_225_600, 1_798_761_600);
        assert!(at(from).is_ok() && at(to).is_ok());
        assert!(at(from - 1).is_err() && at(to + 1).is_err());
        assert_eq!(expires_in(&der, Timestamp { seconds: to - 5, nanos: 0 }), Ok(5));
    }
}
