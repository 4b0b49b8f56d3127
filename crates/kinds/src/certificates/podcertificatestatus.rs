//! What the status of a PodCertificateRequest may become: issued, denied or failed, once.

use super::podcertificaterequest::bytes;
use crate::kit::*;
use crate::pem;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const ENDS: &[&str] = &["Issued", "Denied", "Failed"];

/// A public key, in a form to compare.
pub(super) fn public_key(der: &[u8]) -> Option<Vec<u8>> {
    SubjectPublicKeyInfoOwned::from_der(der).ok()?.to_der().ok()
}

pub(super) fn update(o: &Value, old: &Value, now: Timestamp, e: &mut Errs) {
    let at = At::new("status");
    let (s, was) = (o.v("status"), old.v("status"));
    conditions(s.list("conditions"), e);
    if !e.is_empty() {
        return;
    }
    let ended = |o: &Value| ENDS.iter().copied().find(|t| rows::condition_true(o, t));
    if ended(old).is_some() {
        if !deep_same(s, was) {
            e.invalid_omit(&at, "immutable after PodCertificateRequest is issued, denied, or failed");
        }
        return;
    }
    match ended(o) {
        Some("Issued") => issued(o, old, now, e),
        Some(_) => {
            if !deep_same(s, &json!({"conditions": s.v("conditions")})) {
                let why = "non-condition status fields must be empty when denying or failing the PodCertificateRequest";
                e.invalid_omit(&at, why);
            }
        }
        None => {
            if !deep_same(s, was) {
                let why = r#"status is immutable unless transitioning to "Issued", "Denied", or "Failed""#;
                e.invalid_omit(&at, why);
            }
        }
    }
}

fn conditions(list: &[Value], e: &mut Errs) {
    let mut known = 0;
    for (i, c) in list.iter().enumerate() {
        let at = format!("status.conditions.[{i}]");
        let at = At::new(&at);
        let ty = c.s("type");
        if !e.one_of(&at.c("type"), ty, ENDS) {
            continue;
        }
        known += 1;
        if known > 1 {
            let why = r#"There may be at most one condition with type "Issued", "Denied", or "Failed""#;
            e.invalid(&at.c("type"), ty, why);
        }
        e.one_of(&at.c("status"), c.s("status"), &["True"]);
    }
    e.conditions(&At::new("status.conditions"), list);
}

/// The key that was asked for.
fn wanted(spec: &Value) -> Option<Vec<u8>> {
    let request = spec.s("stubPKCS10Request");
    if request.is_empty() {
        return public_key(&bytes(spec.s("pkixPublicKey")));
    }
    x509_cert::request::CertReq::from_der(&bytes(request)).ok()?.info.public_key.to_der().ok()
}

fn issued(o: &Value, old: &Value, now: Timestamp, e: &mut Errs) {
    let at = At::new("status");
    let (spec, s) = (o.v("spec"), o.v("status"));
    let chain_at = at.c("certificateChain");
    let chain = s.s("certificateChain");
    if chain.len() > 100 << 10 {
        return e.too_long(&chain_at, 100 << 10);
    }
    let bad_chain = |e: &mut Errs, why: &str| e.invalid(&chain_at, chain, why);
    let Some((block, mut rest)) = pem::next(chain) else {
        return bad_chain(e, "issued certificate chain must contain at least one certificate");
    };
    if block.ty != "CERTIFICATE" {
        return bad_chain(e, "issued certificate chain must consist entirely of CERTIFICATE PEM blocks");
    }
    let Ok(leaf) = x509_cert::Certificate::from_der(&block.der) else {
        return bad_chain(e, "leaf certificate does not parse as valid X.509");
    };
    let leaf = leaf.tbs_certificate;
    if wanted(old.v("spec")) != leaf.subject_public_key_info.to_der().ok() {
        return bad_chain(e, "leaf certificate was not issued to the requested public key");
    }
    const CONSISTENT: &str = "must be present and consistent with the issued certificate";
    const REFRESH: &str = "must be present and in the range [notbefore+10min, notafter-10min]";
    let before = e.len();
    let mut time = |f: &str, why: &str| {
        let t = Timestamp::parse(s.s(f)).map(|t| t.seconds);
        if t.is_none() {
            e.required(&at.c(f), why);
        }
        t.unwrap_or(0)
    };
    let (start, end) = (time("notBefore", CONSISTENT), time("notAfter", CONSISTENT));
    let refresh = time("beginRefreshAt", REFRESH);
    if e.len() > before {
        return;
    }
    let unix = |t: x509_cert::time::Time| t.to_unix_duration().as_secs() as i64;
    let (leaf_start, leaf_end) = (unix(leaf.validity.not_before), unix(leaf.validity.not_after));
    let wrong = |e: &mut Errs, f: &str, why: &str| e.invalid(&at.c(f), s.s(f), why);
    if start != leaf_start {
        return wrong(e, "notBefore", "must be set to the NotBefore time encoded in the leaf certificate");
    }
    if (start - now.seconds).abs() >= 300 {
        return wrong(e, "notBefore", "must be set to within 5 minutes of kube-apiserver's current time");
    }
    if end != leaf_end {
        return wrong(e, "notAfter", "must be set to the NotAfter time encoded in the leaf certificate");
    }
    let (life, max) = (end - start, spec.i("maxExpirationSeconds"));
    if life < 3600 {
        return e.invalid(&chain_at, life, "leaf certificate lifetime must be >= 1 hour");
    }
    if life > max {
        let why = format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({max})");
        return e.invalid(&chain_at, life, why);
    }
    if refresh < start + 600 {
        return wrong(e, "beginRefreshAt", "must be at least 10 minutes after status.notBefore");
    }
    if refresh > end - 600 {
        return wrong(e, "beginRefreshAt", "must be at least 10 minutes before status.notAfter");
    }
    while let Some((b, tail)) = pem::next(rest) {
        rest = tail;
        if b.ty != "CERTIFICATE" {
            return bad_chain(e, "issued certificate chain must consist entirely of CERTFICATE PEM blocks");
        }
        if x509_cert::Certificate::from_der(&b.der).is_err() {
            return bad_chain(e, "intermediate certificate does not parse as valid X.509");
        }
    }
}
