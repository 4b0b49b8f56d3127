//! Changes of one object, each to 1, 100, 1,000 watchers: events delivered a second, CPU of an event, latency.

use super::Bench;
use super::table::{Better, Table};

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let sides = b.sides()?;
    for (watchers, events) in [("1", "1000"), ("100", "500"), ("1000", "100")] {
        for n in 0..b.repeats {
            for s in sides.iter().filter(|s| b.plays(s.who, n)) {
                let (config, pids) = (s.config(), s.pid_list());
                let args = [
                    ("kubeconfig", config.as_str()),
                    ("pids", &pids),
                    ("watchers", watchers),
                    ("events", events),
                ];
                let v = b.load("watch", &args)?;
                let number = |n: &str| v[n].as_f64().unwrap_or_default();
                let what = format!("events to {watchers} watchers");
                let measured = (number("rate"), Some(number("cpu_us")), s.peak());
                t.add(&what, "1/s", Better::Higher, s.who, measured);
                for (q, name) in [("p50_us", "median"), ("p99_us", "99 %")] {
                    let what = format!("{what}: latency, {name}");
                    t.add(&what, "ms", Better::Lower, s.who, (number(q) / 1e3, None, 0.0));
                }
                let what = format!("{what}: CPU of an event");
                t.add(&what, "µs", Better::Lower, s.who, (number("cpu_us"), None, 0.0));
            }
        }
    }
    Ok(())
}
