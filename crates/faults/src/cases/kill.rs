//! kill -9 under load, over and over; half of the times clients work on while it is away.

use super::{Bed, Report};
use crate::inject::Traps;
use crate::run::Run;
use std::time::Duration;

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(4, 15), ..Report::default() };
    let mut run = Run::start(bed.subject(None, &[], Traps::NONE)?, bed.seed).await?;
    for round in 0..report.rounds {
        let load = run.load()?;
        let mut r = run.rng(1);
        tokio::time::sleep(Duration::from_millis(r.between(150, 900))).await;
        if r.below(2) == 0 {
            run.restart().await?;
            tokio::time::sleep(Duration::from_millis(r.between(100, 400))).await;
            load.stop().await;
        } else {
            run.subject.kill();
            load.stop().await;
            run.restart().await?;
        }
        run.account().await?;
        if round % 3 == 2 {
            run.compact().await?;
        }
    }
    report.add(run.judge().await?);
    Ok(report)
}
