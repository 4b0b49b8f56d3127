//! kube-proxy, each in a network namespace of its own, all following the same API server (ours). What is measured is seen
//! from outside: the moment from which connections to a Service reach its endpoints.

use super::Bench;
use super::process::{self, Process, now};
use super::side::{Side, Who};
use super::space::{SERVER, Spaces, in_space};
use super::table::{Better, Table};
use crate::suite;
use serde_json::json;

/// A proxy that can be started again and again.
struct Subject<'a> {
    who: Who,
    space: &'a str,
    node: String,
    running: Option<Process>,
}

impl Subject<'_> {
    fn start(&mut self, b: &Bench, side: &Side) -> Result<(), String> {
        let ours = self.who == Who::Ours;
        let mut c = in_space(Some(self.space), &if ours { b.exe.clone() } else { suite::bin("kube-proxy") });
        if ours {
            c.arg("kube-proxy");
        }
        c.arg(format!("--config={}", self.config(side)?));
        if self.who == Who::PeerTuned {
            c.env("GOGC", "400");
        }
        self.running = Some(Process::start(c, side.dir())?);
        Ok(())
    }
    /// The configuration, the same for both but for what upstream's does slowly by itself: its client's limits, and the
    /// second it lets pass between two syncs; ours gathers changes for as long as is said here.
    fn config(&self, side: &Side) -> Result<String, String> {
        let mut conf = json!({"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": side.config()},
            "mode": "nftables", "clusterCIDR": "10.200.0.0/16", "hostnameOverride": self.node,
            "healthzBindAddress": "127.0.0.1:10256", "metricsBindAddress": "127.0.0.1:10249",
            // These are the machine's, not the namespace's.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}});
        if self.who != Who::Ours {
            conf["clientConnection"]["qps"] = 100_000.into();
            conf["clientConnection"]["burst"] = 100_000.into();
            conf["nftables"] = json!({"minSyncPeriod": "10ms"});
        }
        let file = side.dir().join(format!("{}.json", self.node));
        std::fs::write(&file, conf.to_string()).map_err(|e| format!("{}: {e}", file.display()))?;
        Ok(file.to_string_lossy().into_owned())
    }
    fn pids(&self) -> Vec<u32> {
        self.running.iter().map(Process::id).collect()
    }
}

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    suite::peer("kube-proxy")?;
    let spaces = Spaces::new(b.whos().len())?;
    let side = Side::up_at(b, Who::Ours, Some((spaces.hub.clone(), SERVER.to_owned())))?;
    let config = side.config();
    let mut subjects = Vec::new();
    for (i, (who, space)) in b.whos().iter().zip(&spaces.spokes).enumerate() {
        let (node, ip) = (format!("proxy-{i}"), format!("10.200.{}.2", i + 1));
        b.load_in(Some(&spaces.hub), "node", &[("kubeconfig", &config), ("name", &node), ("ip", &ip)])?;
        subjects.push(Subject { who: *who, space, node, running: None });
    }
    let mut have = 0_u32;
    for count in [100, 5_000, 10_000] {
        let (first, more) = (have.to_string(), (count - have).to_string());
        b.load_in(
            Some(&spaces.hub),
            "services",
            &[("kubeconfig", &config), ("first", &first), ("count", &more)],
        )?;
        have = count;
        let services = count.to_string();
        for n in 0..b.few() {
            for s in subjects.iter_mut().filter(|s| b.plays(s.who, n)) {
                one(b, t, s, &side, &services)?;
            }
        }
    }
    Ok(())
}

/// One proxy from its start to its end: no other runs meanwhile, so that nothing disturbs it.
fn one(b: &Bench, t: &mut Table, s: &mut Subject, side: &Side, n: &str) -> Result<(), String> {
    let (config, shown) = (side.config(), thousands(n));
    let begun = now();
    s.start(b, side)?;
    let pids = process::list(&s.pids());
    let result = (|| {
        let v = b.load_in(Some(s.space), "programmed", &[("services", n)])?;
        let seconds = v["at"].as_f64().unwrap_or_default() - begun;
        let (cpu, peak) = (process::cpu(&s.pids()), process::peak(&s.pids()));
        let what = format!("{shown} Services: first sync");
        t.add(&what, "s", Better::Lower, s.who, (seconds, Some(cpu), peak));
        // What follows the first sync is not the change's.
        std::thread::sleep(std::time::Duration::from_secs(2));
        let changes = if b.quick { "3" } else { "5" };
        let args = [("kubeconfig", config.as_str()), ("pids", &pids), ("services", n), ("changes", changes)];
        let v = b.load_in(Some(s.space), "change", &args)?;
        let number = |v: &serde_json::Value, n: &str| v[n].as_f64().unwrap_or_default();
        let measured = (number(&v, "p50_us") / 1e3, Some(number(&v, "cpu_us")), process::peak(&s.pids()));
        t.add(&format!("{shown} Services: a change in effect"), "ms", Better::Lower, s.who, measured);
        if n == "10000" {
            return Ok(());
        }
        let millis = b.millis().to_string();
        let args = [("services", n), ("millis", millis.as_str())];
        let v = b.load_in(Some(s.space), "connect", &args)?;
        let what = format!("{shown} Services: connections");
        let cpu = number(&v, "cpu_us");
        t.add(&what, "1/s", Better::Higher, s.who, (number(&v, "rate"), Some(cpu), 0.0));
        let what = format!("{what}: CPU of one, both ends' included");
        t.add(&what, "µs", Better::Lower, s.who, (cpu, None, 0.0));
        Ok(())
    })();
    s.running = None;
    result
}

/// `5000` as `5,000`.
fn thousands(n: &str) -> String {
    match n.len().checked_sub(3) {
        Some(at) if at > 0 => format!("{},{}", &n[..at], &n[at..]),
        _ => n.to_owned(),
    }
}
