//! The wall clock jumps an hour forth, two back, and home again, under load and while leases run: those that are
//! renewed stay, those that are not go in their time. And a restart with a clock that is an hour ahead ends no lease.

use super::{Bed, Report};
use crate::client::Client;
use crate::history::{Change, Outcome, Span};
use crate::inject::Traps;
use crate::model::Kind;
use crate::run::Run;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HOUR: i64 = 3_600_000;
/// Seconds of the leases that end.
const SHORT: i64 = 4;
const LEASED: &str = "/registry/faults-leased/";

async fn leased(c: &Client, name: &str, seconds: i64) -> Result<i64, String> {
    let id = c.grant(seconds).await.map_err(|e| e.to_string())?;
    let key = format!("{LEASED}{name}");
    match c.write(vec![Change { key: key.as_str().into(), puts: true }], None, id).await {
        Outcome::Done(_) => Ok(id),
        other => Err(format!("putting {key}: {other:?}")),
    }
}

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(1, 3), ..Report::default() };
    let mut run = Run::start(bed.subject(None, &[], Traps::CLOCK)?, bed.seed).await?;
    run.clients = 4;
    run.watch("leased".into(), Span::under(LEASED), run.head() + 1, true);
    let c = run.client()?;
    let long = leased(&c, "long", 600).await?;
    for round in 0..report.rounds {
        let mut r = run.rng(5);
        let policy = run.subject.injector.as_ref().map(|i| i.policy.clone()).ok_or("no injector")?;
        let kept = leased(&c, &format!("{round}/kept"), SHORT).await?;
        // One ends, and is looked at, during each jump.
        for n in 0..5 {
            leased(&c, &format!("{round}/let-go-{n}"), 2 + n % 4).await?;
        }
        let over = Arc::new(AtomicBool::new(false));
        let (keeper, o) = (run.client()?, over.clone());
        let keeping = tokio::spawn(async move {
            while !o.load(Ordering::SeqCst) {
                // One that is gone is found in what watches told.
                let _ = keeper.renew(kept).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let load = run.load()?;
        for ahead in [HOUR, -HOUR, 0] {
            tokio::time::sleep(Duration::from_millis(r.between(800, 1800))).await;
            policy.ahead.store(ahead, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        load.stop().await;
        let gone = format!("{LEASED}{round}/let-go-");
        let end = Instant::now() + Duration::from_secs(SHORT.unsigned_abs() + 9);
        while Instant::now() < end && c.range(&Span::under(&gone), 0).await.is_ok_and(|(_, k)| !k.is_empty())
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        over.store(true, Ordering::SeqCst);
        // It ends by itself.
        let _ = keeping.await;
        report.note(format!("it looked at the clock {} times", policy.clocks.load(Ordering::SeqCst)));
        run.account().await?;
    }
    run.subject.ahead = HOUR;
    run.restart().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    if !c.renew(long).await.unwrap_or(false) {
        report.blame(
            Kind::LeaseEarly,
            "a lease of ten minutes ended with a restart while the clock was an hour ahead",
        );
    }
    report.add(run.judge().await?);
    Ok(report)
}
