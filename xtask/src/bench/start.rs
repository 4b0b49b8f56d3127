//! From the start of the first process to `/readyz` ok: with an empty directory, and again.

use super::Bench;
use super::side::Side;
use super::table::{Better, Table};

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    for n in 0..b.repeats {
        for who in b.whos().iter().filter(|w| b.plays(**w, n)) {
            let mut side = Side::new(b, *who)?;
            for what in ["first start", "later start"] {
                let seconds = side.start(b)?;
                let cpu = side.cpu();
                t.add(what, "s", Better::Lower, *who, (seconds, Some(cpu), side.peak()));
                t.add(&format!("{what}: CPU"), "s", Better::Lower, *who, (cpu, None, 0.0));
                // What comes after readiness is written before the next start.
                std::thread::sleep(std::time::Duration::from_secs(2));
                side.stop();
            }
        }
    }
    Ok(())
}
