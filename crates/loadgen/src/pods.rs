//! Pods with containers: from the first create until all are Running, then deleted until none is left.

use crate::Args;
use crate::net::{Call, Target};
use crate::objects::JSON;
use crate::stat::{Span, micros};
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let (count, run) = (args.number("count", 1)?, args.or("run", "run").to_owned());
    let (image, limit) = (args.text("image")?, Duration::from_secs(args.number("timeout", 180)?));
    let base = "/api/v1/namespaces/default/pods";
    let selector = format!("labelSelector=run%3D{run}");
    let mut conn = target.connect().await?;
    let list = conn.call(Call::get(&format!("{base}?limit=1"), JSON)).await?;
    let list: Value = serde_json::from_slice(&list).map_err(|e| e.to_string())?;
    let rv = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
    let path = format!("{base}?watch=1&resourceVersion={rv}&{selector}");
    let mut events = target.connect().await?.start(Call::get(&path, JSON)).await?.into_body();
    let span = Span::start(&args.servers());
    let mut created = BTreeMap::new();
    for i in 0..count {
        let name = format!("{run}-{i}");
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"run": run}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [
                {"name": "main", "image": image, "imagePullPolicy": "IfNotPresent",
                 "resources": {"requests": {"cpu": "1m"}}}]}});
        created.insert(name, Instant::now());
        let body = pod.to_string().into();
        conn.call(Call { method: Method::POST, path: base, content: JSON, accept: JSON, body }).await?;
    }
    let all = created.len();
    let (mut latencies, mut buf) = (Vec::new(), Vec::new());
    let mut left = created;
    let running = async {
        while !left.is_empty() {
            let Some(frame) = events.frame().await else { return Err("the watch ended".to_owned()) };
            let frame = frame.map_err(|e| e.to_string())?;
            buf.extend_from_slice(frame.data_ref().map_or(&[], |d| &d[..]));
            while let Some(at) = buf.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buf.drain(..=at).collect();
                let e: Value = serde_json::from_slice(&line).map_err(|e| e.to_string())?;
                let o = &e["object"];
                if o["status"]["phase"] == "Running"
                    && let Some(begin) = left.remove(o["metadata"]["name"].as_str().unwrap_or_default())
                {
                    latencies.push(micros(begin));
                }
            }
        }
        Ok(())
    };
    let done = tokio::time::timeout(limit, running).await;
    done.map_err(|_| format!("{} of {all} pods are not Running after {limit:?}", left.len()))??;
    let v = span.end(count, latencies);
    let path = format!("{base}?{selector}");
    let call =
        Call { method: Method::DELETE, path: &path, content: "", accept: JSON, body: Default::default() };
    conn.call(call).await?;
    let begin = Instant::now();
    loop {
        let list = conn.call(Call::get(&path, JSON)).await?;
        let list: Value = serde_json::from_slice(&list).map_err(|e| e.to_string())?;
        match list["items"].as_array().map_or(0, Vec::len) {
            0 => return Ok(v),
            n if begin.elapsed() > limit => return Err(format!("{n} pods do not go away")),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
