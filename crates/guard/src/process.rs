//! What every component tells of its process.

use std::fmt::Write;

/// Fields of `/proc/self/stat` after the command, which may hold spaces.
fn stat() -> Vec<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = text.rsplit_once(')').map_or("", |(_, r)| r);
    rest.split_whitespace().map(|w| w.parse().unwrap_or(0)).collect()
}

/// CPU time, memory and open files, under the names that Prometheus clients use.
pub fn metrics() -> String {
    let s = stat();
    let at = |i: usize| s.get(i).copied().unwrap_or(0);
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let page = rustix::param::page_size() as u64;
    let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let mut out = String::new();
    let mut put = |name: &str, kind: &str, help: &str, v: String| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {v}");
    };
    // utime and stime, vsize, rss: fields 14, 15, 23 and 24 of proc(5), of which the first two are cut off.
    let cpu = (at(11) + at(12)) as f64 / ticks as f64;
    put(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        cpu.to_string(),
    );
    put("process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", at(20).to_string());
    put(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        (at(21) * page).to_string(),
    );
    put("process_open_fds", "gauge", "Number of open file descriptors.", files.to_string());
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_memory_and_files() {
        let text = super::metrics();
        let value = |name: &str| {
            let line = text.lines().find(|l| l.starts_with(&format!("{name} "))).unwrap();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_open_fds") >= 3.0);
    }
}
