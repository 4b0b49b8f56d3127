//! `describe`: an object in words, with what belongs to it. Kinds that people look at have a form of their own, as in
//! upstream's `pkg/describe`; every other kind, custom ones among them, has the generic one.

mod cluster;
mod generic;
mod hpa;
mod network;
mod out;
mod pod;
mod rbac;
mod storage;
mod volumes;
mod workload;

use super::events;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag, join};
use crate::objects::{self, Target, text};
use crate::print;
use client::url::{collection, with_query};
use futures::future::LocalBoxFuture;
use out::{Out, l};
use serde_json::Value;

super::commands! {
    "describe" "(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)"
        "Show details of a specific resource or group of resources\n\nShows an object with what belongs to it: a pod's containers and their state, a service's endpoints, a node's pods, and\nthe events of each. Where no object has the name, those whose names begin with it are shown.\n\nUse \"kubectl api-resources\" for a complete list of supported resources."
        "# One object\nkubectl describe node n1\nkubectl describe pods/web-0\n\n# All with a label; all whose name begins with web\nkubectl describe pods -l app=web\nkubectl describe pods web\n\n# Those of a file\nkubectl describe -f app.yaml"
        FLAGS, run;
}

const FLAGS: &[Flag] = join!(
    objects::FILES,
    &[
        objects::SELECTOR,
        objects::ALL_NAMESPACES,
        flag(
            "show-events",
            None,
            Form::Bool,
            "true",
            "Display the objects' events; default: of a single one only",
        ),
        flag("chunk-size", None, Form::Text, "500", "Return large lists in chunks; 0: all at once")
    ]
);

/// What a description is made of.
pub struct Of<'a> {
    cx: &'a Cx,
    t: &'a Target,
    v: &'a Value,
    events: bool,
}

type Describe = for<'a> fn(&'a Of<'a>, &'a mut Out) -> LocalBoxFuture<'a, Result<(), Error>>;

macro_rules! kinds {
    ($($group:literal $kind:literal $f:path;)*) => {
        /// The kinds with a form of their own.
        const KINDS: &[(&str, &str, Describe)] = &[$(($group, $kind, |of, o| Box::pin($f(of, o)))),*];
    };
}

kinds! {
    "" "Pod" pod::describe;
    "" "ReplicationController" workload::replicas;
    "" "Secret" cluster::secret;
    "" "ConfigMap" cluster::configmap;
    "" "Service" network::service;
    "" "ServiceAccount" cluster::serviceaccount;
    "" "Node" cluster::node;
    "" "LimitRange" cluster::limitrange;
    "" "ResourceQuota" cluster::quota;
    "" "Namespace" cluster::namespace;
    "" "Endpoints" network::endpoints;
    "" "PersistentVolume" storage::volume;
    "" "PersistentVolumeClaim" storage::claim;
    "apps" "Deployment" workload::deployment;
    "apps" "ReplicaSet" workload::replicas;
    "apps" "StatefulSet" workload::statefulset;
    "apps" "DaemonSet" workload::daemonset;
    "batch" "Job" workload::job;
    "batch" "CronJob" workload::cronjob;
    "discovery.k8s.io" "EndpointSlice" network::endpointslice;
    "autoscaling" "HorizontalPodAutoscaler" hpa::describe;
    "networking.k8s.io" "Ingress" network::ingress;
    "networking.k8s.io" "IngressClass" network::ingressclass;
    "networking.k8s.io" "NetworkPolicy" network::policy;
    "networking.k8s.io" "ServiceCIDR" network::servicecidr;
    "networking.k8s.io" "IPAddress" network::ipaddress;
    "certificates.k8s.io" "CertificateSigningRequest" rbac::csr;
    "storage.k8s.io" "StorageClass" storage::class;
    "storage.k8s.io" "VolumeAttributesClass" storage::attributes;
    "storage.k8s.io" "CSINode" storage::csinode;
    "policy" "PodDisruptionBudget" workload::budget;
    "rbac.authorization.k8s.io" "Role" rbac::role;
    "rbac.authorization.k8s.io" "ClusterRole" rbac::role;
    "rbac.authorization.k8s.io" "RoleBinding" rbac::binding;
    "rbac.authorization.k8s.io" "ClusterRoleBinding" rbac::binding;
    "scheduling.k8s.io" "PriorityClass" cluster::priority;
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.args.is_empty() && !cx.p.given("filename") && !cx.p.given("kustomize") {
        return Err(Error::plain(
            "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources.\n",
        ));
    }
    let targets = objects::targets(&cx, &cx.p.args, true).await?;
    let (mut found, mut errors) = objects::fetch(&cx, &targets).await;
    // A name that nobody has may be the beginning of some.
    let mut begun = false;
    if let [t] = targets.as_slice()
        && cx.p.args.len() == 2
        && !t.name.is_empty()
        && errors.first().is_some_and(Error::is_not_found)
    {
        found = beginning(&cx, t).await;
        begun = !found.is_empty();
        if begun {
            errors.clear();
        }
    }
    let alone = found.len() <= 1 && errors.is_empty() && !begun;
    let events = if cx.p.given("show-events") { cx.p.on("show-events") } else { alone };
    for (i, (t, v)) in found.iter().enumerate() {
        let mut o = Out::new(cx.rt.clock.unix_seconds());
        let of = Of { cx: &cx, t, v, events };
        match describe(&of, &mut o).await {
            Ok(()) if begun => print::line(&o.finish()),
            Ok(()) => {
                let gap = if i > 0 { "\n\n" } else { "" };
                print::out(&format!("{gap}{}", o.finish()));
            }
            Err(e) => errors.push(e),
        }
    }
    if found.is_empty() && errors.is_empty() {
        if cx.p.on("all-namespaces") {
            eprintln!("No resources found");
        } else {
            eprintln!("No resources found in {} namespace.", cx.namespace()?);
        }
    }
    Error::many(errors)
}

async fn beginning(cx: &Cx, t: &Target) -> Vec<(Target, Value)> {
    let all = Target { name: String::new(), manifest: None, ..t.clone() };
    let (mut found, _) = objects::fetch(cx, &[all]).await;
    found.retain(|(f, _)| f.name.starts_with(&t.name));
    found
}

async fn describe(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let r = &of.t.resource;
    match KINDS.iter().find(|(g, k, _)| *g == r.group && *k == r.kind) {
        Some((_, _, f)) => f(of, o).await,
        None => generic::describe(of, o).await,
    }
}

pub use pod::resource_value;
pub use rbac::{parts as rule_parts, rows as rule_rows};

/// A pod template alone, for the history of a rollout; its tabs stay, as upstream leaves them.
pub fn template(v: &Value) -> String {
    let mut o = Out::new(0);
    pod::template(v, &mut o);
    o.raw()
}

impl Of<'_> {
    fn text(&self, at: &str) -> &str {
        text(self.v, at)
    }
    fn number(&self, at: &str) -> i64 {
        self.v.pointer(at).map_or(0, out::number)
    }
    fn namespace(&self) -> &str {
        text(self.v, "/metadata/namespace")
    }

    /// All of a resource, in a namespace or everywhere.
    async fn all(&self, path: String, query: &[(&str, &str)]) -> Result<Vec<Value>, Error> {
        let limit = match self.cx.p.text("chunk-size") {
            "0" => "",
            n => n,
        };
        let path = with_query(path, query);
        let (mut items, mut next) = (Vec::new(), String::new());
        loop {
            let p = with_query(path.clone(), &[("limit", limit), ("continue", &next)]);
            let mut v = self.cx.get(&p).await?;
            if let Value::Array(a) = v["items"].take() {
                items.extend(a);
            }
            next = text(&v, "/metadata/continue").to_owned();
            if next.is_empty() {
                return Ok(items);
            }
        }
    }

    async fn pods(&self, labels: &str, fields: &str) -> Result<Vec<Value>, Error> {
        let ns = Some(self.namespace()).filter(|n| !n.is_empty());
        let q = [("labelSelector", labels), ("fieldSelector", fields)];
        self.all(collection("", "v1", "pods", ns), &q).await
    }

    async fn events(&self, o: &mut Out) {
        self.events_of(o, &[self.text("/metadata/uid")], &self.t.resource.kind).await;
    }
    /// The events of an object, by what they may know it as.
    async fn events_of(&self, o: &mut Out, uids: &[&str], kind: &str) {
        if !self.events {
            return;
        }
        let ns = self.namespace();
        let mut all = Vec::new();
        for uid in uids {
            let mut f =
                format!("involvedObject.name={},involvedObject.namespace={ns}", self.text("/metadata/name"));
            if !kind.is_empty() {
                f.push_str(&format!(",involvedObject.kind={kind}"));
            }
            if !uid.is_empty() {
                f.push_str(&format!(",involvedObject.uid={uid}"));
            }
            let path = collection("", "v1", "events", Some(ns).filter(|n| !n.is_empty()));
            all.extend(self.all(path, &[("fieldSelector", &f)]).await.unwrap_or_default());
        }
        if all.is_empty() {
            return l!(o, 0, "Events:\t<none>");
        }
        o.flush();
        all.sort_by_cached_key(events::order);
        l!(o, 0, "Events:\n  Type\tReason\tAge\tFrom\tMessage");
        l!(o, 1, "----\t------\t----\t----\t-------");
        for e in &all {
            let mut from = text(e, "/source/component");
            if from.is_empty() {
                from = text(e, "/reportingComponent");
            }
            let mut said = text(e, "/message").trim().to_owned();
            let field = text(e, "/involvedObject/fieldPath");
            if !field.is_empty() {
                said = format!("{field}: {said}");
            }
            let age = events::interval(e, o.now);
            l!(o, 1, "{}\t{}\t{age}\t{from}\t{said}", text(e, "/type"), text(e, "/reason"));
        }
    }
}
