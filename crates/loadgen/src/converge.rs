//! Whether a cluster still does its work: a Deployment is made, its pods get a simulated node, are said to run there,
//! and the Deployment says that it is available. With `--image` its pods are real ones, on the nodes that there are.
//! Prints how long that took.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::JSON;
use crate::schedule;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const MERGE: &str = "application/merge-patch+json";

struct Client {
    target: Target,
    conn: Option<Conn>,
}

impl Client {
    async fn call(
        &mut self,
        method: Method,
        path: &str,
        content: &str,
        body: &Value,
    ) -> Result<(u16, Value), String> {
        let body: Bytes = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        if self.conn.is_none() {
            self.conn = Some(self.target.connect().await?);
        }
        let Some(c) = self.conn.as_mut() else { return Err("no connection".to_owned()) };
        match c.raw(Call { method, path, content, accept: JSON, body }).await {
            Ok((status, b)) => Ok((status, serde_json::from_slice(&b).unwrap_or_default())),
            Err(e) => {
                self.conn = None;
                Err(e)
            }
        }
    }
}

/// One look at the Deployment, and a hand to its pods. Answers whether all is done.
async fn turn(
    c: &mut Client,
    name: &str,
    replicas: u64,
    image: Option<&str>,
    last: &mut String,
) -> Result<bool, String> {
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let (status, d) = c.call(Method::GET, &format!("{deployments}/{name}"), "", &Value::Null).await?;
    if status == 404 {
        let labels = json!({"app": name});
        let d = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"automountServiceAccountToken": false,
                    "containers": [{"name": "main", "image": image.unwrap_or("registry.k8s.io/pause:3.10")}]}}}});
        let (status, v) = c.call(Method::POST, deployments, JSON, &d).await?;
        *last = format!("creating it: {status} {}", v["message"]);
        return Ok(false);
    }
    let available = d["status"]["availableReplicas"].as_u64().unwrap_or(0);
    if available == replicas && d["status"]["observedGeneration"] == d["metadata"]["generation"] {
        return Ok(true);
    }
    let pods = "/api/v1/namespaces/default/pods";
    let (_, list) =
        c.call(Method::GET, &format!("{pods}?labelSelector=app%3D{name}"), "", &Value::Null).await?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let bound = all.iter().filter(|p| p["spec"]["nodeName"].is_string()).count();
    *last = format!("{} pods, {bound} with a node, {available} available", all.len());
    for p in all.iter().filter(|_| image.is_none()) {
        let waits = p["status"]["phase"] == "Pending" && p["spec"]["nodeName"].is_string();
        if let Some(pod) = p["metadata"]["name"].as_str().filter(|_| waits) {
            let at = "2026-01-01T00:00:00Z";
            let ready = |t: &str| json!({"type": t, "status": "True", "lastTransitionTime": at});
            let s = json!({"status": {"phase": "Running", "conditions": [ready("Ready"), ready("ContainersReady"),
                ready("Initialized"), ready("PodScheduled")]}});
            c.call(Method::PATCH, &format!("{pods}/{pod}/status"), MERGE, &s).await?;
        }
    }
    Ok(false)
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let mut c = Client { target: Target::kubeconfig(args.text("kubeconfig")?)?, conn: None };
    let name = args.or("name", "converge").to_owned();
    let replicas = args.number("replicas", 3)?;
    let limit = Duration::from_secs(args.number("timeout", 60)?);
    let begin = Instant::now();
    let mut last = String::new();
    let image = Some(args.or("image", "")).filter(|i| !i.is_empty());
    let mut has_node = image.is_some();
    while begin.elapsed() < limit {
        let done = async {
            if !has_node {
                let (status, v) = c.call(Method::POST, "/api/v1/nodes", JSON, &schedule::node(0)).await?;
                if status != 201 && status != 409 {
                    return Err(format!("a node: {status} {v}"));
                }
                // A new node is tainted until a controller has seen it; none looks after this one.
                let clean = json!({"spec": {"taints": null}});
                c.call(Method::PATCH, "/api/v1/nodes/sim-00000", MERGE, &clean).await?;
                has_node = true;
            }
            turn(&mut c, &name, replicas, image, &mut last).await
        };
        match done.await {
            Ok(true) => {
                let took = begin.elapsed().as_secs_f64() * 1000.0;
                let path = format!("/apis/apps/v1/namespaces/default/deployments/{name}");
                if image.is_none() {
                    let _ = c.call(Method::DELETE, &path, "", &Value::Null).await;
                }
                return Ok(json!({"ms": took}));
            }
            Ok(false) => {}
            Err(e) => last = e,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("deployment {name} is not available after {limit:?}: {last}"))
}
