//! The connection of a command: configuration from flags and files, one HTTP exchange, discovery when asked for.

use crate::discovery::Discovery;
use crate::error::Error;
use crate::flags::Parsed;
use bytes::Bytes;
use client::config::kubeconfig::{Kubeconfig, Overrides};
use client::config::{Auth, Impersonate, Pem};
use client::{Body, Config, HttpTransport, Transport};
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use runtime::Runtime;
use serde_json::Value;
use std::path::Path;
use tokio::sync::OnceCell;

/// Bytes of an answer that are read into memory.
const MAX_ANSWER: usize = 1 << 30;

pub struct Cx {
    pub p: Parsed,
    pub path: String,
    /// `-v`: 6 tells of each request, 8 shows what was sent and answered.
    verbosity: i64,
    pub rt: Runtime,
    net: OnceCell<HttpTransport>,
    discovery: OnceCell<Discovery>,
}

impl Cx {
    pub fn new(p: Parsed, path: String) -> Result<Self, Error> {
        let verbosity = p.int("v")?;
        Ok(Self { p, path, verbosity, rt: Runtime::new(), net: OnceCell::new(), discovery: OnceCell::new() })
    }

    pub fn kubeconfig(&self) -> Result<Kubeconfig, Error> {
        let explicit = self.p.text("kubeconfig");
        if !explicit.is_empty()
            && let Err(e) = std::fs::metadata(explicit)
            && e.kind() == std::io::ErrorKind::NotFound
        {
            return Err(Error::plain(format!("stat {explicit}: no such file or directory")));
        }
        Kubeconfig::load((!explicit.is_empty()).then(|| Path::new(explicit)))
            .map_err(|e| Error::plain(e.to_string()))
    }

    pub fn config(&self) -> Result<Config, Error> {
        let t = |n: &str| self.p.text(n).to_owned();
        let o = Overrides {
            context: t("context"),
            cluster: t("cluster"),
            // There it is whom to bind.
            user: if self.path.ends_with("rolebinding") || self.path == "set subject" {
                String::new()
            } else {
                t("user")
            },
            namespace: t("namespace"),
            server: t("server"),
            token: t("token"),
            certificate_authority: t("certificate-authority"),
            client_certificate: t("client-certificate"),
            client_key: t("client-key"),
            tls_server_name: t("tls-server-name"),
            insecure_skip_tls_verify: self.p.on("insecure-skip-tls-verify"),
            username: t("username"),
            password: t("password"),
            impersonate: Impersonate {
                user: t("as"),
                uid: t("as-uid"),
                groups: self.p.each("as-group"),
                extra: extra(&self.p.each("as-user-extra"))?,
            },
        };
        let k = self.kubeconfig()?;
        let nothing =
            k.clusters.is_empty() && k.contexts.is_empty() && k.users.is_empty() && o.server.is_empty();
        let mut c = if nothing && self.p.text("kubeconfig").is_empty() {
            // Inside a pod its service account; else the address that upstream tries when it knows none.
            bare(Config::in_cluster().unwrap_or_default(), o)?
        } else {
            if !o.context.is_empty() && !k.contexts.iter().any(|c| c.name == o.context) {
                let m = "Error in configuration: context was not found for specified context";
                return Err(Error::Raw(format!("{m}: {}", o.context), 1));
            }
            Config::from_kubeconfig(&k, &o).map_err(|e| Error::plain(e.to_string()))?
        };
        let ms = match self.p.text("request-timeout").parse::<i64>() {
            Ok(s) => s.saturating_mul(1000),
            Err(_) => self.p.millis("request-timeout").map_err(|_| {
                Error::plain(
                    "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h)",
                )
            })?,
        };
        c.timeout = u64::try_from(ms).ok().filter(|m| *m > 0).map(std::time::Duration::from_millis);
        if !c.impersonate.groups.is_empty() || !c.impersonate.uid.is_empty() {
            let m = "requesting uid, groups or user-extra without impersonating a user (--as)";
            if c.impersonate.user.is_empty() {
                return Err(Error::plain(m));
            }
        }
        c.connect_retries = 0;
        c.user_agent = format!("kubectl/v1.37.2 (linux/{})", std::env::consts::ARCH);
        Ok(c)
    }

    pub fn namespace(&self) -> Result<String, Error> {
        Ok(self.config()?.namespace)
    }
    /// Whether the namespace came from the command line, so that files must agree.
    pub fn enforce_namespace(&self) -> bool {
        self.p.given("namespace")
    }

    pub async fn net(&self) -> Result<&HttpTransport, Error> {
        self.net
            .get_or_try_init(|| async {
                HttpTransport::new(self.config()?, &self.rt).map_err(|e| Error::plain(e.to_string()))
            })
            .await
    }
    pub async fn discovery(&self) -> Result<&Discovery, Error> {
        self.discovery.get_or_try_init(|| Discovery::fetch(self)).await
    }

    fn failed(&self, e: client::Error) -> Error {
        match e {
            client::Error::Status(s) => Error::Status(s),
            client::Error::Transport(why) => {
                let server = self.config().map(|c| c.server).unwrap_or_default();
                let server =
                    server.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
                Error::Connect { server: server.to_owned(), why }
            }
            other => Error::plain(other.to_string()),
        }
    }

    /// One exchange; a failure the server answers is an error.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<Response<Body>, Error> {
        let mut b = Request::builder().method(&method).uri(path).header("accept", accept);
        if !content.is_empty() {
            b = b.header("content-type", content);
        }
        if self.verbosity >= 8 && !body.is_empty() {
            eprintln!("request body: {}", String::from_utf8_lossy(&body));
        }
        let verb = method.to_string();
        let req = b.body(body).map_err(|e| Error::plain(e.to_string()))?;
        let began = self.rt.clock.unix_nanos();
        let res = self.net().await?.call(req).await;
        if self.verbosity >= 6 {
            let ms = (self.rt.clock.unix_nanos() - began) / 1_000_000;
            let status = match &res {
                Ok(r) => r.status().to_string(),
                Err(e) => e.to_string(),
            };
            let server = self.config().map(|c| c.server).unwrap_or_default();
            eprintln!("verb={verb:?} url=\"{server}{path}\" status={status:?} milliseconds={ms}");
        }
        let res = res.map_err(|e| self.failed(e))?;
        for w in res.headers().get_all("warning") {
            if let Some(text) = w.to_str().ok().and_then(warning) {
                eprintln!("Warning: {text}");
            }
        }
        if res.status().is_success() {
            return Ok(res);
        }
        let code = res.status().as_u16();
        let body =
            res.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(match serde_json::from_slice::<meta::Status>(&body) {
            Ok(s) if s.kind == "Status" => Error::Status(Box::new(s)),
            _ if code == 404 => Error::Raw(
                "Error from server (NotFound): the server could not find the requested resource".into(),
                1,
            ),
            _ => {
                Error::plain(format!("the server answered {code}: {}", String::from_utf8_lossy(&body).trim()))
            }
        })
    }

    pub async fn whole(&self, res: Response<Body>) -> Result<Bytes, Error> {
        let body = http_body_util::Limited::new(res.into_body(), MAX_ANSWER);
        let b = body.collect().await.map_err(|e| Error::plain(e.to_string()))?.to_bytes();
        if self.verbosity >= 8 {
            eprintln!("response body: {}", String::from_utf8_lossy(&b));
        }
        Ok(b)
    }
    pub async fn bytes(&self, path: &str) -> Result<Bytes, Error> {
        let r = self.send(Method::GET, path, "", "application/json, */*", Bytes::new()).await?;
        self.whole(r).await
    }
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        content: &str,
        v: Option<&Value>,
    ) -> Result<Value, Error> {
        let body = v.map(|v| Bytes::from(v.to_string())).unwrap_or_default();
        self.exchange(method, path, if v.is_some() { content } else { "" }, "application/json", body).await
    }
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        content: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<Value, Error> {
        let r = self.send(method, path, content, accept, body).await?;
        let b = self.whole(r).await?;
        serde_json::from_slice(&b).map_err(|e| Error::plain(format!("decoding the server's answer: {e}")))
    }
    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.json(Method::GET, path, "", None).await
    }
    /// Lines of JSON of a watch, each as it comes, until `each` says to stop. `--request-timeout`
    /// ends it too, which is no failure.
    pub async fn lines(
        &self,
        path: &str,
        accept: &str,
        mut each: impl FnMut(Value) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let r = self.send(Method::GET, path, "", accept, Bytes::new()).await?;
        let mut s = r.into_body().into_data_stream();
        let mut buf: Vec<u8> = Vec::new();
        let end = self.config()?.timeout.map(|t| tokio::time::Instant::now() + t);
        loop {
            let next = match end {
                Some(at) => tokio::time::timeout_at(at, s.next()).await.unwrap_or(None),
                None => s.next().await,
            };
            let Some(chunk) = next else { break };
            buf.extend_from_slice(&chunk.map_err(|e| Error::plain(e.to_string()))?);
            while let Some(n) = buf.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = buf.drain(..=n).collect();
                let v = serde_json::from_slice(&line).map_err(|e| Error::plain(e.to_string()))?;
                if !each(v)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// `key=value`, several values of a key together.
fn extra(all: &[String]) -> Result<Vec<(String, Vec<String>)>, Error> {
    let mut out: Vec<(String, Vec<String>)> = Vec::new();
    for e in all {
        let (k, v) = e.split_once('=').ok_or_else(|| {
            Error::plain(format!("invalid argument {e:?} for \"--as-user-extra\": key=value"))
        })?;
        match out.iter_mut().find(|(o, _)| o == k) {
            Some((_, l)) => l.push(v.to_owned()),
            None => out.push((k.to_owned(), vec![v.to_owned()])),
        }
    }
    Ok(out)
}

/// A configuration without a kubeconfig, with what the command line puts over it.
fn bare(mut c: Config, o: Overrides) -> Result<Config, Error> {
    for (what, name) in [("context", &o.context), ("cluster", &o.cluster), ("auth info", &o.user)] {
        if !name.is_empty() {
            return Err(Error::plain(format!("{what} {name:?} does not exist")));
        }
    }
    if !o.server.is_empty() {
        c.server = o.server;
    }
    if !o.namespace.is_empty() {
        c.namespace = o.namespace;
    }
    if !o.token.is_empty() {
        c.auth = Auth::Token(o.token);
    }
    if !o.certificate_authority.is_empty() {
        c.ca = Some(Pem::File(o.certificate_authority.into()));
    }
    c.client_cert = match (o.client_certificate.as_str(), o.client_key.as_str()) {
        ("", "") => c.client_cert,
        ("", _) | (_, "") => {
            return Err(Error::plain("--client-certificate and --client-key must both be given, or neither"));
        }
        (cert, key) => Some((Pem::File(cert.into()), Pem::File(key.into()))),
    };
    if !o.tls_server_name.is_empty() {
        c.tls_server_name = Some(o.tls_server_name);
    }
    if o.insecure_skip_tls_verify {
        (c.insecure_skip_tls_verify, c.ca) = (true, None);
    }
    if o.impersonate != Impersonate::default() {
        c.impersonate = o.impersonate;
    }
    Ok(c)
}

/// The text of a `Warning: 299 - "…"` header.
fn warning(h: &str) -> Option<String> {
    let q = h.split_once('"')?.1;
    let q = q.rsplit_once('"')?.0;
    Some(q.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_kubeconfig() {
        let o = Overrides {
            token: "t".into(),
            certificate_authority: "/ca".into(),
            client_certificate: "/c".into(),
            client_key: "/k".into(),
            impersonate: Impersonate { user: "u".into(), groups: vec!["g".into()], ..Impersonate::default() },
            ..Overrides::default()
        };
        let c = bare(Config::default(), o.clone()).unwrap();
        assert_eq!(c.auth, Auth::Token("t".into()));
        assert_eq!(c.ca, Some(Pem::File("/ca".into())));
        assert_eq!(c.client_cert, Some((Pem::File("/c".into()), Pem::File("/k".into()))));
        assert_eq!((c.impersonate.user.as_str(), c.impersonate.groups.len()), ("u", 1));
        assert!(bare(Config::default(), Overrides { client_key: String::new(), ..o.clone() }).is_err());
        assert!(bare(Config::default(), Overrides { context: "x".into(), ..o }).is_err());
        assert_eq!(warning("299 - \"a \\\"b\\\"\"").as_deref(), Some("a \"b\""));
    }
}
