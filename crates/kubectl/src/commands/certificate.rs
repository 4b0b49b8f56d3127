//! `certificate approve` and `deny`.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, Target, text};
use http::Method;
use serde_json::{Value, json};

super::commands! {
    "certificate approve" "(-f FILENAME | NAME)"
        "Approve a certificate signing request\n\nWhoever gets the certificate may act as what it says: look at the request first (\"kubectl describe csr\")."
        "kubectl get csr\nkubectl certificate approve csr-x"
        FLAGS, approve;
    "certificate deny" "(-f FILENAME | NAME)"
        "Deny a certificate signing request"
        "kubectl certificate deny csr-x"
        FLAGS, deny;
}

pub const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::OUTPUT,
        objects::MANAGED,
        flag("force", None, Form::Bool, "false", "Update the CSR even if it is already approved or denied")
    ]
);

const TRIES: usize = 10;

pub async fn approve(cx: Cx) -> Result<(), Error> {
    set(&cx, "Approved", "approve", "approved").await
}
pub async fn deny(cx: Cx) -> Result<(), Error> {
    set(&cx, "Denied", "deny", "denied").await
}

async fn one(cx: &Cx, t: &Target, kind: &str, verb: &str, done: &str) -> Result<Value, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        let mut v = cx.get(&t.path("")).await?;
        let have = v["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if have.iter().any(|c| text(c, "/type") == kind) && !cx.p.on("force") {
            return Ok(v);
        }
        let now =
            meta::time::Timestamp { seconds: cx.rt.clock.unix_seconds(), ..Default::default() }.rfc3339();
        let reason = format!("Kubectl{}", if kind == "Approved" { "Approve" } else { "Deny" });
        let mut all: Vec<Value> = have.into_iter().filter(|c| text(c, "/type") != kind).collect();
        all.push(json!({"type": kind, "status": "True", "reason": reason, "lastUpdateTime": now,
            "message": format!("This CSR was {done} by kubectl certificate {verb}.")}));
        v["status"]["conditions"] = Value::Array(all);
        match cx.json(Method::PUT, &t.path("approval"), "application/json", Some(&v)).await {
            Err(e) if e.is_conflict() && tries < TRIES => {}
            r => return r,
        }
    }
}

async fn set(cx: &Cx, kind: &str, verb: &str, done: &str) -> Result<(), Error> {
    if cx.p.args.is_empty() && !cx.p.given("filename") {
        return Err(Error::plain("one or more CSRs must be specified as <name> or -f <filename>"));
    }
    let mut args = Vec::new();
    if !cx.p.given("filename") {
        args.push("certificatesigningrequests.certificates.k8s.io".to_owned());
        args.extend(cx.p.args.iter().map(|a| a.rsplit('/').next().unwrap_or(a).to_owned()));
    }
    let mut errors = Vec::new();
    for t in objects::targets(cx, &args, false).await? {
        match one(cx, &t, kind, verb, done).await {
            Ok(v) => objects::report(cx, &t, &v, done)?,
            Err(e) => errors.push(e),
        }
    }
    Error::many(errors)
}
