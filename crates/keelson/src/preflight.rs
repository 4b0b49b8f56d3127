//! `keelson preflight`: what a host needs to be a node, as guides have it done by hand. `--fix` does it.

use std::path::Path;
use std::process::{Command, ExitCode};

enum Found {
    Fine(String),
    /// What is wrong, and the lines of shell that put it right.
    Wrong(String, Vec<String>),
}

struct Check {
    name: &'static str,
    look: fn() -> Found,
}

const CHECKS: &[Check] = &[
    Check { name: "root", look: root },
    Check { name: "ip_forward", look: || sysctl("net.ipv4.ip_forward", "1") },
    Check { name: "bridge-nf-call-iptables", look: || bridge("net.bridge.bridge-nf-call-iptables") },
    Check { name: "bridge-nf-call-ip6tables", look: || bridge("net.bridge.bridge-nf-call-ip6tables") },
    Check { name: "FORWARD accept", look: forward },
    Check { name: "firewall", look: firewall },
    Check { name: "swap", look: swap },
    Check { name: "nft", look: || program("nft", "nftables") },
    Check { name: "ip", look: || program("ip", "iproute2") },
    Check { name: "mount", look: || program("mount", "mount") },
    Check { name: "conntrack", look: || program("conntrack", "conntrack") },
    Check { name: "container runtime", look: runtime_socket },
];

fn output(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args(args)
        .output()
        .ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

fn root() -> Found {
    if rustix::process::geteuid().is_root() {
        Found::Fine("yes".into())
    } else {
        Found::Wrong("not root: components that touch network and containers need it".into(), Vec::new())
    }
}

fn sysctl(key: &str, want: &str) -> Found {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    match std::fs::read_to_string(&path) {
        Ok(v) if v.trim() == want => Found::Fine(v.trim().to_owned()),
        Ok(v) => Found::Wrong(
            format!("{key} is {}", v.trim()),
            vec![
                format!("sysctl -w {key}={want}"),
                format!("echo '{key} = {want}' >> /etc/sysctl.d/k8s.conf"),
            ],
        ),
        Err(e) => Found::Wrong(format!("{path}: {e}"), Vec::new()),
    }
}

/// Only of use where something bridges pods; keelson's own network does not.
fn bridge(key: &str) -> Found {
    if !Path::new("/proc/sys/net/bridge").exists() {
        return Found::Fine("no bridge filtering in this kernel; keelson's pod network has no bridge".into());
    }
    sysctl(key, "1")
}

fn forward() -> Found {
    let fix =
        |line: &str| Found::Wrong("packets that are passed on are dropped".into(), vec![line.to_owned()]);
    if let Some(rules) = output("iptables", &["-S", "FORWARD"]) {
        let accepted =
            rules.lines().any(|l| l == "-A FORWARD -j ACCEPT" || l == "-A FORWARD -s 0.0.0.0/0 -j ACCEPT");
        if rules.lines().any(|l| l == "-P FORWARD DROP" || l == "-P FORWARD REJECT") && !accepted {
            return fix("iptables -P FORWARD ACCEPT");
        }
        return Found::Fine("yes".into());
    }
    let all = output("nft", &["list", "chains"]).unwrap_or_default();
    if all.lines().any(|l| l.contains("hook forward") && l.contains("policy drop")) {
        return Found::Wrong(
            "a chain of nftables drops what is passed on; see `nft list chains`".into(),
            Vec::new(),
        );
    }
    Found::Fine("yes".into())
}

fn firewall() -> Found {
    for name in ["firewalld", "ufw"] {
        if output("systemctl", &["is-active", name]).is_some() {
            let why = format!("{name} is active: hosts must reach each other on any port");
            return Found::Wrong(why, vec![format!("systemctl disable --now {name}")]);
        }
    }
    Found::Fine("none is active".into())
}

fn swap() -> Found {
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        let fix = vec!["swapoff -a".to_owned(), "sed -i.bak '/\\sswap\\s/s/^/#/' /etc/fstab".to_owned()];
        return Found::Wrong("swap is on: the kubelet needs --fail-swap-on=false".into(), fix);
    }
    Found::Fine("off".into())
}

fn program(name: &str, package: &str) -> Found {
    let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    match dirs.iter().map(|d| Path::new(d).join(name)).find(|p| p.exists()) {
        Some(p) => Found::Fine(p.display().to_string()),
        None => Found::Wrong(format!("{name} is missing"), vec![format!("apt-get install -y {package}")]),
    }
}

fn runtime_socket() -> Found {
    for s in ["/run/containerd/containerd.sock", "/run/crio/crio.sock"] {
        if std::os::unix::net::UnixStream::connect(s).is_ok() {
            return Found::Fine(s.to_owned());
        }
    }
    match program("containerd", "containerd") {
        Found::Fine(_) => Found::Wrong(
            "containerd does not run (`keelson server` runs one itself)".into(),
            vec!["systemctl enable --now containerd".to_owned()],
        ),
        wrong => wrong,
    }
}

const USAGE: &str = "usage: keelson preflight [--fix]

Checks what a node needs, and prints the lines that put wrong things right; --fix runs them.
";

pub fn main(args: Vec<String>) -> ExitCode {
    let mut fix = false;
    for a in &args {
        match a.as_str() {
            "--fix" => fix = true,
            "-h" | "--help" => {
                print!("{USAGE}");
                return ExitCode::SUCCESS;
            }
            other => {
                eprintln!("preflight: unknown flag: {other}");
                return ExitCode::FAILURE;
            }
        }
    }
    let mut bad = 0;
    for c in CHECKS {
        let mut found = (c.look)();
        if let (Found::Wrong(_, lines), true) = (&found, fix)
            && !lines.is_empty()
        {
            for l in lines {
                println!("[fix ] {}: {l}", c.name);
                if !Command::new("sh").args(["-c", l]).status().is_ok_and(|s| s.success()) {
                    break;
                }
            }
            found = (c.look)();
        }
        match found {
            Found::Fine(what) => println!("[ ok ] {}: {what}", c.name),
            Found::Wrong(why, lines) => {
                bad += 1;
                println!("[FAIL] {}: {why}", c.name);
                for l in lines {
                    println!("       {l}");
                }
            }
        }
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
