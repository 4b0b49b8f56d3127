//! `create -f`, the makers of simple objects, `replace`.

use crate::cx::Cx;
use crate::error::Error;
use crate::files::Manifest;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use base64::Engine;
use client::url::with_query;
use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

super::commands! {
    "create" "-f FILENAME"
        "Create a resource from a file or from stdin\n\nJSON and YAML are accepted; several objects are made in the order of the file. The subcommands make simple objects from\nflags; with --dry-run=client -o yaml they are a quick way to a file."
        "kubectl create -f pod.yaml\ncat pod.yaml | kubectl create -f -\nkubectl create deployment web --image=nginx --dry-run=client -o yaml > web.yaml"
        FLAGS, run;
    "create namespace" "NAME"
        "Create a namespace with the specified name"
        "kubectl create namespace team"
        MAKE, namespace;
    "create serviceaccount" "NAME"
        "Create a service account with the specified name"
        "kubectl create serviceaccount robot"
        MAKE, serviceaccount;
    "create configmap" "NAME [--from-literal=key=value] [--from-file=[key=]source]"
        "Create a config map from a local file, directory or literal value\n\nA key's name is the file's, unless one stands before it; a folder gives a key for each of its files."
        "kubectl create configmap c --from-literal=a=b --from-literal=c=d\nkubectl create configmap c --from-file=conf/ --from-file=main=other.conf\nkubectl create configmap c --from-env-file=app.env"
        DATA, configmap;
    "create secret generic" "NAME [--type=string] [--from-file=[key=]source] [--from-literal=key1=value1]"
        "Create a secret from a local file, directory, or literal value\n\nAs for a config map; values are kept as bytes."
        "kubectl create secret generic s --from-literal=user=ann --from-file=password=pw.txt\nkubectl create secret generic s --type=kubernetes.io/basic-auth --from-literal=username=u --from-literal=password=p"
        SECRET, secret;
    "create deployment" "NAME --image=image -- [COMMAND] [args...]"
        "Create a deployment with the specified name"
        "kubectl create deployment web --image=nginx --replicas=3 --port=80\nkubectl create deployment job --image=busybox -- sh -c 'while true; do date; sleep 5; done'"
        DEPLOY, deployment;
}

pub const VALIDATE: Flag = flag(
    "validate",
    None,
    Form::Maybe("strict"),
    "strict",
    "Field validation: strict, warn or ignore (true, false)",
);
pub const SAVE: Flag = flag(
    "save-config",
    None,
    Form::Bool,
    "false",
    "Save the configuration in the object's annotation, for apply",
);

pub const FLAGS: &[Flag] = join!(objects::FILES, MAKE, &[objects::SELECTOR, super::replace::RAW]);
pub const MAKE: &[Flag] = join!(objects::WRITE, &[VALIDATE, SAVE]);
pub const DATA: &[Flag] = join!(
    MAKE,
    &[
        flag("from-literal", None, Form::Each, "", "A key and its value: key=value"),
        flag(
            "from-file",
            None,
            Form::Each,
            "",
            "A file or folder, with a key before it or not: [key=]source"
        ),
        flag("from-env-file", None, Form::Each, "", "A file of lines key=value"),
        HASH
    ]
);
pub const SECRET: &[Flag] =
    join!(DATA, &[flag("type", None, Form::Text, "", "The type of secret to create")]);
pub const DEPLOY: &[Flag] = join!(
    MAKE,
    &[
        flag("image", None, Form::List, "", "Image names to run"),
        flag("replicas", Some('r'), Form::Text, "1", "Number of replicas"),
        flag("port", None, Form::Text, "-1", "The container port that this deployment exposes")
    ]
);

pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The `fieldValidation` of `--validate`.
pub fn validation(cx: &Cx) -> Result<&'static str, Error> {
    match cx.p.text("validate") {
        "true" | "strict" | "" => Ok("Strict"),
        "false" | "ignore" => Ok("Ignore"),
        "warn" => Ok("Warn"),
        v => Err(Error::plain(format!(
            "invalid validate option {v:?}; must be one of: strict (or true), warn, ignore (or false)"
        ))),
    }
}

/// Puts the configuration into its own annotation.
pub fn with_last_applied(v: &Value) -> Value {
    let mut bare = v.clone();
    if let Some(a) = bare.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        a.remove(LAST_APPLIED);
    }
    if bare["metadata"]["annotations"].is_null() {
        bare["metadata"]["annotations"] = json!({});
    }
    let said = format!("{}\n", crate::print::compact(&bare));
    bare["metadata"]["annotations"][LAST_APPLIED] = said.into();
    bare
}

pub async fn post(cx: &Cx, t: &Target, v: &Value, dry: DryRun, manager: &str) -> Result<Value, Error> {
    let given = cx.p.text("field-manager");
    let path = with_query(
        t.resource.collection(&t.namespace),
        &[
            ("fieldManager", if given.is_empty() { manager } else { given }),
            ("fieldValidation", validation(cx)?),
            dry.query(),
        ],
    );
    cx.json(Method::POST, &path, "application/json", Some(v)).await
}

async fn one(cx: &Cx, m: Manifest, dry: DryRun) -> Result<(), Error> {
    let source = m.source.clone();
    let t = objects::place(cx, m).await?;
    let v = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
    let v = if cx.p.on("save-config") { with_last_applied(&v) } else { v };
    let made = match dry {
        DryRun::Client if source.is_empty() => unplaced(cx, v),
        DryRun::Client => v,
        _ => post(cx, &t, &v, dry, "kubectl-create").await.map_err(|e| e.when("creating", &source))?,
    };
    objects::report(cx, &t, &made, &format!("created{}", dry.suffix()))
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.given("raw") {
        return super::replace::raw(&cx, Method::POST).await;
    }
    let dry = DryRun::of(&cx)?;
    if let Some(a) = cx.p.args.first() {
        return Err(Error::plain(format!(
            "Unexpected args: [{a}]\nSee 'kubectl create -h' for help and examples"
        )));
    }
    let all = objects::selected(&cx, objects::manifests(&cx)?)?;
    if !cx.p.given("filename") {
        return Err(Error::plain("must specify one of -f and -k"));
    }
    if all.is_empty() {
        return Err(Error::plain("no objects passed to create"));
    }
    let mut errors = Vec::new();
    for m in all {
        if let Err(e) = one(&cx, m, dry).await {
            errors.push(e);
        }
    }
    Error::many(errors)
}

/// Flags that must be given; said before anything else, as cobra does.
pub fn required(cx: &Cx, names: &[&str]) -> Result<(), Error> {
    let missing: Vec<String> = names.iter().filter(|n| !cx.p.given(n)).map(|n| format!("{n:?}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::plain(format!("required flag(s) {} not set", missing.join(", "))))
}

/// The part of a name that tells configurations apart: a hash without vowels (kubectl `pkg/util/hash`).
fn hashed(v: &Value) -> String {
    let secret = v["kind"] == "Secret";
    let mut m = json!({"kind": v["kind"], "name": v["metadata"]["name"], "data": {}});
    if v["data"].is_object() {
        m["data"] = v["data"].clone();
    }
    if secret {
        m["type"] = v["type"].as_str().unwrap_or_default().into();
    } else if v["binaryData"].is_object() {
        m["binaryData"] = v["binaryData"].clone();
    }
    let sum = Sha256::digest(crate::print::compact(&m));
    let hex: String = sum.iter().take(5).map(|b| format!("{b:02x}")).collect();
    hex.chars()
        .map(|c| match c {
            '0' => 'g',
            '1' => 'h',
            '3' => 'k',
            'a' => 'm',
            'e' => 't',
            c => c,
        })
        .collect()
}

/// With `--append-hash`, the object under a name that changes with what it holds.
pub fn with_hash(cx: &Cx, mut v: Value) -> Value {
    if cx.p.on("append-hash") {
        let n = format!("{}-{}", text(&v, "/metadata/name"), hashed(&v));
        v["metadata"]["name"] = n.into();
    }
    v
}

pub const HASH: Flag =
    flag("append-hash", None, Form::Bool, "false", "Append a hash of what it holds to its name");

pub fn name(cx: &Cx) -> Result<&str, Error> {
    match cx.p.args.as_slice() {
        [n] => Ok(n),
        a if cx.p.dash == Some(1) => Ok(&a[0]),
        a => Err(Error::plain(format!(
            "exactly one NAME is required, got {}\nSee 'kubectl {} -h' for help and examples",
            a.len(),
            cx.path
        ))),
    }
}

/// What a command made, without a namespace that nobody asked for.
pub fn unplaced(cx: &Cx, mut v: Value) -> Value {
    if let Some(m) = v["metadata"].as_object_mut().filter(|_| !cx.enforce_namespace()) {
        m.remove("namespace");
    }
    v
}

/// Creates an object that the command made, and says so.
pub async fn send(cx: &Cx, v: Value, done: &str) -> Result<(), Error> {
    let dry = DryRun::of(cx)?;
    let t = objects::place(cx, Manifest { source: String::new(), value: v }).await?;
    let v = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
    let v = if cx.p.on("save-config") { with_last_applied(&v) } else { v };
    let manager = format!("kubectl-{}", cx.path);
    let made = match dry {
        DryRun::Client => unplaced(cx, v),
        _ => post(cx, &t, &v, dry, &manager).await?,
    };
    objects::report(cx, &t, &made, &format!("{done}{}", dry.suffix()))
}

pub async fn make(cx: &Cx, v: Value) -> Result<(), Error> {
    let dry = DryRun::of(cx)?;
    let r = one(cx, Manifest { source: String::new(), value: v }, dry).await;
    let kind = cx.path.split(' ').nth(1).unwrap_or_default();
    r.map_err(|e| match e {
        Error::Status(s) if kind != "namespace" => {
            let colon = if kind == "secret" { "" } else { ":" };
            let what = match cx.path.rsplit(' ').next() {
                Some("clusterip") => "ClusterIP service",
                Some("nodeport") => "NodePort service",
                Some("loadbalancer") => "LoadBalancer service",
                Some("externalname") => "ExternalName service",
                _ => kind,
            };
            Error::Plain(format!("failed to create {what}{colon} {}", s.message))
        }
        e => e,
    })
}

pub async fn namespace(cx: Cx) -> Result<(), Error> {
    let v = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name(&cx)?}, "spec": {}, "status": {}});
    make(&cx, v).await
}
pub async fn serviceaccount(cx: Cx) -> Result<(), Error> {
    let v = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name(&cx)?}});
    make(&cx, v).await
}

/// Keys and bytes of `--from-*`.
fn data(cx: &Cx) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut out: Vec<(String, Vec<u8>)> = Vec::new();
    let mut put = |k: String, v: Vec<u8>| {
        if out.iter().any(|(o, _)| *o == k) {
            return Err(Error::plain(if cx.path == "create configmap" {
                let name = cx.p.args.first().map(String::as_str).unwrap_or_default();
                format!(
                    "cannot add key {k:?}, another key by that name already exists in Data for ConfigMap {name:?}"
                )
            } else {
                format!("cannot add key {k}, another key by that name already exists")
            }));
        }
        out.push((k, v));
        Ok(())
    };
    let read = |p: &std::path::Path| {
        std::fs::read(p)
            .map_err(|e| Error::plain(format!("error reading {}: {}", p.display(), crate::files::why(&e))))
    };
    for f in cx.p.each("from-file") {
        let (key, path) = match f.split_once('=') {
            Some((k, p)) => (Some(k.to_owned()), p.to_owned()),
            None => (None, f),
        };
        let path = std::path::Path::new(&path);
        let base = |p: &std::path::Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && key.is_none() {
            let mut files: Vec<_> =
                std::fs::read_dir(path)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
            files.retain(|p| p.is_file());
            files.sort();
            for p in files {
                put(base(&p), read(&p)?)?;
            }
        } else {
            put(key.unwrap_or_else(|| base(path)), read(path)?)?;
        }
    }
    for l in cx.p.each("from-literal") {
        let (k, v) = l
            .split_once('=')
            .ok_or_else(|| Error::plain(format!("invalid literal source {l}, expected key=value")))?;
        put(k.to_owned(), v.as_bytes().to_vec())?;
    }
    for f in cx.p.each("from-env-file") {
        let b = read(std::path::Path::new(&f))?;
        for l in String::from_utf8_lossy(&b).lines() {
            let l = l.trim_start();
            if l.is_empty() || l.starts_with('#') {
                continue;
            }
            let (k, v) = match l.split_once('=') {
                Some((k, v)) => (k, v.to_owned()),
                None => (l, std::env::var(l).unwrap_or_default()),
            };
            put(k.to_owned(), v.into_bytes())?;
        }
    }
    Ok(out)
}

pub async fn configmap(cx: Cx) -> Result<(), Error> {
    let mut v = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name(&cx)?}});
    for (k, b) in data(&cx)? {
        match String::from_utf8(b) {
            Ok(s) => v["data"][k] = s.into(),
            Err(e) => {
                v["binaryData"][k] = base64::engine::general_purpose::STANDARD.encode(e.into_bytes()).into();
            }
        }
    }
    make(&cx, with_hash(&cx, v)).await
}
pub async fn secret(cx: Cx) -> Result<(), Error> {
    let mut v = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name(&cx)?}});
    for (k, b) in data(&cx)? {
        v["data"][k] = base64::engine::general_purpose::STANDARD.encode(b).into();
    }
    if !cx.p.text("type").is_empty() {
        v["type"] = cx.p.text("type").into();
    }
    make(&cx, with_hash(&cx, v)).await
}
pub async fn deployment(cx: Cx) -> Result<(), Error> {
    required(&cx, &["image"])?;
    let n = name(&cx)?;
    let images = cx.p.list("image");
    let command = cx.p.dash.map(|d| cx.p.args[d..].to_vec()).unwrap_or_default();
    if images.len() > 1 && !command.is_empty() {
        return Err(Error::plain("cannot specify multiple --image options and command"));
    }
    let containers: Vec<Value> = images
        .iter()
        .map(|i| {
            let base = i.rsplit('/').next().unwrap_or(i);
            let base = base.split([':', '@']).next().unwrap_or(base).replace('_', "-").to_lowercase();
            let mut c = json!({"name": base, "image": i, "resources": {}});
            if !command.is_empty() {
                c["command"] = json!(command);
            }
            c
        })
        .collect();
    let mut v = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": n, "labels": {"app": n}},
        "spec": {"replicas": cx.p.int("replicas")?, "selector": {"matchLabels": {"app": n}}, "strategy": {},
            "template": {"metadata": {"labels": {"app": n}}, "spec": {"containers": containers}}}, "status": {}});
    if cx.p.int("port")? >= 0 {
        v["spec"]["template"]["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": cx.p.int("port")?}]);
    }
    make(&cx, v).await
}
