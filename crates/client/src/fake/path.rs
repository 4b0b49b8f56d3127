//! Request paths of the test server taken apart.

use meta::GroupResource;

#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub resource: GroupResource,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
}

impl Target {
    pub fn parse(path: &str) -> Option<Self> {
        let mut s: Vec<&str> = path.trim_matches('/').split('/').collect();
        let group = match s.first().copied()? {
            "api" if s.len() >= 3 => {
                s.drain(..2);
                ""
            }
            "apis" if s.len() >= 4 => {
                let g = s[1];
                s.drain(..3);
                g
            }
            _ => return None,
        };
        let mut namespace = "";
        if s[0] == "namespaces" && s.len() >= 3 && !matches!(s[2], "status" | "finalize") {
            namespace = s[1];
            s.drain(..2);
        }
        let at = |i: usize| s.get(i).copied().unwrap_or_default().to_owned();
        Some(Self {
            resource: GroupResource::new(group, at(0)),
            namespace: namespace.to_owned(),
            name: at(1).replace("%3A", ":"),
            subresource: at(2),
        })
    }
}

/// A value of a query, unescaped.
pub fn query(q: &str, name: &str) -> String {
    let v = q.split('&').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == name).map_or("", |(_, v)| v);
    let b = v.as_bytes();
    let mut out = Vec::with_capacity(b.len());
    let mut i = 0;
    while i < b.len() {
        let hex = b.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
        match (b[i], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
            (b'%', Some(c)) => {
                out.push(c);
                i += 3;
            }
            (c, _) => {
                out.push(c);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
