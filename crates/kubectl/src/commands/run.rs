//! `run`: a pod with one image.

use super::attach::{self, Options};
use super::create;
use super::expose::pairs;
use crate::cx::Cx;
use crate::error::Error;
use crate::files::Manifest;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, DryRun, Target, text};
use crate::{print, remote};
use client::url::with_query;
use http::Method;
use schema::Node;
use serde_json::{Value, json};
use std::time::Duration;

super::commands! {
    "run" "NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...]"
        "Run a particular image on the cluster\n\nA pod with one container is made. With -i, -t or --attach the command stays connected to it, and with --rm the pod is\ndeleted at the end."
        "# A pod, and one with a service before it\nkubectl run web --image=nginx\nkubectl run web --image=nginx --port=80 --expose\n\n# A shell that is gone when it ends\nkubectl run -it --rm sh --image=busybox --restart=Never -- sh\n\n# Another command; see what would be made\nkubectl run web --image=nginx --command -- sleep 60\nkubectl run web --image=nginx --dry-run=client -o yaml"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(
    objects::WRITE,
    &[
        create::SAVE,
        flag("image", None, Form::Text, "", "The image for the container to run"),
        flag("image-pull-policy", None, Form::Text, "", "Always, IfNotPresent or Never"),
        flag("env", None, Form::Each, "", "An environment variable: NAME=value"),
        flag("labels", Some('l'), Form::Text, "", "Labels of the pod: a=b,c=d"),
        flag("annotations", None, Form::Each, "", "An annotation of the pod: a=b"),
        flag("port", None, Form::Text, "", "The port that the container exposes"),
        flag("expose", None, Form::Bool, "false", "Also make a ClusterIP service for the pod; needs --port"),
        flag("restart", None, Form::Text, "Always", "Always, OnFailure or Never"),
        flag("command", None, Form::Bool, "false", "Arguments are the command, not its arguments"),
        flag("privileged", None, Form::Bool, "false", "Run the container in privileged mode"),
        flag("overrides", None, Form::Text, "", "JSON to lay over the pod; it must name its apiVersion"),
        flag(
            "override-type",
            None,
            Form::Text,
            "merge",
            "How --overrides is laid over: json, merge or strategic",
        ),
        flag("attach", None, Form::Bool, "false", "Attach when the pod runs; default with -i"),
        flag("stdin", Some('i'), Form::Bool, "false", "Keep stdin open on the container"),
        flag("tty", Some('t'), Form::Bool, "false", "Allocate a TTY for the container"),
        flag("leave-stdin-open", None, Form::Bool, "false", "Stdin stays open after the first session"),
        flag("rm", None, Form::Bool, "false", "Delete the pod when the session ends"),
        flag("quiet", Some('q'), Form::Bool, "false", "Say only what the container says"),
        flag("detach-keys", None, Form::Text, "ctrl-p,ctrl-q", "The keys that end the session"),
        flag("pod-running-timeout", None, Form::Text, "1m0s", "How long to wait until the pod runs")
    ]
);

fn pod(cx: &Cx, name: &str, rest: &[String]) -> Result<Value, Error> {
    let mut c = json!({"name": name, "image": cx.p.text("image"), "resources": {}});
    if !rest.is_empty() {
        c[if cx.p.on("command") { "command" } else { "args" }] = json!(rest);
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
    if cx.p.on("stdin") {
        c["stdin"] = true.into();
        if !cx.p.on("leave-stdin-open") {
            c["stdinOnce"] = true.into();
        }
    }
    if cx.p.on("tty") {
        c["tty"] = true.into();
    }
    let restart = cx.p.text("restart");
    if !matches!(restart, "Always" | "OnFailure" | "Never") {
        return Err(Error::plain(format!("invalid restart policy: {restart}")));
    }
    let mut v = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels(cx, name)?},
        "spec": {"containers": [c], "dnsPolicy": "ClusterFirst", "restartPolicy": restart}, "status": {}});
    for a in cx.p.each("annotations") {
        let (k, x) = a.split_once('=').ok_or_else(|| Error::plain(format!("invalid annotation: {a}")))?;
        v["metadata"]["annotations"][k] = x.into();
    }
    overrides(cx, v)
}

fn labels(cx: &Cx, name: &str) -> Result<Value, Error> {
    match cx.p.text("labels") {
        "" => Ok(json!({"run": name})),
        l => pairs(l),
    }
}

fn overrides(cx: &Cx, v: Value) -> Result<Value, Error> {
    let given = cx.p.text("overrides");
    if given.is_empty() {
        return Ok(v);
    }
    let o = schema::yaml::parse(given.as_bytes())
        .map_err(|e| Error::plain(format!("couldn't parse the overrides: {e}")))?;
    let r = match cx.p.text("override-type") {
        "json" => patch::json_patch(&v, &o),
        "merge" => patch::merge_patch(&v, &o),
        "strategic" => match schema::facts::type_of("", "v1", "Pod") {
            Some(ty) => patch::strategic_merge(&v, &o, Node::Type(ty)),
            None => patch::merge_patch(&v, &o),
        },
        t => return Err(Error::plain(format!("invalid override type: {t}"))),
    };
    r.map_err(|e| Error::plain(e.to_string()))
}

fn check(cx: &Cx, attach: bool, dry: DryRun) -> Result<(), Error> {
    let e = |m: &str| Err(Error::plain(m));
    if cx.p.on("tty") && !cx.p.on("stdin") {
        return e("-i/--stdin is required for containers with -t/--tty=true");
    }
    if cx.p.on("expose") && cx.p.text("port").is_empty() {
        return e("--port must be set when exposing a service");
    }
    if !cx.p.text("port").is_empty() && cx.p.int("port").is_err() {
        return e("--port must be a number");
    }
    if !attach && cx.p.on("rm") {
        return e("--rm should only be used for attached containers");
    }
    if attach && dry != DryRun::No {
        return e(
            "--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)",
        );
    }
    Ok(())
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    create::required(&cx, &["image"])?;
    let dry = DryRun::of(&cx)?;
    let Some(name) = cx.p.args.first().filter(|_| cx.p.dash != Some(0)) else {
        return Err(Error::plain("NAME is required for run"));
    };
    let attach = if cx.p.given("attach") { cx.p.on("attach") } else { cx.p.on("stdin") };
    check(&cx, attach, dry)?;
    let mut made = vec![make(&cx, pod(&cx, name, &cx.p.args[1..])?, dry).await?];
    if cx.p.on("expose") {
        let port = cx.p.int("port")?;
        let s = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": labels(&cx, name)?},
            "status": {"loadBalancer": {}}});
        made.push(make(&cx, s, dry).await?);
    }
    if !attach {
        for (i, (t, v)) in made.iter().enumerate() {
            if i > 0 && cx.p.text("output") == "yaml" {
                print::line("---");
            }
            objects::report(&cx, t, v, &format!("created{}", dry.suffix()))?;
        }
        return Ok(());
    }
    let r = session(&cx, &made[0].0, name).await;
    if cx.p.on("rm") {
        for (t, _) in &made {
            let o = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
            match cx.json(Method::DELETE, &t.path(""), "application/json", Some(&o)).await {
                Ok(_) if !cx.p.on("quiet") => {
                    let kind = t.resource.kind.to_lowercase();
                    print::line(&format!("{kind} {:?} deleted from {} namespace", t.name, t.namespace));
                }
                Err(e) if !e.is_not_found() => return Err(e),
                _ => {}
            }
        }
    }
    r
}

async fn make(cx: &Cx, v: Value, dry: DryRun) -> Result<(Target, Value), Error> {
    let t = objects::place(cx, Manifest { source: String::new(), value: v }).await?;
    let mut v = t.manifest.as_ref().map(|m| m.value.clone()).unwrap_or_default();
    if cx.p.on("save-config") {
        v = create::with_last_applied(&v);
    }
    let made = match dry {
        DryRun::Client => create::unplaced(cx, v),
        _ => create::post(cx, &t, &v, dry, "kubectl-run").await?,
    };
    Ok((t, made))
}

/// The session with the pod's container, and the result of its process.
async fn session(cx: &Cx, t: &Target, container: &str) -> Result<(), Error> {
    let o = Options {
        stdin: cx.p.on("stdin"),
        tty: cx.p.on("tty") && remote::is_terminal(),
        quiet: cx.p.on("quiet"),
        keys: cx.p.text("detach-keys"),
        history: true,
    };
    let limit = Duration::from_millis(cx.p.millis("pod-running-timeout")?.max(1).unsigned_abs());
    attach::started(cx, &t.namespace, &t.name, container, limit).await?;
    attach::when_running(cx, &t.namespace, &t.name, container, o).await?;
    let restart = cx.p.text("restart");
    if cx.p.on("leave-stdin-open") || restart == "Always" {
        return Ok(());
    }
    let ended = |v: &Value| match text(v, "/status/phase") {
        "Succeeded" => true,
        "Failed" => restart == "Never",
        _ => false,
    };
    let v = match tokio::time::timeout(limit, until(cx, t, &ended)).await {
        Ok(v) => v?,
        Err(_) => return Err(Error::plain("timed out waiting for the condition")),
    };
    let at = format!("pod {}/{}", t.namespace, t.name);
    if text(&v, "/status/phase") == "Succeeded" {
        return Ok(());
    }
    let end = &v["status"]["containerStatuses"][0]["state"]["terminated"];
    match end["exitCode"].as_i64().and_then(|c| u8::try_from(c).ok()) {
        Some(code) if code != 0 => {
            let (why, said) = (text(end, "/reason"), text(end, "/message"));
            Err(Error::Raw(format!("{at} terminated ({why})\n{said}"), code))
        }
        _ => Err(Error::plain(format!("{at} failed with unknown exit code"))),
    }
}

/// Watches an object until it is as wished.
async fn until(cx: &Cx, t: &Target, done: &dyn Fn(&Value) -> bool) -> Result<Value, Error> {
    loop {
        let mut v = cx.get(&t.path("")).await?;
        if done(&v) {
            return Ok(v);
        }
        let path = with_query(
            t.resource.collection(&t.namespace),
            &[
                ("fieldSelector", &format!("metadata.name={}", t.name)),
                ("watch", "true"),
                ("resourceVersion", text(&v, "/metadata/resourceVersion")),
            ],
        );
        let mut hit = false;
        cx.lines(&path, "application/json", |mut e| {
            if text(&e, "/type") == "DELETED" {
                return Err(Error::plain(format!("{} {:?} not found", t.resource.name, t.name)));
            }
            v = e["object"].take();
            hit = done(&v);
            Ok(!hit)
        })
        .await?;
        if hit {
            return Ok(v);
        }
    }
}
