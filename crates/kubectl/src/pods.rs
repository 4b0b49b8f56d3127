//! Pods that a word on the command line means, and their containers (kubectl `polymorphichelpers`, `podutils`, `podcmd`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::{self, Target, text};
use client::url::with_query;
use serde_json::Value;
use std::cmp::Reverse;
use std::time::Duration;

pub const RUNNING_TIMEOUT: Flag = flag(
    "pod-running-timeout",
    None,
    Form::Text,
    "1m0s",
    "How long to wait until there is a pod, like 5s, 2m or 3h; greater than zero",
);

/// Which of several pods is best.
#[derive(Clone, Copy, PartialEq)]
pub enum For {
    Logs,
    Sessions,
}

/// A label selector as text: sorted, as Go writes it.
pub fn selector(s: &Value) -> String {
    let mut all: Vec<(String, String)> = objects::labels(s, "/matchLabels")
        .into_iter()
        .map(|(k, v)| (k.clone(), format!("{k}={v}")))
        .collect();
    for e in s["matchExpressions"].as_array().into_iter().flatten() {
        let key = text(e, "/key").to_owned();
        let mut vals: Vec<&str> =
            e["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        vals.sort_unstable();
        let said = match text(e, "/operator") {
            "In" => format!("{key} in ({})", vals.join(",")),
            "NotIn" => format!("{key} notin ({})", vals.join(",")),
            "Exists" => key.clone(),
            _ => format!("!{key}"),
        };
        all.push((key, said));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, s)| s).collect::<Vec<_>>().join(",")
}

/// `a=b,c=d` of a map.
pub fn pairs(m: &Value) -> String {
    objects::labels(m, "").into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
}

/// What selects the pods of an object.
pub fn selector_of(t: &Target, v: &Value) -> Result<String, String> {
    let s = &v["spec"]["selector"];
    match t.resource.kind.as_str() {
        "Service" if s.as_object().is_none_or(serde_json::Map::is_empty) => {
            Err(format!("invalid service '{}': Service is defined without a selector", t.name))
        }
        "Service" | "ReplicationController" => Ok(pairs(s)),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => Ok(selector(s)),
        _ => Err(format!("selector for {} not implemented", t.resource.kind)),
    }
}

/// The object that a word names: `web-0` is a pod.
pub async fn object(cx: &Cx, word: &str) -> Result<(Target, Value), Error> {
    let args = if word.contains('/') { vec![word.to_owned()] } else { vec!["pods".into(), word.to_owned()] };
    let Some(t) = objects::targets(cx, &args, false).await?.into_iter().next() else {
        return Err(Error::plain("no objects passed"));
    };
    let v = cx.get(&t.path("")).await?;
    Ok((t, v))
}

/// The pods of an object, the best first; waits until there is one.
pub async fn of(cx: &Cx, t: &Target, v: Value, which: For) -> Result<Vec<Value>, Error> {
    if t.resource.kind == "Pod" {
        return Ok(vec![v]);
    }
    let what = match which {
        For::Logs => "get the logs from",
        For::Sessions => "attach to",
    };
    let q = selector_of(t, &v)
        .map_err(|e| Error::plain(format!("cannot {what} *v1.{}: {e}", t.resource.kind)))?;
    let pods = cx.discovery().await?.find("pods")?;
    let path = with_query(pods.collection(&t.namespace), &[("labelSelector", &q)]);
    let mut v = cx.get(&path).await?;
    let mut all = match v["items"].take() {
        Value::Array(a) => a,
        _ => Vec::new(),
    };
    if all.is_empty() {
        let version = text(&v, "/metadata/resourceVersion").to_owned();
        let path = with_query(path, &[("watch", "true"), ("resourceVersion", &version)]);
        let first = cx.lines(&path, "application/json", |mut e| {
            let come = matches!(text(&e, "/type"), "ADDED" | "MODIFIED");
            if come {
                all.push(e["object"].take());
            }
            Ok(!come)
        });
        let ms = cx.p.millis("pod-running-timeout")?.max(1).unsigned_abs();
        match tokio::time::timeout(Duration::from_millis(ms), first).await {
            Ok(r) => r?,
            Err(_) => return Err(Error::plain("timed out waiting for the condition")),
        }
        if all.is_empty() {
            return Err(Error::plain("watch closed before UntilWithoutRetry timeout"));
        }
    }
    sort(&mut all, which);
    Ok(all)
}

fn sort(all: &mut [Value], which: For) {
    all.sort_by_cached_key(|p| {
        let conditions = p["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|c| c["type"] == "Ready" && c["status"] == "True");
        let since = ready.map(|c| text(c, "/lastTransitionTime").to_owned()).filter(|t| !t.is_empty());
        let restarts = p["status"]["containerStatuses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|c| c["restartCount"].as_i64())
            .max()
            .unwrap_or(0);
        let phase = match (text(p, "/status/phase"), which) {
            ("Running", _) => 0,
            ("Unknown", _) => 1,
            ("Pending", _) | (_, For::Sessions) => 2,
            _ => 0,
        };
        let deleting = which == For::Sessions && !text(p, "/metadata/deletionTimestamp").is_empty();
        (
            text(p, "/spec/nodeName").is_empty(),
            phase,
            ready.is_none(),
            deleting,
            (since.is_none(), since),
            if which == For::Logs { Reverse(restarts) } else { Reverse(-restarts) },
            text(p, "/metadata/creationTimestamp").to_owned(),
        )
    });
}

/// The pod that a word means, or the best of an object's.
pub async fn pod(cx: &Cx, word: &str) -> Result<Value, Error> {
    let (t, v) = object(cx, word).await?;
    first(of(cx, &t, v, For::Sessions).await?)
}

/// The same, of the object in `-f`.
pub async fn pod_of_file(cx: &Cx) -> Result<Value, Error> {
    let all = objects::targets(cx, &[], false).await?;
    let [t] = all.as_slice() else {
        return Err(Error::plain("cannot exec into multiple objects at a time"));
    };
    let v = cx.get(&t.path("")).await?;
    first(of(cx, t, v, For::Sessions).await?)
}

fn first(all: Vec<Value>) -> Result<Value, Error> {
    all.into_iter().next().ok_or_else(|| Error::plain("no pod found"))
}

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// A container by its name, and the list that it is in.
pub fn find<'p>(pod: &'p Value, name: &str) -> Option<(&'static str, &'p Value)> {
    LISTS.iter().find_map(|l| {
        let all = pod["spec"][*l].as_array()?;
        all.iter().find(|c| text(c, "/name") == name).map(|c| (*l, c))
    })
}

/// The names of all containers as messages list them.
pub fn every(pod: &Value) -> String {
    let names = |list: &str, tail: &str| -> Vec<String> {
        let all = pod["spec"][list].as_array().into_iter().flatten();
        all.map(|c| format!("{}{tail}", text(c, "/name"))).collect()
    };
    let mut all = names("containers", "");
    all.extend(names("ephemeralContainers", " (ephem)"));
    all.extend(names("initContainers", " (init)"));
    all.join(", ")
}

/// Every container's name in the order they start.
pub fn names(pod: &Value) -> Vec<String> {
    LISTS
        .iter()
        .flat_map(|f| pod["spec"][*f].as_array().into_iter().flatten())
        .map(|c| text(c, "/name").to_owned())
        .collect()
}

/// The container to use when none is named: the annotated one, or the first.
pub fn container(pod: &Value, quiet: bool) -> String {
    let wish = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str();
    if let Some(w) = wish.filter(|w| !w.is_empty()) {
        if find(pod, w).is_some() {
            return w.to_owned();
        }
        eprintln!("Default container name {w:?} not found in pod {}", text(pod, "/metadata/name"));
    }
    let first = text(pod, "/spec/containers/0/name");
    if names(pod).len() > 1 && !quiet {
        eprintln!("Defaulted container {first:?} out of: {}", every(pod));
    }
    first.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors() {
        let s = json!({"matchLabels": {"b": "1", "a": "2"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "aa", "operator": "DoesNotExist"}]});
        assert_eq!(selector(&s), "a=2,!aa,b=1,c in (x,y)");
    }

    #[test]
    fn best_pod() {
        let pod = |n: &str, node: &str, phase: &str, ready: bool| {
            json!({"metadata": {"name": n, "creationTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"nodeName": node},
            "status": {"phase": phase, "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}})
        };
        let mut all = vec![
            pod("pending", "", "Pending", false),
            pod("unready", "n", "Running", false),
            pod("good", "n", "Running", true),
        ];
        sort(&mut all, For::Sessions);
        let names: Vec<_> = all.iter().map(|p| text(p, "/metadata/name")).collect();
        assert_eq!(names, ["good", "unready", "pending"]);
    }

    #[test]
    fn containers() {
        let p = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
            "initContainers": [{"name": "i"}], "ephemeralContainers": [{"name": "d"}]}});
        assert_eq!(every(&p), "a, b, d (ephem), i (init)");
        assert_eq!(
            (container(&p, true), names(&p)),
            ("a".into(), vec!["i".into(), "a".into(), "b".into(), "d".into()])
        );
        assert_eq!(find(&p, "d").unwrap().0, "ephemeralContainers");
    }
}
