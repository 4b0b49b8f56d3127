//! `run`: a pod with one image.

use super::create;
use super::expose::pairs;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects;
use serde_json::{Value, json};

super::commands! {
    "run" "NAME --image=image [--env=key=value] [--port=port] [--command] -- [COMMAND] [args...]"
        "Run a particular image on the cluster"
        "kubectl run web --image=nginx"
        FLAGS, run;
}

pub const FLAGS: &[Flag] = &[
    objects::OUTPUT,
    objects::DRY_RUN,
    objects::MANAGED,
    objects::FIELD_MANAGER,
    flag("image", None, Form::Text, "", "The image for the container to run"),
    flag("image-pull-policy", None, Form::Text, "", "Always, IfNotPresent or Never"),
    flag("env", None, Form::Each, "", "An environment variable: NAME=value"),
    flag("labels", Some('l'), Form::Text, "", "Labels of the pod: a=b,c=d"),
    flag("annotations", None, Form::Each, "", "An annotation of the pod: a=b"),
    flag("port", None, Form::Text, "", "The port that the container exposes"),
    flag("restart", None, Form::Text, "Always", "Always, OnFailure or Never"),
    flag("command", None, Form::Bool, "false", "Arguments are the command, not its arguments"),
    flag("privileged", None, Form::Bool, "false", "Run the container in privileged mode"),
];

pub async fn run(cx: Cx) -> Result<(), Error> {
    let Some(name) = cx.p.args.first().filter(|_| cx.p.dash != Some(0)) else {
        return Err(Error::plain("NAME is required for run\nSee 'kubectl run -h' for help and examples"));
    };
    if cx.p.text("image").is_empty() {
        return Err(Error::plain("required flag(s) \"image\" not set"));
    }
    let rest = &cx.p.args[1..];
    let mut c = json!({"name": name, "image": cx.p.text("image"), "resources": {}});
    if !rest.is_empty() {
        c[if cx.p.on("command") { "command" } else { "args" }] = json!(rest);
    } else if cx.p.on("command") {
        return Err(Error::plain("--command needs a command after --"));
    }
    if !cx.p.text("image-pull-policy").is_empty() {
        c["imagePullPolicy"] = cx.p.text("image-pull-policy").into();
    }
    let mut env = Vec::new();
    for e in cx.p.each("env") {
        match e.split_once('=') {
            Some((k, v)) if !k.is_empty() => env.push(json!({"name": k, "value": v})),
            _ => return Err(Error::plain(format!("invalid env: {e}"))),
        }
    }
    if !env.is_empty() {
        c["env"] = Value::Array(env);
    }
    if !cx.p.text("port").is_empty() {
        c["ports"] = json!([{"containerPort": cx.p.int("port")?}]);
    }
    if cx.p.on("privileged") {
        c["securityContext"] = json!({"privileged": true});
    }
    let restart = cx.p.text("restart");
    if !matches!(restart, "Always" | "OnFailure" | "Never") {
        return Err(Error::plain(format!("invalid restart policy: {restart}")));
    }
    let labels = match cx.p.text("labels") {
        "" => json!({"run": name}),
        l => pairs(l)?,
    };
    let mut v = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [c], "dnsPolicy": "ClusterFirst", "restartPolicy": restart}, "status": {}});
    for a in cx.p.each("annotations") {
        let (k, x) = a.split_once('=').ok_or_else(|| Error::plain(format!("invalid annotation: {a}")))?;
        v["metadata"]["annotations"][k] = x.into();
    }
    create::send(&cx, v, "created").await
}
