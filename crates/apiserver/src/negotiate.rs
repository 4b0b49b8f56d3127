//! Content negotiation: what form an answer takes, what form a body has (apiserver
//! `pkg/endpoints/handlers/negotiation`).

use crate::Failure;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use meta::{Reason, Status};

pub const JSON: &str = "application/json";
pub const YAML: &str = "application/yaml";
pub const PROTO: &str = "application/vnd.kubernetes.protobuf";

/// An encoding of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Json,
    Yaml,
    Proto,
}

impl Format {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => JSON,
            Self::Yaml => YAML,
            Self::Proto => PROTO,
        }
    }
}

/// What an object is turned into before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    None,
    /// `meta.k8s.io` Table of this version.
    Table(MetaVersion),
    /// PartialObjectMetadata, or a list of them.
    Partial(MetaVersion),
    /// Aggregated discovery, `apidiscovery.k8s.io/v2`.
    Discovery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetaVersion {
    V1,
    V1Beta1,
}

impl MetaVersion {
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Media {
    pub format: Format,
    pub transform: Transform,
    pub pretty: bool,
}

impl Media {
    pub const JSON: Self = Self { format: Format::Json, transform: Transform::None, pretty: false };
}

/// What an endpoint can answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Protobuf (custom resources have none).
    pub proto: bool,
    /// Which transformations: tables and partial metadata.
    pub tables: bool,
    pub partial: Partial,
    pub discovery: bool,
    /// For a watch: no YAML.
    pub stream: bool,
}

/// Whether a single object or a list is asked for: `as=` names the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    No,
    Object,
    List,
}

impl Offer {
    /// Plain objects: errors, reviews.
    pub const PLAIN: Self =
        Self { proto: true, tables: false, partial: Partial::No, discovery: false, stream: false };
}

struct Clause<'a> {
    ty: &'a str,
    sub: &'a str,
    q: f32,
    params: Vec<(&'a str, &'a str)>,
}

fn parse_accept(h: &str) -> Vec<Clause<'_>> {
    let mut v: Vec<Clause<'_>> = h
        .split(',')
        .filter_map(|c| {
            let mut it = c.split(';').map(str::trim);
            let media = it.next()?;
            let (ty, sub) = match media.split_once('/') {
                Some((t, s)) => (t.trim(), s.trim()),
                None if media == "*" => ("*", "*"),
                None => return None,
            };
            let mut clause = Clause { ty, sub, q: 1.0, params: Vec::new() };
            for p in it {
                let Some((k, v)) = p.split_once('=') else { continue };
                let (k, v) = (k.trim(), v.trim().trim_matches('"'));
                if k == "q" {
                    clause.q = v.parse().unwrap_or(1.0);
                } else {
                    clause.params.push((k, v));
                }
            }
            Some(clause)
        })
        .collect();
    // Stable: equal clauses stay in order; by quality, then the more exact first.
    let rank = |c: &Clause<'_>| u8::from(c.ty == "*") + u8::from(c.sub == "*");
    v.sort_by(|a, b| b.q.total_cmp(&a.q).then(rank(a).cmp(&rank(b))));
    v
}

fn transform_of(c: &Clause<'_>, format: Format, offer: Offer) -> Option<Transform> {
    let get = |k: &str| c.params.iter().find(|(n, _)| *n == k).map(|(_, v)| *v);
    if get("stream").is_some_and(|s| !s.is_empty() && s != "watch")
        || get("sv").is_some_and(|s| !s.is_empty())
    {
        return None;
    }
    let (kind, group, version) = (get("as"), get("g"), get("v"));
    if kind.is_none() && group.is_none() && version.is_none() {
        return Some(Transform::None);
    }
    if group == Some("apidiscovery.k8s.io") {
        let ok = offer.discovery && version == Some("v2") && kind == Some("APIGroupDiscoveryList");
        return (ok && format != Format::Yaml).then_some(Transform::Discovery);
    }
    let v = match version {
        Some("v1") => MetaVersion::V1,
        Some("v1beta1") => MetaVersion::V1Beta1,
        _ => return None,
    };
    if group != Some("meta.k8s.io") {
        return None;
    }
    match (kind, offer.partial) {
        (Some("Table"), _) if offer.tables && format != Format::Proto => Some(Transform::Table(v)),
        (Some("PartialObjectMetadata"), Partial::Object)
        | (Some("PartialObjectMetadataList"), Partial::List) => Some(Transform::Partial(v)),
        _ => None,
    }
}

/// Picks the answer's form from the Accept header.
pub fn negotiate(headers: &HeaderMap, pretty_param: Option<&str>, offer: Offer) -> Result<Media, Failure> {
    let agent = headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
    let pretty = match pretty_param {
        Some(p) if !p.is_empty() => matches!(p, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => agent.starts_with("curl") || agent.starts_with("Wget") || agent.starts_with("Mozilla/5.0"),
    };
    let mut accept = String::new();
    for v in headers.get_all(ACCEPT) {
        if let Ok(v) = v.to_str() {
            if !accept.is_empty() {
                accept.push(',');
            }
            accept.push_str(v);
        }
    }
    if accept.is_empty() {
        return Ok(Media { pretty, ..Media::JSON });
    }
    let formats = [Format::Json, Format::Yaml, Format::Proto];
    for c in parse_accept(&accept) {
        for f in formats {
            if f == Format::Yaml && offer.stream {
                continue;
            }
            if f == Format::Proto && !offer.proto && c.params.iter().all(|(k, _)| *k != "as") {
                continue;
            }
            let (ty, sub) = f.media_type().split_once('/').unwrap_or_default();
            if !(c.ty == "*" && c.sub == "*" || c.ty == ty && (c.sub == sub || c.sub == "*")) {
                continue;
            }
            if let Some(transform) = transform_of(&c, f, offer) {
                let p = pretty || c.params.iter().any(|(k, v)| *k == "pretty" && *v == "1");
                return Ok(Media { format: f, transform, pretty: p });
            }
        }
    }
    Err(Box::new(Status::failure(
        Reason::NotAcceptable,
        if offer.stream {
            format!("only the following media types are accepted: {JSON};stream=watch, {PROTO};stream=watch")
        } else {
            format!("only the following media types are accepted: {}", supported(true))
        },
    )))
}

fn supported(proto: bool) -> String {
    if proto { format!("{JSON}, {YAML}, {PROTO}") } else { format!("{JSON}, {YAML}") }
}

/// The encoding of a request's body; none given is JSON.
pub fn body_format(headers: &HeaderMap, proto: bool) -> Result<Format, Failure> {
    let ct = match headers.get(CONTENT_TYPE) {
        None => return Ok(Format::Json),
        Some(v) => v.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase(),
    };
    match ct.as_str() {
        "" | JSON => Ok(Format::Json),
        YAML => Ok(Format::Yaml),
        PROTO if proto => Ok(Format::Proto),
        _ => Err(Box::new(Status::failure(
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                supported(proto)
            ),
        ))),
    }
}

/// Whether the client takes gzip.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT_ENCODING)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.split(',').any(|e| e.split(';').next().is_some_and(|e| e.trim() == "gzip")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn accept(a: &str, offer: Offer) -> String {
        let mut h = HeaderMap::new();
        h.insert(ACCEPT, HeaderValue::from_str(a).unwrap());
        match negotiate(&h, None, offer) {
            Ok(m) => format!("{:?} {:?}", m.format, m.transform),
            Err(s) => s.code.to_string(),
        }
    }

    #[test]
    fn accepts() {
        let list =
            Offer { proto: true, tables: true, partial: Partial::List, discovery: false, stream: false };
        let one = Offer { partial: Partial::Object, ..list };
        let custom = Offer { proto: false, ..list };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let cases = [
            ("application/json", list, "Json None"),
            ("*/*", list, "Json None"),
            ("application/vnd.kubernetes.protobuf,application/json", list, "Proto None"),
            ("application/vnd.kubernetes.protobuf,application/json", custom, "Json None"),
            ("application/vnd.kubernetes.protobuf", custom, "406"),
            (table, list, "Json Table(V1)"),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", list, "406"),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                custom,
                "Proto Partial(V1)",
            ),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", one, "Json Partial(V1)"),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", one, "406"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", list, "Json None"),
            ("application/json;q=0.5,application/yaml", list, "Yaml None"),
            ("application/json;stream=watch", list, "Json None"),
            ("text/plain", list, "406"),
        ];
        for (a, o, want) in cases {
            assert_eq!(accept(a, o), want, "{a}");
        }
    }
}
