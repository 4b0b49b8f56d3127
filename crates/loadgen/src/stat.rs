//! What a load cost: latencies here, CPU time and memory of the servers' processes.

use serde_json::{Value, json};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

/// User and system seconds of some processes, and of their children that ended, as the kernel counted them.
fn cpu(pids: &[u32]) -> f64 {
    let ticks = |pid: &u32| {
        let s = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let f = s.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
        Some(f.filter_map(|t| t.parse::<u64>().ok()).sum::<u64>())
    };
    pids.iter().filter_map(ticks).sum::<u64>() as f64 / 100.0
}

/// Whose CPU time is counted: processes, and groups of processes by the kernel's own account (files `cpuacct.usage`).
#[derive(Clone, Default)]
pub struct Servers {
    pub pids: Vec<u32>,
    pub groups: Vec<String>,
}

impl Servers {
    fn cpu(&self) -> f64 {
        let group = |f: &String| std::fs::read_to_string(f).ok()?.trim().parse::<f64>().ok();
        cpu(&self.pids) + self.groups.iter().filter_map(group).sum::<f64>() / 1e9
    }
}

/// A span that is measured.
pub struct Span {
    start: Instant,
    cpu: f64,
    servers: Servers,
}

impl Span {
    pub fn start(servers: &Servers) -> Self {
        Self { start: Instant::now(), cpu: servers.cpu(), servers: servers.clone() }
    }
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
    /// What the clients' operations came to, when all have ended: each answers its latencies (µs).
    pub async fn of(self, clients: Vec<JoinHandle<Result<Vec<u32>, String>>>) -> Result<Value, String> {
        let mut all = Vec::new();
        for c in clients {
            all.extend(c.await.map_err(|e| e.to_string())??);
        }
        Ok(self.end(all.len() as u64, all))
    }
    /// What `n` operations with these latencies (µs) came to.
    pub fn end(self, n: u64, mut latencies: Vec<u32>) -> Value {
        let seconds = self.seconds();
        let cpu = self.servers.cpu() - self.cpu;
        latencies.sort_unstable();
        let at = |q: f64| {
            let i = (latencies.len() as f64 * q) as usize;
            latencies.get(i.min(latencies.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        json!({"n": n, "seconds": seconds, "rate": n as f64 / seconds, "cpu": cpu,
            "cpu_us": cpu * 1e6 / (n.max(1)) as f64, "p50_us": at(0.5), "p99_us": at(0.99)})
    }
}

pub fn micros(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX)
}

/// Seconds by the clock of the machine.
pub fn clock() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}
