//! How long a certificate request is kept.

use crate::k8s::Timestamp;
use crate::k8s::certificates::CertificateSigningRequest;
use crate::util::csr;
use crate::util::meta::MetaExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::Duration;
use x509_cert::Certificate;
use x509_cert::der::Decode;

#[derive(Debug, PartialEq, Eq)]
pub enum When {
    Never,
    Now(&'static str),
    In(Duration),
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// When a request is to be deleted: an issued, denied or failed one after an hour, one that waits after a day, and one
/// whose certificate has expired.
pub fn when(csr: &CertificateSigningRequest, now: Timestamp) -> When {
    let certificate = csr::certificate(csr);
    let mut due: Vec<(i64, &'static str)> = Vec::new();
    if csr::conditions(csr).is_empty()
        && let Some(t) = csr.created()
    {
        due.push((t.as_second() + DAY, "nobody has approved or denied it for a day"));
    }
    for c in csr::conditions(csr) {
        let (keep, why) = match (c.type_.as_str(), certificate.is_some()) {
            ("Denied", _) => (HOUR, "it was denied an hour ago"),
            ("Failed", _) => (HOUR, "it failed an hour ago"),
            ("Approved", true) => (HOUR, "its certificate was issued an hour ago"),
            ("Approved", false) => (DAY, "it was approved a day ago, but nobody has signed it"),
            _ => continue,
        };
        if let Some(t) = &c.last_update_time {
            due.push((t.0.as_second() + keep, why));
        }
        if c.type_ == "Approved"
            && let Some(t) = certificate.and_then(expiry)
        {
            due.push((t, "its certificate has expired"));
        }
    }
    match due.into_iter().min() {
        None => When::Never,
        Some((t, why)) if t < now.as_second() => When::Now(why),
        Some((t, _)) => When::In(Duration::from_secs(u64::try_from(t - now.as_second() + 1).unwrap_or(1))),
    }
}

fn expiry(pem: &[u8]) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let cert = Certificate::from_der(&der).ok()?;
    i64::try_from(cert.tbs_certificate.validity.not_after.to_unix_duration().as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn deadlines() {
        let now: Timestamp = "2024-01-02T00:00:00Z".parse().unwrap();
        let check = |status: Value, want: &str| {
            let mut v = json!({"metadata": {"name": "c", "creationTimestamp": "2024-01-01T12:00:00Z"},
                "spec": {"request": "", "signerName": "x/y"}});
            v["status"] = status;
            let csr: CertificateSigningRequest = serde_json::from_value(v).unwrap();
            let got = match when(&csr, now) {
                When::Never => "never".to_owned(),
                When::Now(why) => why.to_owned(),
                When::In(d) => d.as_secs().to_string(),
            };
            assert_eq!(got, want);
        };
        let cond = |t: &str, at: &str| json!([{"type": t, "status": "True", "lastUpdateTime": at}]);
        check(json!({}), "43201");
        check(json!({"conditions": cond("Denied", "2024-01-01T23:30:00Z")}), "1801");
        check(json!({"conditions": cond("Denied", "2024-01-01T22:30:00Z")}), "it was denied an hour ago");
        check(json!({"conditions": cond("Failed", "2024-01-01T22:30:00Z")}), "it failed an hour ago");
        check(json!({"conditions": cond("Approved", "2024-01-01T22:30:00Z")}), "81001");
        check(
            json!({"conditions": cond("Approved", "2024-01-01T22:30:00Z"), "certificate": "eA=="}),
            "its certificate was issued an hour ago",
        );
        check(json!({"conditions": cond("Other", "2024-01-01T22:30:00Z")}), "never");
    }

    #[test]
    fn expired_certificates() {
        let p = {
            let mut p = rcgen::CertificateParams::default();
            p.not_after = rcgen::date_time_ymd(2024, 1, 1);
            p
        };
        let pem = p.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        assert_eq!(expiry(pem.as_bytes()), Some(1_704_067_200));
        assert_eq!(expiry(b"x"), None);
    }
}
