//! Processes that are killed, stopped and started again.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program with its arguments; it runs or it does not.
pub struct Process {
    pub name: String,
    program: PathBuf,
    args: Vec<String>,
    pub log: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub fn new(name: &str, program: &std::path::Path, args: Vec<String>, log: PathBuf) -> Self {
        Self { name: name.to_owned(), program: program.to_owned(), args, log, child: None }
    }

    /// Its log goes on where it ended.
    pub fn start(&mut self) -> Result<(), String> {
        let text = |e: std::io::Error| format!("{}: {e}", self.name);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).map_err(text)?;
        let mut c = Command::new(&self.program);
        c.args(&self.args).stdin(Stdio::null()).stdout(log.try_clone().map_err(text)?).stderr(log);
        self.child = Some(c.spawn().map_err(|e| format!("{}: {e}", self.program.display()))?);
        Ok(())
    }

    pub fn signal(&self, signal: &str) -> Result<(), String> {
        let Some(c) = &self.child else { return Err(format!("{} does not run", self.name)) };
        let done = Command::new("kill").args([&format!("-{signal}"), &c.id().to_string()]).status();
        match done {
            Ok(s) if s.success() => Ok(()),
            other => Err(format!("kill -{signal} {}: {other:?}", self.name)),
        }
    }

    /// Waits until it has ended.
    pub fn ended(&mut self, within: Duration) -> Result<Duration, String> {
        let Some(c) = self.child.as_mut() else { return Ok(Duration::ZERO) };
        let begin = Instant::now();
        loop {
            if c.try_wait().map_err(|e| e.to_string())?.is_some() {
                self.child = None;
                return Ok(begin.elapsed());
            }
            if begin.elapsed() > within {
                return Err(format!("{} has not ended after {within:?}", self.name));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// kill -9.
    pub fn kill(&mut self) -> Result<(), String> {
        self.signal("KILL")?;
        self.ended(Duration::from_secs(5)).map(drop)
    }

    /// Asks it to end, and waits. Answers how long that took.
    pub fn stop(&mut self) -> Result<Duration, String> {
        self.signal("TERM")?;
        self.ended(Duration::from_secs(60))
    }

    pub fn running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    /// Whether its log holds a text.
    pub fn said(&self, text: &str) -> bool {
        std::fs::read_to_string(&self.log).is_ok_and(|l| l.contains(text))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut c) = self.child.take() {
            let _ = c.kill();
            let _ = c.wait();
        }
    }
}
