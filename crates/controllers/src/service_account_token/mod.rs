//! Secrets of the type `kubernetes.io/service-account-token`: fills in token, authority and namespace, and deletes those
//! whose account is gone (upstream `pkg/controller/serviceaccount/tokens_controller.go`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{Secret, ServiceAccount};
use crate::k8s::{DeleteOptions, Preconditions};
use crate::util::meta::MetaExt;
use crate::util::wake;
use client::{Event, Informer, Key, Kind, ListWatch, Outcome, Queue, retry_on_conflict, run_workers};
use k8s_openapi::ByteString;
use plan::{ACCOUNT, Needs};
use std::sync::Arc;

pub const TYPE: &str = "kubernetes.io/service-account-token";

/// A secret as it was named in an event; what its account was cannot be asked any more when it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Work {
    secret: Key,
    account: String,
    account_uid: String,
}

struct Controller {
    ctx: Ctx,
    secrets: Informer<Secret>,
    accounts: Informer<ServiceAccount>,
}

pub async fn run(ctx: Ctx) {
    let what = ListWatch { field_selector: format!("type={TYPE}"), ..ListWatch::default() };
    let secrets = ctx.informers.filtered::<Secret>(what);
    let accounts = ctx.informer::<ServiceAccount>();
    let queue: Queue<Work> = Queue::new();
    secrets.synced().await;
    accounts.synced().await;
    let rt = ctx.rt.clone();
    wake::on_event(&rt, secrets.raw(), {
        let queue = queue.clone();
        move |e| e.states().filter_map(work).for_each(|w| queue.add(w))
    });
    wake::on_event(&rt, accounts.raw(), {
        let (queue, secrets) = (queue.clone(), secrets.clone());
        move |e| {
            if let Event::Updated { .. } = e {
                return;
            }
            let here = secrets.raw().select(&e.key().namespace, &meta::selector::Selector::default());
            let name = e.key().name;
            here.iter().filter_map(work).filter(|w| w.account == name).for_each(|w| queue.add(w));
        }
    });
    let me = Arc::new(Controller { ctx, secrets, accounts });
    run_workers(&rt, me.ctx.name, 5, &queue, move |w| {
        let me = me.clone();
        async move { me.sync(w).await }
    });
    rt.stopping().await;
}

fn work(o: &client::RawObject) -> Option<Work> {
    let annotation = |k: &str| o.header.annotation(k).unwrap_or_default().to_owned();
    let account = annotation(ACCOUNT);
    if account.is_empty() {
        return None;
    }
    Some(Work { secret: o.key(), account, account_uid: annotation(plan::ACCOUNT_UID) })
}

impl Controller {
    async fn sync(&self, w: Work) -> Result<Outcome, Error> {
        let (ns, name) = (&w.secret.namespace, &w.secret.name);
        let Some(secret) = self.secrets.get(ns, name) else {
            self.remove_reference(&w).await?;
            return Ok(Outcome::Done);
        };
        if secret.annotation(ACCOUNT) != Some(&w.account) {
            return Ok(Outcome::Done);
        }
        match self.account(&w).await? {
            None => self.delete(&secret).await?,
            Some(account) => self.fill(&account, &secret).await?,
        }
        Ok(Outcome::Done)
    }

    /// The account of a secret; that there is none is asked of the server.
    async fn account(&self, w: &Work) -> Result<Option<ServiceAccount>, Error> {
        let is_it = |a: &ServiceAccount| w.account_uid.is_empty() || w.account_uid == a.uid();
        if let Some(a) = self.accounts.get(&w.secret.namespace, &w.account).filter(is_it) {
            return Ok(Some(a));
        }
        match self.ctx.client.get::<ServiceAccount>(w.secret.ns(), &w.account).await {
            Ok(a) => Ok(Some(a).filter(is_it)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn delete(&self, s: &Secret) -> Result<(), Error> {
        let options = DeleteOptions {
            preconditions: Some(Preconditions { uid: Some(s.uid().to_owned()), resource_version: None }),
            ..DeleteOptions::default()
        };
        match self.ctx.client.delete::<Secret>(s.ns(), s.name(), &options).await {
            Err(e) if !e.is_not_found() && !e.is_conflict() => Err(e.into()),
            _ => Ok(()),
        }
    }

    async fn fill(&self, account: &ServiceAccount, cached: &Secret) -> Result<(), Error> {
        let ca = self.ctx.config.root_ca.as_bytes();
        if plan::needs(cached, ca) == Needs::default() {
            return Ok(());
        }
        let Some(issue) = &self.ctx.config.legacy_token else {
            tracing::debug!(secret = %cached.key(), "no token is made for a secret: there is no key to sign it with");
            return Ok(());
        };
        let live: Secret = match self.ctx.client.get(cached.ns(), cached.name()).await {
            Err(e) if e.is_not_found() => return Ok(()),
            other => other?,
        };
        if live.metadata.resource_version != cached.metadata.resource_version {
            // Its event is on the way.
            return Ok(());
        }
        let needs = plan::needs(&live, ca);
        let mut new = live.clone();
        let data = new.data.get_or_insert_default();
        if needs.ca {
            data.insert("ca.crt".into(), ByteString(ca.to_vec()));
        }
        if needs.namespace {
            data.insert("namespace".into(), ByteString(live.namespace().as_bytes().to_vec()));
        }
        if needs.token {
            let (a, s) = (account.to_value(), live.to_value());
            let token = issue(&a, &s).map_err(|e| Error::other(format!("making a token: {e}")))?;
            data.insert("token".into(), ByteString(token.into_bytes()));
        }
        let annotations = new.metadata.annotations.get_or_insert_default();
        annotations.insert(ACCOUNT.into(), account.name().into());
        annotations.insert(plan::ACCOUNT_UID.into(), account.uid().into());
        match self.ctx.client.replace(&new).await {
            Err(e) if !e.is_not_found() && !e.is_conflict() => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// An account that lists a secret lists it no more when it is gone.
    async fn remove_reference(&self, w: &Work) -> Result<(), Error> {
        let lists = |a: &ServiceAccount| {
            let named = a.secrets.iter().flatten().any(|s| s.name.as_deref() == Some(&w.secret.name));
            named && (w.account_uid.is_empty() || w.account_uid == a.uid())
        };
        if !self.accounts.get(&w.secret.namespace, &w.account).is_some_and(|a| lists(&a)) {
            return Ok(());
        }
        let result = retry_on_conflict(|| async {
            let mut a: ServiceAccount = self.ctx.client.get(w.secret.ns(), &w.account).await?;
            if !lists(&a) {
                return Ok(());
            }
            if let Some(all) = &mut a.secrets {
                all.retain(|s| s.name.as_deref() != Some(&w.secret.name));
            }
            self.ctx.client.replace(&a).await.map(drop)
        })
        .await;
        match result {
            Err(e) if !e.is_not_found() => Err(e.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use base64::Engine;
    use meta::object::ObjectExt;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn secret(name: &str, account: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Secret", "type": super::TYPE, "metadata": {"name": name, "namespace": "ns",
            "annotations": {"kubernetes.io/service-account.name": account}}})
    }

    #[tokio::test(start_paused = true)]
    async fn fills_and_deletes() {
        let c = Cluster::with(&["serviceaccount-token"], |c| {
            c.root_ca = "CA".into();
            c.legacy_token = Some(Arc::new(|a, s| Ok(format!("{} {}", a.name(), s.name()))));
        })
        .await;
        let a = c.api.seed(
            "serviceaccounts",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "ns"},
                "secrets": [{"name": "s"}, {"name": "other"}]}),
        );
        c.api.seed("secrets", secret("s", "a"));
        c.api.seed("secrets", secret("orphan", "nobody"));
        c.settle().await;
        let s = c.api.object("", "secrets", "ns", "s").unwrap();
        let text = |k: &str| {
            let b = base64::engine::general_purpose::STANDARD.decode(s["data"][k].as_str().unwrap()).unwrap();
            String::from_utf8(b).unwrap()
        };
        assert_eq!([text("token"), text("ca.crt"), text("namespace")], ["a s", "CA", "ns"]);
        assert_eq!(s.annotation("kubernetes.io/service-account.uid"), Some(a.uid()));
        assert_eq!(c.names("", "secrets"), ["s"]);
        c.api.remove("", "secrets", "ns", "s");
        c.settle().await;
        let a = c.api.object("", "serviceaccounts", "ns", "a").unwrap();
        assert_eq!(a["secrets"], json!([{"name": "other"}]));
        c.api.seed("secrets", secret("again", "a"));
        c.api.remove("", "serviceaccounts", "ns", "a");
        c.settle().await;
        assert!(c.names("", "secrets").is_empty());
    }
}
