//! Signs the ConfigMap `cluster-info` with each bootstrap token, for who joins with one (upstream
//! `pkg/controller/bootstrap/bootstrapsigner.go`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{ConfigMap, Secret};
use crate::util::meta::MetaExt;
use crate::util::{bootstrap_token, wake};
use client::{Key, ListWatch, Outcome, Queue, run_workers};
use std::time::Duration;

const NAMESPACE: &str = "kube-public";
const NAME: &str = "cluster-info";

pub async fn run(ctx: Ctx) {
    let info = ListWatch {
        namespace: NAMESPACE.into(),
        field_selector: format!("metadata.name={NAME}"),
        ..ListWatch::default()
    };
    let (infos, secrets) =
        (ctx.informers.filtered::<ConfigMap>(info), ctx.informers.filtered::<Secret>(bootstrap_token::all()));
    let queue: Queue<Key> = Queue::new();
    infos.synced().await;
    secrets.synced().await;
    let rt = ctx.rt.clone();
    wake::forward(&rt, infos.raw(), &queue, |_| vec![Key::default()]);
    wake::forward(&rt, secrets.raw(), &queue, |_| vec![Key::default()]);
    run_workers(&rt, ctx.name, 1, &queue, move |_| {
        let (ctx, info, secrets) = (ctx.clone(), infos.get(NAMESPACE, NAME), secrets.list());
        async move {
            let Some(info) = info else { return Ok::<_, Error>(Outcome::Done) };
            let now = ctx.now();
            let tokens = secrets.iter().filter_map(|s| bootstrap_token::for_signing(s, now)).collect();
            if let Some(new) = plan::signed(&info, tokens) {
                match ctx.client.replace(&new).await {
                    Err(e) if !e.is_not_found() && !e.is_conflict() => return Err(e.into()),
                    _ => {}
                }
            }
            // A token that expires signs no more.
            let next =
                secrets.iter().filter_map(|s| bootstrap_token::expires_in(s, now)).filter(|t| *t > 0).min();
            let next = next.and_then(|t| u64::try_from(t).ok());
            tracing::trace!(key = %info.key(), "cluster-info is signed");
            Ok(next.map_or(Outcome::Done, |t| Outcome::After(Duration::from_secs(t))))
        }
    });
    rt.stopping().await;
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use base64::Engine;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn signs() {
        let c = Cluster::start(&["bootstrapsigner"]).await;
        let b = |s: &str| base64::engine::general_purpose::STANDARD.encode(s);
        c.api.seed(
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cluster-info", "namespace": "kube-public"},
                "data": {"kubeconfig": "content", "jws-kubeconfig-gone00": "x"}}),
        );
        c.api.seed(
            "secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
                "data": {"token-id": b("abcdef"), "token-secret": b("0123456789abcdef"), "usage-bootstrap-signing": b("true"),
                    "expiration": b("2024-01-01T01:00:00Z")}}),
        );
        c.settle().await;
        let data = || c.api.object("", "configmaps", "kube-public", "cluster-info").unwrap()["data"].clone();
        assert!(
            data()["jws-kubeconfig-abcdef"]
                .as_str()
                .unwrap()
                .starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..")
        );
        assert!(data().get("jws-kubeconfig-gone00").is_none());
        c.advance(3700).await;
        assert!(data().get("jws-kubeconfig-abcdef").is_none());
    }
}
