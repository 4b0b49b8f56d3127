//! `load SECONDS|until:FILE WORKERS URL...`: asks for the URLs in turn, for so long or until there is that file, and
//! counts what failed.

use crate::http;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// As long as the services themselves wait for each other, and some more.
const LIMIT: Duration = Duration::from_secs(30);
/// Seconds that a file is waited for.
const LONGEST: u64 = 600;

pub fn run(args: &[String]) -> Result<(), String> {
    let [seconds, workers, urls @ ..] = args else {
        return Err("usage: load SECONDS|until:FILE WORKERS URL...".to_owned());
    };
    let (seconds, file) = match seconds.strip_prefix("until:") {
        Some(f) => (LONGEST, Some(Path::new(f))),
        None => (seconds.parse().map_err(|_| format!("{seconds:?} is no number of seconds"))?, None),
    };
    let workers: usize = workers.parse().map_err(|_| format!("{workers:?} is no number"))?;
    let mut targets = Vec::new();
    for u in urls {
        let rest = u.strip_prefix("http://").ok_or_else(|| format!("{u}: http:// is all there is"))?;
        targets.push(rest.split_once('/').map_or((rest, "/".to_owned()), |(h, p)| (h, format!("/{p}"))));
    }
    if targets.is_empty() {
        return Err("which URL?".to_owned());
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let (next, times, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|s| {
        for _ in 0..workers.clamp(1, 64) {
            s.spawn(|| {
                while Instant::now() < end && !file.is_some_and(Path::exists) {
                    let (host, path) = &targets[next.fetch_add(1, Ordering::Relaxed) % targets.len()];
                    let begun = Instant::now();
                    let failed = match http::call(host, "GET", path, b"", LIMIT) {
                        Ok((200, _)) => None,
                        Ok((status, body)) => Some(format!("{path}: {status} {}", body.trim())),
                        Err(e) => Some(format!("{path}: {e}")),
                    };
                    times.lock().unwrap_or_else(PoisonError::into_inner).push(begun.elapsed());
                    failures.lock().unwrap_or_else(PoisonError::into_inner).extend(failed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
    let mut times = times.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    times.sort();
    let at = |part: usize| {
        times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    for f in failures.iter().take(5) {
        println!("{f}");
    }
    println!(
        "{} requests, {} failed, half within {:.1} ms, 99 % within {:.1} ms, all within {:.1} ms",
        times.len(),
        failures.len(),
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        at(100).as_secs_f64() * 1e3
    );
    if failures.is_empty() { Ok(()) } else { Err("some failed".to_owned()) }
}
