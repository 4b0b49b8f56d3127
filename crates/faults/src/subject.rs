//! The store under test: `keelson etcd` or etcd itself, a process that is started, killed, stopped and started again.

use crate::client::{Client, Recorder};
use crate::history::{Nanos, Span};
use crate::inject::{Injector, Traps};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Ours,
    Etcd,
}

impl Who {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Etcd => "etcd",
        }
    }
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Program {
    pub who: Who,
    pub exe: PathBuf,
}

pub struct Subject {
    program: Program,
    data: PathBuf,
    log: PathBuf,
    pub port: u16,
    peer: u16,
    flags: Vec<String>,
    traps: Traps,
    child: Option<Child>,
    pub injector: Option<Injector>,
    pub up_since: Nanos,
    /// How many milliseconds its wall clock is ahead when it starts (with `Traps::CLOCK`).
    pub ahead: i64,
}

pub fn free_port() -> Result<u16, String> {
    let l = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    l.local_addr().map(|a| a.port()).map_err(|e| e.to_string())
}

impl Subject {
    /// Not started yet. Its data goes into `dir/data`, its log beside that unless elsewhere is said.
    pub fn new(
        program: &Program,
        data: &Path,
        log: &Path,
        flags: &[&str],
        traps: Traps,
    ) -> Result<Self, String> {
        Ok(Self {
            program: program.clone(),
            data: data.to_owned(),
            log: log.to_owned(),
            port: free_port()?,
            peer: free_port()?,
            flags: flags.iter().map(|f| (*f).to_owned()).collect(),
            traps,
            child: None,
            injector: None,
            up_since: 0,
            ahead: 0,
        })
    }

    fn command(&self) -> Result<Command, String> {
        let mut c = Command::new(&self.program.exe);
        let (at, peer) =
            (format!("http://127.0.0.1:{}", self.port), format!("http://127.0.0.1:{}", self.peer));
        if self.program.who == Who::Ours {
            c.arg("etcd");
        } else {
            c.arg(format!("--listen-peer-urls={peer}"))
                .arg(format!("--initial-advertise-peer-urls={peer}"))
                .arg(format!("--initial-cluster=default={peer}"))
                .arg("--log-level=warn");
        }
        c.arg(format!("--data-dir={}", self.data.display()))
            .arg(format!("--listen-client-urls={at}"))
            .arg(format!("--advertise-client-urls={at}"))
            .args(&self.flags);
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|e| format!("{}: {e}", self.log.display()))?;
        let other = log.try_clone().map_err(|e| e.to_string())?;
        c.stdin(Stdio::null()).stdout(log).stderr(other);
        Ok(c)
    }

    /// Starts it and waits until it answers a read.
    pub async fn start(&mut self, recorder: &Arc<Recorder>) -> Result<(), String> {
        let mut c = self.command()?;
        let (child, injector) = if self.traps == Traps::NONE {
            (c.spawn().map_err(|e| format!("{}: {e}", self.program.exe.display()))?, None)
        } else {
            let (child, i) = Injector::spawn(&mut c, self.traps, self.ahead)?;
            (child, Some(i))
        };
        self.child = Some(child);
        self.injector = injector;
        let end = Instant::now() + Duration::from_secs(60);
        let client = Client::new(self.port, recorder)?;
        loop {
            if client.range(&Span::one("x"), 0).await.is_ok() {
                self.up_since = recorder.now();
                return Ok(());
            }
            if !self.alive() {
                return Err(format!("it ended when it was started; its log ends:\n{}", self.log_end()));
            }
            if Instant::now() > end {
                return Err(format!(
                    "it does not answer a minute after its start; its log ends:\n{}",
                    self.log_end()
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn log_end(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    pub fn alive(&mut self) -> bool {
        self.child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None)))
    }

    pub fn signal(&self, signal: i32) -> Result<(), String> {
        let Some(c) = &self.child else { return Err("it was not started".into()) };
        let pid = i32::try_from(c.id()).map_err(|e| e.to_string())?;
        // SAFETY: a plain call; the process is our child and was not waited for, so the number is its own.
        #[allow(unsafe_code)]
        let done = unsafe { libc::kill(pid, signal) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
    }

    /// Stops it, and waits until no thread of it runs. Whoever is in the kernel may finish there and gets no further.
    pub async fn freeze(&self) -> Result<(), String> {
        self.signal(libc::SIGSTOP)?;
        let pid = self.child.as_ref().map_or(0, Child::id);
        let stands = || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            tasks
                .filter_map(|t| std::fs::read_to_string(t.path().join("stat")).ok())
                .all(|s| s.rsplit_once(") ").is_some_and(|(_, s)| s.starts_with(['T', 't', 'D', 'Z', 'X'])))
        };
        let end = Instant::now() + Duration::from_secs(5);
        while !stands() {
            if Instant::now() > end {
                return Err("it does not stand still".into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut c) = self.child.take() {
            // One that ended by itself is waited for, too.
            let _ = c.kill();
            let _ = c.wait();
        }
        self.injector = None;
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.kill();
    }
}
