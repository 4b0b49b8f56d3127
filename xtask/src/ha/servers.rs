//! The same with one line a host: `keelson server --etcd-servers` on two hosts, `keelson agent` on a third, a member of
//! etcd on each, containers on all. One server is lost with everything on it, and the rest goes on.

use super::cluster::{Programs, wait};
use super::load::Steady;
use super::report::Row;
use crate::hosts::{self, EVICT, Hosts};
use crate::{images, sh, suite};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const NAME: &str = "servers";
pub const WHAT: &str = "one of two `keelson server` hosts lost";
const HOSTS: [&str; 3] = ["n1", "n2", "n3"];
const UP: Duration = Duration::from_secs(120);
const DATA: &str = "/var/lib/keelson";
/// Where the balancer on n3 listens.
const BALANCER: &str = "127.0.0.1:6444";

struct Servers<'a> {
    hosts: &'a Hosts,
    p: &'a Programs,
    ips: Vec<String>,
}

fn text(e: std::io::Error) -> String {
    e.to_string()
}

impl Servers<'_> {
    /// Starts a program on a host; it ends with the host.
    fn start(&self, host: usize, name: &str, program: &Path, args: &[String]) -> Result<(), String> {
        let log = std::fs::File::create(hosts::path(HOSTS[host], &format!("{name}.log"))).map_err(text)?;
        let mut c = self.hosts.on(HOSTS[host]);
        c.arg(program).args(args).stdin(Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
        c.spawn().map(drop).map_err(text)
    }
    fn etcd(&self) -> Result<String, String> {
        let all: Vec<String> =
            self.ips.iter().enumerate().map(|(i, ip)| format!("m{i}=http://{ip}:2380")).collect();
        for (i, ip) in self.ips.iter().enumerate() {
            let args = [
                format!("--name=m{i}"),
                "--data-dir=/var/lib/etcd".into(),
                format!("--listen-client-urls=http://{ip}:2379"),
                format!("--advertise-client-urls=http://{ip}:2379"),
                format!("--listen-peer-urls=http://{ip}:2380"),
                format!("--initial-advertise-peer-urls=http://{ip}:2380"),
                format!("--initial-cluster={}", all.join(",")),
                "--log-level=warn".into(),
            ];
            self.start(i, "etcd", &suite::bin("etcd"), &args)?;
        }
        let urls: Vec<String> = self.ips.iter().map(|ip| format!("http://{ip}:2379")).collect();
        Ok(urls.join(","))
    }
    /// What the load client on n3 finds.
    fn ask(&self, args: &[&str]) -> Result<Value, String> {
        let mut c = self.hosts.on("n3");
        c.arg(&self.p.loadgen).args(args);
        let out = sh::output(&mut c)?;
        serde_json::from_str(out.lines().last().unwrap_or("null")).map_err(|e| e.to_string())
    }
    fn get(&self, path: &str) -> Result<Value, String> {
        self.ask(&["get", "--kubeconfig", &self.config(), "--path", path])
    }
    fn config(&self) -> String {
        hosts::path("n3", "admin.kubeconfig").to_string_lossy().into_owned()
    }
    fn ready(&self, node: &str) -> bool {
        let Ok(n) = self.get(&format!("/api/v1/nodes/{node}")) else { return false };
        let all = n["status"]["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    }
    fn read(&self, host: &str, name: &str) -> Result<String, String> {
        let path = hosts::path(host, &format!("{DATA}/{name}"));
        std::fs::read_to_string(&path)
            .map(|t| t.trim().to_owned())
            .map_err(|e| format!("{}: {e}", path.display()))
    }

    fn up(&self) -> Result<(), String> {
        let etcd = self.etcd()?;
        let server = |more: &[String]| {
            let mut all = vec!["server".to_owned(), format!("--etcd-servers={etcd}"), EVICT.to_owned()];
            all.extend(more.iter().cloned());
            all
        };
        sh::step("the first server");
        self.start(0, "server", &self.p.exe, &server(&[]))?;
        wait(UP, "the first server", || self.read("n1", "server-token").is_ok_and(|t| !t.is_empty()))?;
        sh::step("a second server without the token, and with other settings, is refused");
        let token = format!("--token={}", self.read("n1", "server-token")?);
        for (more, wanted) in [
            (vec![], "there is a cluster in this etcd already"),
            (vec![format!("--token={}", self.read("n1", "token")?)], "that is the token for agents"),
            (vec![token.clone(), "--cluster-cidr=10.77.0.0/16".into()], "--cluster-cidr=10.77.0.0/16 here"),
        ] {
            let mut c = self.hosts.on("n2");
            c.args(["timeout", "60"]).arg(&self.p.exe).args(server(&more));
            let out = c.output().map_err(text)?;
            let said = String::from_utf8_lossy(&out.stderr);
            if out.status.success() || !said.contains(wanted) {
                return Err(format!("wanted {wanted:?}, got\n{said}"));
            }
        }
        sh::step("the second server");
        self.start(1, "server", &self.p.exe, &server(&[token]))?;
        let to: Vec<String> = self.ips[..2].iter().map(|ip| format!("https://{ip}:6443")).collect();
        let agent = [
            "agent".to_owned(),
            format!("--server={}", to.join(",")),
            format!("--token={}", self.read("n1", "token")?),
            EVICT.to_owned(),
        ];
        self.start(2, "agent", &self.p.exe, &agent)?;
        let to: Vec<String> = self.ips[..2].iter().map(|ip| format!("{ip}:6443")).collect();
        let balance = ["balance", "--listen", BALANCER, "--to", &to.join(",")].map(str::to_owned);
        self.start(2, "balancer", &self.p.loadgen, &balance)?;
        let config = self.read("n1", "admin.kubeconfig")?.replace("127.0.0.1:6443", BALANCER);
        std::fs::write(self.config(), config).map_err(text)?;
        for n in HOSTS {
            wait(UP, &format!("node {n} Ready"), || self.ready(n))?;
        }
        Ok(())
    }
}

pub fn run(p: &Programs, seed: u64, from: Option<&str>, keep: bool, row: &mut Row) -> Result<(), String> {
    if !sh::is_root() {
        return Err("needs root, for network namespaces and containers".to_owned());
    }
    let mut hosts = Hosts::up(&HOSTS)?;
    hosts.keep = keep;
    for n in HOSTS {
        let dir = hosts::path(n, &format!("{DATA}/images"));
        match from {
            Some(from) => {
                std::fs::create_dir_all(&dir).map_err(text)?;
                let mut copy = Command::new("cp");
                sh::run(copy.arg(format!("{from}/pause.tar")).arg(&dir))?;
            }
            None => images::build(&dir)?,
        }
    }
    let ips = HOSTS.iter().map(|n| hosts.ip(n)).collect::<Result<_, _>>()?;
    let c = Servers { hosts: &hosts, p, ips };
    let begin = Instant::now();
    c.up()?;
    sh::step(&format!("three nodes are Ready after {:.1} s", begin.elapsed().as_secs_f64()));
    let config = c.config();
    let converge = |name: &str| {
        let args = ["converge", "--kubeconfig", &config, "--name", name, "--image", "keelson.local/pause:1"];
        c.ask(&args).map(|v| Duration::from_secs_f64(v["ms"].as_f64().unwrap_or_default() / 1000.0))
    };
    converge("before")?;
    let holder = |name: &str| -> Result<String, String> {
        let v = c.ask(&["leader", "--kubeconfig", &config, "--name", name])?;
        Ok(v["holder"].as_str().unwrap_or_default().to_owned())
    };
    let mut loadgen = hosts.on("n3");
    loadgen.arg(&p.loadgen);
    let steady = Steady::run(loadgen, &config, "servers", seed)?;
    std::thread::sleep(Duration::from_secs(2));
    // The server whose controllers lead: the harder loss.
    let leader = holder("kube-controller-manager")?;
    let (lost, rest) = if leader.starts_with("n1") { ("n1", "n2") } else { ("n2", "n1") };
    sh::step(&format!("{lost} is lost"));
    let begin = Instant::now();
    hosts.lose(lost)?;
    c.ask(&["leader", "--kubeconfig", &config, "--name", "kube-controller-manager", "--not", &leader])?;
    let takeover = begin.elapsed();
    wait(UP, &format!("{lost} not Ready"), || !c.ready(lost))?;
    let noticed = begin.elapsed();
    let seen = steady.finish()?;
    row.seen = seen.clone();
    super::judge(&seen, super::Strict::Retry)?;
    for n in [rest, "n3"] {
        if !c.ready(n) {
            return Err(format!("node {n} is not Ready after {lost} was lost"));
        }
    }
    row.converged = converge("after")?;
    let slice = c.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes")?;
    let left = slice["endpoints"].as_array().map_or(0, Vec::len);
    if left != 1 {
        return Err(format!("the kubernetes Service has {left} endpoints: {slice}"));
    }
    row.told = format!(
        "takeover after {:.1} s, its node not Ready after {:.1} s",
        takeover.as_secs_f64(),
        noticed.as_secs_f64()
    );
    Ok(())
}
