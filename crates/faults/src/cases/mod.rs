//! The cases, one file each, in the order they run.

mod api;
mod broken;
mod clock;
mod full;
mod io;
mod kill;
mod pause;
mod power;
mod slow;

use crate::inject::Traps;
use crate::model::{Kind, Violation};
use crate::run::Verdict;
use crate::subject::{Program, Subject, Who};
use futures::future::LocalBoxFuture;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub type Case = fn(&Bed) -> LocalBoxFuture<'_, Result<Report, String>>;

pub const CASES: &[(&str, &str, Case)] = &[
    ("kill", "kill -9 under load, over and over", |b| Box::pin(kill::run(b))),
    ("power", "power cut under load: the file system takes nothing more, and begins anew", |b| {
        Box::pin(power::run(b))
    }),
    ("io", "fsync and writes fail under load, then the power is cut", |b| Box::pin(io::run(b))),
    ("full", "the quota, and the disk, are full; then there is room again", |b| Box::pin(full::run(b))),
    ("slow", "each fsync takes 200 to 2000 ms", |b| Box::pin(slow::run(b))),
    ("clock", "the wall clock jumps an hour forth and back, while leases run", |b| Box::pin(clock::run(b))),
    ("pause", "the process stands still for a while, over and over", |b| Box::pin(pause::run(b))),
    ("api", "kill -9 of a control plane under clients of the Kubernetes API (ours alone)", |b| {
        Box::pin(api::run(b))
    }),
    ("broken", "a store made wrong on purpose: each fault of it is found", |b| Box::pin(broken::run(b))),
];

/// Where a case runs, and on what.
pub struct Bed {
    pub program: Program,
    pub seed: u64,
    pub quick: bool,
    pub dir: PathBuf,
}

impl Bed {
    pub fn who(&self) -> Who {
        self.program.who
    }
    pub fn rounds(&self, quick: u64, full: u64) -> u64 {
        if self.quick { quick } else { full }
    }
    /// A subject with empty data, on this machine's disk or in a folder of an image.
    pub fn subject(&self, on: Option<&Path>, flags: &[&str], traps: Traps) -> Result<Subject, String> {
        let data = on.unwrap_or(&self.dir).join("data");
        let _ = std::fs::remove_dir_all(&data);
        Subject::new(&self.program, &data, &self.dir.join("subject.log"), flags, traps)
    }
}

/// What came of a case.
#[derive(Default)]
pub struct Report {
    pub rounds: u64,
    pub ops: usize,
    pub acknowledged: usize,
    pub unknown: usize,
    pub told: usize,
    pub notes: Vec<String>,
    pub violations: Vec<Violation>,
}

impl Report {
    pub fn add(&mut self, v: Verdict) {
        self.ops += v.ops;
        self.acknowledged += v.acknowledged;
        self.unknown += v.unknown;
        self.told += v.told;
        self.violations.extend(v.violations);
    }
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }
    pub fn blame(&mut self, kind: Kind, what: impl Into<String>) {
        self.violations.push(Violation { kind, what: what.into() });
    }
    /// A few of each kind.
    pub fn complaints(&self) -> Vec<String> {
        let mut kinds: BTreeMap<Kind, Vec<&Violation>> = BTreeMap::new();
        for v in &self.violations {
            kinds.entry(v.kind).or_default().push(v);
        }
        let mut out = Vec::new();
        for (kind, all) in kinds {
            out.extend(all.iter().take(3).map(|v| format!("{kind:?}: {}", v.what)));
            if all.len() > 3 {
                out.push(format!("{kind:?}: and {} more", all.len() - 3));
            }
        }
        out
    }
}

/// What is said of a subject that ended by itself: ours must not, and etcd does where it says so.
fn died(bed: &Bed, report: &mut Report, why: &str, log: &str) {
    if bed.who() == Who::Ours {
        report.blame(Kind::Died, format!("it ended by itself {why}; its log ends:\n{log}"));
    } else {
        report.note(format!("etcd ends itself {why}, and was started again"));
    }
}
