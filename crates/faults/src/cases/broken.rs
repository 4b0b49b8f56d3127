//! Proof of the tests: the subject behind a proxy that is wrong in one way, or without fsync and with its power cut.
//! Each must be found. A case of its own per fault, so that a judge who sleeps is seen.

use super::{Bed, Report, power, slow};
use crate::client::Recorder;
use crate::inject::Traps;
use crate::model::Kind;
use crate::proxy::{Break, Proxy};
use crate::run::Run;
use crate::subject::Who;
use std::time::{Duration, Instant};

/// Enough that each break has its turn some times.
const OPS: usize = 300;

/// What is broken, and what must be found of it: one of these.
const BREAKS: &[(Break, &[Kind])] = &[
    (Break::Nothing, &[]),
    (Break::LostWrite, &[Kind::LostWrite]),
    (Break::IgnoredCompare, &[Kind::WrongCompare]),
    (Break::SkippedEvent, &[Kind::WatchGap, Kind::WatchBehind]),
    (Break::RepeatedEvent, &[Kind::WatchRepeat]),
    (Break::StaleRead, &[Kind::StaleRead]),
    (Break::Slow, &[Kind::Slow]),
];

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report::default();
    for (what, expected) in BREAKS {
        report.rounds += 1;
        let found = through(bed, *what, &mut report).await?;
        judge(&mut report, &format!("{what:?}"), expected, &found);
    }
    report.rounds += 1;
    // Three cuts: one may come when nothing was under way.
    let v = power::cut(bed, &["--unsafe-no-fsync"], 3).await;
    let found: Vec<Kind> = match v {
        Ok(v) => v.violations.iter().map(|v| v.kind).collect(),
        // A store that cannot be opened any more lost everything, and says so.
        Err(e) => {
            report.note(format!("without fsync: {}", e.lines().next().unwrap_or_default()));
            vec![Kind::LostWrite]
        }
    };
    judge(&mut report, "no fsync and a power cut", &[Kind::LostWrite, Kind::HistoryChanged], &found);
    Ok(report)
}

fn judge(report: &mut Report, what: &str, expected: &[Kind], found: &[Kind]) {
    let missed = !expected.is_empty() && !expected.iter().any(|k| found.contains(k));
    if missed {
        report.blame(Kind::Stuck, format!("{what} was not found: {found:?}"));
    } else if expected.is_empty() && !found.is_empty() {
        report.blame(found[0], format!("with {what} broken, {found:?} was found"));
    } else if !expected.is_empty() {
        let mut kinds = found.to_vec();
        kinds.sort_unstable();
        kinds.dedup();
        report.note(format!("{what}: found as {kinds:?}"));
    }
}

async fn through(bed: &Bed, what: Break, report: &mut Report) -> Result<Vec<Kind>, String> {
    let recorder = Recorder::new();
    let mut subject = bed.subject(None, &[], Traps::NONE)?;
    subject.start(&recorder).await?;
    let proxy = Proxy::start(subject.port, what).await?;
    let mut run = Run::through(subject, recorder, proxy.port, bed.seed).await?;
    let from = run.ops();
    let load = run.load()?;
    let begun = Instant::now();
    while run.ops() < from + OPS && begun.elapsed() < Duration::from_secs(20) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;
    let (median, _) = run.reads_since(from);
    // What is asked of ours is asked of both here: the proxy is what is slow.
    let mut reads = Report::default();
    let ours = Bed { program: bed.program.clone(), dir: bed.dir.clone(), ..*bed };
    let ours = Bed { program: crate::subject::Program { who: Who::Ours, ..ours.program }, ..ours };
    slow::judge_reads(&ours, median, &mut reads);
    let v = run.judge().await?;
    let mut kinds: Vec<Kind> = v.violations.iter().map(|v| v.kind).collect();
    kinds.extend(reads.violations.iter().map(|v| v.kind));
    report.ops += v.ops;
    report.acknowledged += v.acknowledged;
    report.unknown += v.unknown;
    report.told += v.told;
    drop(proxy);
    Ok(kinds)
}
