//! Schedules and the jobs they start.

use super::plan::{self, Next};
use crate::k8s::batch::{CronJob, CronJobStatus};
use crate::testing::Cluster;
use meta::object::ObjectExt;
use serde_json::{Value, json};

fn cron(spec: Value) -> Value {
    let mut all = json!({"schedule": "*/10 * * * *", "successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {"containers": []}}}}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "ns", "uid": "u", "creationTimestamp": "2024-01-01T00:00:00Z"}, "spec": all})
}

/// What is done at a time, with which event.
fn at(spec: Value, last: Option<&str>, running: bool, now: &str) -> String {
    let cj: CronJob = serde_json::from_value(cron(spec)).unwrap();
    let status: CronJobStatus = serde_json::from_value(json!({"lastScheduleTime": last,
        "active": if running { json!([{"name": "other", "uid": "x"}]) } else { json!([]) }}))
    .unwrap();
    let (next, events) = plan::next(&cj, &status, now.parse().unwrap());
    let e: Vec<_> = events.iter().map(|e| e.reason).collect();
    let n = match next {
        Next::Wait(None) => "wait".into(),
        Next::Wait(Some(d)) => format!("wait {}s", d.as_secs()),
        Next::Start { at, replace, then } => {
            format!("start {at}{} then {}s", if replace { " replacing" } else { "" }, then.unwrap().as_secs())
        }
    };
    [vec![n.as_str()], e].concat().join(" ")
}

#[test]
fn decides() {
    let none = || json!({});
    assert_eq!(at(none(), None, false, "2024-01-01T00:05:00Z"), "wait 300s");
    assert_eq!(at(none(), None, false, "2024-01-01T00:10:00Z"), "start 2024-01-01T00:10:00Z then 600s");
    assert_eq!(at(none(), Some("2024-01-01T00:10:00Z"), false, "2024-01-01T00:10:05Z"), "wait 595s");
    // The last of several that were missed.
    assert_eq!(at(none(), None, false, "2024-01-01T01:05:00Z"), "start 2024-01-01T01:00:00Z then 300s");
    assert_eq!(
        at(none(), None, false, "2024-01-02T01:05:00Z"),
        "start 2024-01-02T01:00:00Z then 300s TooManyMissedTimes"
    );
    assert_eq!(at(json!({"startingDeadlineSeconds": 60}), None, false, "2024-01-01T01:05:00Z"), "wait 300s");
    assert_eq!(
        at(json!({"startingDeadlineSeconds": 60}), None, false, "2024-01-01T01:00:59Z"),
        "start 2024-01-01T01:00:00Z then 541s"
    );
    assert_eq!(
        at(json!({"concurrencyPolicy": "Forbid"}), None, true, "2024-01-01T00:10:00Z"),
        "wait 600s JobAlreadyActive"
    );
    assert_eq!(
        at(json!({"concurrencyPolicy": "Replace"}), None, true, "2024-01-01T00:10:00Z"),
        "start 2024-01-01T00:10:00Z replacing then 600s"
    );
    assert_eq!(at(json!({"suspend": true}), None, false, "2024-01-01T00:10:00Z"), "wait");
    assert_eq!(at(json!({"schedule": "x"}), None, false, "2024-01-01T00:10:00Z"), "wait UnparseableSchedule");
    assert_eq!(at(json!({"timeZone": "x"}), None, false, "2024-01-01T00:10:00Z"), "wait UnknownTimeZone");
    assert_eq!(
        at(json!({"schedule": "0 9 * * *", "timeZone": "Asia/Tokyo"}), None, false, "2024-01-01T23:00:00Z"),
        "wait 3600s"
    );
}

#[test]
fn jobs_carry_their_time() {
    let check = |zone: Value, want: &str| {
        let cj: CronJob = serde_json::from_value(cron(json!({"timeZone": zone}))).unwrap();
        let j = plan::job(&cj, "2024-07-01T00:10:00Z".parse().unwrap());
        assert_eq!(j.metadata.annotations.unwrap()["batch.kubernetes.io/cronjob-scheduled-timestamp"], want);
        assert_eq!(j.metadata.name.unwrap(), "c-28663210");
    };
    check(Value::Null, "2024-07-01T00:10:00Z");
    check(json!("Europe/Berlin"), "2024-07-01T02:10:00+02:00");
}

#[tokio::test(start_paused = true)]
async fn starts_jobs_and_keeps_few_of_them() {
    let c = Cluster::start(&["cronjob"]).await;
    c.api.seed("cronjobs", cron(json!({})));
    c.settle().await;
    assert!(c.names("batch", "jobs").is_empty());
    let mut seen = Vec::new();
    for _ in 0..3 {
        c.advance(600).await;
        let jobs = c.api.objects("batch", "jobs");
        let new: Vec<&Value> = jobs.iter().filter(|j| !seen.contains(&j.name().to_owned())).collect();
        assert_eq!(new.len(), 1);
        assert_eq!(new[0]["metadata"]["ownerReferences"][0]["name"], "c");
        let name = new[0].name().to_owned();
        let cj = c.api.object("batch", "cronjobs", "ns", "c").unwrap();
        assert_eq!(cj["status"]["active"][0]["name"], name.as_str());
        let done = meta::time::Timestamp { seconds: c.rt.clock.unix_seconds(), nanos: 0 }.rfc3339();
        c.patch(
            "batch",
            "jobs",
            "ns",
            &name,
            json!({"status": {"completionTime": done, "startTime": done,
            "conditions": [{"type": "Complete", "status": "True"}]}}),
        );
        c.settle().await;
        let cj = c.api.object("batch", "cronjobs", "ns", "c").unwrap();
        assert!(cj["status"].get("active").is_none());
        assert_eq!(cj["status"]["lastSuccessfulTime"], done.as_str());
        seen.push(name);
    }
    assert_eq!(c.names("batch", "jobs"), seen[2..]);
}
