//! Deletes bootstrap tokens that have expired (upstream `pkg/controller/bootstrap/tokencleaner.go`).

use crate::context::{Ctx, Error};
use crate::k8s::core::Secret;
use crate::k8s::{DeleteOptions, Preconditions};
use crate::util::meta::MetaExt;
use crate::util::{bootstrap_token, wake};
use client::{Key, Outcome, Queue, run_workers};
use std::time::Duration;

pub async fn run(ctx: Ctx) {
    let secrets = ctx.informers.filtered::<Secret>(bootstrap_token::all());
    let queue: Queue<Key> = Queue::new();
    secrets.synced().await;
    wake::forward_self(&ctx.rt, secrets.raw(), &queue);
    let rt = ctx.rt.clone();
    run_workers(&rt, ctx.name, 1, &queue, move |key| {
        let (ctx, secret) = (ctx.clone(), secrets.get(&key.namespace, &key.name));
        async move {
            let Some(s) = secret else { return Ok::<_, Error>(Outcome::Done) };
            let Some(left) = bootstrap_token::expires_in(&s, ctx.now()) else { return Ok(Outcome::Done) };
            if let Ok(left @ 1..) = u64::try_from(left) {
                return Ok(Outcome::After(Duration::from_secs(left)));
            }
            let options = DeleteOptions {
                preconditions: Some(Preconditions { uid: Some(s.uid().to_owned()), resource_version: None }),
                ..DeleteOptions::default()
            };
            match ctx.client.delete::<Secret>(s.ns(), s.name(), &options).await {
                Err(e) if !e.is_not_found() && !e.is_conflict() => Err(e.into()),
                _ => Ok(Outcome::Done),
            }
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
    async fn deletes_expired_tokens() {
        let c = Cluster::start(&["tokencleaner"]).await;
        for (name, expiration) in
            [("early", "2024-01-01T01:00:00Z"), ("late", "2024-01-01T03:00:00Z"), ("bad", "x")]
        {
            let e = base64::engine::general_purpose::STANDARD.encode(expiration);
            c.api.seed(
                "secrets",
                json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
                    "metadata": {"name": name, "namespace": "kube-system"}, "data": {"expiration": e}}),
            );
        }
        c.settle().await;
        assert_eq!(c.names("", "secrets"), ["early", "late"]);
        c.advance(3601).await;
        assert_eq!(c.names("", "secrets"), ["late"]);
    }
}
