//! A highly available control plane on loopback: three members of etcd, API servers behind a balancer, two controller
//! managers and two schedulers. No node runs containers: one is simulated.

use super::process::Process;
use crate::{sh, suite};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const UP: Duration = Duration::from_secs(90);
pub const MEMBERS: usize = 3;

pub struct Programs {
    pub exe: PathBuf,
    pub loadgen: PathBuf,
}

/// Whose a part is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    Ours,
    Upstream,
}

/// What a cluster is made of.
pub struct Shape {
    /// Three members of upstream's, or one of ours.
    pub etcd: Whose,
    pub api: Vec<Whose>,
    /// Controllers and schedulers.
    pub rest: Whose,
}

impl Shape {
    fn members(&self) -> usize {
        if self.etcd == Whose::Ours { 1 } else { MEMBERS }
    }
}

pub struct Cluster {
    store: Whose,
    pub loadgen: PathBuf,
    dir: PathBuf,
    keep: bool,
    etcd_ports: Vec<u16>,
    api_ports: Vec<u16>,
    pub etcd: Vec<Process>,
    /// The way of the first API server to etcd: without it, that server is cut off.
    pub relay: Process,
    pub api: Vec<Process>,
    pub balancer: Process,
    pub controllers: Vec<Process>,
    pub schedulers: Vec<Process>,
}

fn text(e: std::io::Error) -> String {
    e.to_string()
}

impl Cluster {
    /// Everything up.
    pub fn up(p: &Programs, shape: &Shape) -> Result<Self, String> {
        let servers = shape.api.len();
        let part = |whose: Whose, name: &str| match whose {
            Whose::Ours => (p.exe.clone(), vec![name.to_owned()]),
            Whose::Upstream => (suite::bin(name), Vec::new()),
        };
        let dir = sh::target_dir().join("ha").join(std::process::id().to_string());
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).map_err(text)?;
        let ports = sh::ports(3 * MEMBERS + servers + 5)?;
        let (etcd_ports, rest) = ports.split_at(MEMBERS);
        let (peers, rest) = rest.split_at(MEMBERS);
        let (relays, rest) = rest.split_at(MEMBERS);
        let (api_ports, rest) = rest.split_at(servers);
        let log = |name: &str| dir.join(format!("{name}.log"));
        let d = dir.to_string_lossy().into_owned();
        let balancer_url = format!("https://127.0.0.1:{}", rest[4]);
        load(&p.loadgen, &["pki", "--dir", &d, "--server", &balancer_url])?;

        let initial: Vec<String> =
            peers.iter().enumerate().map(|(i, p)| format!("m{i}=http://127.0.0.1:{p}")).collect();
        let etcd = (0..shape.members()).map(|i| {
            let name = format!("m{i}");
            let (program, mut args) = part(shape.etcd, "etcd");
            args.extend([
                format!("--name={name}"),
                format!("--data-dir={d}/{name}"),
                format!("--listen-client-urls=http://127.0.0.1:{}", etcd_ports[i]),
                format!("--advertise-client-urls=http://127.0.0.1:{}", etcd_ports[i]),
                "--log-level=warn".into(),
            ]);
            if shape.etcd == Whose::Upstream {
                args.extend([
                    format!("--listen-peer-urls=http://127.0.0.1:{}", peers[i]),
                    format!("--initial-advertise-peer-urls=http://127.0.0.1:{}", peers[i]),
                    format!("--initial-cluster={}", initial.join(",")),
                    "--initial-cluster-state=new".into(),
                ]);
            }
            Process::new(&format!("etcd {name}"), &program, args, log(&name))
        });
        let map: Vec<String> = (0..shape.members())
            .map(|i| format!("127.0.0.1:{}=127.0.0.1:{}", relays[i], etcd_ports[i]))
            .collect();
        let relay = vec!["relay".into(), "--map".into(), map.join(",")];
        let to: Vec<String> = api_ports.iter().map(|p| format!("127.0.0.1:{p}")).collect();
        let listen = format!("127.0.0.1:{}", rest[4]);
        let balance = vec!["balance".into(), "--listen".into(), listen, "--to".into(), to.join(",")];
        let api = (0..servers).map(|i| {
            let ports = if i == 0 { relays } else { etcd_ports };
            let urls = ports.iter().take(shape.members()).map(|p| format!("http://127.0.0.1:{p}"));
            let urls: Vec<String> = urls.collect();
            let (program, mut args) = part(shape.api[i], "kube-apiserver");
            args.extend(api_args(&d, api_ports[i], i, &urls.join(",")));
            Process::new(&format!("kube-apiserver {i}"), &program, args, log(&format!("api{i}")))
        });
        let component = |applet: &str, conf: &str, i: usize, port: u16| {
            let (program, mut args) = part(shape.rest, applet);
            args.extend([
                format!("--kubeconfig={d}/{conf}"),
                format!("--authentication-kubeconfig={d}/{conf}"),
                format!("--authorization-kubeconfig={d}/{conf}"),
                "--leader-elect=true".into(),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={port}"),
                "--v=2".into(),
            ]);
            if applet == "kube-controller-manager" {
                args.extend([
                    "--controllers=*,-node-lifecycle-controller".to_owned(),
                    "--use-service-account-credentials=true".into(),
                    format!("--root-ca-file={d}/ca.crt"),
                    format!("--service-account-private-key-file={d}/sa.key"),
                ]);
            }
            Process::new(&format!("{applet} {i}"), &program, args, log(&format!("{applet}-{i}")))
        };
        let controllers = (0..2).map(|i| component("kube-controller-manager", "kcm.conf", i, rest[i]));
        let schedulers = (0..2).map(|i| component("kube-scheduler", "scheduler.conf", i, rest[2 + i]));
        let mut c = Self {
            store: shape.etcd,
            etcd: etcd.collect(),
            relay: Process::new("relay", &p.loadgen, relay, log("relay")),
            api: api.collect(),
            balancer: Process::new("balancer", &p.loadgen, balance, log("balancer")),
            controllers: controllers.collect(),
            schedulers: schedulers.collect(),
            loadgen: p.loadgen.clone(),
            etcd_ports: etcd_ports.to_vec(),
            api_ports: api_ports.to_vec(),
            dir,
            keep: true,
        };
        c.repair()?;
        Ok(c)
    }

    pub fn config(&self) -> String {
        self.dir.join("admin.conf").to_string_lossy().into_owned()
    }

    /// Starts what does not run, and waits until all are well.
    pub fn repair(&mut self) -> Result<(), String> {
        for p in self.etcd.iter_mut().chain([&mut self.relay]) {
            if !p.running() {
                p.start()?;
            }
        }
        for i in 0..self.etcd.len() {
            self.member_up(i)?;
        }
        for p in &mut self.api {
            if !p.running() {
                p.start()?;
            }
        }
        for i in 0..self.api.len() {
            self.api_up(i)?;
        }
        let rest = self.controllers.iter_mut().chain(self.schedulers.iter_mut());
        for p in [&mut self.balancer].into_iter().chain(rest) {
            if !p.running() {
                p.start()?;
            }
        }
        Ok(())
    }

    /// Waits until a member takes part.
    pub fn member_up(&self, i: usize) -> Result<(), String> {
        if self.store == Whose::Ours {
            return wait(UP, "our etcd", || TcpStream::connect(("127.0.0.1", self.etcd_ports[i])).is_ok());
        }
        wait(UP, &format!("etcd m{i}"), || {
            self.status(i).is_some_and(|s| s["leader"].as_str().is_some_and(|l| l != "0"))
        })
    }

    fn status(&self, i: usize) -> Option<Value> {
        post(self.etcd_ports[i], "/v3/maintenance/status")
    }

    /// Which member leads.
    pub fn etcd_leader(&self) -> Result<usize, String> {
        (0..MEMBERS)
            .find(|i| self.status(*i).is_some_and(|s| s["leader"] == s["header"]["member_id"]))
            .ok_or_else(|| "no member of etcd leads".into())
    }

    pub fn api_up(&self, i: usize) -> Result<(), String> {
        let url = format!("https://127.0.0.1:{}", self.api_ports[i]);
        load(&self.loadgen, &["ready", "--url", &url, "--timeout", "90"]).map(drop)
    }

    /// Waits until an API server says that it is not ready. Answers how long that took.
    pub fn api_unready(&self, i: usize) -> Result<Duration, String> {
        let url = format!("https://127.0.0.1:{}", self.api_ports[i]);
        let begin = Instant::now();
        load(&self.loadgen, &["ready", "--url", &url, "--timeout", "30", "--status", "500"])?;
        Ok(begin.elapsed())
    }

    /// Who holds the lease of a component, once that is not `not`.
    pub fn leader(&self, component: &str, not: &str) -> Result<String, String> {
        let config = self.config();
        let args = ["leader", "--kubeconfig", &config, "--name", component, "--not", not, "--timeout", "60"];
        let v = load(&self.loadgen, &args)?;
        v["holder"].as_str().map(str::to_owned).ok_or_else(|| format!("{component}: {v}"))
    }

    /// A Deployment is carried out.
    pub fn converge(&self, name: &str) -> Result<Duration, String> {
        let config = self.config();
        let v = load(&self.loadgen, &["converge", "--kubeconfig", &config, "--name", name])?;
        Ok(Duration::from_secs_f64(v["ms"].as_f64().unwrap_or_default() / 1000.0))
    }

    /// An object, or a list, by its path.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        load(&self.loadgen, &["get", "--kubeconfig", &self.config(), "--path", path])
    }

    /// Takes its files away when it ends.
    pub fn forget(&mut self) {
        self.keep = false;
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// An API server on some etcd; upstream's and ours take the same flags.
fn api_args(d: &str, port: u16, i: usize, etcd: &str) -> Vec<String> {
    vec![
        format!("--etcd-servers={etcd}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        format!("--advertise-address=192.0.2.{}", i + 1),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--enable-admission-plugins=NodeRestriction".into(),
        format!("--tls-cert-file={d}/apiserver.crt"),
        format!("--tls-private-key-file={d}/apiserver.key"),
        format!("--client-ca-file={d}/ca.crt"),
        format!("--service-account-key-file={d}/sa.pub"),
        format!("--service-account-signing-key-file={d}/sa.key"),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        "--v=2".into(),
    ]
}

/// Runs the load client to its end; its last line is what it found.
pub fn load(loadgen: &Path, args: &[&str]) -> Result<Value, String> {
    let out = sh::output(Command::new(loadgen).args(args))?;
    let last = out.lines().last().unwrap_or("null");
    serde_json::from_str(last).map_err(|e| format!("loadgen {}: {e}: {last}", args[0]))
}

pub fn wait(within: Duration, what: &str, done: impl Fn() -> bool) -> Result<(), String> {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > within {
            return Err(format!("{what}: not after {within:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// An empty request to etcd's JSON gateway.
fn post(port: u16, path: &str) -> Option<Value> {
    let mut s = TcpStream::connect(("127.0.0.1", port)).ok()?;
    s.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(s, "POST {path} HTTP/1.0\r\nHost: etcd\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}").ok()?;
    let mut answer = String::new();
    s.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}
