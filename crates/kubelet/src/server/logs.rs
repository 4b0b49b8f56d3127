//! `/containerLogs`: finds the instance whose log is wanted and streams it.

use super::{Answer, Fail, Query};
use crate::kubelet::Kubelet;
use crate::logs::{self, Options, Stream};
use crate::pod::helpers::{self, spec, uid};
use crate::pod::observe::State;
use cri::v1 as rt;
use futures::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use k8s_openapi::api::core::v1::PodStatus;
use k8s_openapi::jiff::Timestamp;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

fn options(q: &Query, now: i64) -> Result<(Options, bool), Fail> {
    let bad = |k: &str| {
        Fail(http::StatusCode::BAD_REQUEST, format!("{{\"message\": \"Unable to decode query.\"}} ({k})"))
    };
    let number = |k: &'static str| -> Result<Option<i64>, Fail> {
        match q.get(k).filter(|v| !v.is_empty()) {
            None => Ok(None),
            Some(v) => v.parse::<i64>().map(Some).map_err(|_| bad(k)),
        }
    };
    let invalid =
        || Fail(http::StatusCode::UNPROCESSABLE_ENTITY, "{\"message\": \"Invalid request.\"}".into());
    let tail = match q.get("tail") {
        Some("all") => None,
        Some(t) => Some(t.parse::<i64>().map_err(|_| bad("tail"))?),
        None => number("tailLines")?,
    };
    let limit = number("limitBytes")?;
    let seconds = number("sinceSeconds")?;
    if tail.is_some_and(|t| t < 0) || limit.is_some_and(|l| l < 1) || seconds.is_some_and(|s| s < 1) {
        return Err(invalid());
    }
    let time = match q.get("sinceTime").filter(|t| !t.is_empty()) {
        None => None,
        Some(t) => Some(t.parse::<Timestamp>().map_err(|_| bad("sinceTime"))?.as_nanosecond()),
    };
    let stream = match q.get("stream") {
        None | Some("" | "All") => None,
        Some("Stdout") => Some(Stream::Stdout),
        Some("Stderr") => Some(Stream::Stderr),
        Some(_) => return Err(invalid()),
    };
    let since = seconds.map(|s| i128::from(now) - i128::from(s) * 1_000_000_000).or(time);
    let o = Options {
        follow: q.flag(&["follow"]),
        timestamps: q.flag(&["timestamps"]),
        since,
        tail: tail.and_then(|t| usize::try_from(t).ok()),
        limit: limit.and_then(|l| usize::try_from(l).ok()),
        stream,
    };
    Ok((o, q.flag(&["previous"])))
}

/// Which instance's log (upstream `validateContainerLogStatus`).
fn instance(pod: &str, s: &PodStatus, container: &str, previous: bool) -> Result<String, String> {
    let st = s
        .container_statuses
        .iter()
        .chain(s.init_container_statuses.iter())
        .chain(s.ephemeral_container_statuses.iter())
        .flatten()
        .find(|c| c.name == container)
        .ok_or_else(|| format!("container {container:?} in pod {pod:?} is not available"))?;
    let id = |t: Option<&String>| t.and_then(|t| t.split_once("://")).map(|t| t.1.to_owned());
    let state = st.state.clone().unwrap_or_default();
    let last = st.last_state.as_ref().and_then(|l| l.terminated.as_ref());
    let last_id = id(last.and_then(|t| t.container_id.as_ref()));
    let dead = || format!("container {container:?} in pod {pod:?} is terminated");
    if previous {
        return last_id
            .ok_or_else(|| format!("previous terminated container {container:?} in pod {pod:?} not found"));
    }
    if state.running.is_some() {
        return id(st.container_id.as_ref())
            .ok_or_else(|| format!("container {container:?} in pod {pod:?} is not available"));
    }
    if let Some(t) = &state.terminated {
        return id(t.container_id.as_ref()).or(last_id).ok_or_else(dead);
    }
    if last.is_some() {
        return last_id.ok_or_else(dead);
    }
    if let Some(w) = &state.waiting {
        let why = match w.reason.as_deref().unwrap_or("") {
            "ErrImagePull" => "image can't be pulled",
            "ImagePullBackOff" => "trying and failing to pull image",
            r => r,
        };
        return Err(format!("container {container:?} in pod {pod:?} is waiting to start: {why}"));
    }
    Err(format!("container {container:?} in pod {pod:?} is waiting to start - no logs yet"))
}

/// The file of an instance's log.
async fn log_file(k: &Kubelet, id: &str) -> Result<PathBuf, Fail> {
    let req = rt::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    let r = k.cri.container_status(req).await;
    match r {
        Ok(r) => Ok(r.status.map(|s| s.log_path).unwrap_or_default().into()),
        Err(e) => Err(Fail::bad(format!("failed to get container status {id:?}: {e}"))),
    }
}

pub(super) async fn container(
    k: &Arc<Kubelet>,
    ns: &str,
    name: &str,
    container: &str,
    q: &Query,
) -> Result<Answer, Fail> {
    let (o, previous) = options(q, k.now())?;
    let entry = k.find(ns, name).ok_or_else(|| Fail::not_found(format!("pod {name:?} does not exist")))?;
    let pod = entry.pod();
    if helpers::find_container(spec(&pod), container).is_none() {
        return Err(Fail::not_found(format!("container {container:?} not found in pod {name:?}")));
    }
    let status = k.status.get(uid(&pod)).or_else(|| pod.status.clone()).unwrap_or_default();
    let id = instance(name, &status, container, previous).map_err(Fail::bad)?;
    let path = log_file(k, &id).await?;
    if let Err(e) = std::fs::metadata(&path) {
        return Err(Fail::bad(format!(
            "failed to try resolving symlinks in path {:?}: {e}",
            path.display().to_string()
        )));
    }
    let (tx, rx) = mpsc::channel(16);
    let k = k.clone();
    let rt = k.rt.clone();
    rt.spawn_until_stop("log reader", async move {
        let running = || {
            // What the worker saw last is new enough, and costs nothing.
            let s = entry.state();
            s.observed.instances.iter().any(|i| i.id == id && i.state == State::Running)
        };
        if let Err(e) = logs::read(&path, o, running, tx).await {
            tracing::debug!(log = %path.display(), error = %e, "reading a log broke off");
        }
        drop(k);
    });
    let stream = futures::stream::unfold(rx, |mut rx| async move { rx.recv().await.map(|b| (b, rx)) });
    let body = StreamBody::new(stream.map(|b| Ok::<_, serve::BoxError>(hyper::body::Frame::data(b))));
    let mut a = http::Response::new(body.boxed_unsync());
    a.headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn which_instance() {
        let s = |state: serde_json::Value, last: serde_json::Value| -> PodStatus {
            serde_json::from_value(
                json!({"containerStatuses": [{"name": "c", "image": "", "imageID": "", "ready": false,
                "restartCount": 0, "containerID": "x://now", "state": state, "lastState": last}]}),
            )
            .unwrap()
        };
        let ended = |id: &str| json!({"terminated": {"exitCode": 0, "containerID": id}});
        for (st, previous, want) in [
            (s(json!({"running": {}}), json!({})), false, Ok("now")),
            (s(json!({"running": {}}), ended("x://old")), true, Ok("old")),
            (
                s(json!({"running": {}}), json!({})),
                true,
                Err("previous terminated container \"c\" in pod \"p\" not found"),
            ),
            (s(ended("x://end"), json!({})), false, Ok("end")),
            (s(json!({"waiting": {"reason": "CrashLoopBackOff"}}), ended("x://old")), false, Ok("old")),
            (
                s(json!({"waiting": {"reason": "ErrImagePull"}}), json!({})),
                false,
                Err("container \"c\" in pod \"p\" is waiting to start: image can't be pulled"),
            ),
        ] {
            let got = instance("p", &st, "c", previous);
            assert_eq!(got.as_deref().map_err(String::as_str), want);
        }
    }

    #[test]
    fn bad_queries() {
        for (q, ok) in [
            ("tailLines=5&follow=true", true),
            ("tailLines=x", false),
            ("limitBytes=0", false),
            ("stream=Stderr", true),
            ("stream=x", false),
        ] {
            assert_eq!(options(&Query::parse(q), 0).is_ok(), ok, "{q}");
        }
    }
}
