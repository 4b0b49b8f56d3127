//! The load that goes on during a case, and what it found.

use super::cluster::Cluster;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

pub struct Steady {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// What the clients saw.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub writes: u64,
    pub events: u64,
    pub retried: u64,
    pub failed: u64,
    pub broken: u64,
    pub relists: u64,
    pub gap: Duration,
    pub slowest: Duration,
    /// What must not be.
    pub wrong: Vec<String>,
    /// Why requests were retried.
    pub reasons: String,
}

impl Steady {
    /// Begins, and waits for the first acknowledged write.
    pub fn start(c: &Cluster, namespace: &str, seed: u64) -> Result<Self, String> {
        Self::run(Command::new(&c.loadgen), &c.config(), namespace, seed)
    }

    /// The same with a load client that is somewhere else.
    pub fn run(mut loadgen: Command, config: &str, namespace: &str, seed: u64) -> Result<Self, String> {
        let mut child = loadgen
            .args(["steady", "--kubeconfig", config, "--namespace", namespace])
            .args(["--seed", &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut output = BufReader::new(output.ok_or("no output")?);
        let mut line = String::new();
        output.read_line(&mut line).map_err(|e| e.to_string())?;
        if line.trim() != "running" {
            let _ = child.kill();
            return Err(format!("the load did not start: {line}"));
        }
        Ok(Self { child, input, output })
    }

    /// Ends the load; it judges what it saw.
    pub fn finish(mut self) -> Result<Seen, String> {
        drop(self.input.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text).map_err(|e| e.to_string())?;
        self.child.wait().map_err(|e| e.to_string())?;
        let v: Value = serde_json::from_str(text.trim()).map_err(|e| format!("the load ended badly: {e}"))?;
        let n = |name: &str| v[name].as_u64().unwrap_or(0);
        let ms = |name: &str| Duration::from_secs_f64(v[name].as_f64().unwrap_or(0.0) / 1000.0);
        let list = |name: &str| -> Vec<String> {
            v[name].as_array().into_iter().flatten().filter_map(|p| p.as_str().map(str::to_owned)).collect()
        };
        let mut wrong = list("problems");
        wrong.extend(list("errors"));
        Ok(Seen {
            writes: n("writes"),
            events: n("events"),
            retried: n("retried"),
            failed: n("failed"),
            broken: n("broken"),
            relists: n("relists"),
            gap: ms("gap_ms"),
            slowest: ms("slowest_ms"),
            wrong,
            reasons: v["reasons"].to_string(),
        })
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
