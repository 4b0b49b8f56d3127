//! Small questions: an object by its path, and who holds the lease of a component.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::JSON;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub async fn get(args: &Args) -> Result<Value, String> {
    let mut conn = Target::kubeconfig(args.text("kubeconfig")?)?.connect().await?;
    let body = conn.call(Call::get(args.text("path")?, JSON)).await?;
    serde_json::from_slice(&body).map_err(|e| e.to_string())
}

/// Waits until somebody holds the lease `--name` who is not `--not`.
pub async fn leader(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{}", args.text("name")?);
    let (not, limit) = (args.or("not", ""), Duration::from_secs(args.number("timeout", 60)?));
    let begin = Instant::now();
    let mut conn: Option<Conn> = None;
    let mut last = String::new();
    while begin.elapsed() < limit {
        let asked = async {
            if conn.is_none() {
                conn = Some(target.connect().await?);
            }
            let Some(c) = conn.as_mut() else { return Err("no connection".to_owned()) };
            let (_, body) = c.raw(Call::get(&path, JSON)).await?;
            serde_json::from_slice::<Value>(&body).map_err(|e| e.to_string())
        };
        match asked.await {
            Ok(v) => {
                let holder = v["spec"]["holderIdentity"].as_str().unwrap_or_default();
                if !holder.is_empty() && holder != not {
                    return Ok(json!({"holder": holder, "seconds": begin.elapsed().as_secs_f64()}));
                }
                last = format!("held by {holder:?}");
            }
            Err(e) => {
                conn = None;
                last = e;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(format!("{path}: {last} after {limit:?}"))
}
