//! Lists of all pods: whole, from the cache, in pages of 500, by a label that one in a hundred has.

use super::Bench;
use super::table::{Better, Table};

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let sides = b.sides()?;
    let counts: &[u32] = if b.large { &[10_000, 50_000] } else { &[10_000] };
    let mut first = 0;
    for count in counts {
        for s in &sides {
            super::memory::fill(b, s, first, *count)?;
        }
        first = *count;
        for n in 0..b.repeats {
            for encoding in ["json", "proto"] {
                for mode in ["whole", "cached", "paged", "label"] {
                    for s in sides.iter().filter(|s| b.plays(s.who, n)) {
                        let (config, pids) = (s.config(), s.pid_list());
                        let args = [
                            ("kubeconfig", config.as_str()),
                            ("pids", &pids),
                            ("encoding", encoding),
                            ("mode", mode),
                            ("repeat", "2"),
                        ];
                        let v = b.load("list", &args)?;
                        let number = |n: &str| v[n].as_f64().unwrap_or_default();
                        let what = format!("list {count} pods, {mode}, {encoding}");
                        let measured = (number("p50_us") / 1e6, Some(number("cpu_us")), s.peak());
                        t.add(&what, "s", Better::Lower, s.who, measured);
                    }
                }
            }
        }
    }
    Ok(())
}
