//! Waits until `/readyz` (or `--path`) answers 200 (or `--status`) and says when that was, by the clock of the machine.

use crate::Args;
use crate::net::{Call, Target};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::anonymous(args.text("url")?);
    let path = args.or("path", "/readyz").to_owned();
    let limit = Duration::from_secs(args.number("timeout", 60)?);
    let wanted = args.number("status", 200)?;
    let begin = Instant::now();
    let mut last = String::new();
    while begin.elapsed() < limit {
        match target.connect().await {
            Ok(mut conn) => {
                while begin.elapsed() < limit {
                    match conn.raw(Call::get(&path, "")).await {
                        Ok((status, _)) if u64::from(status) == wanted => {
                            let at =
                                SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?;
                            return Ok(json!({"at": at.as_secs_f64()}));
                        }
                        Ok((status, body)) => last = format!("{status} {}", String::from_utf8_lossy(&body)),
                        Err(e) => {
                            last = e;
                            break;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            Err(e) => last = e,
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Err(format!("not ready after {limit:?}: {last}"))
}
