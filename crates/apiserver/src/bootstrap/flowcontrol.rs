//! The default flow schemas and priority levels (apiserver `pkg/apis/flowcontrol/bootstrap`). What
//! they mean is in [`crate::fair`].

use super::create_all;
use crate::Result;
use crate::server::ApiServer;
use meta::Value;
use serde_json::json;
use std::sync::Arc;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

type Level = (&'static str, i64, i64, Option<(i64, i64)>);

/// Name, shares, lendable percent, (queues, hand size); no queues: requests beyond the share are rejected.
const LEVELS: &[Level] = &[
    ("catch-all", 5, 0, None),
    ("global-default", 20, 50, Some((128, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("node-high", 40, 25, Some((64, 6))),
    ("system", 30, 33, Some((64, 6))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
];

fn levels() -> Vec<Value> {
    let obj = |name: &str, spec: Value| {
        json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
            "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}, "spec": spec,
        })
    };
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let mut out = vec![obj("exempt", exempt)];
    for (name, shares, lendable, queues) in LEVELS {
        let response = match queues {
            None => json!({"type": "Reject"}),
            Some((q, hand)) => {
                json!({"type": "Queue", "queuing": {"queues": q, "handSize": hand, "queueLengthLimit": 50}})
            }
        };
        let limited = json!({
            "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response,
        });
        out.push(obj(name, json!({"type": "Limited", "limited": limited})));
    }
    out
}

fn groups(names: &[&str]) -> Value {
    names.iter().map(|n| json!({"kind": "Group", "group": {"name": n}})).collect()
}

fn users(names: &[&str]) -> Value {
    names.iter().map(|n| json!({"kind": "User", "user": {"name": n}})).collect()
}

fn system_accounts() -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "kube-system"}})
}

fn rule(verbs: &[&str], groups: &[&str], resources: &[&str], cluster: bool) -> Value {
    let mut r = json!({"verbs": verbs, "apiGroups": groups, "resources": resources, "namespaces": ["*"]});
    if cluster {
        r["clusterScope"] = true.into();
    }
    r
}

fn schemas() -> Vec<Value> {
    let any = || json!([rule(&["*"], &["*"], &["*"], true)]);
    let any_path = || json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
    let everyone = || groups(&["system:unauthenticated", "system:authenticated"]);
    let obj = |name: &str,
               level: &str,
               precedence: i64,
               by: &str,
               subjects: Value,
               rules: Value,
               paths: Value| {
        let mut spec = json!({
            "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence,
            "rules": [{"subjects": subjects}],
        });
        if !by.is_empty() {
            spec["distinguisherMethod"] = json!({"type": by});
        }
        for (k, v) in [("resourceRules", rules), ("nonResourceRules", paths)] {
            if !v.is_null() {
                spec["rules"][0][k] = v;
            }
        }
        json!({
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
            "metadata": {"name": name, "annotations": {"apf.kubernetes.io/autoupdate-spec": "true"}}, "spec": spec,
        })
    };
    let (user, ns, none) = ("ByUser", "ByNamespace", Value::Null);
    let probes = json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]);
    let leases = |verbs: &[&str]| rule(verbs, &["coordination.k8s.io"], &["leases"], false);
    let mut electors = users(&["system:kube-controller-manager", "system:kube-scheduler"]);
    if let Value::Array(a) = &mut electors {
        a.push(system_accounts());
    }
    let nodes = || groups(&["system:nodes"]);
    let high = json!([rule(&["*"], &[""], &["nodes", "nodes/status"], true), leases(&["*"])]);
    let manager = users(&["system:kube-controller-manager"]);
    let scheduler = users(&["system:kube-scheduler"]);
    let system = json!([system_accounts()]);
    let accounts = groups(&["system:serviceaccounts"]);
    vec![
        obj("exempt", "exempt", 1, "", groups(&["system:masters"]), any(), any_path()),
        obj("probes", "exempt", 2, "", everyone(), none.clone(), probes),
        obj(
            "system-leader-election",
            "leader-election",
            100,
            user,
            electors,
            json!([leases(&["get", "create", "update"])]),
            none.clone(),
        ),
        obj("system-node-high", "node-high", 400, user, nodes(), high, none),
        obj("system-nodes", "system", 500, user, nodes(), any(), any_path()),
        obj("kube-controller-manager", "workload-high", 800, ns, manager, any(), any_path()),
        obj("kube-scheduler", "workload-high", 800, ns, scheduler, any(), any_path()),
        obj("kube-system-service-accounts", "workload-high", 900, ns, system, any(), any_path()),
        obj("service-accounts", "workload-low", 9000, user, accounts, any(), any_path()),
        obj("global-default", "global-default", 9900, user, everyone(), any(), any_path()),
        obj("catch-all", "catch-all", 10000, user, everyone(), any(), any_path()),
    ]
}

pub async fn ensure(s: &Arc<ApiServer>) -> Result<()> {
    create_all(s, GROUP, "prioritylevelconfigurations", &levels()).await?;
    create_all(s, GROUP, "flowschemas", &schemas()).await
}
