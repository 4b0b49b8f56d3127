//! Power cuts: the subject's file system takes nothing more, neither data nor its own journal; the subject stands
//! still before that and never runs again, as with a real cut: an fsync that is under way while ext4 shuts down may return
//! as if it had been done. Then it begins anew with what had reached the disk.

use super::{Bed, Report};
use crate::image::Image;
use crate::inject::Traps;
use crate::run::{Load, Run, Verdict};
use std::time::Duration;

/// Room for etcd's log, which is made large beforehand.
pub const MEGABYTES: u64 = 400;

pub async fn run(bed: &Bed) -> Result<Report, String> {
    let mut report = Report { rounds: bed.rounds(3, 10), ..Report::default() };
    report.add(cut(bed, &[], report.rounds).await?);
    Ok(report)
}

/// So many power cuts of a subject with some flags.
pub async fn cut(bed: &Bed, flags: &[&str], rounds: u64) -> Result<Verdict, String> {
    let mut image = Image::new(&bed.dir, MEGABYTES)?;
    let mut run = Run::start(bed.subject(Some(&image.at), flags, Traps::NONE)?, bed.seed).await?;
    for _ in 0..rounds {
        let load = run.load()?;
        let mut r = run.rng(3);
        tokio::time::sleep(Duration::from_millis(r.between(150, 900))).await;
        run.subject.freeze().await?;
        strike(&mut image, &mut run, load).await?;
    }
    let verdict = run.judge().await;
    drop(image);
    verdict
}

/// The power goes and comes back, and the subject begins anew with what had reached the disk.
pub async fn strike(image: &mut Image, run: &mut Run, load: Load) -> Result<(), String> {
    image.cut_power()?;
    run.subject.kill();
    load.stop().await;
    image.unmount()?;
    image.mount()?;
    run.restart().await?;
    run.account().await.map(drop)
}
