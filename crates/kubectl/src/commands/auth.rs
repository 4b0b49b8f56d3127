//! `auth can-i`, `auth whoami`.

use super::create_more::VERBS;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, text};
use crate::print;
use http::Method;
use serde_json::json;

super::commands! {
    "auth can-i" "VERB [TYPE | TYPE/NAME | NONRESOURCEURL]"
        "Check whether an action is allowed\n\nThe answer is the server's own; with --as for somebody else. The exit status is 0 for yes and 1 for no."
        "kubectl auth can-i create pods\nkubectl auth can-i get pods/log -n prod --as=ann\nkubectl auth can-i '*' '*'\nkubectl auth can-i get /healthz\nkubectl auth can-i --list -n dev"
        CAN_I, can_i;
    "auth whoami" ""
        "Check self subject attributes\n\nName, groups and more that the server takes you for."
        "kubectl auth whoami\nkubectl auth whoami -o yaml"
        WHOAMI, whoami;
}

const WHOAMI: &[Flag] = &[objects::OUTPUT, objects::MANAGED];

pub const CAN_I: &[Flag] = &[
    objects::ALL_NAMESPACES,
    flag("list", None, Form::Bool, "false", "List what is allowed in the namespace"),
    flag("no-headers", None, Form::Bool, "false", "Don't print headers; with --list"),
    flag("quiet", Some('q'), Form::Bool, "false", "Say nothing, only exit with 0 or 1"),
    flag("subresource", None, Form::Text, "", "A subresource such as pods/log or deployments/scale"),
];

/// Verbs of addresses that are no resources, beside those that resources have too.
const HTTP_VERBS: &[&str] = &["head", "options", "post", "put"];

async fn list(cx: &Cx) -> Result<(), Error> {
    if cx.p.on("quiet") || cx.p.on("all-namespaces") || !cx.p.text("subresource").is_empty() {
        return Err(Error::plain(
            "list option can't be specified with neither quiet, all-namespaces nor subresource options",
        ));
    }
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": cx.namespace()?}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let v = cx.json(Method::POST, path, "application/json", Some(&review)).await?;
    let s = &v["status"];
    if s["incomplete"] == true {
        eprintln!("Warning: the list may be incomplete: {}", text(s, "/evaluationError"));
    }
    let mut rules = s["resourceRules"].as_array().cloned().unwrap_or_default();
    rules.extend(s["nonResourceRules"].as_array().cloned().unwrap_or_default());
    let mut rows: Vec<Vec<String>> = Vec::new();
    if !cx.p.on("no-headers") {
        rows.push(["Resources", "Non-Resource URLs", "Resource Names", "Verbs"].map(str::to_owned).to_vec());
    }
    rows.extend(super::describe::rule_rows(&rules.into()).into_iter().map(|r| r.to_vec()));
    print::out(&print::table(&rows));
    Ok(())
}

pub async fn can_i(cx: Cx) -> Result<(), Error> {
    if cx.p.on("list") {
        return list(&cx).await;
    }
    if cx.p.given("no-headers") {
        return Err(Error::plain("--no-headers cannot be set without --list specified"));
    }
    let [verb, what, rest @ ..] = cx.p.args.as_slice() else {
        return Err(Error::plain(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.",
        ));
    };
    let usual = VERBS.iter().chain(HTTP_VERBS).any(|v| v == verb);
    if !usual && !what.starts_with('/') {
        eprintln!("Warning: verb '{verb}' is not a known verb\n");
    }
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (kind, mut name) = match what.split_once('/') {
            Some((k, n)) => (k, n.to_owned()),
            None => (what.as_str(), String::new()),
        };
        if let [n] = rest {
            name.clone_from(n);
        } else if !rest.is_empty() {
            return Err(Error::plain("too many arguments"));
        }
        let d = cx.discovery().await?;
        let ns = if cx.p.on("all-namespaces") { String::new() } else { cx.namespace()? };
        let mut a =
            json!({"verb": verb, "subresource": cx.p.text("subresource"), "name": name, "namespace": ns});
        match d.find(kind) {
            Ok(r) => {
                a["group"] = r.group.clone().into();
                a["resource"] = r.name.clone().into();
                if !r.namespaced {
                    a["namespace"] = "".into();
                    eprintln!(
                        "Warning: resource '{}' is not namespace scoped{}\n",
                        r.name,
                        if r.group.is_empty() { String::new() } else { format!(" in group '{}'", r.group) }
                    );
                }
            }
            Err(_) => {
                if kind != "*" {
                    eprintln!("Warning: the server doesn't have a resource type '{kind}'\n");
                }
                a["resource"] = kind.into();
                if kind == "*" {
                    a["group"] = "*".into();
                }
            }
        }
        json!({"resourceAttributes": a})
    };
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let v = cx.json(Method::POST, path, "application/json", Some(&review)).await?;
    let yes = v["status"]["allowed"] == true;
    if !cx.p.on("quiet") {
        let mut s = if yes { "yes" } else { "no" }.to_owned();
        if !yes {
            for k in ["/status/reason", "/status/evaluationError"] {
                if !text(&v, k).is_empty() {
                    s = format!("{s} - {}", text(&v, k));
                }
            }
        }
        print::line(&s);
    }
    if yes { Ok(()) } else { Err(Error::Exit(1)) }
}

pub async fn whoami(cx: Cx) -> Result<(), Error> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let v = cx.json(Method::POST, path, "application/json", Some(&review)).await?;
    if let Some(f) = print::Format::parse(cx.p.text("output"), true)? {
        let mut v = v.clone();
        if let Some(o) = v.as_object_mut() {
            o.remove("spec");
        }
        match f {
            print::Format::Yaml => print::out(&print::yaml(&v)),
            print::Format::Json => print::line(&print::pretty(&v)),
            print::Format::Path(p) => print::out(&p.text(&v)?),
            _ => return Err(Error::plain("whoami prints yaml, json or a template")),
        }
        return Ok(());
    }
    let u = &v["status"]["userInfo"];
    let mut rows = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
    for (k, label) in [("username", "Username"), ("uid", "UID")] {
        if let Some(s) = u[k].as_str().filter(|s| !s.is_empty()) {
            rows.push(vec![label.to_owned(), s.to_owned()]);
        }
    }
    if u["groups"].is_array() {
        rows.push(vec!["Groups".to_owned(), print::go(&u["groups"])]);
    }
    for (k, x) in u["extra"].as_object().into_iter().flatten() {
        rows.push(vec![format!("Extra: {k}"), print::go(x)]);
    }
    print::out(&print::table(&rows));
    Ok(())
}
