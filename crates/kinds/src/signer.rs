//! Names of certificate signers, of their trust bundles, and what requests to them may say
//! (K/pkg/apis/core/validation/names.go).

use crate::kit::*;

pub(crate) const KEY_TYPES: &[&str] =
    &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
const MAX_SEGMENT: usize = 253;

/// The longest life of a pod certificate: a day for Kubernetes' own signers, 91 days for others.
pub(crate) fn max_expiration(signer: &str) -> i64 {
    if is_kubernetes(signer) { 86400 } else { 91 * 86400 }
}

pub(crate) fn is_kubernetes(signer: &str) -> bool {
    let host = signer.split_once('/').map_or(signer, |p| p.0);
    host == "kubernetes.io" || host.ends_with(".kubernetes.io")
}

/// `example.com/signer-name`.
pub(crate) fn validate(signer: &str, at: &At<'_>, e: &mut Errs) {
    if signer.is_empty() {
        return e.required(at, "");
    }
    let Some((domain, path)) = signer.split_once('/').filter(|(_, p)| !p.contains('/')) else {
        return e.invalid(
            at,
            signer,
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    };
    if domain.len() > MAX_SEGMENT {
        e.too_long(at, MAX_SEGMENT as i64);
    }
    labels(domain, names::is_dns1123_label, at, e);
    if !domain.contains('.') {
        e.invalid(at, domain, "should be a domain with at least two segments separated by dots");
    }
    labels(path, names::is_dns1123_subdomain, at, e);
    let max = MAX_SEGMENT + MAX_SEGMENT + 63 + 1 + 1;
    if signer.len() > max {
        e.too_long(at, max as i64);
    }
}

/// Reports the first bad part of a dotted segment.
fn labels(segment: &str, check: fn(&str) -> Vec<String>, at: &At<'_>, e: &mut Errs) {
    if let Some((label, errs)) = segment.split('.').map(|l| (l, check(l))).find(|(_, errs)| !errs.is_empty())
    {
        for m in errs {
            e.invalid(at, segment, format!("validating label {label:?}: {m}"));
        }
    }
}

/// The signer that a bundle's name is for; empty when it names none.
pub(crate) fn of_bundle_name(name: &str) -> String {
    name.rsplit_once(':').map_or(String::new(), |(signer, _)| signer.replace(':', "/"))
}

/// What is wrong with a trust bundle's name, given its signer.
pub(crate) fn bundle_name_errors(signer: &str, name: &str) -> Vec<String> {
    if signer.is_empty() {
        if name.contains(':') {
            return vec!["ClusterTrustBundle without signer name must not have \":\" in its name".to_owned()];
        }
        return names::is_dns1123_subdomain(name);
    }
    let prefix = format!("{}:", signer.replace('/', ":"));
    match name.strip_prefix(&prefix) {
        None => {
            vec![format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}")]
        }
        Some(rest) => names::is_dns1123_subdomain(rest),
    }
}

/// Annotations for the signer: prefixed keys, of bounded size.
pub(crate) fn user_annotations(a: &Obj, at: &At<'_>, e: &mut Errs) {
    let mut size = 0;
    for (k, v) in a {
        size += k.len() + v.as_str().map_or(0, str::len);
        domain_prefixed_key(&k.to_lowercase(), at, e);
    }
    if size > 256 * 1024 {
        e.too_long(at, 256 * 1024);
    }
}

fn domain_prefixed_key(key: &str, at: &At<'_>, e: &mut Errs) {
    if key.is_empty() {
        return e.required(at, "");
    }
    let errs = names::is_qualified_name(key);
    if !errs.is_empty() {
        e.each_invalid(at, key, errs);
    } else if key.split('/').count() != 2 {
        e.invalid(at, key, "must be a domain-prefixed key (such as \"acme.io/foo\")");
    }
}
