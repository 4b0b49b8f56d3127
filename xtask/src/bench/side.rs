//! A control plane under measurement: ours, or upstream's etcd, API server, controller manager and scheduler.

use super::Bench;
use super::process::{self, Process, now};
use super::space::in_space;
use crate::{sh, suite};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
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
    /// The network namespace it runs in, when that is not this machine's own, and its address there.
    net: Option<(String, String)>,
    children: Vec<Process>,
}

pub fn ports(n: usize) -> Result<Vec<u16>, String> {
    let held: Result<Vec<_>, _> = (0..n).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let held = held.map_err(|e| e.to_string())?;
    held.iter().map(|l| l.local_addr().map(|a| a.port()).map_err(|e| e.to_string())).collect()
}

impl Side {
    /// A side with an empty directory, nothing running.
    pub fn new(b: &Bench, who: Who) -> Result<Self, String> {
        Self::at(b, who, None)
    }
    /// The same in a network namespace.
    fn at(b: &Bench, who: Who, net: Option<(String, String)>) -> Result<Self, String> {
        let dir = sh::target_dir().join("bench").join(format!("{who:?}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let ports = ports(5)?;
        let url = format!("https://{}:{}", net.as_ref().map_or("127.0.0.1", |n| &n.1), ports[0]);
        if who != Who::Ours {
            b.load("pki", &[("dir", &dir.to_string_lossy()), ("server", &url)])?;
        }
        let kubeconfig = dir.join(if who == Who::Ours { "admin.kubeconfig" } else { "admin.conf" });
        let loadgen = b.loadgen.clone();
        Ok(Self { who, kubeconfig, url, started: 0.0, loadgen, dir, ports, net, children: Vec::new() })
    }
    /// A whole control plane that takes pods.
    pub fn up(b: &Bench, who: Who) -> Result<Self, String> {
        Self::up_at(b, who, None)
    }
    /// The same in a network namespace, at an address it has there.
    pub fn up_at(b: &Bench, who: Who, net: Option<(String, String)>) -> Result<Self, String> {
        let mut s = Self::at(b, who, net)?;
        s.start(b)?;
        s.rest()?;
        // Pods are taken once the namespace has its service account.
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let args = [("kubeconfig", s.config()), ("millis", "1".into())];
            let args: Vec<_> = args.iter().map(|(n, v)| (*n, v.as_str())).collect();
            match b.load_in(s.space(), "crud", &args) {
                Ok(_) => return Ok(s),
                Err(e) if Instant::now() > end => return Err(e),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
    fn space(&self) -> Option<&str> {
        self.net.as_ref().map(|n| n.0.as_str())
    }
    /// Where it keeps its files; they go when it does.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    pub fn config(&self) -> String {
        self.kubeconfig.to_string_lossy().into_owned()
    }
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Process::id).collect()
    }
    /// The processes as the load client wants them.
    pub fn pid_list(&self) -> String {
        process::list(&self.pids())
    }

    fn spawn(&mut self, program: &Path, args: &[String]) -> Result<(), String> {
        let mut c = in_space(self.space(), program);
        c.args(args);
        if self.who == Who::PeerTuned {
            c.env("GOGC", "400");
        }
        self.children.push(Process::start(c, &self.dir)?);
        Ok(())
    }

    /// Starts what serves the API and waits until it is ready. Answers the seconds that took.
    pub fn start(&mut self, b: &Bench) -> Result<f64, String> {
        let wait = in_space(self.space(), &self.loadgen)
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
                &format!("--bind-address={}", self.net.as_ref().map_or("127.0.0.1", |n| &n.1)),
                &format!("--secure-port={}", self.ports[0]),
                &format!("--advertise-address={}", self.net.as_ref().map_or("192.0.2.1", |n| &n.1)),
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
        while self.children.pop().is_some() {}
    }
    /// Resident MiB of all processes.
    pub fn resident(&self) -> f64 {
        process::resident(&self.pids())
    }
    /// The most that was resident, in MiB.
    pub fn peak(&self) -> f64 {
        process::peak(&self.pids())
    }
    /// User and system seconds so far.
    pub fn cpu(&self) -> f64 {
        process::cpu(&self.pids())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
