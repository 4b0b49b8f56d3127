//! Network namespaces for what programs the kernel: one for the API server, one for each proxy, joined by wires.

use crate::sh;
use std::path::Path;
use std::process::Command;

/// The address of the API server, in its own namespace.
pub const SERVER: &str = "10.200.0.1";

/// A program that runs in a namespace, or here.
pub fn in_space(space: Option<&str>, program: &Path) -> Command {
    let Some(name) = space else { return Command::new(program) };
    let mut c = Command::new("ip");
    c.args(["netns", "exec", name]).arg(program);
    c
}

/// A hub and its spokes; taken away when this goes out of scope.
pub struct Spaces {
    pub hub: String,
    pub spokes: Vec<String>,
}

impl Spaces {
    pub fn new(spokes: usize) -> Result<Self, String> {
        if !sh::is_root() {
            return Err("needs root, for network namespaces".to_owned());
        }
        forsaken();
        let own = std::process::id();
        let all = Self {
            hub: format!("bench-{own}-hub"),
            spokes: (0..spokes).map(|i| format!("bench-{own}-{i}")).collect(),
        };
        all.make().map(|()| all)
    }

    fn make(&self) -> Result<(), String> {
        let ip = |line: &str| sh::run(Command::new("ip").args(line.split(' ')));
        let hub = &self.hub;
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link set lo up"))?;
        ip(&format!("-n {hub} addr add {SERVER}/32 dev lo"))?;
        for (i, s) in self.spokes.iter().enumerate() {
            let net = format!("10.200.{}", i + 1);
            ip(&format!("netns add {s}"))?;
            ip(&format!("-n {s} link set lo up"))?;
            ip(&format!("-n {hub} link add to{i} type veth peer name eth0 netns {s}"))?;
            ip(&format!("-n {hub} addr add {net}.1/24 dev to{i}"))?;
            ip(&format!("-n {hub} link set to{i} up"))?;
            ip(&format!("-n {s} addr add {net}.2/24 dev eth0"))?;
            ip(&format!("-n {s} link set eth0 up"))?;
            // What no proxy translates goes to the hub, which passes nothing on.
            ip(&format!("-n {s} route add default via {net}.1"))?;
            // Every endpoint is here.
            for second in [77, 78] {
                ip(&format!("-n {s} route add local 10.{second}.0.0/16 dev lo"))?;
            }
            let sysctl = |line: &str| sh::run(in_space(Some(s), Path::new("sysctl")).args(["-qw", line]));
            sysctl("net.ipv4.ip_forward=1")?;
            sysctl("net.ipv4.ip_local_port_range=10000 65000")?;
            // Connections end by resets: the kernel need not remember them.
            sysctl("net.netfilter.nf_conntrack_tcp_timeout_close=1")?;
        }
        sh::run(in_space(Some(hub), Path::new("sysctl")).args(["-qw", "net.ipv4.ip_forward=0"]))
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        for s in self.spokes.iter().chain([&self.hub]) {
            let _ = Command::new("ip").args(["netns", "del", s]).status();
        }
    }
}

/// Takes away what runs that were cut short left.
fn forsaken() {
    let names = sh::output(Command::new("ip").args(["netns", "list"])).unwrap_or_default();
    for name in names.lines().filter_map(|l| l.split(' ').next()) {
        let pid = name.strip_prefix("bench-").and_then(|r| r.split('-').next());
        if pid.is_some_and(|p| !Path::new("/proc").join(p).exists()) {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}
