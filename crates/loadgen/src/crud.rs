//! Create, get, update, patch, apply, delete of one kind by a number of clients, each with one request at a time.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::{Encoding, JSON, Kind, object};
use crate::stat::{Span, micros};
use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

pub const VERBS: [&str; 6] = ["create", "get", "update", "patch", "apply", "delete"];

struct Client {
    conn: Conn,
    id: u64,
    kind: Kind,
    encoding: Encoding,
    base: String,
    namespace: String,
    names: Vec<String>,
}

impl Client {
    async fn one(&mut self, verb: &str, i: usize) -> Result<bool, String> {
        let (kind, encoding) = (self.kind, self.encoding);
        let media = encoding.media();
        if verb == "create" {
            let name = format!("c{}-{i}", self.id);
            let body = object(kind, encoding, &self.namespace, &name, "0");
            let call = Call { method: Method::POST, path: &self.base, content: media, accept: media, body };
            self.conn.call(call).await?;
            self.names.push(name);
            return Ok(true);
        }
        if self.names.is_empty() || (verb == "delete" && i >= self.names.len()) {
            return Ok(false);
        }
        let name = &self.names[i % self.names.len()];
        let path = format!("{}/{name}", self.base);
        let mark = format!("{verb}-{i}");
        let (method, path, content, body) = match verb {
            "get" => (Method::GET, path, "", Bytes::new()),
            "update" => (Method::PUT, path, media, object(kind, encoding, &self.namespace, name, &mark)),
            "patch" => {
                let body = json!({"metadata": {"labels": {"mark": mark}}}).to_string();
                (Method::PATCH, path, "application/merge-patch+json", body.into())
            }
            "apply" => {
                let kind = if kind == Kind::Pod { "Pod" } else { "ConfigMap" };
                let body = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "annotations": {"mark": mark}}});
                (
                    Method::PATCH,
                    format!("{path}?fieldManager=bench&force=true"),
                    "application/apply-patch+yaml",
                    body.to_string().into(),
                )
            }
            _ => (Method::DELETE, path, "", Bytes::new()),
        };
        self.conn.call(Call { method, path: &path, content, accept: media, body }).await?;
        Ok(true)
    }
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let kind = Kind::parse(args.or("kind", "pods"))?;
    let encoding = Encoding::parse(args.or("encoding", "json"))?;
    let seconds = args.number("millis", 1000)?;
    let servers = args.servers();
    let namespace = args.or("namespace", "default").to_owned();
    let base = format!("/api/v1/namespaces/{namespace}/{}", kind.resource());
    let mut clients = Vec::new();
    for id in 0..args.number("clients", 1)? {
        let (namespace, base) = (namespace.clone(), base.clone());
        clients.push(Client {
            conn: target.connect().await?,
            id,
            kind,
            encoding,
            base,
            namespace,
            names: Vec::new(),
        });
    }
    let mut out = Map::new();
    for verb in VERBS {
        let span = Span::start(&servers);
        let end = Instant::now() + Duration::from_millis(seconds);
        let mut tasks = Vec::new();
        for mut c in clients.drain(..) {
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                for i in 0.. {
                    let begin = Instant::now();
                    if begin >= end || !c.one(verb, i).await? {
                        break;
                    }
                    latencies.push(micros(begin));
                }
                Ok::<_, String>((c, latencies))
            }));
        }
        let mut all = Vec::new();
        for t in tasks {
            let (c, latencies) = t.await.map_err(|e| e.to_string())??;
            clients.push(c);
            all.extend(latencies);
        }
        out.insert(verb.to_owned(), span.end(all.len() as u64, all));
    }
    if let Some(c) = clients.first_mut() {
        let (method, path) = (Method::DELETE, base.as_str());
        let call = Call { method, path, content: "", accept: JSON, body: Bytes::new() };
        c.conn.call(call).await?;
    }
    Ok(out.into())
}
