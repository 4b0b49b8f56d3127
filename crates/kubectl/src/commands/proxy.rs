//! `proxy`: the API server on a port of this machine, with the credentials of the kubeconfig (kubectl `pkg/proxy`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::print;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use regex::Regex;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};

super::commands! {
    "proxy" "[--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix]"
        "Run a proxy to the Kubernetes API server\n\nWho reaches the port acts as the user of the kubeconfig: it listens on this machine only, and takes requests for\nlocalhost only, as long as --address, --accept-hosts and --disable-filter leave it so. Requests that turn into streams\n(exec, attach, port-forward) are refused by default as upstream refuses them, and not carried here."
        "kubectl proxy --port=8080\ncurl http://127.0.0.1:8080/api/v1/nodes\n\n# A port of its own choosing, only reading\nkubectl proxy --port=0 --reject-methods='POST,PUT,PATCH,DELETE'\n\n# Files beside it\nkubectl proxy --www=./site --www-prefix=/site/"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    flag("port", Some('p'), Form::Text, "8001", "The port to listen on; 0: any"),
    flag("address", None, Form::Text, "127.0.0.1", "The address to listen on"),
    flag("unix-socket", Some('u'), Form::Text, "", "Listen on this socket instead"),
    flag("api-prefix", None, Form::Text, "/", "Where the API is"),
    flag("www", Some('w'), Form::Text, "", "Also serve the files of this folder"),
    flag("www-prefix", Some('P'), Form::Text, "/static/", "Where the files are"),
    flag("accept-paths", None, Form::Text, "^.*", "Regular expressions of paths to accept"),
    flag(
        "reject-paths",
        None,
        Form::Text,
        "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach",
        "Regular expressions of paths to reject",
    ),
    flag(
        "accept-hosts",
        None,
        Form::Text,
        "^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$",
        "Regular expressions of hosts to accept",
    ),
    flag("reject-methods", None, Form::Text, "^$", "Regular expressions of methods to reject"),
    flag(
        "disable-filter",
        None,
        Form::Bool,
        "false",
        "Accept everything. Dangerous: any web page could use the port",
    ),
];

/// Bytes of a request that are read.
const MAX_REQUEST: usize = 16 << 20;

struct Filter {
    accept_paths: Vec<Regex>,
    reject_paths: Vec<Regex>,
    accept_hosts: Vec<Regex>,
    reject_methods: Vec<Regex>,
}

impl Filter {
    fn new(cx: &Cx) -> Result<Self, Error> {
        let all = |name: &str| {
            let t = cx.p.text(name);
            t.split(',')
                .filter(|_| !t.is_empty())
                .map(|r| Regex::new(r).map_err(|e| Error::plain(format!("--{name}: {e}"))))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            accept_paths: all("accept-paths")?,
            reject_paths: all("reject-paths")?,
            accept_hosts: all("accept-hosts")?,
            reject_methods: all("reject-methods")?,
        })
    }
    fn accepts(&self, method: &str, path: &str, host: &str) -> bool {
        let hit = |all: &[Regex], s: &str| all.iter().any(|r| r.is_match(s));
        !hit(&self.reject_paths, path)
            && !hit(&self.reject_methods, method)
            && hit(&self.accept_paths, path)
            && hit(&self.accept_hosts, host)
    }
}

/// A host header without its port.
fn host(h: &str) -> &str {
    match h.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => h,
    }
}

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, client::raw::BoxError>>;

fn plain(code: StatusCode, text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).map_err(|e| match e {}).boxed_unsync();
    let mut r = Response::new(body);
    *r.status_mut() = code;
    r
}

struct Proxy {
    cx: Arc<Cx>,
    filter: Option<Filter>,
    prefix: String,
    files: Option<(String, PathBuf)>,
}

impl Proxy {
    async fn answer(&self, req: Request<Incoming>) -> Answer {
        let path = req.uri().path().to_owned();
        if let Some((at, dir)) = &self.files
            && let Some(rest) = path.strip_prefix(at.as_str())
        {
            return file(dir, rest);
        }
        let Some(rest) = path.strip_prefix(self.prefix.as_str()) else {
            return plain(StatusCode::NOT_FOUND, "404 page not found\n");
        };
        let name = req.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
        if self.filter.as_ref().is_some_and(|f| !f.accepts(req.method().as_str(), &path, host(name))) {
            return plain(StatusCode::FORBIDDEN, "Forbidden\n");
        }
        if req.headers().contains_key(header::UPGRADE) {
            return plain(
                StatusCode::NOT_IMPLEMENTED,
                "streams are not carried by this proxy; use kubectl exec, attach or port-forward\n",
            );
        }
        match self.forward(req, rest.trim_start_matches('/').to_owned()).await {
            Ok(r) => r,
            Err(e) => plain(StatusCode::BAD_GATEWAY, format!("{}\n", e.tell().0)),
        }
    }

    async fn forward(&self, req: Request<Incoming>, path: String) -> Result<Answer, Error> {
        let (head, body) = req.into_parts();
        let query = head.uri.query().map(|q| format!("?{q}")).unwrap_or_default();
        let body =
            Limited::new(body, MAX_REQUEST).collect().await.map_err(|e| Error::plain(e.to_string()))?;
        let mut out = Request::builder().method(head.method).uri(format!("/{path}{query}"));
        for (k, v) in &head.headers {
            // Who asks and how it connects is between this process and the server.
            let own = [
                header::HOST,
                header::CONNECTION,
                header::AUTHORIZATION,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ];
            if !own.contains(k) {
                out = out.header(k, v);
            }
        }
        let out = out.body(body.to_bytes()).map_err(|e| Error::plain(e.to_string()))?;
        let r = client::Transport::call(self.cx.net().await?, out)
            .await
            .map_err(|e| Error::plain(e.to_string()))?;
        let (mut head, body) = r.into_parts();
        head.version = http::Version::HTTP_11;
        head.headers.remove(header::CONNECTION);
        head.headers.remove(header::TRANSFER_ENCODING);
        Ok(Response::from_parts(head, body))
    }
}

fn file(dir: &std::path::Path, rest: &str) -> Answer {
    let safe = std::path::Path::new(rest)
        .components()
        .all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
    let mut p = dir.join(rest);
    if p.is_dir() {
        p = p.join("index.html");
    }
    match std::fs::read(&p) {
        Ok(b) if safe => {
            let kind = match p.extension().and_then(|e| e.to_str()) {
                Some("html") => "text/html; charset=utf-8",
                Some("css") => "text/css; charset=utf-8",
                Some("js") => "text/javascript; charset=utf-8",
                Some("json") => "application/json",
                Some("svg") => "image/svg+xml",
                Some("png") => "image/png",
                _ => "text/plain; charset=utf-8",
            };
            let mut r = plain(StatusCode::OK, b);
            r.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
            r
        }
        _ => plain(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    if cx.p.given("unix-socket") && cx.p.given("port") {
        return Err(Error::plain("cannot set --unix-socket and --port at the same time"));
    }
    let filter = if cx.p.on("disable-filter") {
        if cx.p.text("unix-socket").is_empty() {
            eprintln!(
                "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious"
            );
        }
        None
    } else {
        Some(Filter::new(&cx)?)
    };
    let ended = |s: &str| if s.ends_with('/') { s.to_owned() } else { format!("{s}/") };
    let files = match cx.p.text("www") {
        "" => None,
        d if !std::path::Path::new(d).is_dir() => {
            eprintln!("Warning: static file directory {d:?} is not a directory");
            None
        }
        d => Some((ended(cx.p.text("www-prefix")), PathBuf::from(d))),
    };
    let (socket, at, port) =
        (cx.p.text("unix-socket").to_owned(), cx.p.text("address").to_owned(), cx.p.int("port")?);
    let port = u16::try_from(port).map_err(|_| Error::plain(format!("invalid port {port}")))?;
    let prefix = ended(cx.p.text("api-prefix"));
    cx.net().await?;
    let p = Arc::new(Proxy { cx: Arc::new(cx), filter, prefix, files });
    if !socket.is_empty() {
        // A socket that nobody listens on any more is in the way.
        if std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let _ = std::fs::remove_file(&socket);
        }
        let l =
            UnixListener::bind(&socket).map_err(|e| Error::plain(format!("listen unix {socket}: {e}")))?;
        print::line(&format!("Starting to serve on {socket}"));
        loop {
            let (s, _) = l.accept().await?;
            serve(&p, s);
        }
    }
    let l = TcpListener::bind((at.as_str(), port))
        .await
        .map_err(|e| Error::plain(format!("listen tcp {at}:{port}: {e}")))?;
    print::line(&format!("Starting to serve on {}", l.local_addr()?));
    loop {
        let (s, _) = l.accept().await?;
        serve(&p, s);
    }
}

fn serve<S>(p: &Arc<Proxy>, s: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let me = p.clone();
    p.cx.rt.spawn("proxy connection", async move {
        let service = hyper::service::service_fn(|req| {
            let me = me.clone();
            async move { Ok::<_, std::convert::Infallible>(me.answer(req).await) }
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(s), service).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (h, want) in [("localhost:8001", "localhost"), ("[::1]:80", "[::1]"), ("a", "a"), ("::1", "::1")]
        {
            assert_eq!(host(h), want);
        }
        let re = |s: &str| vec![Regex::new(s).unwrap()];
        let f = Filter {
            accept_paths: re("^.*"),
            reject_paths: re("exec"),
            accept_hosts: re("^localhost$"),
            reject_methods: re("^PUT$"),
        };
        assert!(f.accepts("GET", "/api", "localhost") && !f.accepts("GET", "/api", "evil"));
        assert!(!f.accepts("PUT", "/api", "localhost") && !f.accepts("GET", "/x/exec", "localhost"));
    }
}
