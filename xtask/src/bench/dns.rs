//! Cluster DNS: `keelson kube-dns` against CoreDNS with its kubernetes plugin and cache, both following the same API
//! server (ours), with 1,000 Services, each tenth headless. Three questions of ten are for names that do not exist, as
//! the search list of a pod makes them.

use super::Bench;
use super::process::{self, Process};
use super::side::{self, Side, Who};
use super::table::{Better, Table};
use crate::suite;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SERVICES: &str = "1000";
const HEADLESS: &str = "10";

fn start(b: &Bench, who: Who, side: &Side, port: u16) -> Result<Process, String> {
    let config = side.config();
    if who == Who::Ours {
        let resolv = side.dir().join("resolv.conf");
        std::fs::write(&resolv, "nameserver 127.0.0.1\n").map_err(|e| e.to_string())?;
        let mut c = Command::new(&b.exe);
        c.args(["kube-dns", "--dns-bind-address=127.0.0.1", "--healthz-port=0"]);
        c.arg(format!("--dns-port={port}")).arg(format!("--kubeconfig={config}"));
        c.arg(format!("--resolv-conf={}", resolv.display()));
        return Process::start(c, side.dir());
    }
    let file = side.dir().join(format!("Corefile-{port}"));
    let text = format!(
        ".:{port} {{\n  bind 127.0.0.1\n  errors\n  kubernetes cluster.local in-addr.arpa ip6.arpa {{\n    kubeconfig {config}\n    \
         pods insecure\n    fallthrough in-addr.arpa ip6.arpa\n    ttl 30\n  }}\n  cache 30\n  loadbalance\n}}\n"
    );
    std::fs::write(&file, text).map_err(|e| e.to_string())?;
    let mut c = Command::new(suite::bin("coredns"));
    c.arg("-conf").arg(Path::new(&file));
    if who == Who::PeerTuned {
        c.env("GOGC", "400");
    }
    Process::start(c, side.dir())
}

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    suite::peer("coredns")?;
    let side = Side::up(b, Who::Ours)?;
    let config = side.config();
    b.load("services", &[("kubeconfig", &config), ("count", SERVICES), ("headless", HEADLESS)])?;
    let mut subjects = Vec::new();
    for (who, port) in b.whos().iter().zip(side::ports(b.whos().len())?) {
        let p = start(b, *who, &side, port)?;
        let server = format!("127.0.0.1:{port}");
        let ask = |clients: &str, millis: &str, pids: &str| {
            let args = [
                ("server", server.as_str()),
                ("services", SERVICES),
                ("headless", HEADLESS),
                ("clients", clients),
                ("millis", millis),
                ("pids", pids),
            ];
            b.load("dns", &args)
        };
        let end = Instant::now() + Duration::from_secs(60);
        while let Err(e) = ask("1", "50", "") {
            if Instant::now() > end {
                return Err(e);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        // Caches are filled before anything is measured.
        ask("16", "1000", "")?;
        subjects.push((*who, p, server.clone()));
    }
    for clients in ["1", "64"] {
        for n in 0..b.repeats {
            for (who, p, server) in subjects.iter().filter(|s| b.plays(s.0, n)) {
                let (pids, millis) = (process::list(&[p.id()]), (2 * b.millis()).to_string());
                let args = [
                    ("server", server.as_str()),
                    ("services", SERVICES),
                    ("headless", HEADLESS),
                    ("clients", clients),
                    ("millis", &millis),
                    ("pids", &pids),
                ];
                let v = b.load("dns", &args)?;
                let number = |n: &str| v[n].as_f64().unwrap_or_default();
                let what = format!("DNS, {clients} clients");
                let peak = process::peak(&[p.id()]);
                let measured = (number("rate"), Some(number("cpu_us")), peak);
                t.add(&what, "1/s", Better::Higher, *who, measured);
                for (q, name) in [("p50_us", "median"), ("p99_us", "99 %")] {
                    let what = format!("{what}: latency, {name}");
                    t.add(&what, "ms", Better::Lower, *who, (number(q) / 1e3, None, 0.0));
                }
                let what = format!("{what}: CPU of a question");
                t.add(&what, "µs", Better::Lower, *who, (number("cpu_us"), None, 0.0));
            }
        }
    }
    Ok(())
}
