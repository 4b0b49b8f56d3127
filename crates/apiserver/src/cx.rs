//! One request on its way through a handler.

use crate::fair::Class;
use crate::negotiate::{self, Media, Offer, Partial};
use crate::query::Query;
use crate::registry::ResourceInfo;
use crate::request::RequestInfo;
use crate::server::ApiServer;
use crate::table::Include;
use crate::{Failure, Result, audit};
use http::HeaderMap;
use meta::UserInfo;
use meta::time::Timestamp;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Characters of warning texts in one answer before they are cut.
const WARNINGS_TOTAL: usize = 4096;
const WARNING_CUT: usize = 256;

/// What handlers know of the request they answer.
pub struct Cx {
    pub server: Arc<ApiServer>,
    pub info: RequestInfo,
    pub res: Arc<ResourceInfo>,
    pub headers: HeaderMap,
    pub query: Query,
    pub user: UserInfo,
    /// Of the request's arrival.
    pub now: Timestamp,
    pub seed: u64,
    warnings: Arc<Notes>,
}

/// What a request gathers on its way: texts for `Warning` headers, its class, its audit record.
#[derive(Debug, Default)]
pub struct Notes {
    texts: Mutex<Vec<String>>,
    class: OnceLock<Class>,
    record: OnceLock<audit::Record>,
}

impl Notes {
    pub fn classify(&self, c: Class) -> &Class {
        self.class.get_or_init(|| c)
    }
    /// Keeps the audit record.
    pub fn keep(&self, r: audit::Record) -> &audit::Record {
        self.record.get_or_init(|| r)
    }
    pub fn record(&self) -> Option<&audit::Record> {
        self.record.get()
    }
    pub fn class(&self) -> Option<&Class> {
        self.class.get()
    }
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut all = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        if !text.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }
    /// The header values: `299 - "text"`.
    pub fn headers(&self) -> Vec<String> {
        let all = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = all.iter().map(|t| t.chars().count()).sum();
        let mut written = 0;
        let mut out = Vec::new();
        for t in all.iter() {
            let mut t = t.clone();
            if total > WARNINGS_TOTAL {
                if written >= WARNINGS_TOTAL {
                    break;
                }
                if t.chars().count() > WARNING_CUT {
                    t = t.chars().take(WARNING_CUT).collect();
                }
                written += t.chars().count();
            }
            let quoted: String = t
                .chars()
                .filter(|c| !c.is_control())
                .flat_map(|c| {
                    let esc = matches!(c, '"' | '\\').then_some('\\');
                    esc.into_iter().chain(std::iter::once(c))
                })
                .collect();
            out.push(format!("299 - \"{quoted}\""));
        }
        out
    }
}

impl Cx {
    pub fn new(
        server: Arc<ApiServer>,
        info: RequestInfo,
        res: Arc<ResourceInfo>,
        headers: HeaderMap,
        query: Query,
        user: UserInfo,
        warnings: Arc<Notes>,
    ) -> Self {
        let now = server.now();
        let seed = server.random();
        Self { server, info, res, headers, query, user, now, seed, warnings }
    }
    /// The same request on another resource (the parent of a subresource's object, say).
    pub fn on(&self, res: Arc<ResourceInfo>) -> Self {
        Self {
            server: self.server.clone(),
            info: self.info.clone(),
            res,
            headers: self.headers.clone(),
            query: self.query.clone(),
            user: self.user.clone(),
            now: self.now,
            seed: self.seed,
            warnings: self.warnings.clone(),
        }
    }
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.add(text);
    }
    /// A note for the audit record, where one is kept.
    pub fn annotate(&self, key: &str, value: &str) {
        if let Some(r) = self.warnings.record() {
            r.annotate(key, value);
        }
    }
    pub fn user_agent(&self) -> &str {
        self.headers.get(http::header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
    pub fn subresource(&self) -> &str {
        &self.info.subresource
    }
    /// The form of an answer that holds objects of the resource's kind.
    pub fn media(&self, partial: Partial) -> Result<Media> {
        let offer =
            Offer { proto: !self.res.is_custom(), tables: true, partial, discovery: false, stream: false };
        negotiate::negotiate(&self.headers, self.query.get("pretty"), offer)
    }
    /// The form of watch events.
    pub fn stream_media(&self) -> Result<Media> {
        let offer = Offer {
            proto: !self.res.is_custom(),
            tables: true,
            partial: Partial::Object,
            discovery: false,
            stream: true,
        };
        negotiate::negotiate(&self.headers, self.query.get("pretty"), offer)
    }
    /// The form of an answer that holds one other object.
    pub fn plain_media(&self) -> Result<Media> {
        negotiate::negotiate(&self.headers, self.query.get("pretty"), Offer::PLAIN)
    }
    pub fn include(&self) -> Result<Include> {
        Include::parse(self.query.get("includeObject"))
    }
    pub fn kinds_cx<'a>(&'a self, subresource: &'a str) -> kinds::Cx<'a> {
        kinds::Cx { now: self.now, user: &self.user, subresource, seed: self.seed }
    }
    pub fn not_found(&self, name: &str) -> Failure {
        meta::Status::not_found(&self.res.group_resource(), name).into()
    }
}
