//! Addresses of this node's pods: one file a reservation, named by the address, so that a crash leaves nothing half done.

use ipnet::Ipv4Net;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The reservations of a node, locked for as long as this lives.
pub struct Ipam {
    dir: PathBuf,
    _lock: File,
}

fn owner(container: &str, ifname: &str) -> String {
    format!("{container}\n{ifname}\n")
}

/// The addresses a pod may have: not the network's, not the first (the node's own), not the last.
fn usable(net: Ipv4Net) -> (u32, u32) {
    let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
    (first.saturating_add(2), last.saturating_sub(1))
}

/// The address after `last` that is free, going round.
fn pick(net: Ipv4Net, last: Option<Ipv4Addr>, taken: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let (first, end) = usable(net);
    if first > end {
        return None;
    }
    let start = last.map(u32::from).filter(|l| (first..end).contains(l)).map_or(first, |l| l + 1);
    (start..=end).chain(first..start).map(Ipv4Addr::from).find(|a| !taken(*a))
}

impl Ipam {
    pub fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let lock = File::create(dir.join("lock"))?;
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    fn reservations(&self) -> io::Result<Vec<(Ipv4Addr, String)>> {
        let mut out = Vec::new();
        for e in std::fs::read_dir(&self.dir)? {
            let e = e?;
            if let Some(ip) = e.file_name().to_str().and_then(|n| n.parse().ok()) {
                out.push((ip, std::fs::read_to_string(e.path())?));
            }
        }
        Ok(out)
    }

    /// The address of this attachment: the one it has, else a new one. `None`: the range is used up.
    pub fn reserve(&self, net: Ipv4Net, container: &str, ifname: &str) -> io::Result<Option<Ipv4Addr>> {
        let mine = owner(container, ifname);
        let all = self.reservations()?;
        if let Some((ip, _)) = all.iter().find(|(ip, o)| *o == mine && net.contains(ip)) {
            return Ok(Some(*ip));
        }
        let last_path = self.dir.join("last");
        let last = std::fs::read_to_string(&last_path).ok().and_then(|s| s.trim().parse().ok());
        let Some(ip) = pick(net, last, |a| all.iter().any(|(ip, _)| *ip == a)) else { return Ok(None) };
        let tmp = self.dir.join(".new");
        std::fs::write(&tmp, mine)?;
        std::fs::rename(tmp, self.dir.join(ip.to_string()))?;
        std::fs::write(last_path, ip.to_string())?;
        Ok(Some(ip))
    }

    /// What this attachment has.
    pub fn find(&self, container: &str, ifname: &str) -> io::Result<Option<Ipv4Addr>> {
        let mine = owner(container, ifname);
        Ok(self.reservations()?.into_iter().find(|(_, o)| *o == mine).map(|(ip, _)| ip))
    }

    /// Frees what this attachment has; nothing is fine too.
    pub fn release(&self, container: &str, ifname: &str) -> io::Result<Option<Ipv4Addr>> {
        let found = self.find(container, ifname)?;
        if let Some(ip) = found {
            std::fs::remove_file(self.dir.join(ip.to_string()))?;
        }
        Ok(found)
    }

    /// Frees everything that `keep` (container, interface) does not know; answers the containers freed.
    pub fn collect(&self, keep: impl Fn(&str, &str) -> bool) -> io::Result<Vec<String>> {
        let mut freed = Vec::new();
        for (ip, o) in self.reservations()? {
            let mut lines = o.lines();
            let (c, i) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            if !keep(c, i) {
                std::fs::remove_file(self.dir.join(ip.to_string()))?;
                freed.push(c.to_owned());
            }
        }
        Ok(freed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_round_are_stable_and_run_out() {
        let dir = std::env::temp_dir().join(format!("keelson-ipam-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let net: Ipv4Net = "10.244.3.0/29".parse().unwrap();
        let i = Ipam::open(&dir).unwrap();
        let get = |c: &str| i.reserve(net, c, "eth0").unwrap().map(|a| a.octets()[3]);
        assert_eq!([get("a"), get("b"), get("a")], [Some(2), Some(3), Some(2)]);
        i.release("a", "eth0").unwrap();
        assert_eq!(
            [get("c"), get("d"), get("e"), get("f"), get("g")],
            [Some(4), Some(5), Some(6), Some(2), None]
        );
        assert_eq!(i.release("nobody", "eth0").unwrap(), None);
        let mut freed = i.collect(|c, _| c == "b").unwrap();
        freed.sort();
        assert_eq!(freed, ["c", "d", "e", "f"]);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
