//! Test hosts on this machine (`e2e/hosts`): network, mounts, processes, host name and cgroups of their own.

use crate::sh;
use std::path::{Path, PathBuf};
use std::process::Command;

/// For a server or agent on a test host: the build machine's disk may be nearly full, and that is not what is tested.
pub const EVICT: &str = "--eviction-hard=memory.available<50Mi,nodefs.available<1%,imagefs.available<1%";

/// Where the hosts keep their private folders (`HOSTS_DIR`); sets of hosts in different folders live side by side.
pub fn dir() -> PathBuf {
    std::env::var_os("HOSTS_DIR").map_or_else(|| PathBuf::from("/tmp/hosts"), PathBuf::from)
}

/// A path of a host, as this machine sees it.
pub fn path(host: &str, path: &str) -> PathBuf {
    dir().join(host).join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
}

fn script() -> Command {
    Command::new(sh::root().join("e2e/hosts"))
}

/// A set of hosts, taken away when this goes out of scope (unless kept).
pub struct Hosts {
    pub keep: bool,
}

impl Hosts {
    /// Makes the hosts anew; what an earlier, broken run left is taken away first.
    pub fn up(names: &[&str]) -> Result<Self, String> {
        sh::run(script().arg("down"))?;
        sh::run(script().arg("up").args(names))?;
        Ok(Self { keep: false })
    }
    /// A command to run on a host.
    pub fn on(&self, host: &str) -> Command {
        let mut c = script();
        c.arg("exec").arg(host);
        c
    }
    /// Ends a host, with everything on it, at once.
    pub fn lose(&self, host: &str) -> Result<(), String> {
        sh::run(script().arg("lose").arg(host))
    }
    pub fn ip(&self, host: &str) -> Result<String, String> {
        sh::output(script().arg("ip").arg(host)).map(|s| s.trim().to_owned())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if !self.keep {
            let _ = sh::run(script().arg("down"));
        }
    }
}
