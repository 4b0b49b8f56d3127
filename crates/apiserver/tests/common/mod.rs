//! What black-box tests share: a server over a store in memory, requests as lines, answers as text.

#![allow(dead_code, clippy::unwrap_used, reason = "tests; not every file uses all of it")]

pub mod mem;

use apiserver::body::Input;
use apiserver::server::Sender;
use apiserver::{ApiServer, Config};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use mem::{Home, Mem};
use meta::{UserInfo, Value};
use runtime::Runtime;
use std::sync::Arc;

/// 2026-01-02T03:04:05Z
pub const NOW: i64 = 1_767_323_045;

pub struct Server {
    pub api: Arc<ApiServer>,
    pub store: Arc<Mem>,
    pub rt: Runtime,
}

pub fn config(store: &Arc<Mem>) -> Config {
    Config::new(Arc::new(Home(store.clone())))
}

impl Server {
    pub fn new() -> Self {
        let store = Mem::new();
        Self::with(config(&store), store)
    }
    pub fn with(cfg: Config, store: Arc<Mem>) -> Self {
        let mut rt = Runtime::new();
        rt.clock = runtime::Clock::fixed(NOW * 1_000_000_000);
        Self { api: ApiServer::new(cfg, rt.clone()).unwrap(), store, rt }
    }
    /// With the namespaces `a` and `b`.
    pub async fn ready() -> Self {
        let s = Self::new();
        for n in ["a", "b"] {
            let ns = serde_json::json!({"metadata": {"name": n}});
            assert_eq!(s.json("POST /api/v1/namespaces", ns).await.code, 201);
        }
        s
    }
    pub fn revision(&self) -> i64 {
        self.api.store.cached().revision()
    }
    pub fn admin() -> UserInfo {
        UserInfo::new("admin", &["system:masters", "system:authenticated"])
    }
    pub async fn send(&self, req: Request<Bytes>) -> Response<serve::Body> {
        self.api.handle(req.map(Input::Bytes), Sender::Process(Self::admin())).await
    }
    /// `METHOD PATH`, then headers as `name: value`, a body, and the answer whole.
    pub async fn raw(&self, line: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut b = Request::builder().method(method).uri(uri);
        for (k, v) in headers {
            b = b.header(*k, *v);
        }
        let res = self.send(b.body(body.into()).unwrap()).await;
        let (parts, body) = res.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer { code: parts.status.as_u16(), headers: parts.headers, body: bytes }
    }
    pub async fn json(&self, line: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(line, &[("content-type", "application/json"), ("user-agent", "test/1")], body).await
    }
    pub async fn get(&self, path: &str) -> Answer {
        self.json(&format!("GET {path}"), Value::Null).await
    }
    /// The frames of a watch until `n` have come.
    pub async fn watch(&self, path: &str) -> Frames {
        let req = Request::get(path).body(Bytes::new()).unwrap();
        let res = self.send(req).await;
        assert_eq!(res.status(), 200, "{path}");
        Frames { body: res.into_body(), buf: Vec::new() }
    }
}

pub struct Frames {
    body: serve::Body,
    buf: Vec<u8>,
}

impl Frames {
    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(i) = self.buf.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buf.drain(..=i).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let f = self.body.frame().await?;
            self.buf.extend_from_slice(f.unwrap().data_ref().unwrap());
        }
    }
    /// `ADDED a`, `DELETED b`, `BOOKMARK`
    pub async fn short(&mut self) -> String {
        match self.next().await {
            None => "end".to_owned(),
            Some(v) => {
                let name = v["object"]["metadata"]["name"].as_str().unwrap_or("");
                format!("{} {name}", v["type"].as_str().unwrap()).trim().to_owned()
            }
        }
    }
}

pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub fn warnings(&self) -> Vec<String> {
        self.headers.get_all("warning").iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }
    /// `201` and the message of a Status, or the object's name and resource version.
    pub fn brief(&self) -> String {
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(v) if v["kind"] == "Status" => {
                format!("{} {}", self.code, v["message"].as_str().or(v["status"].as_str()).unwrap_or(""))
            }
            Ok(v) if v["items"].is_array() => {
                let names: Vec<&str> = v["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|i| i["metadata"]["name"].as_str().unwrap_or("?"))
                    .collect();
                format!("{} [{}]", self.code, names.join(" "))
            }
            Ok(v) => format!("{} {}", self.code, v["metadata"]["name"].as_str().unwrap_or("")),
            Err(_) => format!("{} {}", self.code, self.text().trim()),
        }
    }
}
