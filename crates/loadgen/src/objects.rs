//! The objects that the load consists of, in JSON and, by a few lines of encoder, in Kubernetes' protobuf.

use bytes::Bytes;
use serde_json::json;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Proto,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Pod,
    ConfigMap,
}

pub const JSON: &str = "application/json";
pub const PROTO: &str = "application/vnd.kubernetes.protobuf";

impl Encoding {
    pub fn parse(s: &str) -> Result<Self, String> {
        match s {
            "json" => Ok(Self::Json),
            "proto" => Ok(Self::Proto),
            _ => Err(format!("--encoding {s}: json or proto")),
        }
    }
    pub fn media(self) -> &'static str {
        if self == Self::Json { JSON } else { PROTO }
    }
}

impl Kind {
    pub fn parse(s: &str) -> Result<Self, String> {
        match s {
            "pods" => Ok(Self::Pod),
            "configmaps" => Ok(Self::ConfigMap),
            _ => Err(format!("--kind {s}: pods or configmaps")),
        }
    }
    pub fn resource(self) -> &'static str {
        if self == Self::Pod { "pods" } else { "configmaps" }
    }
}

/// A message in the making.
#[derive(Default)]
pub struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push((n as u8 & 0x7f) | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }
    #[must_use]
    pub fn bytes(mut self, field: u64, v: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(v.len() as u64);
        self.0.extend_from_slice(v);
        self
    }
    #[must_use]
    pub fn text(self, field: u64, v: &str) -> Self {
        self.bytes(field, v.as_bytes())
    }
    #[must_use]
    pub fn number(mut self, field: u64, v: u64) -> Self {
        self.varint(field << 3);
        self.varint(v);
        self
    }
    #[must_use]
    pub fn message(self, field: u64, v: &Self) -> Self {
        self.bytes(field, &v.0)
    }
    #[must_use]
    pub fn pair(self, field: u64, k: &str, v: &str) -> Self {
        self.message(field, &Self::default().text(1, k).text(2, v))
    }
    pub fn done(&self) -> &[u8] {
        &self.0
    }
}

fn unknown(kind: &str, object: &Message) -> Bytes {
    let types = Message::default().text(1, "v1").text(2, kind);
    let m = Message::default().message(1, &types).message(2, object);
    [b"k8s\0", m.done()].concat().into()
}

/// A pod that no scheduler takes and no account's token is mounted into, or a ConfigMap. `mark` is what updates change.
pub fn object(kind: Kind, encoding: Encoding, namespace: &str, name: &str, mark: &str) -> Bytes {
    match (encoding, kind) {
        (Encoding::Json, Kind::Pod) => pod_json(namespace, name, mark).to_string().into(),
        (Encoding::Json, Kind::ConfigMap) => json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": "bench", "mark": mark}},
            "data": {"one": "value of one", "two": "value of two"}})
        .to_string()
        .into(),
        (Encoding::Proto, _) => {
            let meta = Message::default().text(1, name).text(3, namespace);
            let meta = meta.pair(11, "app", "bench").pair(11, "mark", mark);
            if kind == Kind::ConfigMap {
                let m = Message::default().message(1, &meta);
                return unknown(
                    "ConfigMap",
                    &m.pair(2, "one", "value of one").pair(2, "two", "value of two"),
                );
            }
            let cpu = Message::default().text(1, "cpu").message(2, &Message::default().text(1, "100m"));
            let env = |n: &str, v: &str| Message::default().text(1, n).text(2, v);
            let container = Message::default()
                .text(1, "main")
                .text(2, "registry.k8s.io/pause:3.10")
                .message(7, &env("FIRST", "1"))
                .message(7, &env("SECOND", "two"))
                .message(8, &Message::default().message(2, &cpu));
            let spec =
                Message::default().message(2, &container).text(8, "default").text(19, "nobody").number(21, 0);
            unknown("Pod", &Message::default().message(1, &meta).message(2, &spec))
        }
    }
}

pub fn pod_json(namespace: &str, name: &str, mark: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "bench", "mark": mark}},
        "spec": {"schedulerName": "nobody", "automountServiceAccountToken": false, "serviceAccountName": "default",
            "containers": [{"name": "main", "image": "registry.k8s.io/pause:3.10",
                "env": [{"name": "FIRST", "value": "1"}, {"name": "SECOND", "value": "two"}],
                "resources": {"requests": {"cpu": "100m"}}}]}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_protobuf() {
        let m = Message::default().text(1, "ab").number(2, 300).pair(3, "k", "v");
        assert_eq!(m.done(), [10, 2, b'a', b'b', 16, 0xac, 2, 26, 6, 10, 1, b'k', 18, 1, b'v']);
        let pod = object(Kind::Pod, Encoding::Proto, "ns", "p", "1");
        assert!(pod.starts_with(b"k8s\0\x0a"));
    }
}
