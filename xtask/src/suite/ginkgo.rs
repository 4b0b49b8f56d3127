//! Running upstream's `e2e.test`: which tests a choice names, and a part of them at a time.

use super::outcome::listed;
use crate::sh;
use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// After it was asked to end, a run takes its tests down and writes its report; past this it is ended.
const GRACE: Duration = Duration::from_secs(150);

/// What to run.
pub struct Choice<'a> {
    pub serial: bool,
    pub focus: Option<&'a str>,
    pub skip: Option<&'a str>,
}

impl Choice<'_> {
    /// The names of the conformance tests chosen.
    pub fn names(&self, e2e: &Path) -> Result<BTreeSet<String>, String> {
        let mut c = Command::new(e2e);
        c.args(["--ginkgo.dry-run", "--ginkgo.v", "--ginkgo.no-color"]);
        c.arg(format!("--ginkgo.label-filter={}", self.labels()));
        c.args(self.focus.map(|re| format!("--ginkgo.focus={re}")));
        c.args(self.skip.map(|re| format!("--ginkgo.skip={re}")));
        // It writes its report about itself to the working folder.
        c.current_dir(std::env::temp_dir());
        let names = listed(&sh::output(&mut c)?);
        if names.is_empty() { Err("no test has such a name".to_owned()) } else { Ok(names) }
    }
    fn labels(&self) -> &'static str {
        if self.serial { "Conformance && Serial" } else { "Conformance && !Serial" }
    }
}

/// Set by SIGINT and SIGTERM: a run ends in order and what it found is told. The second signal ends this program.
pub fn interrupts() -> Result<Arc<AtomicBool>, String> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|e| format!("cannot take signals: {e}"))?;
    }
    Ok(stop)
}

/// The parts a run is made of: what one reports is kept whatever becomes of the next.
pub fn parts(names: &BTreeSet<String>, size: usize) -> Vec<Vec<&str>> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.chunks(size.max(1)).map(<[&str]>::to_vec).collect()
}

/// Where a cluster is and with what it is tried.
pub struct Run<'a> {
    pub ginkgo: PathBuf,
    pub e2e: PathBuf,
    pub kubectl: PathBuf,
    pub kubeconfig: String,
    pub procs: &'a str,
    pub serial: bool,
    pub until: Instant,
    pub stop: Arc<AtomicBool>,
}

impl Run<'_> {
    pub fn over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= self.until
    }

    /// Runs tests by name, `host` being the start of a command on the host; log and junit go to `report`.
    pub fn part(&self, mut host: Command, names: &[&str], report: &Path) -> Result<(), String> {
        std::fs::create_dir_all(report).map_err(|e| format!("{}: {e}", report.display()))?;
        let log = std::fs::File::create(report.join("e2e.log")).map_err(|e| e.to_string())?;
        let c = &mut host;
        c.env("KUBECONFIG", &self.kubeconfig).arg(&self.ginkgo).args(["--no-color", "--timeout=12h"]);
        let focus: Vec<String> = names.iter().map(|n| escape(n)).collect();
        c.arg(format!("--focus={}", focus.join("|")));
        // A name may be part of another's: the labels say which kind is meant.
        if self.serial {
            c.args(["--procs=1", "--label-filter=Conformance && Serial"]);
        } else {
            c.args([&format!("--procs={}", self.procs), "--label-filter=Conformance && !Serial"]);
        }
        c.arg(&self.e2e).args(["--", "--provider=skeleton", "--dns-domain=cluster.local"]);
        c.arg(format!("--kubeconfig={}", self.kubeconfig));
        c.arg(format!("--kubectl-path={}", self.kubectl.display()));
        c.arg(format!("--report-dir={}", report.display()));
        c.args(["--disable-log-dump", "--non-blocking-taints=node-role.kubernetes.io/control-plane"]);
        c.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log);
        // A group of its own: an interrupt from the terminal comes to us, and from us to the tests alone.
        let mut child = c.process_group(0).spawn().map_err(|e| format!("cannot run the suite: {e}"))?;
        let mut asked: Option<Instant> = None;
        loop {
            if child.try_wait().map_err(|e| e.to_string())?.is_some() {
                return Ok(());
            }
            match asked {
                None if self.over() => {
                    sh::step("ending the tests that run; they take down what they made");
                    for pid in group(child.id()) {
                        let _ = Command::new("kill").args(["-INT", &pid.to_string()]).status();
                    }
                    asked = Some(Instant::now());
                }
                Some(t) if t.elapsed() > GRACE => {
                    let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
                    let _ = child.wait();
                    return Ok(());
                }
                _ => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }
}

/// The test programs of a process group (not those that start and watch them).
fn group(pgid: u32) -> Vec<u32> {
    let one = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let of: u32 = tail.split_whitespace().nth(2)?.parse().ok()?;
        (of == pgid && head.split_once('(')?.1 == "e2e.test").then_some(pid)
    };
    let pids =
        std::fs::read_dir("/proc").map(|d| d.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()));
    pids.map(|p| p.filter_map(one).collect()).unwrap_or_default()
}

/// A literal text as a regular expression.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut s, c| {
        if !c.is_alphanumeric() && c != ' ' {
            s.push('\\');
        }
        s.push(c);
        s
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_hold_every_name_once() {
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let parts = super::parts(&names, 2);
        assert_eq!(parts, [vec!["a", "b"], vec!["c", "d"], vec!["e"]]);
        assert_eq!(super::escape("[sig] a.b"), "\\[sig\\] a\\.b");
    }
}
