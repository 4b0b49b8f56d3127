//! Named formats of strings (apimachinery `pkg/api/validate/strfmt.go`). Their limits count bytes.

use crate::kit::*;

/// A sentence about a limit, in bytes.
fn in_bytes(s: String) -> String {
    match s.strip_suffix(" characters") {
        Some(s) => format!("{s} bytes"),
        None => s,
    }
}

fn each(at: &At<'_>, v: &str, prefix: &str, sentences: Vec<String>, e: &mut Errs) {
    for s in sentences {
        e.invalid(at, v, format!("{prefix}{}", in_bytes(s)));
    }
}

pub(super) fn check(format: &str, v: &str, at: &At<'_>, e: &mut Errs) {
    match format {
        "k8s-short-name" => each(at, v, "", names::is_dns1123_label(v), e),
        "k8s-long-name" => each(at, v, "", names::is_dns1123_subdomain(v), e),
        "k8s-long-name-caseless" => each(at, v, "", caseless(v), e),
        "k8s-label-key" => each(at, v, "", names::is_qualified_name(v), e),
        "k8s-prefixed-label-key" => each(at, v, "", names::is_prefixed_qualified_name(v), e),
        "k8s-label-value" => each(at, v, "", names::is_label_value(v), e),
        "k8s-path-segment-name" => each(at, v, "", names::is_path_segment_name(v), e),
        "k8s-uuid" => uuid(v, at, e),
        "k8s-resource-pool-name" => pool_name(v, at, e),
        "k8s-extended-resource-name" => extended_resource(v, at, e),
        "k8s-resource-fully-qualified-name" => fully_qualified(v, at, e),
        _ => {}
    }
}

/// A subdomain that may have capitals.
pub(crate) fn caseless(v: &str) -> Vec<String> {
    let lower = names::is_dns1123_subdomain(&v.to_ascii_lowercase());
    let plain = |s: String| {
        s.replace(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric",
            "an RFC 1123 subdomain must consist of alphanumeric",
        )
        .replace("'example.com'", "'Example.com'")
    };
    lower.into_iter().map(plain).collect()
}

fn uuid(v: &str, at: &At<'_>, e: &mut Errs) {
    let ok = v.len() == 36
        && v.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_digit() || (b'a'..=b'f').contains(&b),
        });
    if !ok {
        e.invalid(at, v, "must be a lowercase UUID in 8-4-4-4-12 format");
    }
}

fn pool_name(v: &str, at: &At<'_>, e: &mut Errs) {
    if v.len() > 253 {
        e.too_long(at, 253);
    }
    for (i, part) in v.split('/').enumerate() {
        if part.is_empty() {
            e.invalid(at, v, format!("segment {i}: must not be empty"));
        } else {
            each(at, part, &format!("segment {i}: "), names::is_dns1123_subdomain(part), e);
        }
    }
}

fn extended_resource(v: &str, at: &At<'_>, e: &mut Errs) {
    if !v.contains('/') {
        e.invalid(at, v, "a name must be a domain-prefixed path, such as 'example.com/my-prop'");
    } else if v.contains("kubernetes.io/") {
        e.invalid(at, v, "must not have \"kubernetes.io/\" domain");
    }
    if v.starts_with("requests.") {
        e.invalid(at, v, "must not have \"requests.\" prefix");
    }
    each(at, v, "", names::is_qualified_name(&format!("requests.{v}")), e);
}

fn fully_qualified(v: &str, at: &At<'_>, e: &mut Errs) {
    match v.split('/').collect::<Vec<_>>()[..] {
        [name] => identifier(name, at, e),
        [domain, name] => {
            if domain.is_empty() {
                e.invalid(at, "", "prefix must not be empty");
            } else {
                if domain.len() > 63 {
                    e.too_long(at, 63);
                }
                each(at, domain, "prefix: ", names::is_dns1123_subdomain(domain), e);
            }
            if name.is_empty() {
                e.invalid(at, "", "name must not be empty");
            } else {
                identifier(name, at, e);
            }
        }
        _ => {}
    }
    if !v.contains('/') {
        e.invalid(at, v, "a fully qualified name must be a domain and a name separated by a slash");
    }
}

/// A name of an attribute or a capacity, without its domain.
pub(crate) fn identifier(v: &str, at: &At<'_>, e: &mut Errs) {
    if v.len() > 32 {
        e.too_long(at, 32);
    }
    e.name(at, v, names::is_c_identifier);
}
