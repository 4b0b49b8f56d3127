//! CertificateSigningRequests.

use crate::diff::diff;
use crate::kit::*;
use crate::{pem, signer};
use x509_cert::der::Decode as _;

pub(crate) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    fn prepare_create(&self, cx: &Cx<'_>, o: &mut Value) {
        // Who asks is not for the client to say.
        let s = o.obj("spec");
        for f in ["username", "uid", "groups", "extra"] {
            s.remove(f);
        }
        let user = cx.user;
        for (f, v) in [("username", &user.name), ("uid", &user.uid)] {
            if !v.is_empty() {
                s.put(f, v.clone());
            }
        }
        if !user.groups.is_empty() {
            s.put("groups", user.groups.clone());
        }
        if !user.extra.is_empty() {
            s.put("extra", json!(user.extra));
        }
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        match cx.subresource {
            "status" => {
                for ty in [APPROVED, DENIED] {
                    keep_conditions(o, old, ty);
                }
                timestamps(o, old, cx.now);
            }
            "approval" => {
                timestamps(o, old, cx.now);
                // Nothing but conditions.
                let conditions = o.v("status").f("conditions").cloned();
                let mut status = old.v("status").as_object().cloned().unwrap_or_default();
                match conditions {
                    Some(c) => status.put("conditions", c),
                    None => drop(status.remove("conditions")),
                }
                o.put("status", Value::Object(status));
            }
            _ => {}
        }
    }

    fn name_errors(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, None, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, Some(old), &mut e);
        update(o, old, cx.subresource, &mut e);
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let lasts = s.oi("expirationSeconds").map_or("<none>".to_owned(), meta::time::human_duration);
        let has = |ty| rows::condition(o, ty).is_some();
        let mut status = if has("Denied") {
            "Denied".to_owned()
        } else if has("Approved") {
            "Approved".to_owned()
        } else {
            "Pending".to_owned()
        };
        if has("Failed") {
            status.push_str(",Failed");
        }
        if !o.str_at("status.certificate").is_empty() {
            status.push_str(",Issued");
        }
        row![o.name(), age(o, now), or_none(s.s("signerName")), s.s("username"), lasts, status]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.signerName").then(|| o.str_at(label).to_owned())
    }
}

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

/// Sorted, as upstream lists them.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

fn conditions(o: &Value) -> &[Value] {
    o.v("status").list("conditions")
}

fn of_type<'a>(o: &'a Value, ty: &str) -> Vec<&'a Value> {
    conditions(o).iter().filter(|c| c.s("type") == ty).collect()
}

/// Puts the old conditions of a type in the places of as many new ones.
fn keep_conditions(o: &mut Value, old: &Value, ty: &str) {
    let was: Vec<Value> = of_type(old, ty).into_iter().cloned().collect();
    if was.len() != of_type(o, ty).len() || was.is_empty() {
        return;
    }
    if let Some(Value::Array(list)) = o.obj("status").get_mut("conditions") {
        for (c, was) in list.iter_mut().filter(|c| c.s("type") == ty).zip(was) {
            *c = was;
        }
    }
}

fn timestamps(o: &mut Value, old: &Value, now: Timestamp) {
    if conditions(o).is_empty() {
        return;
    }
    for c in o.obj("status").each("conditions") {
        c.default_zero("lastUpdateTime", now.rfc3339());
        if c.s("lastTransitionTime").is_empty() {
            let same = |x: &&Value| {
                x.s("type") == c.s("type")
                    && x.s("status") == c.s("status")
                    && !x.s("lastTransitionTime").is_empty()
            };
            let when = conditions(old)
                .iter()
                .find(same)
                .map_or_else(|| now.rfc3339(), |x| x.s("lastTransitionTime").to_owned());
            c.put("lastTransitionTime", when);
        }
    }
}

fn has_duplicate<'a>(list: impl Iterator<Item = &'a str>) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    for x in list {
        if seen.contains(&x) {
            return true;
        }
        seen.push(x);
    }
    false
}

fn validate(o: &Value, old: Option<&Value>, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    if let Err(why) = request(s.s("request")) {
        e.invalid(&at.c("request"), s.v("request").clone(), why);
    }
    let was = old.map_or(Vec::new(), |o| o.v("spec").strs("usages"));
    let (usages_at, usages) = (at.c("usages"), s.strs("usages"));
    if usages.is_empty() {
        e.required(&usages_at, "");
    }
    let (unknown, twice) = (was.iter().any(|u| !USAGES.contains(u)), has_duplicate(was.iter().copied()));
    for (i, u) in usages.iter().enumerate() {
        if !unknown {
            e.one_of(&usages_at.i(i), u, USAGES);
        }
        if !twice && usages[..i].contains(u) {
            e.duplicate(&usages_at.i(i), *u);
        }
    }
    let name = s.s("signerName");
    if name == LEGACY_SIGNER && old.is_none_or(|o| o.v("spec").s("signerName") != LEGACY_SIGNER) {
        let why = "the legacy signerName is not allowed via this API version";
        e.invalid(&at.c("signerName"), name, why);
    } else {
        signer::validate(name, &at.c("signerName"), e);
    }
    if let Some(n) = s.oi("expirationSeconds").filter(|n| *n < 600) {
        let why = "may not specify a duration less than 600 seconds (10 minutes)";
        e.invalid(&at.c("expirationSeconds"), n, why);
    }
    validate_conditions(o, old, &At::new("status.conditions"), e);
    let cert = |o: &Value| o.v("status").s("certificate").to_owned();
    let known = old.is_some_and(|old| cert(old) == cert(o) || certificate(&cert(old)).is_err());
    if let Err(why) = certificate(&cert(o))
        && !known
    {
        e.invalid(&At::new("status.certificate"), "<certificate data>", why);
    }
}

/// Whether this is a certificate request. Its signature is not verified.
fn request(base64: &str) -> Result<(), String> {
    let text = pem::text(base64);
    let block = pem::next(&text).map(|(b, _)| b).filter(|b| b.ty == "CERTIFICATE REQUEST");
    let block = block.ok_or("PEM block type must be CERTIFICATE REQUEST")?;
    x509_cert::request::CertReq::from_der(&block.der).map_err(|e| format!("asn1: syntax error: {e}"))?;
    Ok(())
}

/// Whether these are certificates, or nothing.
fn certificate(base64: &str) -> Result<(), String> {
    if base64.is_empty() {
        return Ok(());
    }
    let text = pem::text(base64);
    let (mut rest, mut blocks) = (text.as_str(), 0);
    while let Some((b, tail)) = pem::next(rest) {
        if b.ty != "CERTIFICATE" {
            let ty = meta::field::quote(&b.ty);
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {ty}"));
        }
        if b.has_headers {
            return Err("no PEM block headers are permitted".to_owned());
        }
        if b.der.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        x509_cert::Certificate::from_der(&b.der).map_err(|e| format!("x509: malformed certificate: {e}"))?;
        blocks += 1;
        rest = tail;
    }
    if blocks == 0 { Err("must contain at least one CERTIFICATE PEM block".to_owned()) } else { Ok(()) }
}

fn validate_conditions(o: &Value, old: Option<&Value>, at: &At<'_>, e: &mut Errs) {
    let was = old.map_or(&[][..], conditions);
    let no_type = was.iter().any(|c| c.s("type").is_empty());
    let twice = has_duplicate(was.iter().map(|c| c.s("type")));
    let list = conditions(o);
    for (i, c) in list.iter().enumerate() {
        let at = at.i(i);
        let ty = c.s("type");
        if ty.is_empty() && !no_type {
            e.required(&at.c("type"), "");
        }
        let known = matches!(ty, APPROVED | DENIED | FAILED);
        let values: &[&str] = if known { &["True"] } else { &["False", "True", "Unknown"] };
        e.required_one_of(&at.c("status"), c.s("status"), values);
        if !twice && list[..i].iter().any(|x| x.s("type") == ty) {
            e.duplicate(&at.c("type"), ty);
        }
    }
    let both = |o: &Value| (!of_type(o, APPROVED).is_empty(), !of_type(o, DENIED).is_empty());
    if both(o) == (true, true) && old.is_none_or(|old| both(old) != (true, true)) {
        let item = |ty: &str| format!(r#"conditions[{{"type": "{ty}"}}]"#);
        let (a, d) = (item(APPROVED), item(DENIED));
        e.invalid(at, format!("{{{a}, {d}}}"), format!("must specify at most one of: `{a}`, `{d}`"));
    }
}

fn update(o: &Value, old: &Value, subresource: &str, e: &mut Errs) {
    let at = At::new("status.conditions");
    for ty in [APPROVED, DENIED, FAILED] {
        if of_type(o, ty).len() < of_type(old, ty).len() {
            e.forbidden(&at, format!("updates may not remove a condition of type \"{ty}\""));
        }
    }
    if subresource != "approval" {
        for ty in [APPROVED, DENIED] {
            let (new, was) = (of_type(o, ty), of_type(old, ty));
            if new.len() > was.len() {
                e.forbidden(&at, format!("updates may not add a condition of type \"{ty}\""));
            } else if new.len() == was.len() && new != was {
                let changes = diff(&json!(was), &json!(new));
                e.forbidden(&at, format!("updates may not modify a condition of type \"{ty}\"\n{changes}"));
            }
        }
    }
    let at = At::new("status.certificate");
    let (new, was) = (o.v("status").s("certificate"), old.v("status").s("certificate"));
    if new != was {
        if subresource != "status" {
            e.forbidden(&at, "updates may not set certificate content");
        } else if !was.is_empty() {
            e.forbidden(&at, "updates may not modify existing certificate content");
        }
    }
}
