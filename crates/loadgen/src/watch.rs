//! Fan-out: a number of watchers of ConfigMaps, a number of changes; when each watcher has seen all, it is over.

use crate::Args;
use crate::net::{Call, Target};
use crate::objects::JSON;
use crate::stat::Span;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Streams that share a connection.
const STREAMS: u64 = 50;
const MARK: &[u8] = b"\"sent\":\"";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let (watchers, events) = (args.number("watchers", 100)?, args.number("events", 200)?);
    let limit = Duration::from_secs(args.number("timeout", 120)?);
    let ns = "/api/v1/namespaces/kube-public/configmaps";
    let mut conn = target.connect().await?;
    let list = conn.call(Call::get(&format!("{ns}?limit=1"), JSON)).await?;
    let list: Value = serde_json::from_slice(&list).map_err(|e| e.to_string())?;
    let rv = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
    let path =
        format!("{ns}?watch=1&resourceVersion={rv}&labelSelector=for%3Dwatch&allowWatchBookmarks=false");
    let mut streams = Vec::new();
    let mut shared = conn.clone();
    for i in 0..watchers {
        if i % STREAMS == 0 {
            shared = target.connect().await?;
        }
        let answer = shared.start(Call::get(&path, JSON)).await?;
        if answer.status() != 200 {
            return Err(format!("a watch was answered {}", answer.status()));
        }
        streams.push(answer.into_body());
    }
    let span = Span::start(&args.servers());
    let sampled = (watchers / 10).max(1);
    let mut tasks = Vec::new();
    for (i, mut body) in streams.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let (mut seen, mut latencies) = (0, Vec::new());
            while seen < events {
                let Some(frame) = body.frame().await else {
                    return Err(format!("a watch ended after {seen}"));
                };
                let frame = frame.map_err(|e| e.to_string())?;
                let Some(data) = frame.data_ref() else { continue };
                seen += data.iter().filter(|b| **b == b'\n').count() as u64;
                if (i as u64).is_multiple_of(sampled)
                    && let Some(at) = data.windows(MARK.len()).position(|w| w == MARK)
                {
                    let digits = data[at + MARK.len()..].iter().take_while(|b| b.is_ascii_digit());
                    let sent = digits.fold(0_u64, |n, b| n.wrapping_mul(10) + u64::from(b - b'0'));
                    latencies.push(u32::try_from(now().saturating_sub(sent)).unwrap_or(u32::MAX));
                }
            }
            Ok(latencies)
        }));
    }
    for i in 0..events {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "watched", "labels": {"for": "watch"}},
            "data": {"n": i.to_string(), "sent": now().to_string(), "filling": "x".repeat(400)}});
        let (method, path) =
            if i == 0 { (Method::POST, ns.to_owned()) } else { (Method::PUT, format!("{ns}/watched")) };
        let body = body.to_string().into();
        conn.call(Call { method, path: &path, content: JSON, accept: JSON, body }).await?;
    }
    let mut all = Vec::new();
    for t in tasks {
        let seen = tokio::time::timeout(limit, t).await.map_err(|_| "events did not arrive in time")?;
        all.extend(seen.map_err(|e| e.to_string())??);
    }
    let v = span.end(events * watchers, all);
    let path = format!("{ns}/watched");
    conn.call(Call {
        method: Method::DELETE,
        path: &path,
        content: "",
        accept: JSON,
        body: Default::default(),
    })
    .await?;
    Ok(v)
}
