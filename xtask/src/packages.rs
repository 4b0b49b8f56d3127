//! Debian packages that keelson needs at run time.

use crate::sh;
use std::process::Command;

/// (program to look for, package that brings it)
const NODE: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("mount", "mount"),
];

/// Installs what a node needs and is not there.
pub fn node() -> Result<(), String> {
    install(NODE)
}

/// Installs the packages whose programs are missing.
pub fn install(wanted: &[(&str, &str)]) -> Result<(), String> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(p, _)| sh::which(p).is_none()).map(|(_, pkg)| *pkg).collect();
    if missing.is_empty() {
        return Ok(());
    }
    sh::step(&format!("installing {} (Debian packages)", missing.join(", ")));
    if sh::which("apt-get").is_none() {
        return Err(format!("please install {}: this is no Debian, so xtask cannot", missing.join(", ")));
    }
    let apt = |args: &[&str]| {
        let mut c = if sh::is_root() { Command::new("apt-get") } else { Command::new("sudo") };
        if !sh::is_root() {
            c.arg("apt-get");
        }
        c.args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(std::process::Stdio::null());
        sh::run(&mut c)
    };
    apt(&["update", "-q"])?;
    let mut args = vec!["install", "-y", "-q", "--no-install-recommends"];
    args.extend(missing);
    apt(&args)
}
