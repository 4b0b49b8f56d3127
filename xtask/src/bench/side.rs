//! A control plane under measurement: ours, or upstream's etcd, API server, controller manager and scheduler.

use super::Bench;
use crate::{sh, suite};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Ours,
    Peer,
    /// The peer with its collector told to spend memory for time.
    PeerTuned,
}

impl Who {
    pub fn index(self) -> usize {
        self as usize
    }
}

pub struct Side {
    pub who: Who,
    pub kubeconfig: PathBuf,
    pub url: String,
    /// When the first process was started, by the machine's clock.
    started: f64,
    loadgen: PathBuf,
    dir: PathBuf,
    ports: Vec<u16>,
    children: Vec<Child>,
}

fn ports(n: usize) -> Result<Vec<u16>, String> {
    let held: Result<Vec<_>, _> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let held = held.map_err(|e| e.to_string())?;
    held.iter().map(|l| l.local_addr().map(|a| a.port()).map_err(|e| e.to_string())).collect()
}

#[allow(clippy::disallowed_methods, reason = "compared with what the load client says")]
fn now() -> f64 {
    let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    t.map_or(0.0, |d| d.as_secs_f64())
}

impl Side {
    /// A side with an empty directory, nothing running.
    pub fn new(b: &Bench, who: Who) -> Result<Self, String> {
        let dir = sh::target_dir().join("bench").join(format!("{who:?}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let ports = ports(5)?;
        let url = format!("https://127.0.0.1:{}", ports[0]);
        if who != Who::Ours {
            b.load("pki", &[("dir", &dir.to_string_lossy()), ("server", &url)])?;
        }
        let kubeconfig = dir.join(if who == Who::Ours { "admin.kubeconfig" } else { "admin.conf" });
        let loadgen = b.loadgen.clone();
        Ok(Self { who, kubeconfig, url, started: 0.0, loadgen, dir, ports, children: Vec::new() })
    }
    /// A whole control plane that takes pods.
    pub fn up(b: &Bench, who: Who) -> Result<Self, String> {
        let mut s = Self::new(b, who)?;
        s.start(b)?;
        s.rest()?;
        // Pods are taken once the namespace has its service account.
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let args = [("kubeconfig", s.config()), ("millis", "1".into())];
            let args: Vec<_> = args.iter().map(|(n, v)| (*n, v.as_str())).collect();
            match b.load("crud", &args) {
                Ok(_) => return Ok(s),
                Err(e) if Instant::now() > end => return Err(e),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
    pub fn config(&self) -> String {
        self.kubeconfig.to_string_lossy().into_owned()
    }
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
    /// The processes as the load client wants them.
    pub fn pid_list(&self) -> String {
        self.pids().iter().map(u32::to_string).collect::<Vec<_>>().join(",")
    }

    fn spawn(&mut self, program: &Path, args: &[String]) -> Result<(), String> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = std::fs::File::create(self.dir.join(format!("{name}.log"))).map_err(|e| e.to_string())?;
        let mut c = Command::new(program);
        c.args(args).stdin(Stdio::null()).stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
        if self.who == Who::PeerTuned {
            c.env("GOGC", "400");
        }
        self.children.push(c.spawn().map_err(|e| format!("{}: {e}", program.display()))?);
        Ok(())
    }

    /// Starts what serves the API and waits until it is ready. Answers the seconds that took.
    pub fn start(&mut self, b: &Bench) -> Result<f64, String> {
        let wait = Command::new(&self.loadgen)
            .args(["ready", "--url", &self.url])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        std::thread::sleep(Duration::from_millis(30));
        let dir = self.dir.to_string_lossy().into_owned();
        self.started = now();
        if self.who == Who::Ours {
            let args = [
                "server",
                &format!("--data-dir={dir}"),
                "--bind-address=127.0.0.1",
                &format!("--secure-port={}", self.ports[0]),
                "--advertise-address=192.0.2.1",
                "--node-ip=127.0.0.1",
                "--disable=kubelet,kube-proxy,kube-dns",
                "--controllers=*,-node-lifecycle-controller",
                "--v=0",
            ];
            self.spawn(&b.exe.clone(), &args.map(str::to_owned))?;
        } else {
            self.etcd(&suite::bin("etcd"))?;
            let pki = |n: &str| format!("{dir}/{n}");
            let args = [
                format!("--etcd-servers=http://127.0.0.1:{}", self.ports[1]),
                format!("--secure-port={}", self.ports[0]),
                "--bind-address=127.0.0.1".into(),
                "--advertise-address=192.0.2.1".into(),
                "--endpoint-reconciler-type=none".into(),
                "--service-cluster-ip-range=10.96.0.0/12".into(),
                "--authorization-mode=Node,RBAC".into(),
                "--enable-admission-plugins=NodeRestriction".into(),
                "--allow-privileged=true".into(),
                "--max-requests-inflight=10000".into(),
                "--max-mutating-requests-inflight=10000".into(),
                format!("--tls-cert-file={}", pki("apiserver.crt")),
                format!("--tls-private-key-file={}", pki("apiserver.key")),
                format!("--client-ca-file={}", pki("ca.crt")),
                format!("--service-account-key-file={}", pki("sa.pub")),
                format!("--service-account-signing-key-file={}", pki("sa.key")),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
            ];
            self.spawn(&suite::bin("kube-apiserver"), &args)?;
        }
        let out = wait.wait_with_output().map_err(|e| e.to_string())?;
        if !out.status.success() {
            return Err(format!("{:?} is not ready; its logs are in {dir}", self.who));
        }
        let out: serde_json::Value = serde_json::from_slice(&out.stdout).map_err(|e| e.to_string())?;
        Ok(out["at"].as_f64().unwrap_or_default() - self.started)
    }

    /// The store alone, on the second port: upstream's etcd, or ours when `program` is keelson.
    pub fn etcd(&mut self, program: &Path) -> Result<(), String> {
        let (client, peer) = (self.ports[1], self.ports[2]);
        let mut args = vec![
            format!("--data-dir={}/etcd", self.dir.display()),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            "--log-level=error".into(),
        ];
        if self.who == Who::Ours {
            args.insert(0, "etcd".into());
        } else {
            args.push(format!("--listen-peer-urls=http://127.0.0.1:{peer}"));
            args.push(format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"));
            args.push(format!("--initial-cluster=default=http://127.0.0.1:{peer}"));
        }
        self.spawn(program, &args)
    }
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    /// The peer's controllers and scheduler, their clients' limits lifted. Ours run in the one process.
    pub fn rest(&mut self) -> Result<(), String> {
        if self.who == Who::Ours {
            return Ok(());
        }
        let dir = self.dir.to_string_lossy().into_owned();
        let common = |conf: &str, port: u16| {
            let conf = format!("{dir}/{conf}");
            vec![
                "--leader-elect=false".to_owned(),
                format!("--kubeconfig={conf}"),
                format!("--authentication-kubeconfig={conf}"),
                format!("--authorization-kubeconfig={conf}"),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={port}"),
                "--kube-api-qps=100000".into(),
                "--kube-api-burst=100000".into(),
            ]
        };
        let mut kcm = common("kcm.conf", self.ports[3]);
        kcm.extend([
            "--controllers=*,-node-lifecycle-controller".to_owned(),
            "--cluster-cidr=10.244.0.0/16".into(),
            "--allocate-node-cidrs=true".into(),
            "--node-cidr-mask-size=28".into(),
            "--service-cluster-ip-range=10.96.0.0/12".into(),
            format!("--root-ca-file={dir}/ca.crt"),
            format!("--service-account-private-key-file={dir}/sa.key"),
            "--use-service-account-credentials=true".into(),
            format!("--cluster-signing-cert-file={dir}/ca.crt"),
            format!("--cluster-signing-key-file={dir}/ca.key"),
        ]);
        self.spawn(&suite::bin("kube-controller-manager"), &kcm)?;
        let scheduler = common("scheduler.conf", self.ports[4]);
        self.spawn(&suite::bin("kube-scheduler"), &scheduler)
    }

    /// Ends the processes in order; what they wrote stays.
    pub fn stop(&mut self) {
        for mut c in self.children.drain(..).rev() {
            let _ = Command::new("kill").args(["-TERM", &c.id().to_string()]).status();
            let end = Instant::now() + Duration::from_secs(10);
            while matches!(c.try_wait(), Ok(None)) {
                if Instant::now() > end {
                    let _ = c.kill();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    fn status(&self, field: &str) -> f64 {
        let one = |pid: u32| -> Option<f64> {
            let s = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let l = s.lines().find_map(|l| l.strip_prefix(field))?;
            l.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        self.pids().into_iter().filter_map(one).sum::<f64>() / 1024.0
    }
    /// Resident MiB of all processes.
    pub fn resident(&self) -> f64 {
        self.status("VmRSS")
    }
    /// The most that was resident, in MiB.
    pub fn peak(&self) -> f64 {
        self.status("VmHWM")
    }
    /// User and system seconds so far.
    pub fn cpu(&self) -> f64 {
        let one = |pid: u32| -> Option<f64> {
            let s = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let mut f = s.rsplit_once(')')?.1.split_whitespace().skip(11);
            Some((f.next()?.parse::<f64>().ok()? + f.next()?.parse::<f64>().ok()?) / 100.0)
        };
        self.pids().into_iter().filter_map(one).sum()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
