//! `debug`: an ephemeral container in a pod, a copy of a pod with changes, or a pod on a node (kubectl `pkg/cmd/debug`).

use super::attach::{self, Options};
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, Target, text};
use crate::{change, pods, print};
use http::Method;
use schema::Node;
use serde_json::{Value, json};

super::commands! {
    "debug" "(POD | TYPE[[.VERSION].GROUP]/NAME) [ -- COMMAND [args...] ]"
        "Create debugging sessions for troubleshooting workloads and nodes\n\n  *  A pod: a container is added to it that shares its network, and with --target the processes of one of its containers.\n     It stays listed in the pod until the pod is deleted.\n  *  A pod with --copy-to: the pod is made again under another name, with another command or image, or one container more.\n  *  A node: a pod in the node's own namespaces, with the node's files at /host.\n\nWhat the container may do is --profile's choice: general, baseline, restricted, netadmin or sysadmin."
        "# A shell beside a container, seeing its processes\nkubectl debug web-0 -it --image=busybox --target=app\n\n# The pod again, its app started as a shell\nkubectl debug web-0 -it --copy-to=web-debug --container=app -- sh\n\n# The pod again with other images\nkubectl debug web-0 --copy-to=web-debug --set-image='*=busybox'\n\n# On a node\nkubectl debug node/n1 -it --image=busybox --profile=sysadmin"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    objects::FILENAME,
    flag("arguments-only", None, Form::Bool, "false", "What follows -- are arguments, not the command"),
    flag("attach", None, Form::Bool, "false", "Attach when the container runs; default with -i"),
    flag("container", Some('c'), Form::Text, "", "Name of the debugging container"),
    flag("copy-to", None, Form::Text, "", "Make a copy of the pod with this name"),
    flag("replace", None, Form::Bool, "false", "With --copy-to: delete the pod that was copied"),
    flag("env", None, Form::List, "", "Environment variables of the container: a=b"),
    flag("image", None, Form::Text, "", "Image of the debugging container"),
    flag("keep-labels", None, Form::Bool, "false", "With --copy-to: keep the labels"),
    flag("keep-annotations", None, Form::Bool, "false", "With --copy-to: keep the annotations"),
    flag("keep-liveness", None, Form::Bool, "false", "With --copy-to: keep liveness probes"),
    flag("keep-readiness", None, Form::Bool, "false", "With --copy-to: keep readiness probes"),
    flag("keep-startup", None, Form::Bool, "false", "With --copy-to: keep startup probes"),
    flag("keep-init-containers", None, Form::Bool, "true", "With --copy-to: run the init containers"),
    flag("set-image", None, Form::List, "", "With --copy-to: other images: container=image"),
    flag("image-pull-policy", None, Form::Text, "", "Always, IfNotPresent or Never"),
    flag("stdin", Some('i'), Form::Bool, "false", "Keep stdin open on the container"),
    flag("quiet", Some('q'), Form::Bool, "false", "Say only what the container says"),
    flag("same-node", None, Form::Bool, "false", "With --copy-to: on the same node"),
    flag(
        "share-processes",
        None,
        Form::Bool,
        "true",
        "With --copy-to: containers see each other's processes",
    ),
    flag("target", None, Form::Text, "", "See the processes of this container"),
    flag("tty", Some('t'), Form::Bool, "false", "Allocate a TTY for the container"),
    flag("profile", None, Form::Text, "general", "general, baseline, restricted, netadmin or sysadmin"),
    flag(
        "custom",
        None,
        Form::Text,
        "",
        "A file with part of a container's specification to lay over the profile",
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Ephemeral,
    Copy,
    Node,
}

fn check(cx: &Cx, args: &[String]) -> Result<(), Error> {
    let t = |f: &str| cx.p.text(f);
    let e = |m: &str| Err(Error::plain(m));
    if cx.p.on("attach") && t("image").is_empty() && t("container").is_empty() {
        return e("you must specify --container or create a new container using --image in order to attach.");
    }
    if t("copy-to").is_empty() {
        if cx.p.on("replace") {
            return e("--replace may only be used with --copy-to.");
        }
        if cx.p.on("same-node") {
            return e("--same-node may only be used with --copy-to.");
        }
        if cx.p.given("set-image") {
            return e("--set-image may only be used with --copy-to.");
        }
        if t("image").is_empty() {
            return e("you must specify --image when not using --copy-to.");
        }
    } else {
        if t("image").is_empty() && !cx.p.given("set-image") && args.is_empty() {
            return e("you must specify --image, --set-image or command arguments.");
        }
        if !args.is_empty() && t("container").is_empty() && t("image").is_empty() {
            return e("you must specify an existing container or a new image when specifying args.");
        }
        if !t("target").is_empty() {
            return e("--target is incompatible with --copy-to. Use --share-processes instead.");
        }
    }
    if !matches!(t("image-pull-policy"), "" | "Always" | "IfNotPresent" | "Never") {
        return Err(Error::plain(format!("invalid image pull policy: {}", t("image-pull-policy"))));
    }
    if cx.p.on("tty") && !cx.p.on("stdin") {
        return e("-i/--stdin is required for containers with -t/--tty=true");
    }
    if !matches!(t("profile"), "general" | "baseline" | "restricted" | "netadmin" | "sysadmin" | "legacy") {
        return Err(Error::plain(format!("unknown profile: {}", t("profile"))));
    }
    if t("profile") == "legacy" {
        eprintln!(
            "Warning: --profile=legacy is deprecated and will be removed in the future. It is recommended to explicitly specify a profile, for example \"--profile=general\"."
        );
    }
    Ok(())
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let n = cx.p.dash.unwrap_or(cx.p.args.len());
    let (names, args) = (cx.p.args[..n].to_vec(), cx.p.args[n..].to_vec());
    check(&cx, &args)?;
    let mut targets = Vec::new();
    if cx.p.given("filename") {
        targets = objects::targets(&cx, &[], false).await?;
    } else if names.is_empty() {
        return Err(Error::plain("NAME or filename is required for debug"));
    }
    for w in &names {
        let one = if w.contains('/') { vec![w.clone()] } else { vec!["pods".into(), w.clone()] };
        targets.extend(objects::targets(&cx, &one, false).await?);
    }
    if !cx.p.text("target").is_empty() && !cx.p.on("quiet") {
        print::line(&format!(
            "Targeting container {:?}. If you don't see processes from this container it may be because the container runtime doesn't support this feature.",
            cx.p.text("target")
        ));
    }
    let custom = match cx.p.text("custom") {
        "" => None,
        f => Some(profile_file(f)?),
    };
    let d = Debug { cx: &cx, args, custom };
    for t in targets {
        let v = cx.get(&t.path("")).await?;
        let (pod, container) = match t.resource.kind.as_str() {
            "Node" => d.node(&v).await?,
            "Pod" if cx.p.text("copy-to").is_empty() => d.ephemeral(&t, &v).await?,
            "Pod" => d.copy(&t, &v).await?,
            _ => {
                return Err(Error::plain(format!(
                    "\"{}/{}, Kind={}\" not supported by debug",
                    t.resource.group, t.resource.version, t.resource.kind
                )));
            }
        };
        let attach = if cx.p.given("attach") { cx.p.on("attach") } else { cx.p.on("stdin") };
        if attach && !container.is_empty() {
            let (ns, name) = (text(&pod, "/metadata/namespace"), text(&pod, "/metadata/name"));
            let o = Options {
                stdin: cx.p.on("stdin"),
                tty: cx.p.on("tty"),
                quiet: cx.p.on("quiet"),
                keys: "ctrl-p,ctrl-q",
                history: false,
            };
            attach::when_running(&cx, ns, name, &container, o).await?;
        }
    }
    Ok(())
}

fn profile_file(f: &str) -> Result<Value, Error> {
    let b = std::fs::read(f)
        .map_err(|e| Error::plain(format!("must pass a container spec json file for custom profile: {e}")))?;
    let v = schema::yaml::parse(&b)
        .map_err(|e| Error::plain(format!("{f} does not contain a valid container spec: {e}")))?;
    if ["name", "command", "image", "lifecycle", "volumeDevices"].iter().any(|k| !v[*k].is_null()) {
        return Err(Error::plain(
            "name, command, image, lifecycle and volume devices are not modifiable via custom profile",
        ));
    }
    Ok(v)
}

struct Debug<'c> {
    cx: &'c Cx,
    args: Vec<String>,
    custom: Option<Value>,
}

impl Debug<'_> {
    fn text(&self, f: &str) -> &str {
        self.cx.p.text(f)
    }
    fn suffix(&self) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut n =
            self.cx.rt.clock.unix_nanos().unsigned_abs() ^ u64::from(std::process::id()).rotate_left(40);
        (0..5)
            .map(|_| {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(LETTERS[(n >> 33) as usize % LETTERS.len()])
            })
            .collect()
    }
    fn name(&self, pod: &Value) -> String {
        if !self.text("container").is_empty() {
            return self.text("container").to_owned();
        }
        let name = loop {
            let n = format!("debugger-{}", self.suffix());
            if pods::find(pod, &n).is_none() {
                break n;
            }
        };
        if !self.cx.p.on("quiet") {
            print::line(&format!("Defaulting debug container name to {name}."));
        }
        name
    }
    fn env(&self) -> Vec<Value> {
        let mut all: Vec<(String, String)> = self
            .cx
            .p
            .list("env")
            .iter()
            .map(|e| e.split_once('=').map_or((e.clone(), String::new()), |(k, v)| (k.into(), v.into())))
            .collect();
        all.sort();
        all.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect()
    }
    fn command(&self, c: &mut Value) {
        if !self.args.is_empty() {
            c[if self.cx.p.on("arguments-only") { "args" } else { "command" }] = json!(self.args);
        }
    }
    fn container(&self, name: &str) -> Value {
        let mut c = json!({"name": name, "image": self.text("image"), "terminationMessagePolicy": "File"});
        if !self.env().is_empty() {
            c["env"] = Value::Array(self.env());
        }
        if !self.text("image-pull-policy").is_empty() {
            c["imagePullPolicy"] = self.text("image-pull-policy").into();
        }
        for f in ["stdin", "tty"] {
            if self.cx.p.on(f) {
                c[f] = true.into();
            }
        }
        self.command(&mut c);
        c
    }

    /// The profile, and what a file lays over it, on a container of a pod.
    fn profile(&self, pod: &mut Value, name: &str, style: Style) -> Result<(), Error> {
        apply(pod, name, style, self.text("profile"), &|keep| self.cx.p.on(keep));
        if let Some(custom) = &self.custom
            && let Some(c) = find_mut(pod, name)
        {
            let ty = schema::facts::type_named("io.k8s.api.core.v1.Container");
            let merged = match ty {
                Some(ty) => patch::strategic_merge(c, custom, Node::Type(ty)),
                None => patch::merge_patch(c, custom),
            };
            *c = merged.map_err(|e| Error::plain(format!("the custom profile: {e}")))?;
        }
        if let Some((_, c)) = pods::find(pod, name) {
            warn(pod, c);
        }
        Ok(())
    }

    async fn ephemeral(&self, t: &Target, pod: &Value) -> Result<(Value, String), Error> {
        let name = self.name(pod);
        let mut c = self.container(&name);
        if !self.text("target").is_empty() {
            c["targetContainerName"] = self.text("target").into();
        }
        let mut new = pod.clone();
        if new["spec"]["ephemeralContainers"].is_null() {
            new["spec"]["ephemeralContainers"] = json!([]);
        }
        if let Some(l) = new["spec"]["ephemeralContainers"].as_array_mut() {
            l.push(c);
        }
        self.profile(&mut new, &name, Style::Ephemeral)?;
        let (kind, p) = change::patch(&t.resource, pod, &new)?;
        let r = self.cx.json(Method::PATCH, &t.path("ephemeralcontainers"), kind, Some(&p)).await;
        Ok((r?, name))
    }

    async fn node(&self, node: &Value) -> Result<(Value, String), Error> {
        let container = match self.text("container") {
            "" => "debugger",
            c => c,
        };
        let of = text(node, "/metadata/name");
        let name = format!("node-debugger-{of}-{}", self.suffix());
        if !self.cx.p.on("quiet") {
            print::line(&format!("Creating debugging pod {name} with container {container} on node {of}."));
        }
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "kubectl-debug"}},
            "spec": {"containers": [self.container(container)], "nodeName": of, "restartPolicy": "Never",
                "tolerations": [{"operator": "Exists"}]}});
        self.profile(&mut pod, container, Style::Node)?;
        let path = self.cx.discovery().await?.find("pods")?.collection(&self.cx.namespace()?);
        let made = self.cx.json(Method::POST, &path, "application/json", Some(&pod)).await?;
        Ok((made, container.to_owned()))
    }

    async fn copy(&self, t: &Target, pod: &Value) -> Result<(Value, String), Error> {
        let mut new = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.text("copy-to"),
            "namespace": t.namespace, "labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"]},
            "spec": pod["spec"]});
        if let Some(s) = new["spec"].as_object_mut() {
            s.remove("ephemeralContainers");
            if !self.cx.p.on("same-node") {
                s.remove("nodeName");
            }
        }
        if self.cx.p.given("share-processes") {
            new["spec"]["shareProcessNamespace"] = self.cx.p.on("share-processes").into();
        }
        let images = self.cx.p.list("set-image");
        let images: Vec<(&str, &str)> = images.iter().filter_map(|i| i.split_once('=')).collect();
        for c in new["spec"]["containers"].as_array_mut().into_iter().flatten() {
            let own = images.iter().find(|(n, _)| *n == text(c, "/name"));
            if let Some((_, i)) = own.or_else(|| images.iter().find(|(n, _)| *n == "*")) {
                c["image"] = (*i).into();
            }
        }
        let wish = self.text("container");
        let known = !wish.is_empty() && pods::find(&new, wish).is_some();
        let mut name = wish.to_owned();
        if !known && self.text("image").is_empty() {
            if images.is_empty() {
                return Err(Error::plain("you must specify image when creating new container"));
            }
            // Only other images: nothing to attach to, and no profile.
            return Ok((self.send(t, &new).await?, String::new()));
        }
        if !known {
            name = self.name(&new);
            if let Some(l) = new["spec"]["containers"].as_array_mut() {
                l.push(json!({"name": name, "terminationMessagePolicy": "File"}));
            }
        }
        if let Some(c) = find_mut(&mut new, &name) {
            if !self.args.is_empty() {
                if !self.cx.p.on("arguments-only")
                    && let Some(o) = c.as_object_mut()
                {
                    o.remove("args");
                }
                self.command(c);
            }
            if !self.env().is_empty() {
                c["env"] = Value::Array(self.env());
            }
            for (f, k) in [("image", "image"), ("image-pull-policy", "imagePullPolicy")] {
                if !self.text(f).is_empty() {
                    c[k] = self.text(f).into();
                }
            }
            for f in ["stdin", "tty"] {
                c[f] = self.cx.p.on(f).into();
            }
        }
        self.profile(&mut new, &name, Style::Copy)?;
        Ok((self.send(t, &new).await?, name))
    }

    async fn send(&self, t: &Target, pod: &Value) -> Result<Value, Error> {
        let path = t.resource.collection(&t.namespace);
        let made = self.cx.json(Method::POST, &path, "application/json", Some(pod)).await?;
        if self.cx.p.on("replace") {
            let o = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
            self.cx.json(Method::DELETE, &t.path(""), "application/json", Some(&o)).await?;
        }
        Ok(made)
    }
}

fn find_mut<'p>(pod: &'p mut Value, name: &str) -> Option<&'p mut Value> {
    let (list, _) = pods::find(pod, name)?;
    pod["spec"][list].as_array_mut()?.iter_mut().find(|c| text(c, "/name") == name)
}

/// Some of what a profile grants is lost on a user that is not root.
fn warn(pod: &Value, c: &Value) {
    let user = |v: &Value| v["securityContext"]["runAsUser"].as_i64();
    let s = &c["securityContext"];
    let grants =
        s["privileged"] == true || s["capabilities"]["add"].as_array().is_some_and(|a| !a.is_empty());
    if user(&pod["spec"]).is_some_and(|u| u != 0) && grants && user(c) != Some(0) {
        eprintln!(
            "Warning: Non-root user is configured for the entire target Pod, and some capabilities granted by debug profile may not work. Please consider using \"--custom\" with a custom profile that specifies \"securityContext.runAsUser: 0\"."
        );
    }
}

/// What a profile does to a pod and to the container in it (kubectl `profiles.go`).
fn apply(pod: &mut Value, name: &str, style: Style, profile: &str, keep: &dyn Fn(&str) -> bool) {
    if style == Style::Copy {
        let legacy = profile == "legacy";
        let m = &mut pod["metadata"];
        if let Some(m) = m.as_object_mut() {
            if legacy || !keep("keep-labels") {
                m.remove("labels");
            }
            if !legacy && !keep("keep-annotations") {
                m.remove("annotations");
            }
        }
        if legacy {
            return;
        }
        let probes = [
            ("keep-liveness", "livenessProbe"),
            ("keep-readiness", "readinessProbe"),
            ("keep-startup", "startupProbe"),
        ];
        for c in
            pod["spec"]["containers"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut)
        {
            for (flag, field) in probes {
                if !keep(flag) {
                    c.remove(field);
                }
            }
        }
        if let Some(s) = pod["spec"].as_object_mut() {
            if !keep("keep-init-containers") {
                s.remove("initContainers");
            }
            s.entry("shareProcessNamespace").or_insert(true.into());
        }
    }
    if style == Style::Node && matches!(profile, "general" | "netadmin" | "sysadmin" | "legacy") {
        for f in ["hostNetwork", "hostPID", "hostIPC"] {
            pod["spec"][f] = true.into();
        }
    }
    let root = style == Style::Node && matches!(profile, "general" | "sysadmin" | "legacy");
    if root {
        pod["spec"]["volumes"] = json!([{"name": "host-root", "hostPath": {"path": "/"}}]);
    }
    let Some(c) = find_mut(pod, name) else { return };
    if root {
        c["volumeMounts"] = json!([{"mountPath": "/host", "name": "host-root"}]);
    }
    let clear =
        matches!(profile, "baseline" | "restricted") || (profile == "general" && style == Style::Node);
    if clear && let Some(o) = c.as_object_mut() {
        o.remove("securityContext");
    }
    let mut add = |all: &[&str]| {
        let list = &mut c["securityContext"]["capabilities"]["add"];
        if list.is_null() {
            *list = json!([]);
        }
        if let Some(l) = list.as_array_mut() {
            l.extend(all.iter().map(|a| Value::from(*a)));
        }
    };
    match profile {
        "general" if style != Style::Node => add(&["SYS_PTRACE"]),
        "netadmin" => add(&["NET_ADMIN", "NET_RAW"]),
        "sysadmin" => c["securityContext"]["privileged"] = true.into(),
        "restricted" => {
            c["securityContext"] = json!({"runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
                "allowPrivilegeEscalation": false, "seccompProfile": {"type": "RuntimeDefault"}});
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles() {
        let pod = || {
            json!({"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}}, "spec": {
            "containers": [{"name": "a", "livenessProbe": {}, "securityContext": {"runAsUser": 1}}],
            "initContainers": [{"name": "i"}]}})
        };
        let with = |style, profile: &str| {
            let mut p = pod();
            apply(&mut p, "a", style, profile, &|k| k == "keep-init-containers");
            p
        };
        let p = with(Style::Copy, "general");
        assert!(p["metadata"]["labels"].is_null() && p["spec"]["initContainers"].is_array());
        assert!(p["spec"]["containers"][0]["livenessProbe"].is_null());
        assert_eq!(
            p["spec"]["containers"][0]["securityContext"],
            json!({"runAsUser": 1, "capabilities": {"add": ["SYS_PTRACE"]}})
        );
        let p = with(Style::Node, "sysadmin");
        assert_eq!(
            (&p["spec"]["hostPID"], &p["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]),
            (&json!(true), &json!("/host"))
        );
        let p = with(Style::Ephemeral, "restricted");
        assert_eq!(p["spec"]["containers"][0]["securityContext"]["runAsNonRoot"], true);
        assert!(p["metadata"]["labels"].is_object() && p["spec"]["hostPID"].is_null());
        assert!(with(Style::Ephemeral, "baseline")["spec"]["containers"][0]["securityContext"].is_null());
    }
}
