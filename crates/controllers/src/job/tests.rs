//! Jobs against the server in memory.

use crate::testing::{Cluster, START};
use meta::object::ObjectExt;
use serde_json::{Value, json};

fn job(spec: Value) -> Value {
    let mut j = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "ns"},
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "completionMode": "NonIndexed", "suspend": false,
            "selector": {"matchLabels": {"job": "j"}}, "podReplacementPolicy": "TerminatingOrFailed",
            "template": {"metadata": {"labels": {"job": "j"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (k, v) in spec.as_object().into_iter().flatten() {
        j["spec"][k] = v.clone();
    }
    j
}

async fn start(spec: Value) -> Cluster {
    let c = Cluster::start(&["job-controller"]).await;
    c.api.seed("jobs", job(spec));
    c.settle().await;
    c
}
fn status(c: &Cluster) -> Value {
    c.api.object("batch", "jobs", "ns", "j").unwrap()["status"].clone()
}
fn conditions(c: &Cluster) -> String {
    let all = status(c)["conditions"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|x| format!("{}={}/{}", x.str_at("type"), x.str_at("status"), x.str_at("reason")))
        .collect::<Vec<_>>()
        .join(" ")
}
fn counts(c: &Cluster) -> (i64, i64, i64) {
    let s = status(c);
    let n = |k: &str| s[k].as_i64().unwrap_or(0);
    (n("active"), n("succeeded"), n("failed"))
}
/// Active pods.
fn active(c: &Cluster) -> Vec<Value> {
    let all = c.api.objects("", "pods");
    all.into_iter()
        .filter(|p| {
            !matches!(p.str_at("status.phase"), "Succeeded" | "Failed") && p.deletion_timestamp().is_none()
        })
        .collect()
}
fn index(p: &Value) -> i64 {
    p.annotation("batch.kubernetes.io/job-completion-index").unwrap().parse().unwrap()
}
/// Lets a pod fail with an exit code.
fn fail(c: &Cluster, p: &Value, code: i32) {
    let now = c.rt.clock.unix_seconds();
    let now = meta::time::Timestamp { seconds: now, nanos: 0 }.rfc3339();
    let s = json!({"status": {"phase": "Failed", "containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": code, "finishedAt": now}}}]}});
    c.patch("", "pods", "ns", p.name(), s);
}

#[tokio::test(start_paused = true)]
async fn runs_to_completion() {
    let c = start(json!({"completions": 3, "parallelism": 2})).await;
    assert_eq!((counts(&c), active(&c).len()), ((2, 0, 0), 2));
    assert_eq!(active(&c)[0].finalizers(), ["batch.kubernetes.io/job-tracking"]);
    for _ in 0..3 {
        c.set_phase(&active(&c)[0], "Succeeded");
        c.settle().await;
    }
    assert_eq!(counts(&c), (0, 3, 0));
    assert_eq!(conditions(&c), "SuccessCriteriaMet=True/CompletionsReached Complete=True/CompletionsReached");
    assert_eq!(status(&c).str_at("completionTime"), START);
    assert_eq!(status(&c)["uncountedTerminatedPods"], json!({}));
    assert!(c.api.objects("", "pods").iter().all(|p| p.finalizers().is_empty()));
}

#[tokio::test(start_paused = true)]
async fn backs_off_and_gives_up() {
    let c = start(json!({"backoffLimit": 1})).await;
    fail(&c, &active(&c)[0], 1);
    c.settle().await;
    assert_eq!((counts(&c), active(&c).len()), ((0, 0, 1), 0), "it waits ten seconds of the wall clock");
    c.advance(11).await;
    assert_eq!(active(&c).len(), 1);
    fail(&c, &active(&c)[0], 1);
    c.settle().await;
    assert_eq!(counts(&c), (0, 0, 2));
    assert_eq!(conditions(&c), "FailureTarget=True/BackoffLimitExceeded Failed=True/BackoffLimitExceeded");
}

#[tokio::test(start_paused = true)]
async fn deadline_and_suspension() {
    let c = start(json!({"activeDeadlineSeconds": 100, "suspend": true})).await;
    assert_eq!((counts(&c), conditions(&c).as_str()), ((0, 0, 0), "Suspended=True/JobSuspended"));
    c.advance(200).await;
    c.patch("batch", "jobs", "ns", "j", json!({"spec": {"suspend": false}}));
    c.settle().await;
    assert_eq!((active(&c).len(), conditions(&c).as_str()), (1, "Suspended=False/JobResumed"));
    c.advance(50).await;
    c.patch("batch", "jobs", "ns", "j", json!({"spec": {"suspend": true}}));
    c.settle().await;
    assert!(c.api.objects("", "pods").is_empty());
    assert_eq!(counts(&c), (0, 0, 0), "deleted pods are not failures");
    c.patch("batch", "jobs", "ns", "j", json!({"spec": {"suspend": false}}));
    c.settle().await;
    c.advance(101).await;
    assert!(conditions(&c).ends_with("Failed=True/DeadlineExceeded"), "{}", conditions(&c));
}

#[tokio::test(start_paused = true)]
async fn indexed() {
    let c = start(json!({"completions": 4, "parallelism": 3, "completionMode": "Indexed"})).await;
    let mut got: Vec<_> = active(&c).iter().map(index).collect();
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2]);
    let p = &active(&c)[0];
    assert_eq!(p.str_at("spec.hostname"), format!("j-{}", index(p)));
    assert_eq!(p["spec"]["containers"][0]["env"][0]["name"], "JOB_COMPLETION_INDEX");
    let of = |i: i64| active(&c).into_iter().find(|p| index(p) == i).unwrap();
    c.set_phase(&of(1), "Succeeded");
    c.set_phase(&of(2), "Succeeded");
    c.settle().await;
    assert_eq!((status(&c).str_at("completedIndexes"), counts(&c)), ("1,2", (2, 2, 0)));
    c.set_phase(&of(0), "Succeeded");
    c.set_phase(&of(3), "Succeeded");
    c.settle().await;
    assert_eq!((status(&c).str_at("completedIndexes"), counts(&c)), ("0-3", (0, 4, 0)));
    assert!(conditions(&c).ends_with("Complete=True/CompletionsReached"));
}

#[tokio::test(start_paused = true)]
async fn limits_by_index() {
    let c = start(json!({"completions": 2, "parallelism": 2, "completionMode": "Indexed", "backoffLimit": i32::MAX, "backoffLimitPerIndex": 1})).await;
    let of = |i: i64| active(&c).into_iter().find(|p| index(p) == i);
    fail(&c, &of(0).unwrap(), 1);
    c.settle().await;
    assert!(of(0).is_none());
    c.advance(11).await;
    let again = of(0).unwrap();
    assert_eq!(again.annotation("batch.kubernetes.io/job-index-failure-count"), Some("1"));
    fail(&c, &again, 1);
    c.settle().await;
    assert_eq!((status(&c).str_at("failedIndexes"), conditions(&c).as_str()), ("0", ""));
    c.set_phase(&of(1).unwrap(), "Succeeded");
    c.settle().await;
    assert_eq!(conditions(&c), "FailureTarget=True/FailedIndexes Failed=True/FailedIndexes");
    assert_eq!((status(&c).str_at("completedIndexes"), counts(&c)), ("1", (0, 1, 2)));
}

#[tokio::test(start_paused = true)]
async fn policies() {
    let c = start(json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]}})).await;
    fail(&c, &active(&c)[0], 42);
    c.settle().await;
    assert!(conditions(&c).ends_with("Failed=True/PodFailurePolicy"));

    let c = start(json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed", "successPolicy": {"rules": [{"succeededIndexes": "1"}]}})).await;
    let one = active(&c).into_iter().find(|p| index(p) == 1).unwrap();
    c.set_phase(&one, "Succeeded");
    c.settle().await;
    assert_eq!(conditions(&c), "SuccessCriteriaMet=True/SuccessPolicy Complete=True/SuccessPolicy");
    assert_eq!((c.api.objects("", "pods").len(), counts(&c)), (1, (0, 1, 0)));
}

#[tokio::test(start_paused = true)]
async fn pods_of_gone_jobs_lose_their_finalizer() {
    let c = start(json!({})).await;
    c.api.remove("batch", "jobs", "ns", "j");
    c.settle().await;
    assert!(c.api.objects("", "pods")[0].finalizers().is_empty());
}

#[tokio::test(start_paused = true)]
async fn waits_for_pods_that_are_being_deleted() {
    let c = start(json!({"podReplacementPolicy": "Failed"})).await;
    let p = active(&c)[0].clone();
    c.patch(
        "",
        "pods",
        "ns",
        p.name(),
        json!({"metadata": {"deletionTimestamp": START}, "spec": {"nodeName": "n"}}),
    );
    c.settle().await;
    assert_eq!((active(&c).len(), status(&c)["terminating"].as_i64()), (0, Some(1)));
    fail(&c, &p, 1);
    c.settle().await;
    assert_eq!(counts(&c).2, 1);
    c.advance(11).await;
    assert_eq!(active(&c).len(), 1);
}
