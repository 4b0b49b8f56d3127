//! Aggregation: groups and versions that an APIService gives to another server (Kubernetes `kube-aggregator`).
//!
//! Requests for them are passed on with the user's name in headers; discovery and the OpenAPI index tell of them beside
//! what is served here.

mod follow;

use crate::body::Input;
use crate::connect::target::{self, Target, Tls};
use crate::connect::{self, Trust, client_config};
use crate::server::ApiServer;
use crate::{Result, respond};
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::{Bytes, BytesMut};
pub use follow::follow;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use meta::object::ObjectExt;
use meta::{GroupVersion, UserInfo, Value};
use rustls::ClientConfig;
use serde_json::json;
use serve::Body;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a document of another server, at most.
const DOCUMENT: usize = 32 << 20;

/// What another server serves.
pub struct Remote {
    pub name: String,
    pub group: String,
    pub version: String,
    pub group_priority: i64,
    pub version_priority: i64,
    namespace: String,
    service: String,
    port: i64,
    /// What the APIService says, to see that it has changed.
    spec: Value,
    tls: std::result::Result<Arc<ClientConfig>, String>,
    available: AtomicBool,
    /// Its part of aggregated discovery, once it was had.
    discovery: ArcSwapOption<Value>,
    /// Where its OpenAPI document is.
    openapi: ArcSwapOption<String>,
}

impl Remote {
    fn new(s: &ApiServer, v: &Value) -> Self {
        let spec = v.at("spec").cloned().unwrap_or_default();
        let own = s.cfg.proxy_client.as_ref().map(|(c, k)| (c.as_bytes(), k.as_bytes()));
        let tls = if spec.bool_at("insecureSkipTLSVerify") {
            client_config(Trust::Anybody, own)
        } else {
            use base64::Engine;
            match base64::engine::general_purpose::STANDARD.decode(spec.str_at("caBundle")) {
                Err(e) => Err(format!("caBundle: {e}")),
                Ok(pem) if pem.is_empty() => client_config(Trust::System, own),
                Ok(pem) => client_config(Trust::Bundle(&pem), own),
            }
        };
        let available = v
            .array_at("status.conditions")
            .iter()
            .any(|c| c.str_at("type") == "Available" && c.str_at("status") == "True");
        Self {
            name: v.name().to_owned(),
            group: spec.str_at("group").to_owned(),
            version: spec.str_at("version").to_owned(),
            group_priority: spec.i64_at("groupPriorityMinimum").unwrap_or(0),
            version_priority: spec.i64_at("versionPriority").unwrap_or(0),
            namespace: spec.str_at("service.namespace").to_owned(),
            service: spec.str_at("service.name").to_owned(),
            port: spec.i64_at("service.port").unwrap_or(443),
            spec,
            tls,
            available: AtomicBool::new(available),
            discovery: ArcSwapOption::empty(),
            openapi: ArcSwapOption::empty(),
        }
    }
    /// `wardle.example.com/v1`
    pub fn group_version(&self) -> String {
        GroupVersion::new(&self.group, &self.version).to_string()
    }
    /// Its entry in aggregated discovery; without resources and stale as long as it cannot be had.
    pub fn discovery(&self) -> Value {
        let mut v = match self.discovery.load_full() {
            Some(v) => (*v).clone(),
            None => json!({"version": self.version}),
        };
        let fresh = self.available.load(Ordering::Relaxed) && self.discovery.load().is_some();
        v["freshness"] = if fresh { "Current" } else { "Stale" }.into();
        v
    }
    /// The relative URL of its OpenAPI v3 document.
    pub fn openapi(&self) -> Option<Arc<String>> {
        self.openapi.load_full()
    }

    fn service(&self, s: &ApiServer) -> Option<Arc<Value>> {
        let lookup = crate::lookup::Lookup(s);
        admission::Lookup::get(&lookup, "", "services", &self.namespace, &self.service)
    }

    /// A place to send a request to, drawn among the service's ready endpoints.
    async fn target(
        &self,
        s: &ApiServer,
        uri: String,
        user: UserInfo,
    ) -> std::result::Result<Target, String> {
        let tls = self.tls.clone()?;
        let service = self.service(s).ok_or_else(|| format!("service {:?} not found", self.service))?;
        let address = if service.str_at("spec.type") == "ExternalName" {
            format!("{}:{}", service.str_at("spec.externalName"), self.port)
        } else {
            let ports = service.array_at("spec.ports");
            let port = ports.iter().find(|p| p.i64_at("port") == Some(self.port));
            let port = port.ok_or_else(|| {
                format!("no service port {} found for service {:?}", self.port, self.service)
            })?;
            let mut found = target::endpoints(s, &self.namespace, &self.service, port.str_at("name"))
                .await
                .map_err(|e| e.message.clone())?;
            if found.is_empty() {
                return Err(format!("no endpoints available for service {:?}", self.service));
            }
            let n = usize::try_from(s.random() % found.len() as u64).unwrap_or(0);
            let (ip, port) = found.swap_remove(n);
            if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
        };
        let name = format!("{}.{}.svc", self.service, self.namespace);
        Ok(Target {
            address,
            host: name.clone(),
            tls: Tls::Named(tls, name),
            uri,
            get: false,
            log: false,
            keep_credentials: false,
            user: Some(user),
            websockets: false,
            prefix: None,
        })
    }

    /// Reads a document of the other server's, as this server itself.
    async fn read(
        &self,
        s: &ApiServer,
        path: &str,
        accept: &str,
    ) -> std::result::Result<(StatusCode, HeaderMap, Bytes), String> {
        let user = UserInfo::new("system:kube-aggregator", &[meta::user::SYSTEM_MASTERS]);
        let t = self.target(s, path.to_owned(), user).await?;
        let req = Request::get(path)
            .header(http::header::ACCEPT, accept)
            .body(Input::Bytes(Bytes::new()))
            .map_err(|e| e.to_string())?;
        let (parts, mut body) =
            connect::forward(s, req, t).await.map_err(|e| e.message.clone())?.into_parts();
        let mut all = BytesMut::new();
        while let Some(f) = body.frame().await {
            let f = f.map_err(|e| e.to_string())?;
            all.extend_from_slice(f.data_ref().map_or(&[][..], |d| d));
            if all.len() > DOCUMENT {
                return Err(format!("{path} is larger than {DOCUMENT} bytes"));
            }
        }
        Ok((parts.status, parts.headers, all.freeze()))
    }
}

type Map = BTreeMap<(String, String), Arc<Remote>>;

/// What other servers serve, by group and version.
#[derive(Default)]
pub struct Remotes(ArcSwap<Map>);

impl Remotes {
    pub fn get(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let all = self.0.load();
        if all.is_empty() {
            return None;
        }
        all.get(&(group.to_owned(), version.to_owned())).cloned()
    }
    pub fn all(&self) -> Vec<Arc<Remote>> {
        self.0.load().values().cloned().collect()
    }
    /// Who serves `/apis/GROUP/VERSION` and below, and its OpenAPI document.
    pub fn for_path(&self, path: &str) -> Option<Arc<Remote>> {
        if self.0.load().is_empty() {
            return None;
        }
        let path = path.strip_prefix("/openapi/v3").unwrap_or(path);
        let mut parts = path.strip_prefix("/apis/")?.split('/');
        self.get(parts.next()?, parts.next()?)
    }
}

/// Hands a request to the server it is for.
pub async fn pass_on(
    s: &Arc<ApiServer>,
    req: Request<Input>,
    r: &Remote,
    user: UserInfo,
) -> Result<Response<Body>> {
    let unavailable = || respond::text(StatusCode::SERVICE_UNAVAILABLE, "service unavailable\n");
    if !r.available.load(Ordering::Relaxed) {
        return Ok(unavailable());
    }
    let uri = req.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
    // Its documents are part of this server's own, and read by it.
    let user = if uri.starts_with("/openapi/") {
        UserInfo::new("system:aggregator", &[meta::user::AUTHENTICATED])
    } else {
        user
    };
    match r.target(s, uri, user).await {
        Ok(t) => connect::forward(s, req, t).await,
        Err(e) => {
            tracing::warn!(service = %r.name, error = e, "an API service cannot be reached");
            Ok(unavailable())
        }
    }
}
