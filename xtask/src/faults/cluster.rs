//! A cluster of two test hosts, and what is looked at on it: through the API, and on the hosts themselves.

use crate::hosts::{self, EVICT, Hosts};
use crate::{images, sh, suite, up};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub struct Cluster {
    hosts: Hosts,
    exe: PathBuf,
    kubectl: PathBuf,
}

/// A pod, as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pod {
    pub name: String,
    pub app: String,
    pub node: String,
    pub uid: String,
    pub ip: String,
    pub container: String,
    pub restarts: u64,
    pub ready: bool,
    pub leaving: bool,
}

/// Waits until something is so; else says what was missing last.
pub fn until(what: &str, within: u64, mut f: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let begun = Instant::now();
    loop {
        match f() {
            Ok(()) => return Ok(begun.elapsed().as_secs_f64()),
            Err(e) if begun.elapsed() > Duration::from_secs(within) => {
                return Err(format!("{what}: not after {within} s: {e}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(300)),
        }
    }
}

impl Cluster {
    /// Two nodes and what is kept an eye on.
    pub fn up(exe: &Path) -> Result<Self, String> {
        let kubectl = suite::kubectl()?;
        let hosts = Hosts::up(&["n1", "n2"])?;
        for n in ["n1", "n2"] {
            images::build(&hosts::path(n, "/var/lib/keelson/images"))?;
        }
        suite::cluster(&hosts, exe, &hosts::path("n1", "/var/lib/keelson"), &[EVICT])?;
        let c = Self { hosts, exe: exe.to_owned(), kubectl };
        let yaml = sh::root().join("e2e/faults.yaml").to_string_lossy().into_owned();
        until("the manifest is taken", 60, || c.k(&["apply", "-f", &yaml]).map(drop))?;
        Ok(c)
    }

    /// Stock kubectl as admin.
    pub fn k(&self, args: &[&str]) -> Result<String, String> {
        let mut c = self.hosts.on("n1");
        c.args(["timeout", "30"]).arg(&self.kubectl).args(args).arg("--request-timeout=10s");
        c.env("KUBECONFIG", "/var/lib/keelson/admin.kubeconfig").env("HOME", hosts::dir().join("n1"));
        sh::output(c.stdin(Stdio::null()))
    }

    pub fn get(&self, what: &[&str]) -> Result<Value, String> {
        let args: Vec<&str> = ["get", "-o", "json"].iter().chain(what).copied().collect();
        serde_json::from_str(&self.k(&args)?).map_err(|e| e.to_string())
    }

    pub fn pods(&self) -> Result<Vec<Pod>, String> {
        let list = self.get(&["pods"])?;
        let mut out: Vec<Pod> = list["items"].as_array().into_iter().flatten().map(pod).collect();
        out.sort();
        Ok(out)
    }

    pub fn of(&self, app: &str) -> Result<Vec<Pod>, String> {
        Ok(self.pods()?.into_iter().filter(|p| p.app == app).collect())
    }

    /// Whether a Deployment is as asked for, to the last pod and the last endpoint.
    pub fn settled(&self, replicas: u64, image: &str) -> Result<(), String> {
        let d = self.get(&["deployment", "web"])?;
        let (spec, status) = (&d["spec"], &d["status"]);
        if spec["replicas"] != replicas || spec["template"]["spec"]["containers"][0]["image"] != image {
            return Err(format!("what was asked for is forgotten: {spec}"));
        }
        let seen = status["observedGeneration"] == d["metadata"]["generation"];
        let all = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
        if !seen || all.iter().any(|n| status[n] != replicas) {
            return Err(format!("the Deployment is at {status}"));
        }
        let pods = self.of("web")?;
        if pods.len() as u64 != replicas || pods.iter().any(|p| !p.ready || p.leaving) {
            return Err(format!("its pods are {pods:?}"));
        }
        self.endpoints(&pods)
    }

    /// Endpoints of the Service `web` that are ready are those of these pods.
    pub fn endpoints(&self, pods: &[Pod]) -> Result<(), String> {
        let slices = self.get(&["endpointslices", "-l", "kubernetes.io/service-name=web"])?;
        let mut ready = BTreeSet::new();
        for e in
            slices["items"].as_array().into_iter().flatten().flat_map(|s| s["endpoints"].as_array()).flatten()
        {
            if e["conditions"]["ready"] != false {
                ready.extend(
                    e["addresses"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(|a| a.as_str().map(str::to_owned)),
                );
            }
        }
        let want: BTreeSet<String> =
            pods.iter().filter(|p| p.ready && !p.leaving).map(|p| p.ip.clone()).collect();
        if ready == want {
            Ok(())
        } else {
            Err(format!("ready endpoints are {ready:?}, ready pods {want:?}"))
        }
    }

    /// Whether a node's Ready condition says this.
    pub fn ready(&self, node: &str, want: &str) -> Result<(), String> {
        let n = self.get(&["node", node])?;
        let of = n["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
        let is = of.and_then(|c| c["status"].as_str()).unwrap_or("missing").to_owned();
        if is == want { Ok(()) } else { Err(format!("{node} is Ready={is}")) }
    }

    /// Pods that have a container on a host now, by the host's own processes: (host name, times).
    pub fn running(&self, host: &str, prefix: &str) -> Result<Vec<String>, String> {
        // Containers have their pod's name for a host name; a program's first process alone counts.
        let script =
            "for p in /proc/[0-9]*; do [ \"$(readlink $p/exe 2>/dev/null)\" = /bin/demo ] || continue
tr '\\0' '\\n' < $p/cmdline 2>/dev/null | head -1 | grep -q pause && continue
tr '\\0' '\\n' < $p/environ 2>/dev/null | sed -n 's/^HOSTNAME=//p'; done";
        let out = sh::output(self.hosts.on(host).args(["timeout", "20", "bash", "-c", script]))?;
        let mut names: Vec<String> =
            out.lines().filter(|l| l.starts_with(prefix)).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    /// No name of a StatefulSet runs twice, whatever the API believes.
    pub fn single(&self) -> Result<(), String> {
        let mut all = self.running("n1", "db-")?;
        // A host that is lost runs nothing.
        all.extend(self.running("n2", "db-").unwrap_or_default());
        all.sort();
        let twice = all.windows(2).find(|w| w[0] == w[1]);
        twice.map_or(Ok(()), |w| Err(format!("{} runs twice: {all:?}", w[0])))
    }

    /// kill -9 the server, and starts it again after a while.
    pub fn kill_server(&self, away: Duration) -> Result<(), String> {
        let dir = hosts::path("n1", "/var/lib/keelson");
        let pid = std::fs::read_to_string(dir.join("server.pid")).map_err(|e| e.to_string())?;
        sh::run(self.hosts.on("n1").args(["kill", "-9", pid.trim()]))?;
        std::thread::sleep(away);
        let mut server = self.hosts.on("n1");
        server.arg(&self.exe);
        up::start_on(server, "/var/lib/keelson", &dir, &[EVICT]).map(drop)
    }

    /// A signal to processes of a host, by the exact name of the program.
    pub fn signal(&self, host: &str, program: &str, signal: &str) -> Result<(), String> {
        // Only the host's own processes are seen from there.
        let script = format!("p=$(pgrep -x {program}) && kill -{signal} $p");
        sh::run(self.hosts.on(host).args(["bash", "-c", &script]))
    }

    pub fn agent_name(&self) -> String {
        // What the kernel calls a process is cut to 15 letters.
        let name = self.exe.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.chars().take(15).collect()
    }

    /// Takes a host off the switch, or puts it back.
    pub fn link(&self, host: &str, on: bool) -> Result<(), String> {
        let set = hosts::dir().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let state = if on { "up" } else { "down" };
        sh::run(Command::new("ip").args(["-n", &set, "link", "set", &format!("to-{host}"), state]))
    }

    pub fn lose(&self, host: &str) -> Result<(), String> {
        self.hosts.lose(host)
    }

    /// Copies the logs to where they outlive the hosts.
    pub fn keep_logs(&self, to: &Path) {
        let _ = std::fs::create_dir_all(to);
        for (host, path) in [("n1", "/var/lib/keelson/server.log"), ("n2", "agent.log")] {
            let _ = std::fs::copy(hosts::path(host, path), to.join(format!("{host}.log")));
        }
        for (what, name) in
            [(["get", "pods", "-o", "yaml"], "pods.yaml"), (["get", "nodes", "-o", "yaml"], "nodes.yaml")]
        {
            let _ = std::fs::write(to.join(name), self.k(&what).unwrap_or_else(|e| e));
        }
    }
}

fn pod(v: &Value) -> Pod {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (meta, status) = (&v["metadata"], &v["status"]);
    let of = &status["containerStatuses"][0];
    let ready = status["conditions"].as_array().into_iter().flatten();
    Pod {
        name: text(&meta["name"]),
        app: text(&meta["labels"]["app"]),
        node: text(&v["spec"]["nodeName"]),
        uid: text(&meta["uid"]),
        ip: text(&status["podIP"]),
        container: text(&of["containerID"]),
        restarts: of["restartCount"].as_u64().unwrap_or(0),
        ready: ready.into_iter().any(|c| c["type"] == "Ready" && c["status"] == "True"),
        leaving: !meta["deletionTimestamp"].is_null(),
    }
}
