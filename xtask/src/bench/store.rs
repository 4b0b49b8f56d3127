//! The store alone, over the etcd v3 API: `keelson etcd` against etcd.

use super::Bench;
use super::side::Side;
use super::table::{Better, Table};
use crate::suite;
use std::time::{Duration, Instant};

pub fn run(b: &Bench, t: &mut Table) -> Result<(), String> {
    let mut sides = Vec::new();
    for who in b.whos() {
        let mut s = Side::new(b, *who)?;
        let exe = if *who == super::Who::Ours { b.exe.clone() } else { suite::bin("etcd") };
        s.etcd(&exe)?;
        let end = Instant::now() + Duration::from_secs(30);
        while let Err(e) = b.load("etcd", &[("url", &s.etcd_url()), ("clients", "1"), ("millis", "1")]) {
            if Instant::now() > end {
                return Err(e);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        sides.push(s);
    }
    for clients in ["1", "16", "64"] {
        for n in 0..b.repeats {
            for s in sides.iter().filter(|s| b.plays(s.who, n)) {
                let (url, pids, millis) = (s.etcd_url(), s.pid_list(), b.millis().to_string());
                let args =
                    [("url", url.as_str()), ("pids", &pids), ("clients", clients), ("millis", &millis)];
                let v = b.load("etcd", &args)?;
                for verb in ["put", "get", "range100"] {
                    let number = |n: &str| v[verb][n].as_f64().unwrap_or_default();
                    let what = format!("store {verb}, {clients} clients");
                    let measured = (number("rate"), Some(number("cpu_us")), s.peak());
                    t.add(&what, "1/s", Better::Higher, s.who, measured);
                    if verb == "put" {
                        let what = format!("{what}: CPU of a put");
                        t.add(&what, "µs", Better::Lower, s.who, (number("cpu_us"), None, 0.0));
                    }
                }
            }
        }
    }
    Ok(())
}
