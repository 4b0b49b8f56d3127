//! I/O errors: fsync fails without having written anything, or writes fail; the subject goes on; and then the power
//! is cut, so that whatever was acknowledged on the strength of a failed fsync is seen to be lost.

use super::{Bed, Report, died, power};
use crate::image::Image;
use crate::inject::Traps;
use crate::model::Kind;
use crate::run::Run;
use crate::subject::Who;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(4, 12), ..Report::default() };
    let mut image = Image::new(&bed.dir, power::MEGABYTES)?;
    let mut run = Run::start(bed.subject(Some(&image.at), &[], Traps::DISK)?, bed.seed).await?;
    let mut failed = 0;
    for round in 0..report.rounds {
        let load = run.load()?;
        let mut r = run.rng(4);
        tokio::time::sleep(Duration::from_millis(r.between(100, 500))).await;
        let policy = run.subject.injector.as_ref().map(|i| i.policy.clone()).ok_or("no injector")?;
        if round % 2 == 0 {
            policy.fail_syncs.store(i64::try_from(r.between(1, 4)).unwrap_or(1), Ordering::SeqCst);
        } else {
            policy.fail_writes.store(i64::try_from(r.between(1, 20)).unwrap_or(1), Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(r.between(200, 600))).await;
        policy.fail_syncs.store(0, Ordering::SeqCst);
        policy.fail_writes.store(0, Ordering::SeqCst);
        failed += policy.failed.load(Ordering::SeqCst);
        if !run.subject.alive() {
            died(bed, &mut report, "when the disk fails", &run.subject.log_end());
        } else if bed.who() == Who::Ours && !run.writes_again(Duration::from_secs(10)).await? {
            report.blame(Kind::Stuck, "no write was acknowledged ten seconds after the disk was well again");
        }
        if run.subject.alive() {
            run.subject.freeze().await?;
        }
        power::strike(&mut image, &mut run, load).await?;
    }
    report.note(format!("{failed} calls failed"));
    report.add(run.judge().await?);
    drop(image);
    Ok(report)
}
