//! Roles, bindings, certificate requests.

use super::Of;
use super::out::{Out, date, l, list, pairs, words};
use crate::error::Error;
use crate::objects::text;
use meta::time::human_duration;
use serde_json::{Value, json};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Ia5StringRef, ObjectIdentifier, PrintableStringRef, Utf8StringRef};
use x509_cert::der::{Decode, DecodePem};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::request::{CertReq, ExtensionReq};

/// A rule taken apart: one group, resource, verb and name each.
pub fn parts(rule: &Value) -> Vec<Value> {
    let l = |k: &str| rule[k].as_array().cloned().unwrap_or_default();
    let (verbs, names) = (l("verbs"), l("resourceNames"));
    let mut out = Vec::new();
    for g in l("apiGroups") {
        for r in l("resources") {
            for v in &verbs {
                let one = json!({"apiGroups": [g], "resources": [r], "verbs": [v]});
                if names.is_empty() {
                    out.push(one);
                    continue;
                }
                for n in &names {
                    let mut one = one.clone();
                    one["resourceNames"] = json!([n]);
                    out.push(one);
                }
            }
        }
    }
    for u in l("nonResourceURLs") {
        out.extend(verbs.iter().map(|v| json!({"nonResourceURLs": [u], "verbs": [v]})));
    }
    out
}

/// Parts that differ by their verbs only, put together; sorted as upstream sorts what it prints.
fn compact(rules: &Value) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::new();
    for p in list(rules, "").flat_map(parts) {
        let simple = p["nonResourceURLs"].is_null();
        let same = |o: &&mut Value| {
            simple && ["apiGroups", "resources", "resourceNames"].iter().all(|k| o[*k] == p[*k])
        };
        match out.iter_mut().find(same) {
            Some(o) => {
                let v = p["verbs"][0].clone();
                if let Some(l) = o["verbs"].as_array_mut().filter(|l| !l.contains(&v)) {
                    l.push(v);
                }
            }
            None => out.push(p),
        }
    }
    let j = |r: &Value, k: &str| words(r, &format!("/{k}")).join(" ");
    out.sort_by_cached_key(|r| {
        format!(
            "Verbs:[{}],APIGroups:[{}],Resources:[{}],ResourceNames:[{}],NonResourceURLs:[{}],",
            j(r, "verbs"),
            j(r, "apiGroups"),
            j(r, "resources"),
            j(r, "resourceNames"),
            j(r, "nonResourceURLs")
        )
    });
    out
}

pub async fn role(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    l!(o, 0, "Name:\t{}", of.text("/metadata/name"));
    o.notes(of.v);
    l!(o, 0, "PolicyRule:");
    l!(o, 1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
    l!(o, 1, "---------\t-----------------\t--------------\t-----");
    for row in rows(&of.v["rules"]) {
        l!(o, 1, "{}", row.join("\t"));
    }
    Ok(())
}

/// Rules as rows: resource, URLs, names, verbs.
pub fn rows(rules: &Value) -> Vec<[String; 4]> {
    let row = |r: Value| {
        let (what, sub) = match text(&r, "/resources/0").split_once('/') {
            Some((w, s)) => (w.to_owned(), format!("/{s}")),
            None => (text(&r, "/resources/0").to_owned(), String::new()),
        };
        let group = match text(&r, "/apiGroups/0") {
            "" => String::new(),
            g => format!(".{g}"),
        };
        let j = |k: &str| format!("[{}]", words(&r, &format!("/{k}")).join(" "));
        [format!("{what}{group}{sub}"), j("nonResourceURLs"), j("resourceNames"), j("verbs")]
    };
    compact(rules).into_iter().map(row).collect()
}

pub async fn binding(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    l!(o, 0, "Name:\t{}", of.text("/metadata/name"));
    o.notes(of.v);
    l!(o, 0, "Role:");
    l!(o, 1, "Kind:\t{}", of.text("/roleRef/kind"));
    l!(o, 1, "Name:\t{}", of.text("/roleRef/name"));
    l!(o, 0, "Subjects:");
    l!(o, 1, "Kind\tName\tNamespace");
    l!(o, 1, "----\t----\t---------");
    for s in list(of.v, "/subjects") {
        l!(o, 1, "{}\t{}\t{}", text(s, "/kind"), text(s, "/name"), text(s, "/namespace"));
    }
    Ok(())
}

pub async fn csr(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    let bad = |e: &dyn std::fmt::Display| Error::plain(format!("Error parsing CSR: {e}"));
    let pem = client::config::kubeconfig::base64_data(of.text("/spec/request")).map_err(|e| bad(&e))?;
    let req = CertReq::from_pem(&pem).map_err(|e| bad(&e))?;
    l!(o, 0, "Name:\t{}", of.text("/metadata/name"));
    l!(o, 0, "Labels:\t{}", pairs(&v["metadata"]["labels"]));
    l!(o, 0, "Annotations:\t{}", pairs(&v["metadata"]["annotations"]));
    l!(o, 0, "CreationTimestamp:\t{}", date(of.text("/metadata/creationTimestamp")));
    l!(o, 0, "Requesting User:\t{}", of.text("/spec/username"));
    if !of.text("/spec/signerName").is_empty() {
        l!(o, 0, "Signer:\t{}", of.text("/spec/signerName"));
    }
    if v["spec"]["expirationSeconds"].is_i64() {
        l!(o, 0, "Requested Duration:\t{}", human_duration(of.number("/spec/expirationSeconds")));
    }
    l!(o, 0, "Status:\t{}", status(v));
    subject(&req, o);
    of.events(o).await;
    Ok(())
}

fn status(v: &Value) -> String {
    let has = |t: &str| list(v, "/status/conditions").any(|c| text(c, "/type") == t);
    let mut s = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        s.push_str(",Failed");
    }
    if !text(v, "/status/certificate").is_empty() {
        s.push_str(",Issued");
    }
    s
}

fn value(a: &AttributeTypeAndValue) -> String {
    let v = &a.value;
    let utf8 = v.decode_as::<Utf8StringRef<'_>>().map(|s| s.as_str().to_owned());
    utf8.or_else(|_| v.decode_as::<PrintableStringRef<'_>>().map(|s| s.as_str().to_owned()))
        .or_else(|_| v.decode_as::<Ia5StringRef<'_>>().map(|s| s.as_str().to_owned()))
        .unwrap_or_default()
}

fn subject(req: &CertReq, o: &mut Out) {
    let all = |oid: &str| -> Vec<String> {
        let oid = ObjectIdentifier::new(oid).ok();
        let each = req.info.subject.0.iter().flat_map(|r| r.0.iter());
        each.filter(|a| Some(a.oid) == oid).map(value).collect()
    };
    let last = |oid: &str| all(oid).pop().unwrap_or_default();
    l!(o, 0, "Subject:");
    l!(o, 0, "\tCommon Name:\t{}", last("2.5.4.3"));
    l!(o, 0, "\tSerial Number:\t{}", last("2.5.4.5"));
    for (title, oid) in [
        ("Organization", "2.5.4.10"),
        ("Organizational Unit", "2.5.4.11"),
        ("Country", "2.5.4.6"),
        ("Locality", "2.5.4.7"),
        ("Province", "2.5.4.8"),
        ("StreetAddress", "2.5.4.9"),
        ("PostalCode", "2.5.4.17"),
    ] {
        listed(title, &all(oid), o);
    }
    let names = alternatives(req);
    if names.iter().any(|(_, l)| !l.is_empty()) {
        l!(o, 0, "Subject Alternative Names:");
        names.iter().for_each(|(t, l)| listed(t, l, o));
    }
}

fn listed(title: &str, all: &[String], o: &mut Out) {
    if !all.is_empty() {
        l!(o, 0, "\t{title}:\t{}", all.join("\n\t\t"));
    }
}

/// The names that a request asks for beside its subject.
fn alternatives(req: &CertReq) -> [(&'static str, Vec<String>); 4] {
    let mut out = [
        ("DNS Names", Vec::new()),
        ("Email Addresses", Vec::new()),
        ("URIs", Vec::new()),
        ("IP Addresses", Vec::new()),
    ];
    let wanted = ObjectIdentifier::new("1.2.840.113549.1.9.14").ok();
    let san = ObjectIdentifier::new("2.5.29.17").ok();
    for a in req.info.attributes.iter().filter(|a| Some(a.oid) == wanted) {
        for v in a.values.iter() {
            let Ok(ExtensionReq(all)) = v.decode_as::<ExtensionReq>() else { continue };
            for e in all.iter().filter(|e| Some(e.extn_id) == san) {
                let Ok(names) = SubjectAltName::from_der(e.extn_value.as_bytes()) else { continue };
                for n in names.0 {
                    match n {
                        GeneralName::DnsName(s) => out[0].1.push(s.as_str().to_owned()),
                        GeneralName::Rfc822Name(s) => out[1].1.push(s.as_str().to_owned()),
                        GeneralName::UniformResourceIdentifier(s) => out[2].1.push(s.as_str().to_owned()),
                        GeneralName::IpAddress(b) => out[3].1.push(address(b.as_bytes())),
                        _ => {}
                    }
                }
            }
        }
    }
    out
}

fn address(b: &[u8]) -> String {
    if let Ok(b) = <[u8; 4]>::try_from(b) {
        std::net::Ipv4Addr::from(b).to_string()
    } else if let Ok(b) = <[u8; 16]>::try_from(b) {
        std::net::Ipv6Addr::from(b).to_string()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let all = json!([{"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["watch", "get"]}]);
        let c = compact(&all);
        assert_eq!(c.len(), 2);
        assert_eq!(c[0]["verbs"], json!(["get", "list", "watch"]));
        assert_eq!(c[1]["apiGroups"], json!(["apps"]));
    }
}
