//! What the runtime says about itself: ready, network, handlers, version. Asked every few seconds.

use cri::v1 as rt;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// As in container ids: `containerd`.
    pub name: String,
    pub version: String,
    /// `Err`: why not.
    pub runtime: Result<(), String>,
    pub network: Result<(), String>,
    pub handlers: Vec<rt::RuntimeHandler>,
    pub supplemental_groups_policy: bool,
    /// `cgroupfs` or `systemd`, where the runtime says it.
    pub cgroup_driver: Option<&'static str>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            name: "containerd".into(),
            version: String::new(),
            runtime: Err("container runtime status check may not have completed yet".into()),
            network: Err("container runtime status check may not have completed yet".into()),
            handlers: vec![],
            supplemental_groups_policy: false,
            cgroup_driver: None,
        }
    }
}

#[derive(Default)]
pub struct RuntimeState(Mutex<State>);

impl RuntimeState {
    pub fn get(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Answers whether that is news.
    pub fn set(&self, s: State) -> bool {
        let mut cur = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *cur != s;
        *cur = s;
        changed
    }
}

/// The driver in the configuration that containerd before 2.0 tells when asked at length: it has no call for it.
fn configured_driver(config: &str) -> Option<&'static str> {
    let v: serde_json::Value = serde_json::from_str(config).ok()?;
    let c = v.get("containerd")?;
    let name = c.get("defaultRuntimeName")?.as_str()?;
    let options = c.get("runtimes")?.get(name)?.get("options");
    let systemd = options.and_then(|o| o.get("SystemdCgroup")).and_then(serde_json::Value::as_bool);
    Some(if systemd == Some(true) { "systemd" } else { "cgroupfs" })
}

/// Asks once.
pub async fn ask(cri: &dyn cri::Runtime, before: &State) -> State {
    let mut out = before.clone();
    if out.version.is_empty() || out.runtime.is_err() {
        match cri.version(rt::VersionRequest { version: "v1".into() }).await {
            Ok(v) => {
                out.name = v.runtime_name;
                out.version = v.runtime_version;
            }
            Err(e) => {
                out.runtime = Err(e.to_string());
                out.network = Err(e.to_string());
                return out;
            }
        }
        if let Ok(c) = cri.runtime_config(rt::RuntimeConfigRequest::default()).await {
            out.cgroup_driver = c.linux.map(|l| match rt::CgroupDriver::try_from(l.cgroup_driver) {
                Ok(rt::CgroupDriver::Cgroupfs) => "cgroupfs",
                _ => "systemd",
            });
        } else if let Ok(s) = cri.status(rt::StatusRequest { verbose: true }).await {
            out.cgroup_driver = s.info.get("config").and_then(|c| configured_driver(c));
        }
    }
    match cri.status(rt::StatusRequest::default()).await {
        Err(e) => {
            out.runtime = Err(format!("container runtime is down: {e}"));
            out.network = out.runtime.clone();
        }
        Ok(r) => {
            let find = |name: &str| -> Result<(), String> {
                let list = r.status.as_ref().map(|s| s.conditions.as_slice()).unwrap_or(&[]);
                match list.iter().find(|c| c.r#type == name) {
                    None => Err(format!("{name} condition is not reported by the container runtime")),
                    Some(c) if c.status => Ok(()),
                    Some(c) => Err(format!(
                        "container runtime network not ready: {name}=false reason:{} message:{}",
                        c.reason, c.message
                    )),
                }
            };
            out.runtime = find("RuntimeReady");
            out.network = find("NetworkReady");
            out.handlers = r.runtime_handlers;
            out.supplemental_groups_policy = r.features.is_some_and(|f| f.supplemental_groups_policy);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_of_old_containerd() {
        let config = |options: &str| {
            format!(
                r#"{{"containerd":{{"defaultRuntimeName":"runc","runtimes":{{"runc":{{"runtimeType":"io.containerd.runc.v2","options":{options}}}}}}}}}"#
            )
        };
        for (options, driver) in [
            ("{}", Some("cgroupfs")),
            ("null", Some("cgroupfs")),
            (r#"{"SystemdCgroup":false}"#, Some("cgroupfs")),
            (r#"{"SystemdCgroup":true}"#, Some("systemd")),
        ] {
            assert_eq!(configured_driver(&config(options)), driver, "{options}");
        }
        assert_eq!(configured_driver("{}"), None);
        assert_eq!(configured_driver("no JSON"), None);
    }
}
