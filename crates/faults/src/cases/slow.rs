//! A slow disk: writes take as long as it takes, and nothing else does. Nobody exits, watches go on, reads are as fast
//! as ever.

use super::{Bed, Report, died};
use crate::inject::Traps;
use crate::model::Kind;
use crate::run::Run;
use crate::subject::Who;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What the median read may take, in milliseconds. etcd's reads wait in the line that its writes stand in.
pub const READ: u64 = 150;

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(1, 3), ..Report::default() };
    let traps = Traps { write: false, ..Traps::DISK };
    let mut run = Run::start(bed.subject(None, &[], traps)?, bed.seed).await?;
    run.recorder.patience.store(60_000, Ordering::SeqCst);
    for _ in 0..report.rounds {
        let policy = run.subject.injector.as_ref().map(|i| i.policy.clone()).ok_or("no injector")?;
        policy.delay.store(200, Ordering::SeqCst);
        policy.delay_more.store(1800, Ordering::SeqCst);
        let load = run.load()?;
        let from = run.ops();
        // Readers of their own: the others wait for their writes most of the time.
        let c = run.client()?;
        let end = Instant::now() + Duration::from_secs(bed.rounds(4, 8));
        while Instant::now() < end {
            c.read(crate::history::Span::under("/registry/faults/"), 0).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (median, longest) = run.reads_since(from);
        let writes = run.acknowledged_since(from);
        report.note(format!(
            "{writes} writes acknowledged meanwhile; a read took {median} ms, at most {longest} ms"
        ));
        if !run.subject.alive() {
            died(bed, &mut report, "when the disk is slow", &run.subject.log_end());
            run.restart().await?;
        } else {
            judge_reads(bed, median, &mut report);
            if writes == 0 {
                report.blame(Kind::Stuck, "no write was acknowledged while the disk was slow");
            }
        }
        policy.delay.store(0, Ordering::SeqCst);
        load.stop().await;
        run.account().await?;
    }
    report.add(run.judge().await?);
    Ok(report)
}

pub fn judge_reads(bed: &Bed, median: u64, report: &mut Report) {
    if bed.who() == Who::Ours && median > READ {
        report.blame(Kind::Slow, format!("half of the reads took more than {median} ms"));
    }
}
