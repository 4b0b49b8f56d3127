//! `config`: looking at kubeconfig files and changing them.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::print;
use base64::Engine;
use client::config::kubeconfig::{Kubeconfig, NamedCluster, NamedContext, NamedUser};
use serde_json::Value;
use std::path::PathBuf;

super::commands! {
    "config view" ""
        "Display merged kubeconfig settings or a specified kubeconfig file\n\nSecrets are hidden; --raw shows them, --flatten puts the contents of files in place."
        "kubectl config view\nkubectl config view --minify -o jsonpath='{..namespace}'\nkubectl config view --flatten > all.kubeconfig"
        VIEW, view;
    "config current-context" ""
        "Display the current-context"
        "kubectl config current-context"
        &[], current_context;
    "config get-contexts" "[NAME]"
        "Describe one or many contexts"
        "kubectl config get-contexts"
        GET, get_contexts;
    "config get-clusters" ""
        "Display clusters defined in the kubeconfig"
        "kubectl config get-clusters"
        &[], get_clusters;
    "config get-users" ""
        "Display users defined in the kubeconfig"
        "kubectl config get-users"
        &[], get_users;
    "config use-context" "CONTEXT_NAME"
        "Set the current-context in a kubeconfig file"
        "kubectl config use-context prod"
        &[], use_context;
    "config set-cluster" "NAME [--server=server]"
        "Set a cluster entry in kubeconfig\n\nAn entry of that name is changed, or made."
        "kubectl config set-cluster c --server=https://h:6443 --certificate-authority=ca.crt --embed-certs=true"
        CLUSTER, set_cluster;
    "config set-credentials" "NAME [--token=bearer_token]"
        "Set a user entry in kubeconfig\n\nA certificate with its key, a token, or a program that gets credentials."
        "kubectl config set-credentials ann --client-certificate=ann.crt --client-key=ann.key --embed-certs=true\nkubectl config set-credentials robot --token=TOKEN\nkubectl config set-credentials sso --exec-command=login --exec-api-version=client.authentication.k8s.io/v1"
        USER, set_credentials;
    "config set-context" "[NAME | --current] [--cluster=cluster] [--user=user] [--namespace=namespace]"
        "Set a context entry in kubeconfig\n\nA context joins a cluster, a user and a namespace."
        "kubectl config set-context prod --cluster=c --user=ann --namespace=web\nkubectl config set-context --current --namespace=dev"
        CONTEXT, set_context;
    "config delete-context" "NAME"
        "Delete the specified context from the kubeconfig"
        "kubectl config delete-context c"
        &[], delete_context;
    "config delete-cluster" "NAME"
        "Delete the specified cluster from the kubeconfig"
        "kubectl config delete-cluster c"
        &[], delete_cluster;
    "config delete-user" "NAME"
        "Delete the specified user from the kubeconfig"
        "kubectl config delete-user u"
        &[], delete_user;
}

pub const VIEW: &[Flag] = &[
    flag(
        "minify",
        None,
        Form::Bool,
        "false",
        "Remove all information not used by current-context from the output",
    ),
    flag("raw", None, Form::Bool, "false", "Display raw byte data and sensitive data"),
    flag("flatten", None, Form::Bool, "false", "Put the contents of files in place of their names"),
    flag("output", Some('o'), Form::Text, "yaml", "Output format: yaml, json, jsonpath=…"),
];
pub const GET: &[Flag] = &[
    flag("no-headers", None, Form::Bool, "false", "Don't print headers"),
    flag("output", Some('o'), Form::Text, "", "Output format: name"),
];
pub const CLUSTER: &[Flag] = &[
    flag("embed-certs", None, Form::Bool, "false", "Put the certificate's contents into the file"),
    flag("proxy-url", None, Form::Text, "", "Proxy of this cluster"),
];
pub const USER: &[Flag] = &[
    flag("embed-certs", None, Form::Bool, "false", "Put certificate and key into the file"),
    flag("username", None, Form::Text, "", "Username of this user"),
    flag("password", None, Form::Text, "", "Password of this user"),
    flag("exec-command", None, Form::Text, "", "The program that gets this user's credentials"),
    flag("exec-api-version", None, Form::Text, "", "The version of its API: client.authentication.k8s.io/v1"),
    flag("exec-arg", None, Form::List, "", "Arguments of that program"),
    flag("exec-env", None, Form::List, "", "Environment of that program: NAME=value; NAME- removes one"),
    flag("exec-interactive-mode", None, Form::Text, "", "Never, IfAvailable or Always"),
    flag("exec-provide-cluster-info", None, Form::Bool, "false", "Tell the program of the cluster"),
];
pub const CONTEXT: &[Flag] = &[flag("current", None, Form::Bool, "false", "Modify the current context")];

/// The file that changes go to: the flag's, the first that exists of KUBECONFIG, or its last.
pub fn target(cx: &Cx) -> Result<PathBuf, Error> {
    if cx.p.given("kubeconfig") {
        return Ok(cx.p.text("kubeconfig").into());
    }
    let all = Kubeconfig::default_paths();
    let hit = all.iter().find(|p| p.exists()).or(all.last()).cloned();
    hit.ok_or_else(|| Error::plain("no kubeconfig file: set KUBECONFIG or HOME"))
}

pub fn edit(cx: &Cx, change: impl FnOnce(&mut Kubeconfig) -> Result<(), Error>) -> Result<(), Error> {
    let path = target(cx)?;
    let mut k = if path.exists() {
        Kubeconfig::parse(&std::fs::read(&path)?).map_err(|e| Error::plain(e.to_string()))?
    } else {
        Kubeconfig::default()
    };
    change(&mut k)?;
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)?;
    }
    let new = path.with_extension("new");
    std::fs::write(&new, print::yaml(&value(&k)?))?;
    std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    std::fs::rename(&new, &path)?;
    Ok(())
}

/// As it is written: lists sorted by name, absent ones null.
fn value(k: &Kubeconfig) -> Result<Value, Error> {
    let mut k = k.clone();
    k.api_version = Some("v1".into());
    k.kind = Some("Config".into());
    k.clusters.sort_by(|a, b| a.name.cmp(&b.name));
    k.contexts.sort_by(|a, b| a.name.cmp(&b.name));
    k.users.sort_by(|a, b| a.name.cmp(&b.name));
    let mut v = serde_json::to_value(&k).map_err(|e| Error::plain(e.to_string()))?;
    for f in ["clusters", "contexts", "users"] {
        if v[f].as_array().is_some_and(Vec::is_empty) {
            v[f] = Value::Null;
        }
    }
    if v["preferences"].as_object().is_some_and(serde_json::Map::is_empty)
        && let Some(o) = v.as_object_mut()
    {
        o.remove("preferences");
    }
    Ok(v)
}

pub async fn view(cx: Cx) -> Result<(), Error> {
    let mut k = cx.kubeconfig()?;
    if cx.p.on("minify") {
        let name =
            if cx.p.given("context") { cx.p.text("context").to_owned() } else { k.current_context.clone() };
        if name.is_empty() {
            return Err(Error::plain("current-context must exist in order to minify"));
        }
        k.contexts.retain(|c| c.name == name);
        let Some(c) = k.contexts.first().cloned() else {
            return Err(Error::plain(format!("cannot locate context {name}")));
        };
        k.clusters.retain(|x| x.name == c.context.cluster);
        k.users.retain(|x| x.name == c.context.user);
        k.current_context = name;
    }
    let mut v = value(&k)?;
    if cx.p.on("flatten") {
        flatten(&mut v)?;
    }
    if !cx.p.on("raw") && !cx.p.on("flatten") {
        for c in v["clusters"].as_array_mut().into_iter().flatten() {
            if c["cluster"]["certificate-authority-data"].is_string() {
                c["cluster"]["certificate-authority-data"] = "DATA+OMITTED".into();
            }
        }
        for u in v["users"].as_array_mut().into_iter().flatten() {
            for (f, hidden) in [
                ("client-certificate-data", "DATA+OMITTED"),
                ("client-key-data", "DATA+OMITTED"),
                ("token", "REDACTED"),
                ("password", "REDACTED"),
            ] {
                if u["user"][f].is_string() {
                    u["user"][f] = hidden.into();
                }
            }
        }
    }
    match print::Format::parse(cx.p.text("output"), true)? {
        Some(print::Format::Yaml) => print::out(&print::yaml(&v)),
        Some(print::Format::Json) => print::line(&print::pretty(&v)),
        Some(print::Format::Path(p)) => print::out(&p.text(&v)?),
        _ => return Err(Error::plain("config view prints yaml, json or jsonpath")),
    }
    Ok(())
}

/// Puts the contents of files in place of their names.
fn flatten(v: &mut Value) -> Result<(), Error> {
    for (list, one, fields) in [
        ("clusters", "cluster", &["certificate-authority"][..]),
        ("users", "user", &["client-certificate", "client-key"][..]),
    ] {
        for e in v[list].as_array_mut().into_iter().flatten() {
            for f in fields {
                let Some(path) = e[one][*f].as_str().map(str::to_owned) else { continue };
                let b = std::fs::read(&path)
                    .map_err(|e| Error::plain(format!("open {path}: {}", crate::files::why(&e))))?;
                e[one][format!("{f}-data")] = base64::engine::general_purpose::STANDARD.encode(b).into();
                if let Some(o) = e[one].as_object_mut() {
                    o.remove(*f);
                }
            }
        }
    }
    Ok(())
}

pub async fn current_context(cx: Cx) -> Result<(), Error> {
    match cx.kubeconfig()?.current_context.as_str() {
        "" => Err(Error::plain("current-context is not set")),
        c => {
            print::line(c);
            Ok(())
        }
    }
}

pub async fn get_contexts(cx: Cx) -> Result<(), Error> {
    let mut k = cx.kubeconfig()?;
    k.contexts.sort_by(|a, b| a.name.cmp(&b.name));
    let missing: Vec<Error> =
        cx.p.args
            .iter()
            .filter(|n| !k.contexts.iter().any(|c| c.name == **n))
            .map(|n| Error::plain(format!("context {n} not found")))
            .collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let names = cx.p.text("output") == "name";
    if !names && !cx.p.text("output").is_empty() {
        return Err(Error::plain("output must be one of '' or 'name'"));
    }
    if !names && !cx.p.on("no-headers") {
        rows.push(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec());
    }
    for c in k.contexts.iter().filter(|c| cx.p.args.is_empty() || cx.p.args.contains(&c.name)) {
        if names {
            rows.push(vec![c.name.clone()]);
            continue;
        }
        let mark = if c.name == k.current_context { "*" } else { "" };
        let x = &c.context;
        rows.push(vec![
            mark.into(),
            c.name.clone(),
            x.cluster.clone(),
            x.user.clone(),
            x.namespace.clone().unwrap_or_default(),
        ]);
    }
    print::out(&print::table(&rows));
    Error::many(missing)
}

fn names(head: &str, mut all: Vec<String>) {
    all.sort();
    print::line(head);
    all.iter().for_each(|n| print::line(n));
}
pub async fn get_clusters(cx: Cx) -> Result<(), Error> {
    names("NAME", cx.kubeconfig()?.clusters.into_iter().map(|c| c.name).collect());
    Ok(())
}
pub async fn get_users(cx: Cx) -> Result<(), Error> {
    names("NAME", cx.kubeconfig()?.users.into_iter().map(|c| c.name).collect());
    Ok(())
}

fn name(cx: &Cx) -> Result<&str, Error> {
    match cx.p.args.as_slice() {
        [n] => Ok(n),
        a => Err(Error::plain(format!("Unexpected args: [{}]", a.join(" ")))),
    }
}

fn context_name(cx: &Cx) -> Result<&str, Error> {
    match cx.p.args.as_slice() {
        [] => Err(Error::plain("you must specify a non-empty context name or --current")),
        _ => name(cx),
    }
}

pub async fn use_context(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    if !cx.kubeconfig()?.contexts.iter().any(|c| c.name == n) {
        return Err(Error::plain(format!("no context exists with the name: {n:?}")));
    }
    edit(&cx, |k| {
        k.current_context = n.to_owned();
        Ok(())
    })?;
    print::line(&format!("Switched to context {n:?}."));
    Ok(())
}

fn embed(path: &str) -> Result<String, Error> {
    let b = std::fs::read(path).map_err(|e| Error::plain(format!("could not read {path}: {e}")))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(b))
}

pub async fn set_cluster(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    edit(&cx, |k| {
        if !k.clusters.iter().any(|c| c.name == n) {
            k.clusters.push(NamedCluster { name: n.to_owned(), ..NamedCluster::default() });
        }
        let Some(c) = k.clusters.iter_mut().find(|c| c.name == n).map(|c| &mut c.cluster) else {
            return Ok(());
        };
        let t = |f: &str| cx.p.given(f).then(|| cx.p.text(f).to_owned());
        if let Some(s) = t("server") {
            c.server = s;
        }
        if let Some(s) = t("tls-server-name") {
            c.tls_server_name = Some(s);
        }
        if let Some(s) = t("proxy-url") {
            c.proxy_url = Some(s);
        }
        if cx.p.given("insecure-skip-tls-verify") {
            c.insecure_skip_tls_verify = cx.p.on("insecure-skip-tls-verify").then_some(true);
            if cx.p.on("insecure-skip-tls-verify") {
                c.certificate_authority = None;
                c.certificate_authority_data = None;
            }
        }
        if let Some(s) = t("certificate-authority") {
            (c.certificate_authority, c.certificate_authority_data) = if cx.p.on("embed-certs") {
                (None, Some(embed(&s)?))
            } else {
                (Some(std::path::absolute(&s)?), None)
            };
        }
        Ok(())
    })?;
    print::line(&format!("Cluster {n:?} set."));
    Ok(())
}

pub async fn set_credentials(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    if cx.p.given("token") && cx.p.given("username") {
        return Err(Error::plain(
            "you cannot specify more than one authentication method at the same time: --username, --token",
        ));
    }
    edit(&cx, |k| {
        if !k.users.iter().any(|c| c.name == n) {
            k.users.push(NamedUser { name: n.to_owned(), ..NamedUser::default() });
        }
        let Some(u) = k.users.iter_mut().find(|c| c.name == n).map(|c| &mut c.user) else { return Ok(()) };
        let t = |f: &str| cx.p.given(f).then(|| cx.p.text(f).to_owned());
        if let Some(s) = t("client-certificate") {
            (u.client_certificate, u.client_certificate_data) = if cx.p.on("embed-certs") {
                (None, Some(embed(&s)?))
            } else {
                (Some(std::path::absolute(&s)?), None)
            };
        }
        if let Some(s) = t("client-key") {
            (u.client_key, u.client_key_data) = if cx.p.on("embed-certs") {
                (None, Some(embed(&s)?))
            } else {
                (Some(std::path::absolute(&s)?), None)
            };
        }
        if let Some(s) = t("token") {
            (u.token, u.username, u.password) = (Some(s), None, None);
        }
        if let Some(s) = t("username") {
            (u.username, u.token) = (Some(s), None);
        }
        if let Some(s) = t("password") {
            (u.password, u.token) = (Some(s), None);
        }
        exec(&cx, &mut u.exec)
    })?;
    print::line(&format!("User {n:?} set."));
    Ok(())
}

/// The program that gets credentials, as `--exec-*` have it.
fn exec(cx: &Cx, e: &mut Option<client::config::exec::ExecConfig>) -> Result<(), Error> {
    let given = [
        "exec-command",
        "exec-api-version",
        "exec-arg",
        "exec-env",
        "exec-interactive-mode",
        "exec-provide-cluster-info",
    ];
    if !given.iter().any(|f| cx.p.given(f)) {
        return Ok(());
    }
    let e = e.get_or_insert_default();
    let t = |f: &str| cx.p.given(f).then(|| cx.p.text(f).to_owned());
    if let Some(c) = t("exec-command") {
        e.command = c;
    }
    if let Some(v) = t("exec-api-version") {
        e.api_version = v;
    }
    if cx.p.given("exec-arg") {
        e.args = Some(cx.p.list("exec-arg"));
    }
    for p in cx.p.list("exec-env") {
        let all = e.env.get_or_insert_default();
        // NAME- removes one.
        let (k, v) = match p.split_once('=') {
            Some((k, v)) => (k.to_owned(), Some(v.to_owned())),
            None => (p.trim_end_matches('-').to_owned(), None),
        };
        all.retain(|x| x.name != k);
        if let Some(value) = v {
            all.push(client::config::exec::EnvVar { name: k, value });
        }
    }
    if let Some(m) = t("exec-interactive-mode") {
        if !matches!(m.as_str(), "Never" | "IfAvailable" | "Always") {
            return Err(Error::plain(format!(
                "invalid interactive mode type: {m}. Must be one of: Never, IfAvailable, Always"
            )));
        }
        e.interactive_mode = Some(m);
    }
    if cx.p.given("exec-provide-cluster-info") {
        e.provide_cluster_info = Some(cx.p.on("exec-provide-cluster-info"));
    }
    Ok(())
}

pub async fn set_context(cx: Cx) -> Result<(), Error> {
    let n = if cx.p.on("current") { cx.kubeconfig()?.current_context } else { context_name(&cx)?.to_owned() };
    if n.is_empty() {
        return Err(Error::plain("no current context is set"));
    }
    let mut done = "created";
    edit(&cx, |k| {
        if k.contexts.iter().any(|c| c.name == n) {
            done = "modified";
        } else {
            k.contexts.push(NamedContext { name: n.clone(), ..NamedContext::default() });
        }
        let Some(c) = k.contexts.iter_mut().find(|c| c.name == n).map(|c| &mut c.context) else {
            return Ok(());
        };
        if cx.p.given("cluster") {
            c.cluster = cx.p.text("cluster").to_owned();
        }
        if cx.p.given("user") {
            c.user = cx.p.text("user").to_owned();
        }
        if cx.p.given("namespace") {
            c.namespace = Some(cx.p.text("namespace").to_owned()).filter(|n| !n.is_empty());
        }
        Ok(())
    })?;
    print::line(&format!("Context {n:?} {done}."));
    Ok(())
}

fn gone(cx: &Cx, what: &str, drop: impl FnOnce(&mut Kubeconfig, &str) -> bool) -> Result<(), Error> {
    let n = name(cx)?.to_owned();
    let file = target(cx)?.display().to_string();
    edit(cx, |k| {
        if drop(k, &n) {
            Ok(())
        } else {
            Err(Error::plain(format!("cannot delete {what} {n}, not in {file}")))
        }
    })?;
    print::line(&format!("deleted {what} {n} from {file}"));
    Ok(())
}
pub async fn delete_context(cx: Cx) -> Result<(), Error> {
    gone(&cx, "context", |k, n| {
        if k.current_context == n {
            eprintln!(
                "warning: this removed your active context, use \"kubectl config use-context\" to select a different one"
            );
        }
        let before = k.contexts.len();
        k.contexts.retain(|c| c.name != n);
        k.contexts.len() < before
    })
}
pub async fn delete_cluster(cx: Cx) -> Result<(), Error> {
    gone(&cx, "cluster", |k, n| {
        let before = k.clusters.len();
        k.clusters.retain(|c| c.name != n);
        k.clusters.len() < before
    })
}
pub async fn delete_user(cx: Cx) -> Result<(), Error> {
    gone(&cx, "user", |k, n| {
        let before = k.users.len();
        k.users.retain(|c| c.name != n);
        k.users.len() < before
    })
}
