//! The machine: processors, memory, kernel, identifiers, addresses.

use std::fs;
use std::net::IpAddr;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub cpus: i64,
    pub memory: i64,
    pub swap: i64,
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    pub architecture: &'static str,
    /// Page sizes of huge pages (`2Mi`) and the bytes reserved of each.
    pub hugepages: Vec<(String, i64)>,
    /// Paths of processors' thermal controls, to be hidden from containers.
    pub masked: Vec<String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// A line of /proc/meminfo, in bytes.
pub fn meminfo(text: &str, key: &str) -> i64 {
    text.lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'))
        .and_then(|v| v.split_whitespace().next()?.parse::<i64>().ok())
        .map_or(0, |kb| kb * 1024)
}

pub fn inspect() -> Machine {
    let mem = read("/proc/meminfo");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let online = online_cpus(&read("/sys/devices/system/cpu/online")).unwrap_or(cpus);
    let uname = rustix::system::uname();
    Machine {
        cpus: i64::try_from(online).unwrap_or(1),
        memory: meminfo(&mem, "MemTotal"),
        swap: meminfo(&mem, "SwapTotal"),
        machine_id: read("/etc/machine-id"),
        system_uuid: {
            let u = read("/sys/class/dmi/id/product_uuid");
            if u.is_empty() { read("/etc/machine-id") } else { u }
        },
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        kernel: uname.release().to_string_lossy().into_owned(),
        os_image: os_image(&read("/etc/os-release")),
        architecture: match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "powerpc64" => "ppc64le",
            a => a,
        },
        hugepages: hugepages(),
        masked: thermal(online),
    }
}

fn online_cpus(list: &str) -> Option<usize> {
    let mut n = 0;
    for part in list.split(',').filter(|p| !p.is_empty()) {
        let (a, b) = part.split_once('-').unwrap_or((part, part));
        n += b.parse::<usize>().ok()?.checked_sub(a.parse().ok()?)? + 1;
    }
    (n > 0).then_some(n)
}

fn os_image(text: &str) -> String {
    text.lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "Linux".to_owned(), |v| v.trim_matches('"').to_owned())
}

fn hugepages() -> Vec<(String, i64)> {
    let Ok(list) = fs::read_dir("/sys/kernel/mm/hugepages") else { return vec![] };
    let mut out: Vec<(i64, i64)> = list
        .filter_map(|e| {
            let e = e.ok()?;
            let name = e.file_name().into_string().ok()?;
            let kb: i64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let n: i64 = read(&e.path().join("nr_hugepages").to_string_lossy()).parse().ok()?;
            Some((kb * 1024, n * kb * 1024))
        })
        .collect();
    out.sort_unstable();
    out.into_iter().map(|(size, bytes)| (binary(size), bytes)).collect()
}

/// `2Mi`
pub fn binary(bytes: i64) -> String {
    for (shift, unit) in [(30, "Gi"), (20, "Mi"), (10, "Ki")] {
        if bytes >= 1 << shift && bytes % (1 << shift) == 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

fn thermal(cpus: usize) -> Vec<String> {
    (0..cpus)
        .map(|n| format!("/sys/devices/system/cpu/cpu{n}/thermal_throttle"))
        .filter(|p| std::path::Path::new(p).exists())
        .collect()
}

/// The address that packets to the outside would leave with: no packet is sent.
pub fn default_address(v6: bool) -> Option<IpAddr> {
    let (bind, to) = if v6 { ("[::]:0", "[2001:db8::1]:9") } else { ("0.0.0.0:0", "192.0.2.1:9") };
    let s = std::net::UdpSocket::bind(bind).ok()?;
    s.connect(to).ok()?;
    let ip = s.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

/// Use of a file system: bytes and inodes, all and free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub capacity: i64,
    pub available: i64,
    pub inodes: i64,
    pub inodes_free: i64,
}

pub fn disk(path: &std::path::Path) -> Option<Disk> {
    let s = rustix::fs::statvfs(path).ok()?;
    let n = |v: u64| i64::try_from(v).unwrap_or(i64::MAX);
    Some(Disk {
        capacity: n(s.f_blocks.saturating_mul(s.f_frsize)),
        available: n(s.f_bavail.saturating_mul(s.f_frsize)),
        inodes: n(s.f_files),
        inodes_free: n(s.f_favail),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsing() {
        assert_eq!(meminfo("MemTotal:       16 kB\nMemFree: 8 kB", "MemFree"), 8192);
        assert_eq!(online_cpus("0-3,6"), Some(5));
        assert_eq!(
            os_image("ID=x\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\""),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(
            (binary(2 << 20), binary(1 << 30), binary(1000)),
            ("2Mi".into(), "1Gi".into(), "1000".into())
        );
        assert!(inspect().memory > 0 && disk(std::path::Path::new("/")).unwrap().capacity > 0);
    }
}
