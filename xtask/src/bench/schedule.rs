//! Pods scheduled onto simulated nodes, from the first create to the last binding.

use super::Bench;
use super::table::{Better, Table};

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let counts: &[&str] = if b.large { &["500", "5000"] } else { &["500"] };
    for nodes in counts {
        let sides = b.sides()?;
        let mut make = *nodes;
        for n in 0..b.few() {
            for kind in ["plain", "spread", "affinity", "preemption"] {
                let pods = match (kind, b.quick) {
                    ("preemption", _) => "250",
                    (_, true) => "500",
                    _ => "1000",
                };
                for s in sides.iter().filter(|s| b.plays(s.who, n)) {
                    let (config, pids, run) = (s.config(), s.pid_list(), format!("{kind}-{n}"));
                    let args = [
                        ("kubeconfig", config.as_str()),
                        ("pids", &pids),
                        ("nodes", make),
                        ("have", nodes),
                        ("pods", pods),
                        ("kind", kind),
                        ("run", &run),
                    ];
                    let v = b.load("schedule", &args)?;
                    let number = |n: &str| v[n].as_f64().unwrap_or_default();
                    let what = format!("schedule, {nodes} nodes, {kind}");
                    let measured = (number("rate"), Some(number("cpu_us")), s.peak());
                    t.add(&what, "pods/s", Better::Higher, s.who, measured);
                }
                make = "0";
            }
        }
    }
    Ok(())
}
