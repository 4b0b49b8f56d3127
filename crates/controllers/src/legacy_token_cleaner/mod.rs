//! Marks tokens that were made for service accounts by old releases and have not been used for a year, and deletes them
//! after another (upstream `pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go`).

mod plan;

use crate::context::{Ctx, Error};
use crate::k8s::core::{ConfigMap, Pod, Secret, ServiceAccount};
use crate::k8s::{DeleteOptions, Preconditions};
use crate::service_account_token::TYPE;
use crate::util::meta::MetaExt;
use client::{Informer, ListWatch, PatchKind};
use plan::Verdict;
use serde_json::json;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(24 * 3600);
/// Where the API server says since when it notes the use of tokens.
const TRACKING: (&str, &str) = ("kube-system", "kube-apiserver-legacy-service-account-token-tracking");

pub async fn run(ctx: Ctx) {
    let what = ListWatch { field_selector: format!("type={TYPE}"), ..ListWatch::default() };
    let secrets = ctx.informers.filtered::<Secret>(what);
    let (accounts, pods) = (ctx.informer::<ServiceAccount>(), ctx.informer::<Pod>());
    secrets.synced().await;
    accounts.synced().await;
    pods.synced().await;
    loop {
        if let Err(e) = sweep(&ctx, &secrets, &accounts, &pods).await {
            tracing::warn!("looking for unused tokens failed: {e}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn sweep(
    ctx: &Ctx,
    secrets: &Informer<Secret>,
    accounts: &Informer<ServiceAccount>,
    pods: &Informer<Pod>,
) -> Result<(), Error> {
    if secrets.raw().is_empty() {
        return Ok(());
    }
    let tracking: ConfigMap = match ctx.client.get(Some(TRACKING.0), TRACKING.1).await {
        Err(e) if e.is_not_found() => return Ok(()),
        other => other?,
    };
    let since = tracking.data.and_then(|d| d.get("since").cloned()).unwrap_or_default();
    let period = i64::try_from(ctx.config.legacy_token_cleanup.as_secs()).unwrap_or(i64::MAX);
    let Some(limits) = plan::limits(&since, period, ctx.now()) else { return Ok(()) };
    for s in secrets.list() {
        let account = s.annotation("kubernetes.io/service-account.name").unwrap_or_default();
        let account = accounts.get(s.namespace(), account);
        let verdict = plan::judge(&s, account.as_ref(), &limits, || {
            pods.in_namespace(s.namespace()).iter().any(|p| plan::mounts(p, s.name()))
        });
        match verdict {
            Verdict::Keep => {}
            Verdict::Mark => {
                let patch =
                    json!({"metadata": {"uid": s.uid(), "labels": {plan::INVALID_SINCE: limits.today}}});
                if let Err(e) =
                    ctx.client.patch::<Secret>(s.ns(), s.name(), "", PatchKind::Merge, &patch).await
                {
                    tracing::warn!(secret = %s.key(), "marking an unused token failed: {e}");
                }
            }
            Verdict::Delete => {
                let options = DeleteOptions {
                    preconditions: Some(Preconditions {
                        resource_version: s.metadata.resource_version.clone(),
                        uid: None,
                    }),
                    ..DeleteOptions::default()
                };
                match ctx.client.delete::<Secret>(s.ns(), s.name(), &options).await {
                    Err(e) if !e.is_not_found() && !e.is_conflict() => {
                        tracing::warn!(secret = %s.key(), "deleting an unused token failed: {e}");
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use meta::object::ObjectExt;
    use serde_json::json;

    #[tokio::test(start_paused = true)]
    async fn marks_then_deletes() {
        let api = client::fake::FakeApi::new();
        api.seed(
            "configmaps",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": super::TRACKING.1, "namespace": "kube-system"},
                "data": {"since": "2022-01-01"}}),
        );
        api.seed(
            "serviceaccounts",
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "a", "namespace": "ns"},
                "secrets": [{"name": "s"}]}),
        );
        api.seed(
            "secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "type": super::TYPE, "metadata": {"name": "s", "namespace": "ns",
                "creationTimestamp": "2022-01-01T00:00:00Z", "annotations": {"kubernetes.io/service-account.name": "a"}}}),
        );
        let c = Cluster::on(api, &["legacy-service-account-token-cleaner"], |_| {}).await;
        let s = c.api.object("", "secrets", "ns", "s").unwrap();
        assert_eq!(s.label("kubernetes.io/legacy-token-invalid-since"), Some("2024-01-01"));
        c.advance(366 * 86400).await;
        assert!(c.names("", "secrets").is_empty());
    }
}
