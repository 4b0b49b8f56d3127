//! Autoscalers against metrics that are made up.

use crate::testing::Cluster;
use meta::object::ObjectExt;
use serde_json::{Value, json};

const SCALE: &str = "/apis/apps/v1/namespaces/ns/deployments/d/scale";
const METRICS: &str = "/apis/metrics.k8s.io/v1/namespaces/ns/pods";

fn hpa(spec: Value) -> Value {
    let mut all = json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
        "minReplicas": 1, "maxReplicas": 10, "metrics": [{"type": "Resource", "resource": {"name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": 50}}}]});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "namespace": "ns"},
        "spec": all})
}

/// Two pods that request a whole CPU each, and use `milli` of it each.
async fn cluster(milli: i64, spec: Value) -> Cluster {
    let c = Cluster::start(&[]).await;
    for name in ["a", "b"] {
        c.api.seed(
            "pods",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "ns", "labels": {"app": "d"}},
                "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
                "status": {"phase": "Running", "startTime": "2023-01-01T00:00:00Z", "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2023-01-01T00:01:00Z"}]}}),
        );
    }
    scale(&c, 2);
    use_cpu(&c, milli);
    c.api.answer(&format!("PUT {SCALE}"), json!({}));
    c.api.seed("horizontalpodautoscalers", hpa(spec));
    c
}
fn scale(c: &Cluster, n: i32) {
    c.api.answer(SCALE, json!({"metadata": {"name": "d"}, "spec": {"replicas": n}, "status": {"replicas": n, "selector": "app=d"}}));
}
fn use_cpu(c: &Cluster, milli: i64) {
    let pod = |name: &str| {
        json!({"metadata": {"name": name}, "timestamp": "2024-01-01T00:00:00Z", "window": "30s",
            "containers": [{"name": "c", "usage": {"cpu": format!("{milli}m")}}]})
    };
    c.api.answer(METRICS, json!({"items": [pod("a"), pod("b")]}));
}
/// The same server, with the controller.
async fn run(c: Cluster) -> Cluster {
    Cluster::on(c.api.clone(), &["horizontalpodautoscaling"], |_| {}).await
}
fn status(c: &Cluster) -> Value {
    c.api.object("autoscaling", "horizontalpodautoscalers", "ns", "h").unwrap()["status"].clone()
}
fn reason(c: &Cluster, kind: &str) -> String {
    let s = status(c);
    let found = s.array_at("conditions").iter().find(|x| x.str_at("type") == kind);
    found.map(|x| format!("{} {}", x.str_at("status"), x.str_at("reason"))).unwrap_or_default()
}
fn scaled(c: &Cluster) -> Vec<i64> {
    let log = c.api.take_log().into_iter();
    let body = |l: String| {
        l.strip_prefix(&format!("PUT {SCALE} ")).and_then(|b| serde_json::from_str::<Value>(b).ok())
    };
    log.filter_map(body).filter_map(|b| b.i64_at("spec.replicas")).collect()
}

#[tokio::test(start_paused = true)]
async fn follows_the_use_of_cpu() {
    let c = run(cluster(900, json!({})).await).await;
    assert_eq!(scaled(&c).first(), Some(&4));
    let s = status(&c);
    assert_eq!((s["currentReplicas"].clone(), s["desiredReplicas"].clone()), (json!(2), json!(4)));
    assert_eq!(
        s["currentMetrics"][0]["resource"]["current"],
        json!({"averageUtilization": 90, "averageValue": "900m"})
    );
    assert_eq!(reason(&c, "ScalingActive"), "True ValidMetricFound");
    assert_eq!(reason(&c, "AbleToScale"), "True SucceededRescale");
    assert_eq!(reason(&c, "ScalingLimited"), "False DesiredWithinRange");
    use_cpu(&c, 50);
    c.advance(30).await;
    scaled(&c);
    c.settle().await;
    assert_eq!(scaled(&c), [4; 4], "the last five minutes asked for more");
    assert_eq!(reason(&c, "AbleToScale"), "True SucceededRescale");
    c.advance(400).await;
    assert_eq!(scaled(&c).last(), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn keeps_within_its_limits() {
    let c = run(cluster(900, json!({"maxReplicas": 1})).await).await;
    assert_eq!(scaled(&c).first(), Some(&1));
    let c = run(cluster(900, json!({"minReplicas": 3})).await).await;
    assert_eq!(scaled(&c).first(), Some(&3));
    let c = run(cluster(900, json!({"maxReplicas": 3})).await).await;
    assert_eq!(scaled(&c).first(), Some(&3));
    assert_eq!(reason(&c, "ScalingLimited"), "True TooManyReplicas");
}

#[tokio::test(start_paused = true)]
async fn says_why_it_cannot() {
    let c = cluster(900, json!({})).await;
    c.api.answer(METRICS, json!({"items": []}));
    let c = run(c).await;
    assert!(scaled(&c).is_empty());
    assert_eq!(reason(&c, "ScalingActive"), "False FailedGetResourceMetric");
    let c = cluster(900, json!({})).await;
    scale(&c, 0);
    let c = run(c).await;
    assert_eq!(reason(&c, "ScalingActive"), "False ScalingDisabled");
    let c = cluster(
        900,
        json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "gone"}}),
    )
    .await;
    let c = run(c).await;
    assert_eq!(reason(&c, "AbleToScale"), "False FailedGetScale");
    let c = cluster(900, json!({})).await;
    let mut other = hpa(json!({}));
    other["metadata"]["name"] = json!("other");
    c.api.seed("horizontalpodautoscalers", other);
    let c = run(c).await;
    assert_eq!(reason(&c, "ScalingActive"), "False AmbiguousSelector");
}

#[tokio::test(start_paused = true)]
async fn takes_metrics_from_elsewhere_and_scales_to_zero() {
    let external = json!({"minReplicas": 0, "metrics": [{"type": "External", "external": {"metric": {"name": "queue"},
        "target": {"type": "AverageValue", "averageValue": "10"}}}]});
    let c = cluster(0, external).await;
    let queue = "/apis/external.metrics.k8s.io/v1beta1/namespaces/ns/queue";
    c.api.answer(queue, json!({"items": [{"value": "25"}, {"value": "20"}]}));
    let c = run(c).await;
    assert_eq!(scaled(&c).first(), Some(&4), "no more than double");
    assert_eq!(status(&c)["currentMetrics"][0]["external"]["current"], json!({"averageValue": "22500m"}));
    c.api.answer(queue, json!({"items": [{"value": "0"}]}));
    c.advance(400).await;
    assert_eq!(scaled(&c).last(), Some(&0));
    assert_eq!(reason(&c, "ScaledToZero"), "True ScaledToZero");
}
