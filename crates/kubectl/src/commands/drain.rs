//! `drain`: a node's pods evicted before maintenance (kubectl `pkg/drain`, `pkg/cmd/drain`).

use super::scale;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, DryRun, Target, text};
use crate::print;
use client::url::{collection, object, with_query};
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

super::commands! {
    "drain" "NODE"
        "Drain node in preparation for maintenance\n\nThe node is cordoned, so that nothing new is scheduled onto it; then its pods are evicted, which respects\nPodDisruptionBudgets: an eviction that a budget refuses is tried again every five seconds. The command ends when the\npods are gone.\n\nNothing at all is evicted while there are pods that\n\n  *  belong to a DaemonSet, unless --ignore-daemonsets; those stay where they are,\n  *  have no controller that would make them anew elsewhere, unless --force,\n  *  keep data in an emptyDir, unless --delete-emptydir-data.\n\nPods that come from files on the node (mirror pods) are left alone. \"kubectl uncordon\" takes the node back into service."
        "# Evict everything, DaemonSets' pods aside\nkubectl drain n1 --ignore-daemonsets\n\n# Pods that nobody will make again too, and a quarter of an hour to end in\nkubectl drain n1 --force --grace-period=900\n\n# See what would happen\nkubectl drain n1 --ignore-daemonsets --dry-run=client"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    objects::SELECTOR,
    objects::DRY_RUN,
    flag("chunk-size", None, Form::Text, "500", "Return large lists in chunks; 0: all at once"),
    flag(
        "force",
        None,
        Form::Bool,
        "false",
        "Go on where pods have no controller, or their DaemonSet is gone",
    ),
    flag("ignore-daemonsets", None, Form::Bool, "false", "Leave the pods of DaemonSets and go on"),
    flag(
        "delete-emptydir-data",
        None,
        Form::Bool,
        "false",
        "Go on where pods would lose the data of an emptyDir",
    ),
    flag(
        "grace-period",
        None,
        Form::Text,
        "-1",
        "Seconds that each pod has to end in; negative: the pod's own",
    ),
    flag("timeout", None, Form::Text, "0s", "How long to go on before giving up; 0: as long as it takes"),
    flag("pod-selector", None, Form::Text, "", "Only the node's pods with these labels"),
    flag(
        "disable-eviction",
        None,
        Form::Bool,
        "false",
        "Delete instead of evicting; this ignores PodDisruptionBudgets",
    ),
    flag(
        "skip-wait-for-delete-timeout",
        None,
        Form::Text,
        "0",
        "Do not wait for pods whose deletion began more than this many seconds ago; 0: wait for all",
    ),
];

const RETRY: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_secs(1);
const YEARS: Duration = Duration::from_secs(30 * 365 * 86400);

/// What is to be done with a pod.
#[derive(Debug, PartialEq)]
enum Fate {
    Go,
    GoWith(String),
    Stay,
    StayWith(String),
    Forbid(String),
}

struct Rules {
    force: bool,
    ignore_daemonsets: bool,
    delete_local: bool,
    skip_after: i64,
    now: i64,
}

fn controller(pod: &Value) -> Option<&Value> {
    pod["metadata"]["ownerReferences"].as_array()?.iter().find(|r| r["controller"] == true)
}

/// Whether the deletion of a pod began so long ago that nobody waits for it.
fn overdue(pod: &Value, after: i64, now: i64) -> bool {
    let since = meta::time::Timestamp::parse(text(pod, "/metadata/deletionTimestamp"));
    after > 0 && since.is_some_and(|t| now - t.seconds > after)
}

/// `lost` is what the server said of the pod's DaemonSet, when it said it is not there.
fn fate(pod: &Value, r: &Rules, lost: Option<&Error>) -> Fate {
    if overdue(pod, r.skip_after, r.now) {
        return Fate::Stay;
    }
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    if of_daemonset(pod) && !finished {
        match lost {
            Some(e) if e.is_not_found() && r.force => {}
            Some(e) => return Fate::Forbid(e.bare()),
            None if !r.ignore_daemonsets => {
                return Fate::Forbid("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".into());
            }
            None => return Fate::StayWith("ignoring DaemonSet-managed Pods".into()),
        }
    }
    if pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some() {
        return Fate::Stay;
    }
    if finished {
        return Fate::Go;
    }
    let local =
        pod["spec"]["volumes"].as_array().is_some_and(|v| v.iter().any(|v| v["emptyDir"].is_object()));
    if local && !r.delete_local {
        return Fate::Forbid("Pods with local storage (use --delete-emptydir-data to override)".into());
    }
    // Upstream asks one filter after the other and keeps what the last one says: no warning here.
    if controller(pod).is_some() {
        return Fate::Go;
    }
    if r.force {
        Fate::GoWith("deleting Pods that declare no controller".into())
    } else {
        Fate::Forbid("Pods that declare no controller (use --force to override)".into())
    }
}

fn of_daemonset(pod: &Value) -> bool {
    controller(pod).is_some_and(|c| text(c, "/kind") == "DaemonSet" && text(c, "/apiVersion") == "apps/v1")
}

fn place(pod: &Value) -> (&str, &str) {
    (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

/// Messages with the pods they are about, in the order in which they came up.
fn grouped(all: &[(String, &Value)]) -> Vec<String> {
    let mut out: Vec<(&str, Vec<String>)> = Vec::new();
    for (m, p) in all {
        let (ns, n) = place(p);
        let said = format!("{ns}/{n}");
        match out.iter_mut().find(|(o, _)| o == m) {
            Some((_, l)) => l.push(said),
            None => out.push((m, vec![said])),
        }
    }
    out.into_iter().map(|(m, l)| format!("{m}: {}", l.join(", "))).collect()
}

struct Drain<'c> {
    cx: &'c Cx,
    rules: Rules,
    dry: DryRun,
    grace: i64,
    until: Instant,
    limit: String,
    pods: crate::discovery::Resource,
}

/// What is to go, what to warn of, what forbids it.
struct Plan {
    go: Vec<Value>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

impl Drain<'_> {
    async fn plan(&self, node: &str) -> Result<Plan, Error> {
        let (limit, mut next, mut pods) = (self.cx.p.text("chunk-size"), String::new(), Vec::new());
        loop {
            let p = with_query(
                collection("", "v1", "pods", None),
                &[
                    ("labelSelector", self.cx.p.text("pod-selector")),
                    ("fieldSelector", &format!("spec.nodeName={node}")),
                    ("limit", if limit == "0" { "" } else { limit }),
                    ("continue", &next),
                ],
            );
            let mut v = self.cx.get(&p).await?;
            if let Value::Array(a) = v["items"].take() {
                pods.extend(a);
            }
            next = text(&v, "/metadata/continue").to_owned();
            if next.is_empty() {
                break;
            }
        }
        let mut fates = Vec::new();
        for p in &pods {
            let mut lost = None;
            if let Some(c) = controller(p).filter(|_| of_daemonset(p)) {
                let at = object("apps", "v1", "daemonsets", Some(place(p).0), text(c, "/name"), "");
                lost = self.cx.get(&at).await.err();
            }
            fates.push(fate(p, &self.rules, lost.as_ref()));
        }
        let (mut warnings, mut errors, mut go) = (Vec::new(), Vec::new(), Vec::new());
        for (p, f) in pods.iter().zip(fates) {
            match f {
                Fate::Go => go.push(p.clone()),
                Fate::GoWith(m) => {
                    go.push(p.clone());
                    warnings.push((m, p));
                }
                Fate::Stay => {}
                Fate::StayWith(m) => warnings.push((m, p)),
                Fate::Forbid(m) => errors.push((m, p)),
            }
        }
        let errors = grouped(&errors).into_iter().map(|e| format!("cannot delete {e}")).collect();
        Ok(Plan { go, warnings: grouped(&warnings), errors })
    }

    async fn node(&self, name: &str) -> Result<(), Vec<String>> {
        let plan = self.plan(name).await.map_err(|e| vec![e.bare()])?;
        if !plan.errors.is_empty() {
            return Err(plan.errors);
        }
        if !plan.warnings.is_empty() {
            eprintln!("Warning: {}", plan.warnings.join("; "));
        }
        if self.dry == DryRun::Client {
            for p in &plan.go {
                let (ns, n) = place(p);
                print::line(&format!("evicting pod {ns}/{n} (dry run)"));
            }
            return Ok(());
        }
        let failed: Vec<String> = if self.cx.p.on("disable-eviction") {
            self.delete(&plan.go).await.err().into_iter().collect()
        } else {
            let all = futures::future::join_all(plan.go.iter().map(|p| self.evict(p))).await;
            all.into_iter().filter_map(Result::err).collect()
        };
        if failed.is_empty() {
            return Ok(());
        }
        if let Ok(left) = self.plan(name).await
            && !left.go.is_empty()
        {
            eprintln!(
                "There are pending pods in node {name:?} when an error occurred: {}",
                aggregate(&failed)
            );
            for p in &left.go {
                eprintln!("pod/{}", place(p).1);
            }
        }
        Err(failed)
    }

    fn said(&self, pod: &Value, done: &str) {
        print::line(&format!("pod/{} {done}{}", place(pod).1, self.dry.suffix()));
    }

    async fn delete(&self, pods: &[Value]) -> Result<(), String> {
        for p in pods {
            let (ns, n) = place(p);
            let mut o = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
            self.options(&mut o);
            let path = self.pods.object(ns, n, "");
            match self.cx.json(Method::DELETE, &path, "application/json", Some(&o)).await {
                Err(e) if !e.is_not_found() => return Err(e.bare()),
                _ => {}
            }
        }
        if self.dry == DryRun::Server {
            return Ok(());
        }
        for p in pods {
            self.gone(p, "deleted").await?;
        }
        Ok(())
    }

    fn options(&self, o: &mut Value) {
        if self.grace >= 0 {
            o["gracePeriodSeconds"] = self.grace.into();
        }
        if self.dry == DryRun::Server {
            o["dryRun"] = json!(["All"]);
        }
    }

    async fn evict(&self, pod: &Value) -> Result<(), String> {
        let mut pod = pod.clone();
        loop {
            let (ns, n) = place(&pod);
            print::line(&format!("evicting pod {ns}/{n}{}", self.dry.suffix()));
            if Instant::now() >= self.until {
                return Err(format!(
                    "error when evicting pods/{n:?} -n {ns:?}: global timeout reached: {}",
                    self.limit
                ));
            }
            let mut o = json!({});
            self.options(&mut o);
            let v = json!({"apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": n, "namespace": ns}, "deleteOptions": o});
            let path = self.pods.object(ns, n, "eviction");
            match self.cx.json(Method::POST, &path, "application/json", Some(&v)).await {
                Ok(_) => break,
                Err(e) if e.is_not_found() => return Ok(()),
                Err(Error::Status(s)) if s.code == 429 || s.reason == "TooManyRequests" => {
                    eprintln!(
                        "error when evicting pods/{n:?} -n {ns:?} (will retry after 5s): {}",
                        s.message
                    );
                }
                Err(e) if e.has_cause("NamespaceTerminating") => {
                    if !text(&pod, "/metadata/deletionTimestamp").is_empty() {
                        break;
                    }
                    eprintln!(
                        "error when evicting pod {n:?} from terminating namespace {ns:?} (will retry after 5s): {}",
                        e.bare()
                    );
                }
                Err(e) => return Err(format!("error when evicting pods/{n:?} -n {ns:?}: {}", e.bare())),
            }
            sleep(RETRY).await;
            if let Ok(fresh) = self.cx.get(&self.pods.object(ns, n, "")).await {
                pod = fresh;
            }
        }
        if self.dry == DryRun::Server {
            return Ok(());
        }
        let (ns, n) = place(&pod);
        self.gone(&pod, "evicted")
            .await
            .map_err(|e| format!("error when waiting for pod {n:?} in namespace {ns:?} to terminate: {e}"))
    }

    /// Until the pod is not there any more, or is another of its name.
    async fn gone(&self, pod: &Value, done: &str) -> Result<(), String> {
        let (ns, n) = place(pod);
        loop {
            match self.cx.get(&self.pods.object(ns, n, "")).await {
                Err(e) if e.is_not_found() => break,
                Ok(v) if text(&v, "/metadata/uid") != text(pod, "/metadata/uid") => break,
                Ok(v) if overdue(&v, self.rules.skip_after, self.cx.rt.clock.unix_seconds()) => {
                    print::line(&format!(
                        "pod/{n} has DeletionTimestamp older than {} seconds, skipping",
                        self.rules.skip_after
                    ));
                    return Ok(());
                }
                Ok(_) => {}
                Err(e) => {
                    let failed = if done == "evicted" { "eviction failed" } else { "deletion failed" };
                    self.said(pod, failed);
                    return Err(e.bare());
                }
            }
            if Instant::now() >= self.until {
                return Err("context deadline exceeded".into());
            }
            sleep(POLL).await;
        }
        self.said(pod, done);
        Ok(())
    }
}

/// Several messages as Go's aggregate writes them.
fn aggregate(all: &[String]) -> String {
    match all {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let dry = DryRun::of(&cx)?;
    let many = !cx.p.text("selector").is_empty();
    if !cx.p.args.is_empty() && many {
        return Err(Error::plain(
            "error: cannot specify both a node name and a --selector option\nSee 'kubectl drain -h' for help and examples",
        ));
    }
    let ms = cx.p.millis("timeout")?;
    let left = if ms == 0 { YEARS } else { Duration::from_millis(ms.max(0).unsigned_abs()) };
    let rules = Rules {
        force: cx.p.on("force"),
        ignore_daemonsets: cx.p.on("ignore-daemonsets"),
        delete_local: cx.p.on("delete-emptydir-data"),
        skip_after: cx.p.int("skip-wait-for-delete-timeout")?,
        now: cx.rt.clock.unix_seconds(),
    };
    let grace = cx.p.int("grace-period")?;
    let nodes: Vec<(Target, Value)> = scale::nodes(&cx).await?;
    scale::set(&cx, true, &nodes).await;
    let d = Drain {
        rules,
        dry,
        grace,
        until: Instant::now() + left,
        limit: print::duration(ms),
        pods: cx.discovery().await?.find("pods")?.clone(),
        cx: &cx,
    };
    let (mut fatal, mut pending) = (Vec::new(), Vec::new());
    for (t, _) in &nodes {
        match d.node(&t.name).await {
            Ok(()) => print::line(&format!("node/{} drained{}", t.name, dry.suffix())),
            Err(e) => {
                eprintln!(
                    "error: unable to drain node {:?} due to error: {}, continuing command...",
                    t.name,
                    aggregate(&e)
                );
                fatal.push(e);
                pending.push(&t.name);
            }
        }
    }
    if pending.is_empty() {
        return Ok(());
    }
    eprintln!("There are pending nodes to be drained:");
    pending.iter().for_each(|n| eprintln!(" {n}"));
    let text = match fatal.as_slice() {
        [one] => one.join("\n"),
        many => many.iter().map(|e| aggregate(e)).collect::<Vec<_>>().join("\n"),
    };
    Err(Error::Raw(text, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { force: false, ignore_daemonsets: false, delete_local: false, skip_after: 0, now: 1000 }
    }

    #[test]
    fn fates() {
        let owned = |kind: &str| {
            json!({"metadata": {"name": "p", "namespace": "d",
            "ownerReferences": [{"controller": true, "kind": kind, "apiVersion": "apps/v1", "name": "o"}]}})
        };
        let bare = json!({"metadata": {"name": "p", "namespace": "d"}});
        let forbidden = |f: Fate| matches!(f, Fate::Forbid(_));
        assert!(forbidden(fate(&bare, &rules(), None)));
        assert!(matches!(fate(&bare, &Rules { force: true, ..rules() }, None), Fate::GoWith(_)));
        assert_eq!(fate(&owned("ReplicaSet"), &rules(), None), Fate::Go);
        assert!(forbidden(fate(&owned("DaemonSet"), &rules(), None)));
        let ignore = Rules { ignore_daemonsets: true, ..rules() };
        assert!(matches!(fate(&owned("DaemonSet"), &ignore, None), Fate::StayWith(_)));
        let mut local = owned("ReplicaSet");
        local["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        assert!(forbidden(fate(&local, &rules(), None)));
        assert_eq!(fate(&local, &Rules { delete_local: true, ..rules() }, None), Fate::Go);
        local["status"]["phase"] = "Succeeded".into();
        assert_eq!(fate(&local, &rules(), None), Fate::Go);
        let mut mirror = bare.clone();
        mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
        assert_eq!(fate(&mirror, &rules(), None), Fate::Stay);
        let mut old = bare;
        old["metadata"]["deletionTimestamp"] = "1970-01-01T00:10:00Z".into();
        assert_eq!(fate(&old, &Rules { skip_after: 100, ..rules() }, None), Fate::Stay);
        assert!(forbidden(fate(&old, &Rules { skip_after: 500, ..rules() }, None)));
    }
}
