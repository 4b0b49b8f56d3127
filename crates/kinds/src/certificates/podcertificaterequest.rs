//! PodCertificateRequests.

use super::podcertificatestatus as status;
use crate::kit::*;
use crate::signer;
use base64::Engine as _;
use x509_cert::der::Decode as _;

pub(crate) struct PodCertificateRequest;

impl Strategy for PodCertificateRequest {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status::update(o, old, cx.now, &mut e);
            return e.0;
        }
        e.immutable(&At::new("spec"), o.f("spec"), old.f("spec"));
        e.0
    }

    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let s = o.v("spec");
        let state = o
            .array_at("status.conditions")
            .iter()
            .map(|c| c.s("type"))
            .rfind(|t| matches!(*t, "Issued" | "Denied" | "Failed"))
            .unwrap_or("Pending");
        row![
            o.name(),
            s.s("podName"),
            s.s("serviceAccountName"),
            s.s("nodeName"),
            s.s("signerName"),
            state,
            rows::labels(s.o("unverifiedUserAnnotations")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.signerName" | "spec.podName" | "spec.nodeName")
            .then(|| o.str_at(label).to_owned())
    }
}

fn validate(s: &Value, e: &mut Errs) {
    let at = At::new("spec");
    let name = s.s("signerName");
    signer::validate(name, &at.c("signerName"), e);
    if let Some(a) = s.o("unverifiedUserAnnotations") {
        signer::user_annotations(a, &at.c("unverifiedUserAnnotations"), e);
    }
    for (name, uid) in
        [("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")]
    {
        e.subdomain(&at.c(name), s.s(name));
        let uid_at = at.c(uid);
        if s.s(uid).is_empty() {
            e.invalid(&uid_at, "", "must not be empty");
        }
        if s.s(uid).len() > 128 {
            e.too_long(&uid_at, 128);
        }
    }
    let expires = at.c("maxExpirationSeconds");
    let Some(n) = s.oi("maxExpirationSeconds") else { return e.required(&expires, "must be set") };
    let max = signer::max_expiration(name);
    if !(3600..=max).contains(&n) {
        e.invalid(&expires, n, format!("must be in the range [3600, {max}]"));
    }
    let set = |f: &str| !s.s(f).is_empty();
    match (set("stubPKCS10Request"), set("pkixPublicKey"), set("proofOfPossession")) {
        (true, false, false) => {
            let at = at.c("stubPKCS10Request");
            match bytes(s.s("stubPKCS10Request")) {
                b if b.len() > 10 << 10 => e.too_long(&at, 10 << 10),
                b if x509_cert::request::CertReq::from_der(&b).is_err() => {
                    e.invalid_omit(&at, "must be a valid PKCS#10 CSR");
                }
                _ => {}
            }
        }
        (false, true, true) => {
            for f in ["pkixPublicKey", "proofOfPossession"] {
                if bytes(s.s(f)).len() > 10 << 10 {
                    return e.too_long(&at.c(f), 10 << 10);
                }
            }
            if status::public_key(&bytes(s.s("pkixPublicKey"))).is_none() {
                let why = "must be a valid PKIX-serialized public key";
                e.invalid(&at.c("pkixPublicKey"), s.s("pkixPublicKey"), why);
            }
        }
        _ => e.invalid_omit(
            &at,
            "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set",
        ),
    }
}

pub(super) fn bytes(base64: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_default()
}
