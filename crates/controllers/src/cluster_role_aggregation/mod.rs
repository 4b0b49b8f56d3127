//! Fills in the rules of ClusterRoles that are made of others (upstream `pkg/controller/clusterroleaggregation`).

use crate::context::{Ctx, Error};
use crate::k8s::rbac::{ClusterRole, PolicyRule};
use crate::util::meta::{MetaExt, selector};
use crate::util::wake;
use client::{Informer, Key, Outcome, PatchKind, Queue, run_workers};
use serde_json::json;
use std::time::Duration;

const WORKERS: usize = 5;
/// Many roles change at once when a cluster is set up.
const BATCH: Duration = Duration::from_millis(50);

pub async fn run(ctx: Ctx) {
    let roles: Informer<ClusterRole> = ctx.informer();
    // Whether a role is made of others is not in its header.
    roles.add_index("aggregated", |r| {
        r.aggregation_rule.is_some().then(|| "yes".to_owned()).into_iter().collect()
    });
    roles.synced().await;
    let rt = ctx.rt.clone();
    let queue: Queue<Key> = Queue::new();
    let (cache, to) = (roles.clone(), queue.clone());
    wake::on_event(&rt, roles.raw(), move |_| {
        for o in cache.raw().by_index("aggregated", "yes") {
            to.add_after(o.key(), BATCH);
        }
    });
    let name = ctx.name;
    run_workers(&rt, name, WORKERS, &queue, move |key| {
        let (ctx, roles) = (ctx.clone(), roles.clone());
        async move { sync(&ctx, &roles, &key.name).await }
    });
    rt.stopping().await;
}

async fn sync(ctx: &Ctx, roles: &Informer<ClusterRole>, name: &str) -> Result<Outcome, Error> {
    let Some(role) = roles.get("", name) else { return Ok(Outcome::Done) };
    let Some(wanted) = rules(&role, roles)? else { return Ok(Outcome::Done) };
    if role.rules.as_deref().unwrap_or_default() == wanted {
        return Ok(Outcome::Done);
    }
    let apply = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": name}, "rules": wanted});
    let client = ctx.client.clone().named("clusterrole-aggregation-controller");
    client.patch::<ClusterRole>(None, name, "", PatchKind::Apply, &apply).await?;
    Ok(Outcome::Done)
}

/// The rules of all roles that a role's selectors select, in the order of their names, each once.
fn rules(role: &ClusterRole, roles: &Informer<ClusterRole>) -> Result<Option<Vec<PolicyRule>>, Error> {
    let Some(rule) = &role.aggregation_rule else { return Ok(None) };
    let mut all: Vec<PolicyRule> = Vec::new();
    for s in rule.cluster_role_selectors.iter().flatten() {
        let s = selector(Some(s)).map_err(Error::Other)?;
        for other in roles.select("", &s) {
            if other.name() == role.name() {
                continue;
            }
            for r in other.rules.into_iter().flatten() {
                if !all.contains(&r) {
                    all.push(r);
                }
            }
        }
    }
    Ok(Some(all))
}

#[cfg(test)]
mod tests {
    use crate::testing::Cluster;
    use serde_json::{Value, json};

    #[tokio::test(start_paused = true)]
    async fn aggregates() {
        let c = Cluster::start(&["clusterrole-aggregation-controller"]).await;
        let rule = |r: &str| json!({"apiGroups": [""], "resources": [r], "verbs": ["get"]});
        let role = |name: &str, rules: Value| json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name, "labels": {"to": "view"}}, "rules": rules});
        let mut view = role("view", json!([]));
        view["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]});
        c.api.seed("clusterroles", view);
        c.api.seed("clusterroles", role("b", json!([rule("pods"), rule("nodes")])));
        c.api.seed("clusterroles", role("a", json!([rule("pods")])));
        c.settle().await;
        let got = || {
            c.api.object("rbac.authorization.k8s.io", "clusterroles", "", "view").unwrap()["rules"].clone()
        };
        assert_eq!(got(), json!([rule("pods"), rule("nodes")]));
        c.api.remove("rbac.authorization.k8s.io", "clusterroles", "", "b");
        c.settle().await;
        assert_eq!(got(), json!([rule("pods")]));
    }
}
