//! Descriptions of types and fields.

use std::collections::HashMap;
use std::io::Read;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs.bin"));

/// All descriptions, unpacked: about 2 MB, so kept only while a document is made.
pub struct Docs(HashMap<String, (String, HashMap<String, String>)>);

fn unescape(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(if chars.next() == Some('n') { '\n' } else { '\\' }),
            c => out.push(c),
        }
    }
    out
}

impl Docs {
    pub fn load() -> Self {
        let mut text = String::new();
        if flate2::read::DeflateDecoder::new(PACKED).read_to_string(&mut text).is_err() {
            text.clear();
        }
        let mut map: HashMap<String, (String, HashMap<String, String>)> = HashMap::new();
        let mut current = String::new();
        for line in text.lines() {
            let Some((name, doc)) = line.get(1..).and_then(|l| l.split_once('\t')) else { continue };
            if line.starts_with('T') {
                current = name.to_owned();
                map.entry(current.clone()).or_default().0 = unescape(doc);
            } else if let Some(t) = map.get_mut(&current) {
                t.1.insert(name.to_owned(), unescape(doc));
            }
        }
        Self(map)
    }
    /// The description of a definition (`io.k8s.api.core.v1.Pod`).
    pub fn of(&self, definition: &str) -> Option<&str> {
        self.0.get(definition).map(|t| t.0.as_str()).filter(|d| !d.is_empty())
    }
    /// The description of `apiVersion`, `kind` or `metadata`, which all kinds have.
    pub fn common(&self, field: &str) -> Option<&str> {
        match field {
            "metadata" => self.field("io.k8s.api.core.v1.Pod", field),
            "apiVersion" | "kind" => self.field("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", field),
            _ => None,
        }
    }
    pub fn field(&self, definition: &str, field: &str) -> Option<&str> {
        self.0.get(definition)?.1.get(field).map(String::as_str).filter(|d| !d.is_empty())
    }
}
