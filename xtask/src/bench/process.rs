//! Processes under measurement: started with a log of their own, ended when they go out of scope.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Process(Child);

impl Process {
    /// Starts a program; its log is a file named like it.
    pub fn start(mut c: Command, logs: &Path) -> Result<Self, String> {
        let program = c.get_program().to_owned();
        // `ip netns exec NAME PROGRAM` becomes the program.
        let name = c.get_args().nth(2).filter(|_| program == "ip").unwrap_or(&program);
        let name = Path::new(name).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(logs.join(format!("{name}.log")))
            .map_err(|e| format!("{}: {e}", logs.display()))?;
        c.stdin(Stdio::null()).stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
        c.spawn().map(Self).map_err(|e| format!("{}: {e}", program.to_string_lossy()))
    }
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.id().to_string()]).stderr(Stdio::null()).status();
        let end = Instant::now() + Duration::from_secs(10);
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.0.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "compared with what the load client says")]
pub fn now() -> f64 {
    let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    t.map_or(0.0, |d| d.as_secs_f64())
}

/// Process ids as the load client wants them.
pub fn list(pids: &[u32]) -> String {
    pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn status(pids: &[u32], field: &str) -> f64 {
    let one = |pid: &u32| -> Option<f64> {
        let s = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let l = s.lines().find_map(|l| l.strip_prefix(field))?;
        l.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    pids.iter().filter_map(one).sum::<f64>() / 1024.0
}

/// Resident MiB.
pub fn resident(pids: &[u32]) -> f64 {
    status(pids, "VmRSS")
}

/// The most that was resident, in MiB.
pub fn peak(pids: &[u32]) -> f64 {
    status(pids, "VmHWM")
}

/// User and system seconds so far, with those of children that ended (as the `nft` a proxy runs).
pub fn cpu(pids: &[u32]) -> f64 {
    let one = |pid: &u32| -> Option<f64> {
        let s = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let f = s.rsplit_once(')')?.1.split_whitespace().skip(11).take(4);
        Some(f.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0)
    };
    pids.iter().filter_map(one).sum()
}
