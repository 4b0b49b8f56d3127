//! Makes a number of pods, as fast as the server takes them.

use crate::Args;
use crate::net::{Call, Target};
use crate::objects::{Encoding, Kind, object};
use crate::stat::Span;
use http::Method;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let (first, count) = (args.number("first", 0)?, args.number("count", 10_000)?);
    let span = Span::start(&args.servers());
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = Vec::new();
    for _ in 0..args.number("clients", 64)? {
        let mut conn = target.connect().await?;
        let next = next.clone();
        tasks.push(tokio::spawn(async move {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                if i >= first + count {
                    return Ok::<_, String>(());
                }
                // One in a hundred carries the label that lists select.
                let mark = if i.is_multiple_of(100) { "chosen" } else { "other" };
                let body = object(Kind::Pod, Encoding::Proto, "default", &format!("fill-{i:06}"), mark);
                let media = Encoding::Proto.media();
                let path = "/api/v1/namespaces/default/pods";
                conn.call(Call { method: Method::POST, path, content: media, accept: media, body }).await?;
            }
        }));
    }
    for t in tasks {
        t.await.map_err(|e| e.to_string())??;
    }
    Ok(span.end(count, Vec::new()))
}
