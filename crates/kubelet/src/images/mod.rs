//! Images: pulling with policy, credentials and back-off.

pub mod gc;
pub mod keyring;
pub mod reference;

use crate::events::Recorder;
use crate::pod::backoff::Backoff;
use crate::pod::helpers;
use cri::v1 as rt;
use k8s_openapi::api::core::v1::{Pod, Secret};
use keyring::Keyring;
use runtime::Clock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Why a container could not be started: the waiting state's reason and message, and when to try again (nanoseconds
/// since 1970), if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    pub reason: String,
    pub message: String,
    pub retry_at: Option<i64>,
}

impl StartError {
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into(), retry_at: None }
    }
}

pub struct Images {
    cri: Arc<dyn cri::Runtime>,
    clock: Clock,
    recorder: Recorder,
    state: Mutex<State>,
    /// How many pulls at a time; `None`: as many as there are.
    slots: Option<Arc<Semaphore>>,
    /// The node's own registry credentials.
    node_keyring: Keyring,
}

struct State {
    backoff: Backoff,
    last_error: HashMap<String, String>,
}

/// What to pull, for whom.
pub struct Want<'a> {
    pub pod: &'a Pod,
    pub container: &'a str,
    pub image: &'a str,
    pub policy: &'a str,
    pub secrets: &'a [Arc<Secret>],
    pub sandbox: &'a rt::PodSandboxConfig,
    pub handler: &'a str,
}

impl Images {
    pub fn new(
        cri: Arc<dyn cri::Runtime>,
        clock: Clock,
        recorder: Recorder,
        parallel: Option<usize>,
        node_keyring: Keyring,
    ) -> Self {
        Self {
            cri,
            clock,
            recorder,
            state: Mutex::new(State { backoff: Backoff::new(10, 300), last_error: HashMap::new() }),
            slots: parallel.map(|n| Arc::new(Semaphore::new(n.max(1)))),
            node_keyring,
        }
    }

    fn event(&self, w: &Want<'_>, kind: &str, reason: &str, message: &str) {
        self.recorder.container(w.pod, w.container, kind, reason, message);
    }

    fn spec(w: &Want<'_>, image: &str) -> rt::ImageSpec {
        rt::ImageSpec {
            image: image.to_owned(),
            annotations: w
                .pod
                .metadata
                .annotations
                .iter()
                .flatten()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
            runtime_handler: w.handler.to_owned(),
            ..Default::default()
        }
    }

    /// The image's status in the runtime.
    pub async fn status(&self, image: &str) -> Result<Option<rt::Image>, cri::Error> {
        let spec = rt::ImageSpec { image: image.to_owned(), ..Default::default() };
        let r = self.cri.image_status(rt::ImageStatusRequest { image: Some(spec), verbose: false }).await?;
        Ok(r.image.filter(|i| !i.id.is_empty()))
    }

    /// Makes sure the image is there; answers the reference to make containers with.
    pub async fn ensure(&self, w: &Want<'_>) -> Result<String, StartError> {
        let image = reference::with_default_tag(w.image).map_err(|e| {
            let m = format!("Failed to apply default image tag {:?}: {e}", w.image);
            self.event(w, "Warning", "InspectFailed", &m);
            StartError::new("InvalidImageName", m)
        })?;
        if w.policy != "Always" {
            match self.status(&image).await {
                Ok(Some(i)) => {
                    let m = format!(
                        "Container image {:?} already present on machine and can be accessed by the pod",
                        w.image
                    );
                    self.event(w, "Normal", "Pulled", &m);
                    return Ok(i.id);
                }
                Ok(None) if w.policy == "Never" => {
                    let m = format!("Container image {:?} is not present with pull policy of Never", w.image);
                    self.event(w, "Warning", "ErrImageNeverPull", &m);
                    return Err(StartError::new("ErrImageNeverPull", m));
                }
                Ok(None) => {}
                Err(e) => {
                    let m = format!("Failed to inspect image {:?}: {e}", w.image);
                    self.event(w, "Warning", "InspectFailed", &m);
                    return Err(StartError::new("ImageInspectError", m));
                }
            }
        }
        self.pull(w, &image).await
    }

    async fn pull(&self, w: &Want<'_>, image: &str) -> Result<String, StartError> {
        let key = format!("{}_{}", helpers::uid(w.pod), w.image);
        let started = self.clock.unix_nanos();
        let waiting = {
            let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let until = s.backoff.until_since_update(&key, started);
            let last = s.last_error.get(&key).cloned();
            if until.is_none() {
                s.last_error.remove(&key);
            }
            until.map(|u| (u, last))
        };
        if let Some((until, last)) = waiting {
            let mut m = format!("Back-off pulling image {:?}", w.image);
            self.event(w, "Normal", "BackOff", &m);
            if let Some(last) = last {
                m = format!("{m}: {last}");
            }
            return Err(StartError { reason: "ImagePullBackOff".into(), message: m, retry_at: Some(until) });
        }
        self.event(w, "Normal", "Pulling", &format!("Pulling image {:?}", w.image));
        let slot = match &self.slots {
            Some(s) => s.clone().acquire_owned().await.ok(),
            None => None,
        };
        let pulling = self.clock.unix_nanos();
        let result = self.pull_with_credentials(w, image).await;
        drop(slot);
        match result {
            Ok(image_ref) => {
                let size = self.status(image).await.ok().flatten().map_or(0, |i| i.size);
                let end = self.clock.unix_nanos();
                let m = format!(
                    "Successfully pulled image {:?} in {} ({} including waiting). Image size: {size} bytes.",
                    w.image,
                    go_millis(end - pulling),
                    go_millis(end - started)
                );
                self.event(w, "Normal", "Pulled", &m);
                Ok(image_ref)
            }
            Err(e) => {
                let m = format!("Failed to pull image {:?}: {e}", w.image);
                self.event(w, "Warning", "Failed", &m);
                let (reason, message) = explain(w.image, &e.to_string());
                let now = self.clock.unix_nanos();
                let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                s.backoff.next(&key, now, now);
                let until = s.backoff.until_since_update(&key, now);
                if s.last_error.len() < 10_000 {
                    s.last_error.insert(key, format!("{reason}: {message}"));
                }
                Err(StartError { reason: reason.to_owned(), message, retry_at: until })
            }
        }
    }

    async fn pull_with_credentials(&self, w: &Want<'_>, image: &str) -> Result<String, cri::Error> {
        let mut keyring = Keyring::default();
        for s in w.secrets {
            if let Err(e) = keyring.add_secret(s) {
                tracing::warn!(pod = helpers::key(w.pod), error = e, "pull secret left out");
            }
        }
        let repository = reference::parse(image).map(|r| r.repository).unwrap_or_default();
        let mut auths = keyring.lookup(&repository);
        auths.extend(self.node_keyring.lookup(&repository));
        let mut tries: Vec<Option<rt::AuthConfig>> = auths.into_iter().map(Some).collect();
        if tries.is_empty() {
            tries.push(None);
        }
        let mut last = None;
        for auth in tries {
            let req = rt::PullImageRequest {
                image: Some(Self::spec(w, image)),
                auth,
                sandbox_config: Some(w.sandbox.clone()),
            };
            match self.cri.pull_image(req).await {
                Ok(r) => return Ok(r.image_ref),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| cri::Error::new("pull_image", cri::Code::Unknown, "nothing to try")))
    }

    /// Forgets a pod's back-off.
    pub fn forget(&self, uid: &str) {
        let prefix = format!("{uid}_");
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        s.backoff.forget(&prefix);
        s.last_error.retain(|k, _| !k.starts_with(&prefix));
    }
}

/// Known failures by the runtime's prefix (upstream `evalCRIPullErr`).
fn explain(image: &str, e: &str) -> (&'static str, String) {
    for (name, what) in [
        ("RegistryUnavailable", "the registry is unavailable"),
        ("SignatureValidationFailed", "the signature validation failed"),
    ] {
        if let Some(rest) = e.strip_prefix(name) {
            return (name, format!("image pull failed for {image} because {what}{rest}"));
        }
    }
    ("ErrImagePull", e.to_owned())
}

/// As Go prints a duration cut to milliseconds.
fn go_millis(nanos: i64) -> String {
    let ms = nanos.max(0) / 1_000_000;
    match ms {
        0 => "0s".into(),
        1..1000 => format!("{ms}ms"),
        _ => {
            let (m, rest) = (ms / 60_000, ms % 60_000);
            let s = format!("{}.{:03}", rest / 1000, rest % 1000);
            let s = s.trim_end_matches('0').trim_end_matches('.').to_owned();
            if m > 0 { format!("{m}m{s}s") } else { format!("{s}s") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(
            explain("i", "RegistryUnavailable: down").1,
            "image pull failed for i because the registry is unavailable: down"
        );
        assert_eq!(explain("i", "rpc error").0, "ErrImagePull");
        for (ms, want) in [(0, "0s"), (12, "12ms"), (1500, "1.5s"), (61_020, "1m1.02s"), (2000, "2s")] {
            assert_eq!(go_millis(ms * 1_000_000), want);
        }
    }
}
