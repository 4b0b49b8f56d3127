//! The objects that pods refer to: ConfigMaps and Secrets watched one by one while a pod needs them, tokens, claims.

use crate::pod::helpers::{self, namespace, spec, uid};
use crate::podcert::{Bundle, PodCerts};
use crate::volumes::projected::BundleQuery;
use crate::volumes::{Objects, Token};
use client::{Client, Informer, InformerFactory, ListWatch};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, PodCertificateProjection, Secret, ServiceAccount,
};
use k8s_openapi::api::node::v1::RuntimeClass;
use runtime::Clock;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const SYNC_WAIT: Duration = Duration::from_secs(10);
/// A token is renewed when this part of its life is over, or after a day.
const RENEW_PERCENT: i64 = 80;
const MAX_TTL_SECONDS: i64 = 24 * 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    ConfigMap,
    Secret,
}

type Ref = (Kind, String, String);

enum Cache {
    ConfigMap(Informer<ConfigMap>),
    Secret(Informer<Secret>),
}

struct Watch {
    cache: Cache,
    pods: HashSet<String>,
    stop: tokio_util::sync::CancellationToken,
}

/// Called with the uid of a pod whose objects changed.
pub type OnChange = Arc<dyn Fn(&str) + Send + Sync>;

pub struct Watched {
    client: Client,
    factory: InformerFactory,
    rt: runtime::Runtime,
    clock: Clock,
    certs: PodCerts,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    watches: HashMap<Ref, Watch>,
    refs: HashMap<String, BTreeSet<Ref>>,
    tokens: HashMap<(String, String, i64), Cached>,
    on_change: Option<OnChange>,
}

#[derive(Clone)]
struct Cached {
    token: Token,
    expires: i64,
}

/// The ConfigMaps and Secrets that a pod refers to.
fn references(pod: &Pod) -> BTreeSet<Ref> {
    let ns = namespace(pod);
    let s = spec(pod);
    let mut out = BTreeSet::new();
    let mut add = |k, n: &str| {
        if !n.is_empty() {
            out.insert((k, ns.to_owned(), n.to_owned()));
        }
    };
    for v in s.volumes.iter().flatten() {
        if let Some(c) = &v.config_map {
            add(Kind::ConfigMap, &c.name);
        }
        if let Some(c) = &v.secret {
            add(Kind::Secret, c.secret_name.as_deref().unwrap_or(""));
        }
        for p in v.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            if let Some(c) = &p.config_map {
                add(Kind::ConfigMap, &c.name);
            }
            if let Some(c) = &p.secret {
                add(Kind::Secret, &c.name);
            }
        }
    }
    let ephemeral: Vec<_> =
        helpers::ephemeral_containers(s).iter().map(helpers::ephemeral_as_container).collect();
    for c in s.containers.iter().chain(helpers::init_containers(s)).chain(&ephemeral) {
        for e in c.env_from.iter().flatten() {
            if let Some(r) = &e.config_map_ref {
                add(Kind::ConfigMap, &r.name);
            }
            if let Some(r) = &e.secret_ref {
                add(Kind::Secret, &r.name);
            }
        }
        for e in c.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            if let Some(r) = &e.config_map_key_ref {
                add(Kind::ConfigMap, &r.name);
            }
            if let Some(r) = &e.secret_key_ref {
                add(Kind::Secret, &r.name);
            }
        }
    }
    for r in s.image_pull_secrets.iter().flatten() {
        add(Kind::Secret, &r.name);
    }
    out
}

impl Watched {
    pub fn new(client: Client, rt: runtime::Runtime) -> Arc<Self> {
        let factory = InformerFactory::new(client.transport.clone(), &rt);
        let certs = PodCerts::new(client.clone(), rt.clock.clone());
        Arc::new(Self { client, factory, clock: rt.clock.clone(), certs, rt, state: Mutex::default() })
    }
    pub fn on_change(&self, f: OnChange) {
        self.lock().on_change = Some(f);
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what a pod refers to, from now until [`Self::unregister`].
    pub fn register(self: &Arc<Self>, pod: &Pod) {
        if helpers::is_static(pod) {
            return; // Static pods may not refer to API objects.
        }
        let refs = references(pod);
        let id = uid(pod).to_owned();
        let mut s = self.lock();
        if s.refs.get(&id) == Some(&refs) {
            return;
        }
        let old = s.refs.insert(id.clone(), refs.clone()).unwrap_or_default();
        for r in old.difference(&refs) {
            release(&mut s, r, &id);
        }
        for r in refs {
            if let Some(w) = s.watches.get_mut(&r) {
                w.pods.insert(id.clone());
                continue;
            }
            let what = ListWatch {
                namespace: r.1.clone(),
                field_selector: format!("metadata.name={}", r.2),
                ..Default::default()
            };
            let cache = match r.0 {
                Kind::ConfigMap => Cache::ConfigMap(self.factory.filtered(what)),
                Kind::Secret => Cache::Secret(self.factory.filtered(what)),
            };
            let stop = self.rt.stop_token().child_token();
            self.follow(&r, &cache, stop.clone());
            s.watches.insert(r, Watch { cache, pods: HashSet::from([id.clone()]), stop });
        }
    }

    /// Wakes the pods of an object when it changes.
    fn follow(self: &Arc<Self>, r: &Ref, cache: &Cache, stop: tokio_util::sync::CancellationToken) {
        let mut sub = match cache {
            Cache::ConfigMap(i) => i.subscribe(),
            Cache::Secret(i) => i.subscribe(),
        };
        let (this, r) = (Arc::downgrade(self), r.clone());
        self.rt.spawn("object watch", async move {
            loop {
                tokio::select! { _ = sub.next() => {}, () = stop.cancelled() => return }
                let Some(this) = this.upgrade() else { return };
                let (pods, f) = {
                    let s = this.lock();
                    let pods: Vec<String> =
                        s.watches.get(&r).map(|w| w.pods.iter().cloned().collect()).unwrap_or_default();
                    (pods, s.on_change.clone())
                };
                if let Some(f) = f {
                    pods.iter().for_each(|p| f(p));
                }
            }
        });
    }

    pub fn unregister(&self, id: &str) {
        let mut s = self.lock();
        for r in s.refs.remove(id).unwrap_or_default() {
            release(&mut s, &r, id);
        }
        s.tokens.retain(|k, _| k.0 != id);
        self.certs.forget(id);
    }

    async fn config_map_of(&self, ns: &str, name: &str) -> Result<Option<Arc<ConfigMap>>, String> {
        let cache = match self.lock().watches.get(&(Kind::ConfigMap, ns.to_owned(), name.to_owned())) {
            Some(Watch { cache: Cache::ConfigMap(i), .. }) => Some(i.clone()),
            _ => None,
        };
        match cache {
            Some(i) => {
                synced(i.synced(), "configmap").await?;
                Ok(i.get(ns, name).map(Arc::new))
            }
            None => found(self.client.get::<ConfigMap>(Some(ns), name).await).map(|o| o.map(Arc::new)),
        }
    }

    async fn secret_of(&self, ns: &str, name: &str) -> Result<Option<Arc<Secret>>, String> {
        let cache = match self.lock().watches.get(&(Kind::Secret, ns.to_owned(), name.to_owned())) {
            Some(Watch { cache: Cache::Secret(i), .. }) => Some(i.clone()),
            _ => None,
        };
        match cache {
            Some(i) => {
                synced(i.synced(), "secret").await?;
                Ok(i.get(ns, name).map(Arc::new))
            }
            None => found(self.client.get::<Secret>(Some(ns), name).await).map(|o| o.map(Arc::new)),
        }
    }

    async fn token_of(&self, pod: &Pod, audience: &str, seconds: i64) -> Result<Token, String> {
        let key = (uid(pod).to_owned(), audience.to_owned(), seconds);
        let now = self.clock.unix_nanos();
        let old = self.lock().tokens.get(&key).cloned();
        if let Some(c) = &old
            && now < c.token.refresh_at
        {
            return Ok(c.token.clone());
        }
        let account = spec(pod).service_account_name.as_deref().unwrap_or("default");
        let audiences: Vec<&str> = if audience.is_empty() { vec![] } else { vec![audience] };
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"audiences": audiences, "expirationSeconds": seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": helpers::name(pod), "uid": uid(pod)}},
        });
        let got = self
            .client
            .post_subresource::<ServiceAccount>(Some(namespace(pod)), account, "token", &body)
            .await;
        let v = match got {
            Ok(v) => v,
            Err(e) => {
                // The old one is good for a while yet.
                return match old {
                    Some(c) if now < c.expires => Ok(Token { refresh_at: now + 30_000_000_000, ..c.token }),
                    _ => Err(e.to_string()),
                };
            }
        };
        let token = v.pointer("/status/token").and_then(Value::as_str).unwrap_or("").to_owned();
        if token.is_empty() {
            return Err("the API server's answer has no token".into());
        }
        let expires = v
            .pointer("/status/expirationTimestamp")
            .and_then(Value::as_str)
            .and_then(|t| t.parse::<k8s_openapi::jiff::Timestamp>().ok())
            .and_then(|t| i64::try_from(t.as_nanosecond()).ok())
            .unwrap_or(now + seconds * 1_000_000_000);
        let life = (expires - now).max(0);
        let refresh_at = now + (life / 100 * RENEW_PERCENT).min(MAX_TTL_SECONDS * 1_000_000_000);
        let token = Token { token, refresh_at };
        self.lock().tokens.insert(key, Cached { token: token.clone(), expires });
        Ok(token)
    }

    async fn bundle(&self, q: &BundleQuery) -> Result<Option<String>, String> {
        let base = "/apis/certificates.k8s.io/v1/clustertrustbundles";
        let text =
            |v: &Value| v.pointer("/spec/trustBundle").and_then(Value::as_str).unwrap_or("").to_owned();
        if let Some(n) = &q.name {
            let r = self.client.request(http::Method::GET, &format!("{base}/{n}"), None).await;
            return found(r).map(|v| v.map(|v| unique_pem(&text(&v))));
        }
        let signer = q.signer_name.as_deref().unwrap_or("");
        let path = client::url::with_query(
            base.to_owned(),
            &[
                ("labelSelector", q.selector.as_str()),
                ("fieldSelector", &format!("spec.signerName={signer}")),
            ],
        );
        let v = self.client.request(http::Method::GET, &path, None).await.map_err(|e| e.to_string())?;
        let all: String =
            v.get("items").and_then(Value::as_array).into_iter().flatten().map(|i| text(i) + "\n").collect();
        Ok((!all.is_empty()).then(|| unique_pem(&all)))
    }

    /// The runtime's handler of a RuntimeClass.
    pub async fn runtime_handler(&self, name: &str) -> Result<String, String> {
        self.client
            .get::<RuntimeClass>(None, name)
            .await
            .map(|c| c.handler)
            .map_err(|e| format!("RuntimeClass {name:?}: {e}"))
    }
}

fn release(s: &mut State, r: &Ref, id: &str) {
    if let Some(w) = s.watches.get_mut(r) {
        w.pods.remove(id);
        if w.pods.is_empty() {
            w.stop.cancel();
            s.watches.remove(r);
        }
    }
}

async fn synced(wait: impl Future<Output = ()>, what: &str) -> Result<(), String> {
    tokio::time::timeout(SYNC_WAIT, wait)
        .await
        .map_err(|_| format!("failed to sync {what} cache: timed out waiting for the condition"))
}

fn found<T>(r: Result<T, client::Error>) -> Result<Option<T>, String> {
    match r {
        Ok(v) => Ok(Some(v)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

/// Each certificate once, in order.
fn unique_pem(text: &str) -> String {
    let mut seen = HashSet::new();
    let mut out = String::new();
    let mut block = String::new();
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") {
            block.clear();
        }
        block.push_str(line.trim_end());
        block.push('\n');
        if line.starts_with("-----END ") {
            if seen.insert(block.clone()) {
                out.push_str(&block);
            }
            block.clear();
        }
    }
    out
}

impl Objects for Watched {
    fn config_map<'a>(
        &'a self,
        ns: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<ConfigMap>>, String>> {
        Box::pin(self.config_map_of(ns, name))
    }
    fn secret<'a>(
        &'a self,
        ns: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Arc<Secret>>, String>> {
        Box::pin(self.secret_of(ns, name))
    }
    fn claim<'a>(
        &'a self,
        ns: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<PersistentVolumeClaim, String>> {
        Box::pin(async move {
            self.client.get::<PersistentVolumeClaim>(Some(ns), name).await.map_err(|e| e.to_string())
        })
    }
    fn volume<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<PersistentVolume, String>> {
        Box::pin(
            async move { self.client.get::<PersistentVolume>(None, name).await.map_err(|e| e.to_string()) },
        )
    }
    fn token<'a>(
        &'a self,
        pod: &'a Pod,
        audience: &'a str,
        seconds: i64,
    ) -> BoxFuture<'a, Result<Token, String>> {
        Box::pin(self.token_of(pod, audience, seconds))
    }
    fn pod_certificate<'a>(
        &'a self,
        pod: &'a Pod,
        volume: &'a str,
        index: usize,
        p: &'a PodCertificateProjection,
    ) -> BoxFuture<'a, Result<Bundle, String>> {
        Box::pin(self.certs.get(pod, volume, index, p))
    }
    fn trust_bundle<'a>(&'a self, q: &'a BundleQuery) -> BoxFuture<'a, Result<Option<String>, String>> {
        Box::pin(self.bundle(q))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::testing::pod;

    #[test]
    fn references_of_a_pod() {
        let p = pod(json!({
            "imagePullSecrets": [{"name": "pull"}],
            "volumes": [{"name": "a", "configMap": {"name": "m1"}},
                {"name": "b", "projected": {"sources": [{"secret": {"name": "s1"}}]}}],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "m2"}}],
                "env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}}]}]}));
        let got: Vec<String> = references(&p).into_iter().map(|r| format!("{:?}/{}", r.0, r.2)).collect();
        assert_eq!(got, ["ConfigMap/m1", "ConfigMap/m2", "Secret/pull", "Secret/s1", "Secret/s2"]);
    }

    #[test]
    fn bundles_without_doubles() {
        let a = "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n";
        let b = "-----BEGIN CERTIFICATE-----\nBB\n-----END CERTIFICATE-----\n";
        assert_eq!(unique_pem(&format!("{a}junk\n{b}{a}")), format!("{a}{b}"));
    }
}
