//! The six verbs, for pods and ConfigMaps, with 1, 16 and 64 clients, in JSON and protobuf.

use super::Bench;
use super::table::{Better, Table};

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let sides = b.sides()?;
    for kind in ["pods", "configmaps"] {
        for encoding in ["json", "proto"] {
            for clients in ["1", "16", "64"] {
                if !b.large && kind == "configmaps" && clients != "16" {
                    continue;
                }
                for n in 0..b.repeats {
                    for s in sides.iter().filter(|s| b.plays(s.who, n)) {
                        let (config, pids, millis) = (s.config(), s.pid_list(), b.millis().to_string());
                        let args = [
                            ("kubeconfig", config.as_str()),
                            ("pids", &pids),
                            ("kind", kind),
                            ("encoding", encoding),
                            ("clients", clients),
                            ("millis", &millis),
                        ];
                        let v = b.load("crud", &args)?;
                        for verb in ["create", "get", "update", "patch", "apply", "delete"] {
                            let what = format!("{verb} {kind}, {clients} clients, {encoding}");
                            let number = |n: &str| v[verb][n].as_f64().unwrap_or_default();
                            let measured = (number("rate"), Some(number("cpu_us")), s.peak());
                            t.add(&what, "1/s", Better::Higher, s.who, measured);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
