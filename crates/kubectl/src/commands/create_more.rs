//! More makers: tokens, roles and bindings, services, jobs.

use super::create::{SAVE, VALIDATE, make, name, required};
use super::expose::port;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, text};
use crate::print;
use http::Method;
use serde_json::{Value, json};

super::commands! {
    "create token" "SERVICE_ACCOUNT_NAME"
        "Request a service account token"
        "kubectl create token robot --duration=10m"
        TOKEN, token;
    "create role" "NAME --verb=verb --resource=resource.group/subresource"
        "Create a role with single rule"
        "kubectl create role r --verb=get,list --resource=pods"
        ROLE, role;
    "create clusterrole" "NAME --verb=verb --resource=resource.group"
        "Create a cluster role"
        "kubectl create clusterrole r --verb=get --resource=nodes"
        CLUSTERROLE, clusterrole;
    "create rolebinding" "NAME --clusterrole=NAME|--role=NAME [--user=u] [--group=g] [--serviceaccount=ns:name]"
        "Create a role binding for a particular role or cluster role"
        "kubectl create rolebinding b --role=r --user=ann"
        BINDING, rolebinding;
    "create clusterrolebinding" "NAME --clusterrole=NAME [--user=u] [--group=g] [--serviceaccount=ns:name]"
        "Create a cluster role binding for a particular cluster role"
        "kubectl create clusterrolebinding b --clusterrole=view --group=dev"
        CLUSTERBINDING, clusterrolebinding;
    "create service clusterip" "NAME [--tcp=port:targetPort]"
        "Create a ClusterIP service"
        "kubectl create service clusterip s --tcp=80:8080"
        CLUSTERIP, clusterip;
    "create service nodeport" "NAME [--tcp=port:targetPort]"
        "Create a NodePort service"
        "kubectl create service nodeport s --tcp=80:8080"
        NODEPORT, nodeport;
    "create service loadbalancer" "NAME [--tcp=port:targetPort]"
        "Create a LoadBalancer service"
        "kubectl create service loadbalancer s --tcp=80:8080"
        LOADBALANCER, loadbalancer;
    "create service externalname" "NAME --external-name external.name"
        "Create an ExternalName service"
        "kubectl create service externalname s --external-name=db.example.com"
        EXTERNALNAME, externalname;
    "create job" "NAME (--image=image | --from=cronjob/name) -- [COMMAND] [args...]"
        "Create a job with the specified name"
        "kubectl create job j --image=busybox -- date"
        JOB, job;
}

macro_rules! with {
    ($name:ident: $($f:expr),* $(,)?) => {
        pub const $name: &[Flag] =
            &[objects::OUTPUT, objects::DRY_RUN, objects::MANAGED, objects::FIELD_MANAGER, VALIDATE, SAVE, $($f),*];
    };
}

const VERB: Flag = flag("verb", None, Form::List, "", "Verbs that apply to the resources in the rule");
const RESOURCE: Flag = flag(
    "resource",
    None,
    Form::List,
    "",
    "Resources that the rule applies to: pods, pods/log, deployments.apps",
);
const NAMES: Flag = flag("resource-name", None, Form::Each, "", "A name that the rule is limited to");
const CLUSTER_ROLE: Flag = flag("clusterrole", None, Form::Text, "", "The ClusterRole to refer to");
const USER: Flag = flag("user", None, Form::List, "", "Usernames to bind to the role");
const GROUP: Flag = flag("group", None, Form::List, "", "Groups to bind to the role");
const ACCOUNT: Flag =
    flag("serviceaccount", None, Form::List, "", "Service accounts to bind to the role: namespace:name");
const TCP: Flag = flag("tcp", None, Form::List, "", "Port pairs: port or port:targetPort");

with!(ROLE: VERB, RESOURCE, NAMES);
with!(CLUSTERROLE: VERB, RESOURCE, NAMES, flag("non-resource-url", None, Form::List, "", "Partial URLs that the rule grants"),
    flag("aggregation-rule", None, Form::Text, "", "Labels of the roles whose rules this one gathers: a=b,c=d"));
with!(BINDING: CLUSTER_ROLE, flag("role", None, Form::Text, "", "The Role to refer to"), USER, GROUP, ACCOUNT);
with!(CLUSTERBINDING: CLUSTER_ROLE, USER, GROUP, ACCOUNT);
with!(CLUSTERIP: TCP, flag("clusterip", None, Form::Text, "", "The service's address; None: a headless service"));
with!(NODEPORT: TCP, flag("node-port", None, Form::Text, "0", "The port of each node; 0: any"));
with!(LOADBALANCER: TCP);
with!(EXTERNALNAME: TCP, flag("external-name", None, Form::Text, "", "The external name of the service"));
with!(JOB: flag("image", None, Form::Text, "", "The image to run"), flag("from", None, Form::Text, "", "The CronJob to make a Job of: cronjob/name"));

pub const TOKEN: &[Flag] = &[
    flag("audience", None, Form::Each, "", "An audience of the token; default: the API server's"),
    flag(
        "bound-object-kind",
        None,
        Form::Text,
        "",
        "Bind the token to an object of this kind: Pod, Secret or Node",
    ),
    flag("bound-object-name", None, Form::Text, "", "The name of that object"),
    flag("bound-object-uid", None, Form::Text, "", "Its uid; default: the object's that has the name now"),
    flag("duration", None, Form::Text, "0s", "How long the token is valid; default: the server's choice"),
];

pub async fn token(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let mut spec = json!({"audiences": cx.p.each("audience")});
    let ms = cx.p.millis("duration")?;
    if ms > 0 {
        spec["expirationSeconds"] = (ms / 1000).into();
    } else if ms < 0 {
        return Err(Error::plain("--duration must be greater than or equal to 0"));
    }
    let (kind, bound, uid) =
        (cx.p.text("bound-object-kind"), cx.p.text("bound-object-name"), cx.p.text("bound-object-uid"));
    match (kind, bound) {
        ("", "") if uid.is_empty() => {}
        ("", "") => {
            return Err(Error::plain(
                "--bound-object-uid can only be set if --bound-object-kind is provided",
            ));
        }
        ("", _) => {
            return Err(Error::plain(
                "--bound-object-name can only be set if --bound-object-kind is provided",
            ));
        }
        ("Pod" | "Secret" | "Node", "") => {
            return Err(Error::plain("--bound-object-name is required if --bound-object-kind is provided"));
        }
        ("Pod" | "Secret" | "Node", _) => {
            spec["boundObjectRef"] = json!({"kind": kind, "apiVersion": "v1", "name": bound});
            if !uid.is_empty() {
                spec["boundObjectRef"]["uid"] = uid.into();
            }
        }
        _ => {
            return Err(Error::plain("supported --bound-object-kind values are Node, Pod, Secret"));
        }
    }
    let v = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = client::url::object("", "v1", "serviceaccounts", Some(&cx.namespace()?), n, "token");
    let r = cx.json(Method::POST, &path, "application/json", Some(&v)).await.map_err(|e| match e {
        Error::Status(s) => Error::plain(format!("failed to create token: {}", s.message)),
        e => e,
    })?;
    match text(&r, "/status/token") {
        "" => Err(Error::plain("failed to create token: no token in server response")),
        t => {
            print::out(t);
            Ok(())
        }
    }
}

/// Verbs that rules of resources usually have.
pub const VERBS: &[&str] = &[
    "*",
    "approve",
    "attest",
    "bind",
    "create",
    "delete",
    "deletecollection",
    "escalate",
    "get",
    "impersonate",
    "list",
    "patch",
    "proxy",
    "sign",
    "update",
    "use",
    "watch",
];

fn verbs(cx: &Cx) -> Result<Vec<String>, Error> {
    let mut out: Vec<String> = Vec::new();
    for v in cx.p.list("verb") {
        if !out.contains(&v) {
            out.push(v);
        }
    }
    if out.is_empty() {
        return Err(Error::plain("at least one verb must be specified"));
    }
    Ok(if out.iter().any(|v| v == "*") { vec!["*".into()] } else { out })
}

/// A rule for the resources of each group.
async fn rules(cx: &Cx) -> Result<Vec<Value>, Error> {
    let (verbs, all, names) = (verbs(cx)?, cx.p.list("resource"), cx.p.each("resource-name"));
    if all.is_empty() {
        return Err(Error::plain("at least one resource must be specified"));
    }
    for v in verbs.iter().filter(|v| !VERBS.contains(&v.as_str())) {
        eprintln!("Warning: '{v}' is not a standard resource verb");
    }
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for r in all {
        let (what, sub) = r.split_once('/').map_or((r.as_str(), ""), |(w, s)| (w, s));
        let (group, resource) = if what == "*" {
            (String::new(), "*".to_owned())
        } else {
            // Upstream's message has no prefix here.
            let found = cx.discovery().await?.find(what).map_err(|e| Error::Raw(e.bare(), 1))?;
            (found.group.clone(), found.name.clone())
        };
        let resource = if sub.is_empty() { resource } else { format!("{resource}/{sub}") };
        match groups.iter_mut().find(|(g, _)| *g == group) {
            Some((_, l)) if l.contains(&resource) => {}
            Some((_, l)) => l.push(resource),
            None => groups.push((group, vec![resource])),
        }
    }
    let one = |(g, l): (String, Vec<String>)| {
        let mut r = json!({"apiGroups": [g], "resources": l, "verbs": verbs});
        if !names.is_empty() {
            r["resourceNames"] = json!(names);
        }
        r
    };
    Ok(groups.into_iter().map(one).collect())
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

pub async fn role(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let rules = rules(&cx).await?;
    make(&cx, json!({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": n}, "rules": rules})).await
}
pub async fn clusterrole(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let aggregation = cx.p.text("aggregation-rule");
    if !aggregation.is_empty() {
        if ["verb", "resource", "resource-name", "non-resource-url"].iter().any(|f| cx.p.given(f)) {
            return Err(Error::plain(
                "aggregation rule must be specified without nonResourceURLs, resources, resourceNames or verbs",
            ));
        }
        let labels = super::expose::pairs(aggregation)?;
        let v = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": n},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": labels}]}, "rules": null});
        return make(&cx, v).await;
    }
    let urls = cx.p.list("non-resource-url");
    if urls.iter().any(|u| u != "*" && !u.starts_with('/')) {
        return Err(Error::plain("nonResourceURL should start with /"));
    }
    if urls.iter().any(|u| u.trim_end_matches('*').contains('*')) {
        return Err(Error::plain("nonResourceURL only supports wildcard matches when '*' is at the end"));
    }
    let mut all = if urls.is_empty() || cx.p.given("resource") { rules(&cx).await? } else { Vec::new() };
    if !urls.is_empty() {
        all.push(json!({"nonResourceURLs": urls, "verbs": verbs(&cx)?}));
    }
    make(&cx, json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": n}, "rules": all})).await
}

fn subjects(cx: &Cx) -> Result<Vec<Value>, Error> {
    let mut out = Vec::new();
    for (flag, kind) in [("user", "User"), ("group", "Group")] {
        for n in cx.p.list(flag) {
            out.push(json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": n}));
        }
    }
    for a in cx.p.list("serviceaccount") {
        match a.split_once(':') {
            Some((ns, n)) if !ns.is_empty() && !n.is_empty() && !n.contains(':') => {
                out.push(json!({"kind": "ServiceAccount", "name": n, "namespace": ns}));
            }
            _ => return Err(Error::plain("serviceaccount must be <namespace>:<name>")),
        }
    }
    Ok(out)
}

pub async fn rolebinding(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let (kind, role) = match (cx.p.text("clusterrole"), cx.p.text("role")) {
        ("", r) if !r.is_empty() => ("Role", r),
        (c, "") if !c.is_empty() => ("ClusterRole", c),
        _ => return Err(Error::plain("exactly one of clusterrole or role must be specified")),
    };
    let mut v = json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": n},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}});
    let subjects = subjects(&cx)?;
    if !subjects.is_empty() {
        v["subjects"] = Value::Array(subjects);
    }
    make(&cx, v).await
}
pub async fn clusterrolebinding(cx: Cx) -> Result<(), Error> {
    required(&cx, &["clusterrole"])?;
    let n = name(&cx)?;
    let mut v = json!({"apiVersion": RBAC, "kind": "ClusterRoleBinding", "metadata": {"name": n},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cx.p.text("clusterrole")}});
    let subjects = subjects(&cx)?;
    if !subjects.is_empty() {
        v["subjects"] = Value::Array(subjects);
    }
    make(&cx, v).await
}

async fn service(
    cx: &Cx,
    kind: &str,
    set: impl FnOnce(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let n = name(cx)?;
    let mut ports = Vec::new();
    for p in cx.p.list("tcp") {
        let (a, b) = p.split_once(':').unwrap_or((&p, &p));
        let a: u16 = a.parse().map_err(|_| Error::plain(format!("invalid port: {p}")))?;
        ports.push(json!({"name": p.replace(':', "-"), "port": a, "protocol": "TCP", "targetPort": port(b)}));
    }
    let free = kind == "ExternalName" || cx.p.text("clusterip") == "None";
    if ports.is_empty() && !free {
        return Err(Error::plain("at least one tcp port specifier must be provided"));
    }
    let mut v = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": n, "labels": {"app": n}},
        "spec": {"selector": {"app": n}, "type": kind}, "status": {"loadBalancer": {}}});
    if !ports.is_empty() {
        v["spec"]["ports"] = Value::Array(ports);
    }
    set(&mut v)?;
    make(cx, v).await
}

pub async fn clusterip(cx: Cx) -> Result<(), Error> {
    service(&cx, "ClusterIP", |v| {
        if !cx.p.text("clusterip").is_empty() {
            v["spec"]["clusterIP"] = cx.p.text("clusterip").into();
        }
        Ok(())
    })
    .await
}
pub async fn nodeport(cx: Cx) -> Result<(), Error> {
    let n = cx.p.int("node-port")?;
    service(&cx, "NodePort", |v| {
        for p in v["spec"]["ports"].as_array_mut().into_iter().flatten().filter(|_| n != 0) {
            p["nodePort"] = n.into();
        }
        Ok(())
    })
    .await
}
pub async fn loadbalancer(cx: Cx) -> Result<(), Error> {
    service(&cx, "LoadBalancer", |_| Ok(())).await
}
pub async fn externalname(cx: Cx) -> Result<(), Error> {
    required(&cx, &["external-name"])?;
    service(&cx, "ExternalName", |v| {
        v["spec"]["externalName"] = cx.p.text("external-name").into();
        Ok(())
    })
    .await
}

pub async fn job(cx: Cx) -> Result<(), Error> {
    let n = name(&cx)?;
    let command = cx.p.dash.map(|d| cx.p.args[d..].to_vec()).unwrap_or_default();
    let v = match (cx.p.text("image"), cx.p.text("from")) {
        ("", "") => return Err(Error::plain("either --image or --from must be specified")),
        (image, "") => {
            let mut c = json!({"name": n, "image": image, "resources": {}});
            if !command.is_empty() {
                c["command"] = json!(command);
            }
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": n},
                "spec": {"template": {"metadata": {}, "spec": {"containers": [c], "restartPolicy": "Never"}}}, "status": {}})
        }
        ("", from) => {
            if !command.is_empty() {
                return Err(Error::plain("cannot specify --from and command"));
            }
            let Some((kind, _)) = from.split_once('/') else {
                return Err(Error::plain("from must be an existing cronjob: cronjob/NAME"));
            };
            let kind = cx.discovery().await?.find(kind)?.kind.clone();
            if kind != "CronJob" {
                return Err(Error::plain(format!("unknown object type *v1.{kind}")));
            }
            let cron = from.split_once('/').filter(|(k, _)| {
                matches!(*k, "cronjob" | "cronjobs" | "cj" | "cronjob.batch" | "cronjobs.batch")
            });
            let Some((_, cron)) = cron else {
                return Err(Error::plain("from must be an existing cronjob: cronjob/NAME"));
            };
            let ns = cx.namespace()?;
            let c = cx.get(&client::url::object("batch", "v1", "cronjobs", Some(&ns), cron, "")).await?;
            let template = &c["spec"]["jobTemplate"];
            let mut v = json!({"apiVersion": "batch/v1", "kind": "Job",
                "metadata": {"name": n, "annotations": {}, "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob",
                    "name": cron, "uid": c["metadata"]["uid"], "controller": true}]},
                "spec": template["spec"], "status": {}});
            for (k, x) in objects::labels(template, "/metadata/annotations") {
                v["metadata"]["annotations"][k] = x.into();
            }
            v["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] = "manual".into();
            if template["metadata"]["labels"].is_object() {
                v["metadata"]["labels"] = template["metadata"]["labels"].clone();
            }
            v
        }
        _ => return Err(Error::plain("either --image or --from must be specified, not both")),
    };
    make(&cx, v).await
}
