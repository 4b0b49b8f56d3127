//! Puts and ranges against the etcd v3 API, gRPC by hand.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::Message;
use crate::stat::{Span, micros};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

async fn grpc(conn: &mut Conn, path: &str, m: &Message) -> Result<(), String> {
    let m = m.done();
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(m.len()).unwrap_or(0).to_be_bytes());
    body.extend_from_slice(m);
    let body = Bytes::from(body);
    let call = Call { method: Method::POST, path, content: "application/grpc", accept: "", body };
    let answer = conn.start(call).await?;
    let in_head = answer.headers().get("grpc-status").cloned();
    let all = answer.into_body().collect().await.map_err(|e| e.to_string())?;
    let status = all.trailers().and_then(|t| t.get("grpc-status")).cloned().or(in_head);
    if status.as_ref().is_some_and(|s| s == "0") {
        Ok(())
    } else {
        Err(format!("{path}: grpc-status {status:?}"))
    }
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::anonymous(args.text("url")?);
    let millis = args.number("millis", 1000)?;
    let servers = args.servers();
    let value = "v".repeat(usize::try_from(args.number("bytes", 1024)?).unwrap_or(1024));
    let mut clients = Vec::new();
    for _ in 0..args.number("clients", 16)? {
        clients.push(target.connect().await?);
    }
    let mut out = Map::new();
    for verb in ["put", "get", "range100"] {
        let span = Span::start(&servers);
        let end = Instant::now() + Duration::from_millis(millis);
        let mut tasks = Vec::new();
        for (id, mut conn) in clients.iter().cloned().enumerate() {
            let value = value.clone();
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                for i in 0.. {
                    let begin = Instant::now();
                    if begin >= end {
                        break;
                    }
                    let key = format!("/registry/bench/{id:03}-{:04}", i % 1000);
                    let m = Message::default();
                    match verb {
                        "put" => {
                            let m = m.text(1, &key).text(2, &value);
                            grpc(&mut conn, "/etcdserverpb.KV/Put", &m).await?;
                        }
                        "get" => {
                            grpc(&mut conn, "/etcdserverpb.KV/Range", &m.text(1, &key)).await?;
                        }
                        _ => {
                            let m = m.text(1, "/registry/bench/").text(2, "/registry/bench0").number(3, 100);
                            grpc(&mut conn, "/etcdserverpb.KV/Range", &m).await?;
                        }
                    }
                    latencies.push(micros(begin));
                }
                Ok::<_, String>(latencies)
            }));
        }
        out.insert(verb.to_owned(), span.of(tasks).await?);
    }
    Ok(out.into())
}
