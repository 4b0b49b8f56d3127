//! An empty cluster's control plane with nothing to do: what is resident, and what it burns.

use super::Bench;
use super::table::{Better, Table};
use std::time::Duration;

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let sides = b.sides()?;
    std::thread::sleep(Duration::from_secs(if b.quick { 15 } else { 30 }));
    for _ in 0..b.few() {
        // All are idle at once: nothing disturbs nothing.
        let before: Vec<f64> = sides.iter().map(|s| s.cpu()).collect();
        let span = if b.quick { 10 } else { 20 };
        std::thread::sleep(Duration::from_secs(span));
        for (s, before) in sides.iter().zip(before) {
            let cpu = s.cpu() - before;
            t.add("idle memory", "MiB", Better::Lower, s.who, (s.resident(), None, s.peak()));
            let percent = 100.0 * cpu / span as f64;
            t.add("idle CPU", "% of a core", Better::Lower, s.who, (percent, Some(cpu), 0.0));
        }
    }
    Ok(())
}
