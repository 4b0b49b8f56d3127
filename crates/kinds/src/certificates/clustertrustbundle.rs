//! ClusterTrustBundles.

use crate::kit::*;
use crate::{pem, signer};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::BasicConstraints;

pub(crate) struct ClusterTrustBundle;

impl Strategy for ClusterTrustBundle {
    fn name_errors(&self, _name: &str) -> Vec<String> {
        // They depend on the signer: see validation.
        Vec::new()
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, None, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, Some(old), &mut e);
        e.fixed(&At::new("spec.signerName"), o.v("spec"), old.v("spec"), "signerName");
        e.0
    }

    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        row![o.name(), or_none(o.v("spec").s("signerName"))]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.signerName").then(|| o.str_at(label).to_owned())
    }
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let name = s.s("signerName");
    e.each_invalid(&At::new("metadata.name"), o.name(), signer::bundle_name_errors(name, o.name()));
    if !name.is_empty() {
        signer::validate(name, &at.c("signerName"), e);
    }
    if old.is_none_or(|old| old.v("spec").s("trustBundle") != s.s("trustBundle")) {
        anchors(s.s("trustBundle"), &at.c("trustBundle"), e);
    }
}

/// Certificates of authorities, each once.
fn anchors(text: &str, at: &At<'_>, e: &mut Errs) {
    const MAX: usize = 1 << 20;
    if text.len() > MAX {
        return e.too_long(at, MAX as i64);
    }
    let before = e.len();
    let mut seen: Vec<(Vec<u8>, Vec<usize>)> = Vec::new();
    let (mut rest, mut i) = (text, 0);
    while let Some((b, tail)) = pem::next(rest) {
        rest = tail;
        match problem(&b) {
            Some(what) => e.invalid(at, "<value omitted>", format!("entry {i} {what}")),
            None => match seen.iter_mut().find(|(der, _)| *der == b.der) {
                Some((_, at)) => at.push(i),
                None => seen.push((b.der, vec![i])),
            },
        }
        i += 1;
    }
    if e.len() > before {
        return;
    }
    if seen.is_empty() {
        e.invalid(at, "<value omitted>", "at least one trust anchor must be provided");
    }
    for (_, places) in seen.iter().filter(|(_, p)| p.len() > 1) {
        let places: Vec<String> = places.iter().map(usize::to_string).collect();
        let why = format!("duplicate trust anchor (indices [{}])", places.join(" "));
        e.invalid(at, "<value omitted>", why);
    }
}

fn problem(b: &pem::Block) -> Option<String> {
    if b.ty != "CERTIFICATE" {
        return Some(format!("has bad block type: {}", b.ty));
    }
    if b.has_headers {
        return Some("has PEM block headers".to_owned());
    }
    let Ok(cert) = x509_cert::Certificate::from_der(&b.der) else {
        return Some("does not parse as X.509".to_owned());
    };
    match cert.tbs_certificate.get::<BasicConstraints>() {
        Ok(Some((_, c))) if c.ca => None,
        Ok(_) => Some("does not have the CA bit set".to_owned()),
        Err(_) => Some("does not parse as X.509".to_owned()),
    }
}
