//! Asks the runtime what there is of one pod.

use crate::logs;
use crate::pod::observe::{self, Instance, LABEL_POD_UID, Observed, State};
use cri::v1 as rt;
use futures::future::try_join_all;
use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const MAX_MESSAGE: u64 = 4096;
const MAX_LOG_MESSAGE: usize = 2048;
const MAX_LOG_LINES: usize = 80;

/// Everything the runtime has of a pod. `ended` keeps what exited, which does not change any more.
pub async fn observe(
    cri: &dyn cri::Runtime,
    uid: &str,
    ended: &mut HashMap<String, Instance>,
) -> Result<Observed, cri::Error> {
    let label: HashMap<String, String> = HashMap::from([(LABEL_POD_UID.to_owned(), uid.to_owned())]);
    let sandboxes = cri.list_pod_sandbox(rt::ListPodSandboxRequest {
        filter: Some(rt::PodSandboxFilter { label_selector: label.clone(), ..Default::default() }),
    });
    let containers = cri.list_containers(rt::ListContainersRequest {
        filter: Some(rt::ContainerFilter { label_selector: label, ..Default::default() }),
    });
    let (sandboxes, containers) = futures::try_join!(sandboxes, containers)?;
    let sandboxes = try_join_all(sandboxes.items.into_iter().map(|s| async move {
        let req = rt::PodSandboxStatusRequest { pod_sandbox_id: s.id, verbose: false };
        gone_is_none(cri.pod_sandbox_status(req).await).map(|r| r.and_then(|r| r.status))
    }))
    .await?;
    let known = &*ended;
    let instances = try_join_all(containers.containers.into_iter().map(|c| async move {
        if let Some(i) = known.get(&c.id) {
            return Ok(Some(i.clone()));
        }
        let req = rt::ContainerStatusRequest { container_id: c.id, verbose: false };
        let r = gone_is_none(cri.container_status(req).await)?;
        Ok::<_, cri::Error>(r.and_then(|r| r.status).map(|s| with_message(&s, &c.pod_sandbox_id)))
    }))
    .await?;
    let mut out = Observed {
        sandboxes: sandboxes.iter().flatten().map(observe::sandbox).collect(),
        instances: instances.into_iter().flatten().collect(),
        ips: vec![],
    };
    out.sandboxes.sort_by_key(|s| std::cmp::Reverse(s.created));
    out.instances.sort_by_key(|i| std::cmp::Reverse(i.created));
    out.ips = out.active_sandbox().map(|s| s.ips.clone()).unwrap_or_default();
    ended.retain(|id, _| out.instances.iter().any(|i| i.id == *id));
    for i in &out.instances {
        if i.state == State::Exited {
            ended.entry(i.id.clone()).or_insert_with(|| i.clone());
        }
    }
    Ok(out)
}

/// What went between two calls is not an error.
fn gone_is_none<T>(r: Result<T, cri::Error>) -> Result<Option<T>, cri::Error> {
    match r {
        Ok(v) => Ok(Some(v)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e),
    }
}

/// An instance with the message it left when it ended.
fn with_message(s: &rt::ContainerStatus, sandbox: &str) -> Instance {
    let mut i = observe::instance(s, sandbox);
    if i.state == State::Exited {
        let own = termination_message(s);
        if !own.is_empty() {
            if !i.message.is_empty() {
                i.message.push_str(": ");
            }
            i.message.push_str(&own);
        }
    }
    i
}

fn termination_message(s: &rt::ContainerStatus) -> String {
    let src = observe::message_source(s);
    let mut text = String::new();
    if let Some(f) = &src.file {
        match tail(Path::new(f)) {
            Ok(t) => text = t,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return format!("Error on reading termination log {f}: {e}"),
        }
    }
    if text.is_empty() && src.fallback_to_logs {
        text = logs::last_lines(Path::new(&s.log_path), MAX_LOG_LINES, MAX_LOG_MESSAGE);
    }
    text
}

/// The end of a file.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut f = std::fs::File::open(path)?;
    let len = f.metadata()?.len();
    if len > MAX_MESSAGE {
        f.seek(SeekFrom::Start(len - MAX_MESSAGE))?;
    }
    let mut b = vec![];
    f.take(MAX_MESSAGE).read_to_end(&mut b)?;
    Ok(String::from_utf8_lossy(&b).into_owned())
}
