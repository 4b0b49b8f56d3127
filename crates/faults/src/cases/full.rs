//! No room: first the quota, which is refused by its name; then the disk itself, under load. Reads go on, nothing that
//! was acknowledged is lost, and when there is room again writes go on.

use super::{Bed, Report, died, power};
use crate::history::{Outcome, Span};
use crate::image::Image;
use crate::inject::Traps;
use crate::model::Kind;
use crate::run::Run;
use std::time::{Duration, Instant};

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: 2, ..Report::default() };
    quota(bed, &mut report).await?;
    disk(bed, &mut report).await?;
    Ok(report)
}

async fn quota(bed: &Bed, report: &mut Report) -> Result<(), String> {
    let subject = bed.subject(None, &["--quota-backend-bytes=8000000"], Traps::NONE)?;
    let run = Run::start(subject, bed.seed).await?;
    let c = run.client()?;
    let mut refused = None;
    for n in 0..400 {
        match c.put_big(&format!("/registry/faults/big/{}", n % 20)).await {
            Outcome::Done(_) => {}
            other => {
                refused = Some(other);
                break;
            }
        }
    }
    match refused {
        Some(Outcome::Refused(t)) if t.contains("database space exceeded") => {}
        other => report.blame(Kind::WrongRefusal, format!("beyond its quota it answers {other:?}")),
    }
    if c.range(&Span::all(), 0).await.is_err() {
        report.blame(Kind::Stuck, "it answers no read while the quota is exceeded");
    }
    report.add(run.judge().await?);
    Ok(())
}

async fn disk(bed: &Bed, report: &mut Report) -> Result<(), String> {
    let image = Image::new(&bed.dir, power::MEGABYTES)?;
    let mut run = Run::start(bed.subject(Some(&image.at), &[], Traps::NONE)?, bed.seed).await?;
    let load = run.load()?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    image.fill(600_000)?;
    let from = run.ops();
    let c = run.client()?;
    // Until it is refused, and for a while after.
    let end = Instant::now() + Duration::from_secs(30);
    let mut refused = 0;
    let mut n = 0;
    while refused < 20 && Instant::now() < end && run.subject.alive() {
        n += 1;
        if !matches!(c.put_big(&format!("/registry/faults/big/{}", n % 20)).await, Outcome::Done(_)) {
            refused += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let why = run.refusals_since(from);
    if run.subject.alive() {
        if refused == 0 {
            report.note("the disk was not full for it: it has room of its own, made beforehand");
        } else if !why.iter().any(|t| ["full", "space", "room"].iter().any(|w| t.contains(w))) {
            report.blame(Kind::WrongRefusal, format!("nothing says that the disk is full: {why:?}"));
        }
        if !matches!(c.read(Span::under("/registry/faults/"), 0).await, Outcome::Found(..)) {
            report.blame(Kind::Stuck, "it answers no read while the disk is full");
        }
        image.make_room()?;
        if !run.writes_again(Duration::from_secs(15)).await? {
            report.blame(Kind::Stuck, "no write was acknowledged 15 seconds after there was room again");
        }
    } else {
        died(bed, report, "when the disk is full", &run.subject.log_end());
        image.make_room()?;
        run.restart().await?;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    run.subject.kill();
    load.stop().await;
    run.restart().await?;
    run.account().await?;
    report.add(run.judge().await?);
    Ok(())
}
