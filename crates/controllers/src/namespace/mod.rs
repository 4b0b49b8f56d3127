//! Empties namespaces that are being deleted, and lets them go (upstream `pkg/controller/namespace`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::Timestamp;
use crate::k8s::core::{Namespace, Pod};
use crate::util::discovery::{Resource, discover};
use crate::util::meta::seconds_since;
use crate::util::{pods, wake};
use client::{Client, Informer, Key, ListParams, Outcome, Queue, retry_on_conflict, run_workers};
use http::Method;
use plan::Report;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const WORKERS: usize = 10;
/// So that admission everywhere has seen that the namespace is going.
const GRACE: Duration = Duration::from_secs(5);
const FINALIZER: &str = "kubernetes";

struct Controller {
    ctx: Ctx,
    namespaces: Informer<Namespace>,
}

pub async fn run(ctx: Ctx) {
    let namespaces = ctx.informer::<Namespace>();
    namespaces.synced().await;
    // A namespace is looked at every minute at least while anything remains.
    let queue: Queue<Key> = Queue::with_limits(Duration::from_millis(5), Duration::from_secs(60));
    let rt = ctx.rt.clone();
    let later = queue.clone();
    wake::on_event(&rt, namespaces.raw(), move |e| {
        if e.object().header.deleting && !matches!(e, client::Event::Deleted(_)) {
            later.add_after(e.key(), GRACE);
        }
    });
    let me = Arc::new(Controller { ctx, namespaces });
    run_workers(&rt, me.ctx.name, WORKERS, &queue, move |key| {
        let me = me.clone();
        async move { me.sync(key).await }
    });
    rt.stopping().await;
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Outcome, Error> {
        if !self.namespaces.raw().get("", &key.name).is_some_and(|n| n.header.deleting) {
            return Ok(Outcome::Done);
        }
        match self.empty(&key.name).await {
            Err(Error::Api(e)) if e.is_not_found() => Ok(Outcome::Done),
            other => other,
        }
    }

    async fn empty(&self, name: &str) -> Result<Outcome, Error> {
        let c = &self.ctx.client;
        let mut ns: Namespace = c.get(None, name).await?;
        let Some(deleted) = ns.metadata.deletion_timestamp.clone() else { return Ok(Outcome::Done) };
        if ns.status.as_ref().and_then(|s| s.phase.as_deref()) != Some("Terminating") {
            ns.status.get_or_insert_default().phase = Some("Terminating".into());
            ns = c.replace_status(&ns).await?;
        }
        if ns.spec.as_ref().is_none_or(|s| s.finalizers.as_ref().is_none_or(Vec::is_empty)) {
            return Ok(Outcome::Done);
        }
        let now = self.ctx.now();
        let mut report = Report::default();
        let served = match discover(c).await {
            Ok(s) => {
                if !s.failed.is_empty() {
                    let why = format!(
                        "unable to retrieve the complete list of server APIs: {}",
                        s.failed.join(", ")
                    );
                    let text = format!("Discovery failed for some groups, {} failing: {why}", s.failed.len());
                    report.discovery = Some(text);
                }
                s.resources
            }
            Err(e) => {
                report.discovery = Some(e.to_string());
                Vec::new()
            }
        };
        let mut all: Vec<&Resource> = served.iter().filter(|r| r.namespaced && r.can("delete")).collect();
        // Pods first: what they use must not be taken from under them.
        all.sort_by_key(|r| !(r.group.is_empty() && r.resource == "pods"));
        let age = seconds_since(&deleted, now);
        let mut estimate = 0;
        for r in all {
            let is_pods = r.group.is_empty() && r.resource == "pods";
            match empty_one(c, r, name, age, &mut report).await {
                Ok(seconds) => estimate = estimate.max(seconds),
                Err(e) if is_pods => {
                    report.errors.push(format!("failed to delete pods for namespace: {name}, err: {e}"));
                }
                Err(e) => report.errors.push(e.to_string()),
            }
            if is_pods && report.remaining.contains_key(&r.dotted()) {
                break;
            }
        }
        self.note(name, &report, now).await?;
        if let Some(e) = report.discovery.iter().chain(&report.errors).next() {
            return Err(Error::other(e.clone()));
        }
        if !report.remaining.is_empty() {
            let wait = u64::try_from(estimate / 2 + 1).unwrap_or(1);
            return Ok(Outcome::After(Duration::from_secs(wait)));
        }
        retry_on_conflict(async || {
            let mut ns: Namespace = c.get(None, name).await?;
            if let Some(f) = ns.spec.as_mut().and_then(|s| s.finalizers.as_mut()) {
                f.retain(|f| f != FINALIZER);
            }
            c.put(&ns, "finalize").await
        })
        .await?;
        Ok(Outcome::Done)
    }

    async fn note(&self, name: &str, report: &Report, now: Timestamp) -> Result<(), Error> {
        let c = &self.ctx.client;
        retry_on_conflict(async || {
            let mut ns: Namespace = c.get(None, name).await?;
            let status = ns.status.get_or_insert_default();
            let new = report.conditions(status.conditions.as_deref().unwrap_or_default(), now);
            if status.conditions.as_ref() == Some(&new) {
                return Ok(());
            }
            status.conditions = Some(new);
            c.replace_status(&ns).await.map(drop)
        })
        .await?;
        Ok(())
    }
}

/// Deletes all objects of a resource; answers how many seconds what remains may take.
async fn empty_one(
    c: &Client,
    r: &Resource,
    ns: &str,
    age: i64,
    report: &mut Report,
) -> Result<i64, client::Error> {
    if !r.can("list") {
        if r.can("deletecollection") {
            delete_all(c, r, ns).await?;
        }
        return Ok(0);
    }
    // A resource that is served no more, or cannot be listed after all, has nothing.
    let list = async || match c.transport.list(r.headers(ns)).await {
        Err(e) if e.is_not_found() || e.is(meta::Reason::MethodNotAllowed) => Ok(Vec::new()),
        Err(e) => Err(e),
        Ok(l) => Ok(l.items),
    };
    let before = list().await?;
    if before.is_empty() {
        return Ok(0);
    }
    let mut estimate = 0;
    if r.group.is_empty() && r.resource == "pods" {
        let all: Vec<Pod> = c.list(Some(ns), &ListParams::default()).await?;
        let grace = |p: &Pod| p.spec.as_ref().and_then(|s| s.termination_grace_period_seconds).unwrap_or(0);
        estimate = all.iter().filter(|p| !pods::is_terminal(p)).map(grace).max().unwrap_or(0);
        if age >= estimate {
            estimate = 0;
        }
    }
    if r.can("deletecollection") {
        delete_all(c, r, ns).await?;
    } else {
        for o in &before {
            let body = json!({"propagationPolicy": "Background"});
            match c.request(Method::DELETE, &r.path(ns, &o.header.name), Some(&body)).await {
                Err(e) if !e.is_not_found() && !e.is(meta::Reason::MethodNotAllowed) => return Err(e),
                _ => {}
            }
        }
    }
    let left = list().await?;
    if left.is_empty() {
        return Ok(0);
    }
    let mut finalizers = false;
    report.remaining.insert(r.dotted(), left.len());
    for f in left.iter().flat_map(|o| &o.header.finalizers) {
        *report.finalizers.entry(f.clone()).or_default() += 1;
        finalizers = true;
    }
    if estimate == 0 && finalizers {
        estimate = plan::FINALIZER_ESTIMATE;
    }
    if estimate == 0 {
        let (g, v, res) = (&r.group, &r.version, &r.resource);
        let gv = if g.is_empty() { v.clone() } else { format!("{g}/{v}") };
        return Err(client::Error::Config(format!(
            "unexpected items still remain in namespace: {ns} for gvr: {gv}, Resource={res}"
        )));
    }
    Ok(estimate)
}

async fn delete_all(c: &Client, r: &Resource, ns: &str) -> Result<(), client::Error> {
    let body = json!({"propagationPolicy": "Background"});
    match c.request(Method::DELETE, &r.collection(ns), Some(&body)).await {
        Err(e) if !e.is_not_found() && !e.is(meta::Reason::MethodNotAllowed) => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Cluster, START};
    use crate::util::discovery::testdata::answers;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};

    fn cond(c: &Cluster, kind: &str) -> (String, String) {
        let ns = c.api.object("", "namespaces", "", "doomed").unwrap();
        let all = ns.array_at("status.conditions").to_vec();
        let x = all.iter().find(|x| x.str_at("type") == kind).cloned().unwrap_or_default();
        (x.str_at("status").to_owned(), x.str_at("message").to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn empties_and_finalizes() {
        let c = Cluster::start(&["namespace-controller"]).await;
        let (api, apis) = answers(&[
            "v1 configmaps ConfigMap Namespaced",
            "v1 pods Pod Namespaced",
            "v1 nodes Node Cluster",
            "apps/v1 deployments Deployment Namespaced",
        ]);
        c.api.answer("/api", api);
        c.api.answer("/apis", apis);
        let object = |kind: &str, name: &str, ns: &str, finalizers: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": ns, "finalizers": finalizers}});
        c.api.seed("configmaps", object("ConfigMap", "a", "doomed", json!([])));
        c.api.seed("configmaps", object("ConfigMap", "b", "doomed", json!(["example.com/wait"])));
        c.api.seed("configmaps", object("ConfigMap", "a", "other", json!([])));
        c.api.seed("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed", "deletionTimestamp": START},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}));
        c.settle().await;
        assert_eq!(c.names("", "configmaps"), ["b", "a"]);
        assert_eq!(
            cond(&c, "NamespaceContentRemaining").1,
            "Some resources are remaining: configmaps. has 1 resource instances"
        );
        assert_eq!(
            cond(&c, "NamespaceFinalizersRemaining").1,
            "Some content in the namespace has finalizers remaining: example.com/wait in 1 resource instances"
        );
        assert_eq!(cond(&c, "NamespaceDeletionContentFailure").0, "False");
        c.api.remove("", "configmaps", "doomed", "b");
        c.settle().await;
        assert!(c.names("", "namespaces").is_empty());
        assert_eq!(c.names("", "configmaps"), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn stays_while_a_group_cannot_be_asked() {
        let c = Cluster::start(&["namespace-controller"]).await;
        let (api, mut apis) =
            answers(&["v1 configmaps ConfigMap Namespaced", "x.io/v1 things Thing Namespaced"]);
        apis["items"][0]["versions"][0]["freshness"] = json!("Stale");
        c.api.answer("/api", api);
        c.api.answer("/apis", apis);
        c.api.seed("namespaces", json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "doomed", "deletionTimestamp": START},
            "spec": {"finalizers": ["kubernetes"]}}));
        c.settle().await;
        let (status, message) = cond(&c, "NamespaceDeletionDiscoveryFailure");
        assert_eq!(status, "True");
        assert!(message.contains("x.io/v1"), "{message}");
    }
}
