//! The process stands still for a while under load, as a machine that is busy elsewhere.

use super::{Bed, Report};
use crate::inject::Traps;
use crate::model::Kind;
use crate::run::Run;
use std::time::Duration;

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(2, 6), ..Report::default() };
    let mut run = Run::start(bed.subject(None, &[], Traps::NONE)?, bed.seed).await?;
    for _ in 0..report.rounds {
        let load = run.load()?;
        let mut r = run.rng(2);
        tokio::time::sleep(Duration::from_millis(r.between(100, 500))).await;
        run.subject.signal(libc::SIGSTOP)?;
        tokio::time::sleep(Duration::from_millis(r.between(500, if bed.quick { 1000 } else { 3000 }))).await;
        run.subject.signal(libc::SIGCONT)?;
        if !run.writes_again(Duration::from_secs(10)).await? {
            run.blame(Kind::Stuck, "no write was acknowledged ten seconds after it went on");
        }
        tokio::time::sleep(Duration::from_millis(r.between(100, 300))).await;
        load.stop().await;
        run.account().await?;
    }
    report.add(run.judge().await?);
    Ok(report)
}
