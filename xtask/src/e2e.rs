//! The user's day on a fresh cluster with real containers, driven by stock kubectl, on a test host of its own.

use crate::hosts::{self, EVICT, Hosts};
use crate::tour::{AFTER_KILL, NODE_LOST, Step, TOUR, TWO_NODES};
use crate::{images, packages, sh, suite, up};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

pub fn run(args: &[String]) -> Result<(), String> {
    if !sh::is_root() {
        return Err("needs root, for network namespaces and containers".to_owned());
    }
    packages::node()?;
    packages::install(&[("wget", "wget"), ("unshare", "util-linux")])?;
    let kubectl = suite::kubectl()?;
    let exe = sh::keelson(args.iter().any(|a| a == "--release"))?;
    match sh::flag(args, "--nodes").unwrap_or("1") {
        "1" => {}
        "2" => return two(args, kubectl.display().to_string(), &exe),
        n => return Err(format!("--nodes={n}: there are tours for 1 and 2")),
    }
    let mut hosts = Hosts::up(&["n1"])?;
    hosts.keep = args.iter().any(|a| a == "--keep");
    let dir = &hosts::path("n1", "/var/lib/keelson");
    images::build(&dir.join("images"))?;
    let begun = Instant::now();
    start(&hosts, &exe, dir)?;
    sh::step(&format!("the node is Ready after {:.1} s", begun.elapsed().as_secs_f64()));
    let mut day = Day::new(&hosts, kubectl.display().to_string(), &exe)?;
    let tour = day.walk(TOUR);
    let rest = tour.and_then(|()| {
        sh::step("kill -9 the server, and start it again");
        let pid = std::fs::read_to_string(dir.join("server.pid")).map_err(|e| e.to_string())?;
        sh::run(hosts.on("n1").args(["kill", "-9", pid.trim()]))?;
        start(&hosts, &exe, dir)?;
        day.walk(AFTER_KILL)
    });
    day.end(rest, &[dir.join("server.log")])
}

/// The same on two nodes, one of which is lost in the end.
fn two(args: &[String], kubectl: String, exe: &Path) -> Result<(), String> {
    let mut hosts = Hosts::up(&["n1", "n2"])?;
    hosts.keep = args.iter().any(|a| a == "--keep");
    for n in ["n1", "n2"] {
        images::build(&hosts::path(n, "/var/lib/keelson/images"))?;
    }
    let dir = hosts::path("n1", "/var/lib/keelson");
    suite::cluster(&hosts, exe, &dir, &[EVICT])?;
    let mut day = Day::new(&hosts, kubectl, exe)?;
    let tour = day.walk(TWO_NODES);
    let rest = tour.and_then(|()| {
        sh::step("n2 is lost");
        hosts.lose("n2")?;
        day.walk(NODE_LOST)
    });
    day.end(rest, &[dir.join("server.log"), hosts::path("n2", "agent.log")])
}

fn start(hosts: &Hosts, exe: &Path, dir: &Path) -> Result<(), String> {
    let mut server = hosts.on("n1");
    server.arg(exe);
    up::start_on(server, "/var/lib/keelson", dir, &[EVICT]).map(drop)
}

struct Day<'a> {
    hosts: &'a Hosts,
    kubectl: String,
    keelson: PathBuf,
    /// Addresses of n1 and n2, the second empty when there is none.
    ips: [String; 2],
    done: usize,
}

impl<'a> Day<'a> {
    fn new(hosts: &'a Hosts, kubectl: String, exe: &Path) -> Result<Self, String> {
        let ips = [hosts.ip("n1")?, hosts.ip("n2").unwrap_or_default()];
        Ok(Self { hosts, kubectl, keelson: exe.to_owned(), ips, done: 0 })
    }

    /// Says how it went, with the ends of the logs when it did not go well.
    fn end(&self, outcome: Result<(), String>, logs: &[PathBuf]) -> Result<(), String> {
        println!("{} passed, {} failed", self.done, usize::from(outcome.is_err()));
        for path in logs.iter().filter(|_| outcome.is_err()) {
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{} ends with\n{}", path.display(), lines[lines.len().saturating_sub(30)..].join("\n"));
        }
        outcome
    }

    fn walk(&mut self, steps: &[Step]) -> Result<(), String> {
        for s in steps {
            let begun = Instant::now();
            loop {
                let (ok, out) = self.attempt(s)?;
                let missing = missing(s.expect, &out);
                if ok && missing.is_empty() {
                    eprintln!("    ok {:5.1} s  {}", begun.elapsed().as_secs_f64(), s.shows);
                    self.done += 1;
                    break;
                }
                if begun.elapsed() > Duration::from_secs(s.within) {
                    return Err(format!("{}: `{}`\nwanted {missing:?}, got\n{out}", s.shows, s.run));
                }
                std::thread::sleep(Duration::from_millis(300));
            }
        }
        Ok(())
    }

    fn attempt(&self, s: &Step) -> Result<(bool, String), String> {
        let script = format!(
            "k() {{ {k} \"$@\"; }}; k1() {{ {k} -n tour \"$@\"; }}
f() {{ k1 get pod -l app=$1 --field-selector spec.nodeName=$2 -o jsonpath=\"{{.items[0]$3}}\"; }}
p() {{ f $1 $2 .metadata.name; }}; pip() {{ f $1 $2 .status.podIP; }}\n{}",
            s.run,
            k = self.kubectl
        );
        let o = self
            .hosts
            .on("n1")
            .args(["timeout", &(s.within + 5).to_string(), "bash", "-c", &script])
            .env("KUBECONFIG", "/var/lib/keelson/admin.kubeconfig")
            .env("HOME", hosts::dir().join("n1"))
            .env("KUBECTL", &self.kubectl)
            .env("IP", &self.ips[0])
            .env("IP2", &self.ips[1])
            .env("KEELSON", &self.keelson)
            .env("TOUR", sh::root().join("e2e/tour"))
            .stdin(Stdio::null())
            .output()
            .map_err(|e| e.to_string())?;
        let text = format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr));
        // What a step shows by its text need not end well: a killed container answers nothing.
        Ok((o.status.success() || !s.expect.is_empty(), text))
    }
}

/// The expectations that an output does not meet.
fn missing<'a>(expect: &'a str, out: &str) -> Vec<&'a str> {
    expect.lines().filter(|l| l.strip_prefix('!').map_or(!out.contains(*l), |no| out.contains(no))).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn expectations_can_be_of_absence() {
        assert_eq!(super::missing("a\n!b", "xax"), [""; 0]);
        assert_eq!(super::missing("a\n!b", "b"), ["a", "!b"]);
    }
}
