//! What the server itself puts into its store at its start: post-start hooks (kubernetes `pkg/controlplane/controller`,
//! `pkg/registry/*/rest`).

pub(crate) mod api_services;
mod flowcontrol;
mod kubernetes_service;
mod rbac;
mod system;

use crate::server::ApiServer;
use crate::{Failure, Result};
use futures::future::BoxFuture;
use meta::object::ObjectExt;
use meta::{Reason, Value};
use std::sync::Arc;
use std::time::Duration;

type Hook = for<'a> fn(&'a Arc<ApiServer>) -> BoxFuture<'a, Result<()>>;

/// Names as the health endpoints show them. The first list comes before the others, which go on side by side, so that
/// the store commits them together; a list is in order. The very last is ready after all others: it says that all is.
const HOOKS: &[&[(&str, Hook)]] = &[
    &[("poststarthook/start-system-namespaces-controller", |s| Box::pin(system::namespaces(s)))],
    &[
        ("poststarthook/start-kubernetes-service-cidr-controller", |s| Box::pin(system::service_cidr(s))),
        ("poststarthook/start-service-ip-repair-controllers", |s| Box::pin(system::repair(s))),
        ("poststarthook/bootstrap-controller", |s| Box::pin(kubernetes_service::ensure(s))),
    ],
    &[("poststarthook/rbac/bootstrap-roles", |s| Box::pin(rbac::reconcile(s)))],
    &[("poststarthook/scheduling/bootstrap-system-priority-classes", |s| {
        Box::pin(system::priority_classes(s))
    })],
    &[("poststarthook/priority-and-fairness-config-producer", |s| Box::pin(flowcontrol::ensure(s)))],
    &[("poststarthook/start-cluster-authentication-info-controller", |s| {
        Box::pin(system::authentication_info(s))
    })],
    &[("poststarthook/start-legacy-token-tracking-controller", |s| Box::pin(system::token_tracking(s)))],
    &[(LAST, |s| Box::pin(api_services::ensure(s)))],
];

const LAST: &str = "autoregister-completion";

const RETRY: Duration = Duration::from_secs(1);

fn check(name: &str) -> String {
    format!("apiserver/{name}")
}

impl ApiServer {
    /// Runs the post-start hooks, each until it has succeeded, and afterwards keeps the `kubernetes` Service. Readiness
    /// checks `apiserver/…` tell how far it is.
    pub fn start(self: &Arc<Self>) {
        for (name, _) in HOOKS.iter().copied().flatten() {
            self.rt.ready.set(&check(name), Err("not finished".into()));
        }
        self.rt.spawn_until_stop("priority and fairness", crate::fair::follow(self.clone()));
        self.rt.spawn_until_stop("aggregation", crate::aggregate::follow(self.clone()));
        let this = self.clone();
        self.rt.spawn_until_stop("post-start hooks", async move {
            this.bootstrap().await;
            kubernetes_service::keep(&this).await;
        });
        let this = self.clone();
        self.rt.spawn("kubernetes service", async move {
            this.rt.stopping().await;
            kubernetes_service::leave(&this).await;
        });
    }

    /// Runs the hooks once, each until it has succeeded.
    pub async fn bootstrap(self: &Arc<Self>) {
        let Some((first, rest)) = HOOKS.split_first() else { return };
        self.chain(first).await;
        futures::future::join_all(rest.iter().map(|c| self.chain(c))).await;
        self.rt.ready.set(&check(LAST), Ok(()));
    }

    async fn chain(self: &Arc<Self>, hooks: &[(&str, Hook)]) {
        for (name, hook) in hooks {
            while let Err(e) = hook(self).await {
                tracing::warn!(hook = name, error = %e, "post-start hook failed; trying again");
                self.rt.ready.set(&check(name), Err(e.to_string()));
                tokio::time::sleep(RETRY).await;
            }
            if *name != LAST {
                self.rt.ready.set(&check(name), Ok(()));
            }
        }
    }
}

/// The URL of a collection, or of one object.
fn url(s: &ApiServer, group: &str, resource: &str, namespace: &str, name: &str) -> Result<String> {
    let info =
        s.registry().any_version(group, resource).cloned().ok_or_else(meta::Status::no_such_resource)?;
    let mut u = if group.is_empty() { "/api/".to_owned() } else { format!("/apis/{group}/") };
    u.push_str(&info.gvr.version);
    if info.namespaced {
        u.push_str("/namespaces/");
        u.push_str(namespace);
    }
    u.push('/');
    u.push_str(resource);
    if !name.is_empty() {
        u.push('/');
        u.push_str(name);
    }
    Ok(u)
}

/// The object as it is in the store now.
fn current(s: &ApiServer, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
    admission::Lookup::get(&crate::lookup::Lookup(s), group, resource, namespace, name)
}

/// Creates an object unless it exists.
async fn create(s: &Arc<ApiServer>, group: &str, resource: &str, obj: &Value) -> Result<()> {
    if current(s, group, resource, obj.namespace(), obj.name()).is_some() {
        return Ok(());
    }
    let u = url(s, group, resource, obj.namespace(), "")?;
    match s.internal("POST", &u, Some(obj)).await {
        Err(e) if !e.is(Reason::AlreadyExists) => Err(e),
        _ => Ok(()),
    }
}

/// Carries out work several at a time: the store commits it together. The first failure ends it.
async fn together(work: Vec<BoxFuture<'_, Result<()>>>) -> Result<()> {
    let mut rest = work.into_iter();
    loop {
        let batch: Vec<_> = rest.by_ref().take(64).collect();
        if batch.is_empty() {
            return Ok(());
        }
        for done in futures::future::join_all(batch).await {
            done?;
        }
    }
}

/// Creates what is missing.
async fn create_all(s: &Arc<ApiServer>, group: &str, resource: &str, objs: &[Value]) -> Result<()> {
    let mut work: Vec<BoxFuture<'_, Result<()>>> = Vec::with_capacity(objs.len());
    for o in objs {
        work.push(Box::pin(create(s, group, resource, o)));
    }
    together(work).await
}

/// Replaces an object; a conflict means that it will be looked at again.
async fn replace(s: &Arc<ApiServer>, group: &str, resource: &str, sub: &str, obj: &Value) -> Result<()> {
    let mut u = url(s, group, resource, obj.namespace(), obj.name())?;
    if !sub.is_empty() {
        u.push('/');
        u.push_str(sub);
    }
    s.internal("PUT", &u, Some(obj)).await.map(|_| ()).map_err(|e: Failure| e)
}
