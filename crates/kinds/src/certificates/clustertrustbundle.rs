//! ClusterTrustBundles.

use crate::kit::*;
use crate::{pem, signer};
use x509_cert::der::asn1::{AnyRef, BitStringRef, ContextSpecific, IntRef};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};
use x509_cert::ext::Extensions;
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::name::RdnSequence;
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

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
    match is_authority(&b.der) {
        Ok(true) => None,
        Ok(false) => Some("does not have the CA bit set".to_owned()),
        Err(_) => Some("does not parse as X.509".to_owned()),
    }
}

/// Whether a certificate says that it is an authority's. Dates are not looked at: Go writes and reads years that no
/// decoder of times takes (year 1 where none was given).
fn is_authority(der: &[u8]) -> x509_cert::der::Result<bool> {
    let mut reader = SliceReader::new(der)?;
    let ca = reader.sequence(|cert| {
        let ca = cert.sequence(|tbs| {
            let tag = TagNumber::N0;
            ContextSpecific::<AnyRef<'_>>::decode_explicit(tbs, tag)?;
            IntRef::decode(tbs)?;
            AlgorithmIdentifierRef::decode(tbs)?;
            RdnSequence::decode(tbs)?;
            tbs.sequence(|v| {
                AnyRef::decode(v)?;
                AnyRef::decode(v).map(drop)
            })?;
            RdnSequence::decode(tbs)?;
            SubjectPublicKeyInfoRef::decode(tbs)?;
            let mut ca = false;
            while !tbs.is_finished() {
                let field = AnyRef::decode(tbs)?;
                if field.tag() == (Tag::ContextSpecific { constructed: true, number: TagNumber::N3 }) {
                    for e in Extensions::from_der(field.value())? {
                        if e.extn_id == BasicConstraints::OID {
                            ca = BasicConstraints::from_der(e.extn_value.as_bytes())?.ca;
                        }
                    }
                }
            }
            Ok(ca)
        })?;
        AlgorithmIdentifierRef::decode(cert)?;
        BitStringRef::decode(cert)?;
        Ok(ca)
    })?;
    reader.finish(ca)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    /// Made by Go without dates: they are year 1, as in upstream's own suite.
    #[test]
    fn certificates_of_year_1_are_read() {
        let read =
            |s| super::is_authority(&base64::engine::general_purpose::STANDARD.decode(s).unwrap()).ok();
        let (ca, leaf) = (
            "MIH8MIGvoAMCAQICAQAwBQYDK2VwMAwxCjAIBgNVBAMTAXIwIhgPMDAwMTAxMDEwMDAwMDBaGA8wMDAxMDEwMTAwMD\
         AwMFowDDEKMAgGA1UEAxMBcjAqMAUGAytlcAMhACCJETluvAiWU2N6kYoc9nMrEQfxg6hxoJNaXdyo4Ur6ozIwMDAP\
         BgNVHRMBAf8EBTADAQH/MB0GA1UdDgQWBBTClP79Hf2x329+UcqcgApe+SC7BzAFBgMrZXADQQCd19TKqAeT6cY4nY\
         QUWUmjE/dpLM1InNf6LV9izuLwOkoqoBOVt43nPG5zgrnoOD18VdIS6oRgjGpir7WhXJ0A",
            "MIHaMIGNoAMCAQICAQAwBQYDK2VwMAwxCjAIBgNVBAMTAXIwIhgPMDAwMTAxMDEwMDAwMDBaGA8wMDAxMDEwMTAwMD\
         AwMFowDDEKMAgGA1UEAxMBcjAqMAUGAytlcAMhACCJETluvAiWU2N6kYoc9nMrEQfxg6hxoJNaXdyo4Ur6oxAwDjAM\
         BgNVHRMBAf8EAjAAMAUGAytlcANBALg9tE5NyzcpFGdGbJ/lDzwyNEA7IWH0LuXLT9fcGYiZPRcpr8IYMw/np+/UV4\
         PrL0V1G1W8YMtTu8Gf+wGC/QU=",
        );
        assert_eq!((read(ca), read(leaf)), (Some(true), Some(false)));
        assert_eq!(read(&ca[..40]), None);
    }
}
