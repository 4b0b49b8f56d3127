//! Scheduling: simulated nodes (plain API objects), then pods; over when the last one has a node.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::{JSON, pod_json};
use crate::stat::Span;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::time::Duration;

const CONNECTIONS: u64 = 32;

pub fn node(i: u64) -> Value {
    let name = format!("sim-{i:05}");
    let size = json!({"cpu": "64", "memory": "256Gi", "pods": "110", "ephemeral-storage": "1Ti"});
    json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
            "topology.kubernetes.io/zone": format!("zone-{}", i % 3)}},
        "status": {"capacity": size, "allocatable": size,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Simulated", "message": "",
                "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}})
}

fn pod(run: &str, kind: &str, i: u64) -> Value {
    let mut p = pod_json("default", &format!("{run}-{i}"), run);
    p["spec"]["schedulerName"] = "default-scheduler".into();
    let selector = json!({"matchLabels": {"mark": run}});
    match kind {
        "spread" => {
            p["spec"]["topologySpreadConstraints"] = json!([{"maxSkew": 5, "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector}]);
        }
        "affinity" => {
            p["spec"]["affinity"] = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}}]}});
        }
        "preemption" => {
            p["spec"]["priorityClassName"] = URGENT.into();
            p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = MOST.into();
        }
        _ => {}
    }
    p
}

/// Of the 64 cores of a node: two of these do not fit.
const MOST: &str = "60";
const URGENT: &str = "urgent";

/// Fills every node with one pod of no priority, which goes at once when it must.
async fn occupy(target: &Target, run: &str, nodes: u64) -> Result<(), String> {
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": URGENT}, "value": 1000});
    // It is there from the second time on.
    let _ = post(&mut target.connect().await?, "/apis/scheduling.k8s.io/v1/priorityclasses", &class).await;
    let run = run.to_owned();
    target
        .each(CONNECTIONS, nodes, move |mut conn, i| {
            let mut p = pod_json("default", &format!("{run}-low-{i}"), "low");
            p["spec"]["schedulerName"] = "default-scheduler".into();
            p["spec"]["nodeName"] = format!("sim-{i:05}").into();
            p["spec"]["terminationGracePeriodSeconds"] = 0.into();
            p["spec"]["containers"][0]["resources"]["requests"]["cpu"] = MOST.into();
            async move { post(&mut conn, "/api/v1/namespaces/default/pods", &p).await }
        })
        .await
}

async fn post(conn: &mut Conn, path: &str, v: &Value) -> Result<(), String> {
    let body = v.to_string().into();
    conn.call(Call { method: Method::POST, path, content: JSON, accept: JSON, body }).await.map(drop)
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let (nodes, pods) = (args.number("nodes", 0)?, args.number("pods", 1000)?);
    let kind = args.or("kind", "plain").to_owned();
    let run = args.or("run", "run").to_owned();
    let limit = Duration::from_secs(args.number("timeout", 300)?);
    target
        .each(CONNECTIONS, nodes, |mut conn, i| async move {
            post(&mut conn, "/api/v1/nodes", &node(i)).await?;
            // A new node is tainted until a controller has seen it; none looks after these.
            let path = format!("/api/v1/nodes/sim-{i:05}");
            let (content, body) = ("application/merge-patch+json", r#"{"spec":{"taints":null}}"#.into());
            conn.call(Call { method: Method::PATCH, path: &path, content, accept: JSON, body })
                .await
                .map(drop)
        })
        .await?;
    if kind == "preemption" {
        occupy(&target, &run, args.number("have", 0)?).await?;
    }
    let mut conn = target.connect().await?;
    let selector = format!("labelSelector=mark%3D{run}&fieldSelector=spec.nodeName%21%3D");
    // The scheduler hears of the nodes first.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let span = Span::start(&args.servers());
    let mut watching = conn.clone();
    let seen = tokio::spawn(async move {
        // A server may end a watch at any time: then what is bound is listed again.
        loop {
            let list = watching.call(Call::get(&format!("/api/v1/pods?{selector}"), JSON)).await?;
            let list: Value = serde_json::from_slice(&list).map_err(|e| e.to_string())?;
            let mut n = list["items"].as_array().map_or(0, Vec::len) as u64;
            let rv = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
            let path = format!("/api/v1/pods?watch=1&resourceVersion={rv}&{selector}");
            let mut bound = watching.start(Call::get(&path, JSON)).await?.into_body();
            let (key, mut line) = (b"{\"type\":\"ADDED\"", Vec::new());
            while n < pods {
                let Some(Ok(frame)) = bound.frame().await else { break };
                for b in frame.data_ref().into_iter().flatten() {
                    if *b == b'\n' {
                        n += u64::from(line.starts_with(key));
                        line.clear();
                    } else if line.len() < key.len() {
                        line.push(*b);
                    }
                }
            }
            if n >= pods {
                return Ok::<_, String>(());
            }
        }
    });
    target
        .each(CONNECTIONS, pods, move |mut conn, i| {
            let p = pod(&run, &kind, i);
            async move { post(&mut conn, "/api/v1/namespaces/default/pods", &p).await }
        })
        .await?;
    let created = span.seconds();
    let seen = tokio::time::timeout(limit, seen).await.map_err(|_| "not all pods were scheduled in time")?;
    seen.map_err(|e| e.to_string())??;
    let mut v = span.end(pods, Vec::new());
    v["created_seconds"] = created.into();
    let path = "/api/v1/namespaces/default/pods?gracePeriodSeconds=0";
    conn.call(Call { method: Method::DELETE, path, content: "", accept: JSON, body: Default::default() })
        .await?;
    Ok(v)
}
