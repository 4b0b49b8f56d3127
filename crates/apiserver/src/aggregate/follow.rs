//! Follows the APIServices: who serves what, whether it can be reached, what it has to offer.

use super::{Map, Remote};
use crate::connect::target;
use crate::server::ApiServer;
use futures::future::{BoxFuture, join_all};
use meta::Value;
use meta::object::ObjectExt;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::{Watch, WatchItem};

const GROUP: &str = "apiregistration.k8s.io";
/// How often servers are looked after that nothing is heard of.
const AGAIN: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json;q=0.9";

/// Follows until the server stops.
pub async fn follow(s: Arc<ApiServer>) {
    loop {
        let revision = load(&s);
        let remotes = s.remotes.all();
        let mut work: Vec<BoxFuture<'static, bool>> = Vec::with_capacity(remotes.len());
        for r in &remotes {
            work.push(Box::pin(look_after(s.clone(), r.clone())));
        }
        let done = join_all(work).await;
        if done.contains(&false) {
            tokio::time::sleep(RETRY).await;
            continue;
        }
        if !news(&s, &remotes, revision).await {
            return;
        }
    }
}

/// Reads the APIServices; answers the revision they are of.
fn load(s: &ApiServer) -> i64 {
    let revision = s.store.cached().revision();
    let old = s.remotes.0.load_full();
    let mut new = Map::new();
    for v in admission::Lookup::list(&crate::lookup::Lookup(s), GROUP, "apiservices", "") {
        // The core group is always this server's own.
        if v.at("spec.service").is_none_or(Value::is_null) || v.str_at("spec.group").is_empty() {
            continue;
        }
        let key = (v.str_at("spec.group").to_owned(), v.str_at("spec.version").to_owned());
        let kept = old.get(&key).filter(|r| r.name == v.name() && Some(&r.spec) == v.at("spec"));
        let r = kept.cloned().unwrap_or_else(|| Arc::new(Remote::new(s, &v)));
        new.insert(key, r);
    }
    s.remotes.0.store(Arc::new(new));
    revision
}

/// Waits for something that may change the state of a remote; false: the store is closing.
async fn news(s: &ApiServer, remotes: &[Arc<Remote>], revision: i64) -> bool {
    let prefix = |group: &str, resource: &str| {
        s.registry().any_version(group, resource).map(|i| i.prefix.clone()).unwrap_or_default()
    };
    let mut prefixes = vec![prefix(GROUP, "apiservices")];
    let (services, slices) = (prefix("", "services"), prefix("discovery.k8s.io", "endpointslices"));
    for r in remotes {
        prefixes.push(format!("{services}{}/{}", r.namespace, r.service));
        // Names of slices begin with that of their service.
        prefixes.push(format!("{slices}{}/{}", r.namespace, r.service));
    }
    prefixes.sort();
    prefixes.dedup();
    let mut watches: Vec<Box<dyn Watch>> = Vec::with_capacity(prefixes.len());
    for p in &prefixes {
        match s.store.watch(p, revision) {
            Ok(w) => watches.push(w),
            // Too old already: look again.
            Err(_) => return true,
        }
    }
    let event = async {
        loop {
            let next = watches.iter_mut().map(|w| w.next());
            match futures::future::select_all(next).await.0 {
                None => return false,
                Some(WatchItem::Progress(_)) => {}
                Some(_) => return true,
            }
        }
    };
    if remotes.is_empty() {
        return event.await;
    }
    tokio::time::timeout(AGAIN, event).await.unwrap_or(true)
}

/// Checks a remote and says so in its APIService; false: that could not be written.
async fn look_after(s: Arc<ApiServer>, r: Arc<Remote>) -> bool {
    let (s, r) = (&s, &*r);
    let (status, reason, message) = match check(s, r).await {
        Ok(()) => ("True", "Passed", "all checks passed".to_owned()),
        Err((reason, message)) => ("False", reason, message),
    };
    let available = status == "True";
    if available {
        if let Some(v) = discover(s, r).await {
            r.discovery.store(Some(Arc::new(v)));
        }
        r.openapi.store(openapi(s, r).await.map(Arc::new));
    }
    r.available.store(available, Ordering::Relaxed);
    tell(s, r, status, reason, &message).await
}

type Failed = (&'static str, String);

async fn check(s: &Arc<ApiServer>, r: &Remote) -> Result<(), Failed> {
    let (ns, name) = (&r.namespace, &r.service);
    let access = |e: crate::Failure| {
        ("EndpointsAccessError", format!("service/{name} in {ns:?} cannot be checked due to: {}", e.message))
    };
    let service = r
        .service(s)
        .ok_or_else(|| ("ServiceNotFound", format!("service/{name} in {ns:?} is not present")))?;
    if service.str_at("spec.type") == "ClusterIP" {
        let ports = service.array_at("spec.ports");
        let port = ports.iter().find(|p| p.i64_at("port") == Some(r.port)).ok_or_else(|| {
            ("ServicePortError", format!("service/{name} in {ns:?} is not listening on port {}", r.port))
        })?;
        let port = port.str_at("name");
        if target::endpoints(s, ns, name, port).await.map_err(access)?.is_empty() {
            return Err((
                "MissingEndpoints",
                format!(
                    "endpointslices for service/{name} in {ns:?} have no addresses with port name {port:?}"
                ),
            ));
        }
    }
    let path = format!("/apis/{}", r.group_version());
    let url = format!("https://{name}.{ns}.svc:{}{path}", r.port);
    let failed = |why: String| ("FailedDiscoveryCheck", why);
    match tokio::time::timeout(PATIENCE, r.read(s, &path, "application/json")).await {
        Err(_) => Err(failed(format!("timed out waiting for {url}"))),
        Ok(Err(e)) => Err(failed(format!("failing or missing response from {url}: {e}"))),
        Ok(Ok((code, _, _))) if !code.is_success() => {
            let why = format!("bad status from {url}: {}", code.as_u16());
            Err(failed(format!("failing or missing response from {url}: {why}")))
        }
        Ok(Ok(_)) => Ok(()),
    }
}

/// A JSON document of the remote's, and its content type.
async fn document(s: &ApiServer, r: &Remote, path: &str, accept: &str) -> Option<(String, Value)> {
    let done = tokio::time::timeout(PATIENCE, r.read(s, path, accept)).await;
    let (code, headers, body) = done.ok()?.ok()?;
    let kind = headers.get(http::header::CONTENT_TYPE)?.to_str().ok()?.to_owned();
    let v = serde_json::from_slice(&body).ok().filter(|_| code.is_success())?;
    Some((kind, v))
}

/// The remote's entry for aggregated discovery.
async fn discover(s: &Arc<ApiServer>, r: &Remote) -> Option<Value> {
    if let Some((kind, list)) = document(s, r, "/apis", AGGREGATED).await
        && kind.contains("APIGroupDiscoveryList")
    {
        let group = list.array_at("items").iter().find(|g| g.name() == r.group)?.clone();
        let version = group.array_at("versions").iter().find(|v| v.str_at("version") == r.version)?;
        return Some(version.clone());
    }
    // It knows only the older form.
    let (_, list) = document(s, r, &format!("/apis/{}", r.group_version()), "application/json").await?;
    Some(from_legacy(r, list.array_at("resources")))
}

/// An APIResourceList in the newer form.
fn from_legacy(r: &Remote, resources: &[Value]) -> Value {
    let kind = |x: &Value| {
        let or = |v: &str, own: &str| if v.is_empty() { own.to_owned() } else { v.to_owned() };
        json!({
            "group": or(x.str_at("group"), &r.group), "version": or(x.str_at("version"), &r.version),
            "kind": x.str_at("kind"),
        })
    };
    let verbs = |x: &Value| x.get("verbs").cloned().unwrap_or_else(|| json!([]));
    let mut out: Vec<Value> = Vec::new();
    for x in resources.iter().filter(|x| !x.str_at("name").contains('/')) {
        let mut v = json!({
            "resource": x.str_at("name"), "responseKind": kind(x),
            "scope": if x.bool_at("namespaced") { "Namespaced" } else { "Cluster" },
            "singularResource": x.str_at("singularName"), "verbs": verbs(x),
        });
        for list in ["shortNames", "categories"] {
            if let Some(l) = x.get(list) {
                v[list] = l.clone();
            }
        }
        let below = format!("{}/", x.str_at("name"));
        let subs: Vec<Value> = resources
            .iter()
            .filter_map(|y| {
                let name = y.str_at("name").strip_prefix(&below)?;
                Some(json!({"subresource": name, "responseKind": kind(y), "verbs": verbs(y)}))
            })
            .collect();
        if !subs.is_empty() {
            v["subresources"] = subs.into();
        }
        out.push(v);
    }
    json!({"version": r.version, "resources": out})
}

/// Where the remote has its OpenAPI v3 document.
async fn openapi(s: &Arc<ApiServer>, r: &Remote) -> Option<String> {
    let (_, v) = document(s, r, "/openapi/v3", "application/json").await?;
    let path = v.get("paths")?.get(format!("apis/{}", r.group_version()))?;
    Some(path.str_at("serverRelativeURL").to_owned()).filter(|u| u.starts_with("/openapi/v3/"))
}

/// Sets the condition `Available`.
async fn tell(s: &Arc<ApiServer>, r: &Remote, status: &str, reason: &str, message: &str) -> bool {
    let lookup = crate::lookup::Lookup(s);
    let Some(have) = admission::Lookup::get(&lookup, GROUP, "apiservices", "", &r.name) else { return true };
    let conditions = have.array_at("status.conditions");
    let now = conditions.iter().find(|c| c.str_at("type") == "Available");
    let same = |f: &str, v: &str| now.is_some_and(|c| c.str_at(f) == v);
    if same("status", status) && same("reason", reason) && same("message", message) {
        return true;
    }
    tracing::info!(name = r.name, status, reason, message, "availability of an API service");
    let since = match now.filter(|c| c.str_at("status") == status) {
        Some(c) => c.str_at("lastTransitionTime").to_owned(),
        None => s.now().rfc3339(),
    };
    let mut next = (*have).clone();
    let mut all: Vec<Value> =
        conditions.iter().filter(|c| c.str_at("type") != "Available").cloned().collect();
    all.push(json!({
        "type": "Available", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    }));
    next.set_at("status.conditions", all);
    let uri = format!("/apis/{GROUP}/v1/apiservices/{}/status", r.name);
    match s.internal("PUT", &uri, Some(&next)).await {
        // Changed or gone meanwhile: its event will bring us back.
        Err(e) if e.is(meta::Reason::Conflict) || e.is(meta::Reason::NotFound) => true,
        Err(e) => {
            tracing::warn!(name = r.name, error = %e, "the status of an APIService cannot be written");
            false
        }
        Ok(_) => true,
    }
}
