//! What 10,000 pods add to the resident memory of the whole control plane.

use super::Bench;
use super::side::Side;
use super::table::{Better, Table};
use std::time::Duration;

/// Makes the pods from `first` to `count`.
pub fn fill(b: &Bench, s: &Side, first: u32, count: u32) -> Result<(), String> {
    let (config, first, count) = (s.config(), first.to_string(), (count - first).to_string());
    b.load("fill", &[("kubeconfig", &config), ("first", &first), ("count", &count)]).map(drop)
}

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let sides = b.sides()?;
    let settle = Duration::from_secs(if b.quick { 10 } else { 20 });
    std::thread::sleep(settle);
    let steps = if b.quick { 1 } else { b.repeats.min(2) };
    for n in 0..u32::try_from(steps).unwrap_or(1) {
        let before: Vec<f64> = sides.iter().map(Side::resident).collect();
        for s in &sides {
            fill(b, s, n * 10_000, (n + 1) * 10_000)?;
        }
        std::thread::sleep(settle);
        for (s, before) in sides.iter().zip(before) {
            let more = (s.resident() - before).max(0.1);
            t.add("10,000 pods more", "MiB", Better::Lower, s.who, (more, None, s.peak()));
        }
    }
    Ok(())
}
