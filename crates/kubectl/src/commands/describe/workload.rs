//! Deployments and their like, jobs, disruption budgets.

use super::out::{Out, boolean, date, l, list, number, or_none, pairs, selector, word};
use super::pod::{controller, template};
use super::{Of, storage};
use crate::error::Error;
use crate::objects::text;
use crate::pods;
use client::url::collection;
use serde_json::Value;

/// Pods of a controller by phase.
async fn counts(of: &Of<'_>, labels: &str) -> Result<String, Error> {
    let uid = of.text("/metadata/uid");
    let all = of.pods(labels, "").await?;
    let own = |p: &&Value| {
        list(p, "/metadata/ownerReferences").any(|r| r["controller"] == true && text(r, "/uid") == uid)
    };
    let n = |phase: &str| all.iter().filter(own).filter(|p| text(p, "/status/phase") == phase).count();
    Ok(format!(
        "{} Running / {} Waiting / {} Succeeded / {} Failed",
        n("Running"),
        n("Pending"),
        n("Succeeded"),
        n("Failed")
    ))
}

fn conditions(v: &Value, o: &mut Out) {
    let mut all = list(v, "/status/conditions").peekable();
    if all.peek().is_some() {
        l!(o, 0, "Conditions:\n  Type\tStatus\tReason");
        l!(o, 1, "----\t------\t------");
        all.for_each(|c| l!(o, 1, "{} \t{}\t{}", text(c, "/type"), text(c, "/status"), text(c, "/reason")));
    }
}

pub async fn deployment(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    let n = |at: &str| of.number(at);
    o.head(v);
    l!(o, 0, "CreationTimestamp:\t{}", date(of.text("/metadata/creationTimestamp")));
    o.notes(v);
    l!(o, 0, "Selector:\t{}", pods::selector(&v["spec"]["selector"]));
    l!(
        o,
        0,
        "Replicas:\t{} desired | {} updated | {} total | {} available | {} unavailable",
        n("/spec/replicas"),
        n("/status/updatedReplicas"),
        n("/status/replicas"),
        n("/status/availableReplicas"),
        n("/status/unavailableReplicas")
    );
    l!(o, 0, "StrategyType:\t{}", of.text("/spec/strategy/type"));
    l!(o, 0, "MinReadySeconds:\t{}", n("/spec/minReadySeconds"));
    let ru = &v["spec"]["strategy"]["rollingUpdate"];
    if ru.is_object() {
        let (down, up) = (word(&ru["maxUnavailable"]), word(&ru["maxSurge"]));
        l!(o, 0, "RollingUpdateStrategy:\t{down} max unavailable, {up} max surge");
    }
    template(&v["spec"]["template"], o);
    conditions(v, o);
    let (old, new) = replica_sets(of).await;
    if !old.is_empty() || !new.is_empty() {
        l!(o, 0, "OldReplicaSets:\t{}", or_none(&old.join(", ")));
        l!(o, 0, "NewReplicaSet:\t{}", or_none(&new.join(", ")));
    }
    of.events(o).await;
    Ok(())
}

/// The ReplicaSets of earlier templates, and that of the template now.
async fn replica_sets(of: &Of<'_>) -> (Vec<String>, Vec<String>) {
    let path = collection("apps", "v1", "replicasets", Some(of.namespace()));
    let labels = pods::selector(&of.v["spec"]["selector"]);
    let mut all = of.all(path, &[("labelSelector", &labels)]).await.unwrap_or_default();
    let uid = of.text("/metadata/uid");
    all.retain(|r| {
        list(r, "/metadata/ownerReferences").any(|r| r["controller"] == true && text(r, "/uid") == uid)
    });
    all.sort_by_cached_key(|r| {
        (text(r, "/metadata/creationTimestamp").to_owned(), text(r, "/metadata/name").to_owned())
    });
    let bare = |t: &Value| {
        let mut t = t.clone();
        if let Some(l) = t.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            l.remove("pod-template-hash");
        }
        t
    };
    let want = bare(&of.v["spec"]["template"]);
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for r in &all {
        let said = format!(
            "{} ({}/{} replicas created)",
            text(r, "/metadata/name"),
            number(&r["status"]["replicas"]),
            number(&r["spec"]["replicas"])
        );
        let list = if new.is_empty() && bare(&r["spec"]["template"]) == want { &mut new } else { &mut old };
        list.push(said);
    }
    (old, new)
}

/// ReplicaSets and ReplicationControllers.
pub async fn replicas(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    o.head(v);
    let s = &v["spec"]["selector"];
    let set = of.t.resource.kind == "ReplicaSet";
    let (shown, query) = if set { (selector(s), pods::selector(s)) } else { (pairs(s), pods::pairs(s)) };
    l!(o, 0, "Selector:\t{shown}");
    o.notes(v);
    if let Some(c) = controller(v).filter(|_| set) {
        l!(o, 0, "Controlled By:\t{c}");
    }
    l!(
        o,
        0,
        "Replicas:\t{} current / {} desired",
        of.number("/status/replicas"),
        of.number("/spec/replicas")
    );
    match counts(of, &query).await {
        Ok(c) => l!(o, 0, "Pods Status:\t{c}"),
        Err(e) if set => l!(o, 0, "Pods Status:\terror in fetching pods: {}", e.bare()),
        Err(e) => return Err(e),
    }
    template(&v["spec"]["template"], o);
    conditions(v, o);
    of.events(o).await;
    Ok(())
}

pub async fn statefulset(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    let labels = pods::selector(&v["spec"]["selector"]);
    let counts = counts(of, &labels).await?;
    o.head(v);
    l!(o, 0, "CreationTimestamp:\t{}", date(of.text("/metadata/creationTimestamp")));
    l!(o, 0, "Selector:\t{labels}");
    o.notes(v);
    for (title, at) in
        [("Service Name", "/spec/serviceName"), ("Pod Management Policy", "/spec/podManagementPolicy")]
    {
        if !of.text(at).is_empty() {
            l!(o, 0, "{title}:\t{}", of.text(at));
        }
    }
    l!(o, 0, "Replicas:\t{} desired | {} total", of.number("/spec/replicas"), of.number("/status/replicas"));
    l!(o, 0, "Update Strategy:\t{}", of.text("/spec/updateStrategy/type"));
    let ru = &v["spec"]["updateStrategy"]["rollingUpdate"];
    if ru["partition"].is_i64() {
        l!(o, 1, "Partition:\t{}", ru["partition"]);
        if !ru["maxUnavailable"].is_null() {
            l!(o, 1, "MaxUnavailable:\t{}", word(&ru["maxUnavailable"]));
        }
    }
    let keep = &v["spec"]["persistentVolumeClaimRetentionPolicy"];
    if keep.is_object() {
        l!(o, 0, "Persistent Volume Claim Retention Policy:");
        l!(o, 1, "WhenDeleted:\t{}", text(keep, "/whenDeleted"));
        l!(o, 1, "WhenScaled:\t{}", text(keep, "/whenScaled"));
    }
    l!(o, 0, "Pods Status:\t{counts}");
    template(&v["spec"]["template"], o);
    storage::claim_templates(&v["spec"]["volumeClaimTemplates"], o);
    of.events(o).await;
    Ok(())
}

pub async fn daemonset(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let v = of.v;
    let labels = pods::selector(&v["spec"]["selector"]);
    let counts = counts(of, &labels).await?;
    o.head(v);
    l!(o, 0, "Selector:\t{labels}");
    l!(o, 0, "Node-Selector:\t{}", pairs(&v["spec"]["template"]["spec"]["nodeSelector"]));
    o.notes(v);
    for (title, key) in [
        ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
        ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
        ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
        ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
        ("Number of Nodes Misscheduled", "numberMisscheduled"),
    ] {
        l!(o, 0, "{title}: {}", number(&v["status"][key]));
    }
    l!(o, 0, "Pods Status:\t{counts}");
    template(&v["spec"]["template"], o);
    of.events(o).await;
    Ok(())
}

pub async fn job(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec, status) = (of.v, &of.v["spec"], &of.v["status"]);
    o.head(v);
    l!(o, 0, "Selector:\t{}", pods::selector(&spec["selector"]));
    o.notes(v);
    if let Some(c) = controller(v) {
        l!(o, 0, "Controlled By:\t{c}");
    }
    if spec["parallelism"].is_i64() {
        l!(o, 0, "Parallelism:\t{}", spec["parallelism"]);
    }
    l!(o, 0, "Completions:\t{}", or_unset(&spec["completions"]));
    for (title, key) in [
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ] {
        if !spec[key].is_null() {
            l!(o, 0, "{title}:\t{}", word(&spec[key]));
        }
    }
    let (start, end) = (text(status, "/startTime"), text(status, "/completionTime"));
    if !start.is_empty() {
        l!(o, 0, "Start Time:\t{}", date(start));
    }
    if !end.is_empty() {
        l!(o, 0, "Completed At:\t{}", date(end));
    }
    let time = meta::time::Timestamp::parse;
    if let (Some(s), Some(e)) = (time(start), time(end)) {
        l!(o, 0, "Duration:\t{}", meta::time::human_duration(e.seconds - s.seconds));
    }
    if spec["activeDeadlineSeconds"].is_i64() {
        l!(o, 0, "Active Deadline Seconds:\t{}s", spec["activeDeadlineSeconds"]);
    }
    let n = |k: &str| number(&status[k]);
    let ready = if status["ready"].is_null() { String::new() } else { format!(" ({} Ready)", n("ready")) };
    l!(
        o,
        0,
        "Pods Statuses:\t{} Active{ready} / {} Succeeded / {} Failed",
        n("active"),
        n("succeeded"),
        n("failed")
    );
    if text(spec, "/completionMode") == "Indexed" {
        l!(o, 0, "Completed Indexes:\t{}", indexes(text(status, "/completedIndexes")));
    }
    template(&spec["template"], o);
    of.events(o).await;
    Ok(())
}

/// The list of completed indexes, cut at a comma after 50 letters.
fn indexes(s: &str) -> String {
    const SOFT: usize = 50;
    match s.get(SOFT..).and_then(|t| t.find(',')) {
        Some(n) => format!("{}...", &s[..=SOFT + n]),
        None => or_none(s),
    }
}

fn or_unset(v: &Value) -> String {
    if v.is_null() { "<unset>".into() } else { word(v) }
}

pub async fn cronjob(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    o.head(v);
    o.notes(v);
    l!(o, 0, "Schedule:\t{}", text(spec, "/schedule"));
    l!(o, 0, "Concurrency Policy:\t{}", text(spec, "/concurrencyPolicy"));
    l!(o, 0, "Suspend:\t{}", boolean(&spec["suspend"]));
    l!(o, 0, "Time Zone:\t{}", or_unset(&spec["timeZone"]));
    l!(o, 0, "Successful Job History Limit:\t{}", or_unset(&spec["successfulJobsHistoryLimit"]));
    l!(o, 0, "Failed Job History Limit:\t{}", or_unset(&spec["failedJobsHistoryLimit"]));
    let late = &spec["startingDeadlineSeconds"];
    let late = if late.is_null() { "<unset>".into() } else { format!("{late}s") };
    l!(o, 0, "Starting Deadline Seconds:\t{late}");
    let job = &spec["jobTemplate"]["spec"];
    let s = if job["selector"].is_null() { "<unset>".into() } else { pods::selector(&job["selector"]) };
    l!(o, 0, "Selector:\t{s}");
    l!(o, 0, "Parallelism:\t{}", or_unset(&job["parallelism"]));
    l!(o, 0, "Completions:\t{}", or_unset(&job["completions"]));
    if job["activeDeadlineSeconds"].is_i64() {
        l!(o, 0, "Active Deadline Seconds:\t{}s", job["activeDeadlineSeconds"]);
    }
    template(&job["template"], o);
    let last = of.text("/status/lastScheduleTime");
    l!(o, 0, "Last Schedule Time:\t{}", if last.is_empty() { "<unset>".into() } else { date(last) });
    let active: Vec<String> = list(v, "/status/active").map(|a| text(a, "/name").to_owned()).collect();
    l!(o, 0, "Active Jobs:\t{}", or_none(&active.join(", ")));
    of.events(o).await;
    Ok(())
}

pub async fn budget(of: &Of<'_>, o: &mut Out) -> Result<(), Error> {
    let (v, spec) = (of.v, &of.v["spec"]);
    o.head(v);
    if !spec["minAvailable"].is_null() {
        l!(o, 0, "Min available:\t{}", word(&spec["minAvailable"]));
    } else if !spec["maxUnavailable"].is_null() {
        l!(o, 0, "Max unavailable:\t{}", word(&spec["maxUnavailable"]));
    }
    let s = if spec["selector"].is_object() { selector(&spec["selector"]) } else { "<unset>".into() };
    l!(o, 0, "Selector:\t{s}");
    l!(o, 0, "Status:");
    for (title, key) in [
        ("Allowed disruptions", "disruptionsAllowed"),
        ("Current", "currentHealthy"),
        ("Desired", "desiredHealthy"),
        ("Total", "expectedPods"),
    ] {
        l!(o, 2, "{title}:\t{}", number(&v["status"][key]));
    }
    of.events(o).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists() {
        let s = (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert!(indexes(&s).ends_with(",...") && indexes(&s).len() < 60);
        assert_eq!((indexes("1,2"), indexes("")), ("1,2".into(), "<none>".into()));
    }
}
