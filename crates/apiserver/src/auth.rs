//! The parts that know users: built from the configuration, fed from the store.

use crate::config::{Authentication, Mode};
use crate::object::{Form, decode_builtin, decode_fields, ext};
use crate::registry::ResourceInfo;
use crate::server::ApiServer;
use authn::front_proxy::FrontProxy;
use authn::{Authenticator, ServiceAccountTokens, Signer, VerifyChain};
use authz::node::NodeAuthorizer;
use authz::rbac::Rbac;
use authz::{Authorizer, Chain};
use serve::ClientCa;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use storage::WatchItem;

/// Verdicts on chains that are remembered.
const CACHE: usize = 4096;

/// A verifier of certificate chains that remembers its verdicts: a connection shows the same chain with every request.
fn cached(ca: Arc<ClientCa>) -> VerifyChain {
    let seen: Mutex<HashMap<[u8; 32], (bool, i64)>> = Mutex::default();
    Box::new(move |certs, now| {
        let mut h = Sha256::new();
        for c in certs {
            h.update(c);
        }
        let key: [u8; 32] = h.finalize().into();
        let minute = now.seconds / 60;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((good, at)) = seen.get(&key)
            && *at == minute
        {
            return *good;
        }
        let good = ca.verify(certs, u64::try_from(now.seconds).unwrap_or(0)).is_ok();
        if seen.len() >= CACHE {
            seen.clear();
        }
        seen.insert(key, (good, minute));
        good
    })
}

/// The authenticator, and the signer of service account tokens.
pub fn authenticator(a: &Authentication) -> (Authenticator, Option<Signer>) {
    let mut signer = None;
    let service_accounts = a.service_accounts.as_ref().map(|s| {
        let mut keys = s.keys.clone();
        if keys.iter().all(|k| k.id() != s.signer.public().id()) {
            keys.push(s.signer.public().clone());
        }
        signer = s.issuers.first().map(|i| Signer::new(s.signer.clone(), i.clone()));
        ServiceAccountTokens::new(keys, s.issuers.clone(), s.audiences.clone(), true)
    });
    let config = authn::Config {
        front_proxy: a.front_proxy.as_ref().map(|f| {
            let lower = |list: &[String]| list.iter().map(|h| h.to_ascii_lowercase()).collect();
            FrontProxy {
                verify: cached(f.ca.clone()),
                allowed_names: f.allowed_names.clone(),
                name_headers: lower(&f.name_headers),
                uid_headers: lower(&f.uid_headers),
                group_headers: lower(&f.group_headers),
                extra_prefixes: lower(&f.extra_prefixes),
            }
        }),
        client_certificates: a.client_ca.is_some(),
        client_ca: a.client_ca.clone().map(cached),
        static_tokens: a.tokens.clone(),
        service_accounts,
        bootstrap_tokens: a.bootstrap_tokens,
        anonymous: a.anonymous.clone(),
    };
    (Authenticator::new(config), signer)
}

/// What is fed with objects.
#[derive(Clone)]
pub struct Fed {
    pub rbac: Arc<Rbac>,
    pub node: Arc<NodeAuthorizer>,
    use_node: bool,
}

/// The chain of authorizers.
pub fn authorizer(modes: &[Mode]) -> (Arc<dyn Authorizer>, Fed) {
    let fed = Fed {
        rbac: Arc::new(Rbac::new()),
        node: Arc::new(NodeAuthorizer::new()),
        use_node: modes.contains(&Mode::Node),
    };
    let links = modes.iter().map(|m| {
        let a: (&str, Arc<dyn Authorizer>) = match m {
            Mode::AlwaysAllow => ("always-allow", Arc::new(authz::AlwaysAllow)),
            Mode::AlwaysDeny => ("always-deny", Arc::new(authz::AlwaysDeny)),
            Mode::Node => ("node", fed.node.clone()),
            Mode::Rbac => ("rbac", fed.rbac.clone()),
        };
        (a.0.to_owned(), a.1)
    });
    (Arc::new(Chain::new(links.collect())), fed)
}

impl Fed {
    fn wants(&self, i: &ResourceInfo) -> bool {
        i.gvr.group == authz::rbac::GROUP && Rbac::wants(&i.gvr.resource)
            || self.use_node && NodeAuthorizer::wants(&i.gvr.group, &i.gvr.resource)
    }
    fn is_rbac(i: &ResourceInfo) -> bool {
        i.gvr.group == authz::rbac::GROUP
    }
    fn upsert(&self, i: &ResourceInfo, r: &mvcc::Record, before: Option<&mvcc::Record>) {
        if i.is("", "pods") && same_rights(r, before) {
            return;
        }
        let read = match NodeAuthorizer::fields(&i.gvr.resource).filter(|_| !Self::is_rbac(i)) {
            Some(paths) => decode_fields(i, r, paths),
            None => decode_builtin(i, r).map(|v| v.0),
        };
        match read {
            Ok(v) if Self::is_rbac(i) => self.rbac.upsert(&i.gvr.resource, &v),
            Ok(v) => self.node.upsert(&i.gvr.resource, &v),
            Err(e) => {
                tracing::warn!(key = %r.key, error = %e, "authorization ignores an object it cannot read")
            }
        }
    }
    fn remove(&self, i: &ResourceInfo, key: &str) {
        let rest = key.strip_prefix(&i.prefix).unwrap_or(key);
        let (ns, name) = if i.namespaced { rest.split_once('/').unwrap_or(("", rest)) } else { ("", rest) };
        if Self::is_rbac(i) {
            self.rbac.remove(&i.gvr.resource, ns, name);
        } else {
            self.node.remove(&i.gvr.resource, ns, name);
        }
    }
}

/// The keys of the objects that were taken in.
type Keys = BTreeSet<Arc<str>>;

/// Whether a pod gives its node no other rights than it did before: nothing of interest to the node authorizer changed.
fn same_rights(r: &mvcc::Record, before: Option<&mvcc::Record>) -> bool {
    let (Form::Proto { raw, .. }, e) = (&ext(r).form, ext(r)) else { return false };
    let Some(spec) = schema::proto::bytes_field(raw, POD_SPEC) else { return false };
    if schema::proto::bytes_field(spec, NODE_NAME).is_none_or(<[u8]>::is_empty) {
        return true;
    }
    let Some(old) = before.filter(|b| !b.is_tombstone()).map(ext) else { return false };
    let Form::Proto { raw, .. } = &old.form else { return false };
    schema::proto::bytes_field(raw, POD_SPEC) == Some(spec)
        && old.header.annotation(MIRROR) == e.header.annotation(MIRROR)
}

/// Numbers of fields in a pod and its spec.
const POD_SPEC: u32 = 2;
const NODE_NAME: u32 = 10;
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Loads what authorization needs to know and follows it until the server stops.
pub fn follow(server: &Arc<ApiServer>) {
    let fed = server.fed.clone();
    let infos: Vec<Arc<ResourceInfo>> = {
        let reg = server.registry();
        let mut seen: Vec<String> = Vec::new();
        let wanted = reg.iter().filter(|i| i.stored() && !i.is_custom() && fed.wants(i));
        // One version of each: they share their stored form.
        wanted
            .filter(|i| {
                let new = !seen.contains(&i.prefix);
                seen.push(i.prefix.clone());
                new
            })
            .cloned()
            .collect()
    };
    for info in infos {
        let (revision, keys) = load(server, &fed, &info, &Keys::new());
        let (server, fed) = (server.clone(), fed.clone());
        let rt = server.rt.clone();
        rt.spawn_until_stop("authorization feed", async move {
            follow_one(&server, &fed, &info, revision, keys).await;
        });
    }
}

/// Takes all objects in; those among `known` that are gone are forgotten.
fn load(server: &ApiServer, fed: &Fed, info: &ResourceInfo, known: &Keys) -> (i64, Keys) {
    let snap = server.store.cached();
    let mut keys = Keys::new();
    snap.scan(&info.prefix, "", &mut |r| {
        fed.upsert(info, r, None);
        keys.insert(r.key.clone());
        true
    });
    for k in known.iter().filter(|k| !keys.contains(*k)) {
        fed.remove(info, k);
    }
    (snap.revision(), keys)
}

async fn follow_one(server: &ApiServer, fed: &Fed, info: &ResourceInfo, mut revision: i64, mut keys: Keys) {
    loop {
        if let Ok(mut w) = server.store.watch(&info.prefix, revision) {
            loop {
                match w.next().await {
                    None => return,
                    Some(WatchItem::Lagged) => break,
                    Some(WatchItem::Progress(_)) => {}
                    Some(WatchItem::Events(events)) => {
                        for e in events.iter() {
                            if e.record.is_tombstone() {
                                fed.remove(info, &e.record.key);
                                keys.remove(&*e.record.key);
                            } else {
                                fed.upsert(info, &e.record, e.previous.as_deref());
                                keys.insert(e.record.key.clone());
                            }
                        }
                    }
                }
            }
        }
        (revision, keys) = load(server, fed, info, &keys);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
