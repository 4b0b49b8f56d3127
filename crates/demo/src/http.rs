//! As much of HTTP/1.1 as small services need: a server with a thread a connection, and a client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static IN_FLIGHT: AtomicUsize = AtomicUsize::new(0);

/// Requests that have come and are not answered yet.
pub fn in_flight() -> usize {
    IN_FLIGHT.load(Ordering::Relaxed)
}

/// Longest line, and longest body.
const LINE: u64 = 8192;
const BODY: u64 = 1 << 20;

pub struct Request {
    pub method: String,
    /// With the query.
    pub target: String,
    pub body: Vec<u8>,
    /// Who is asking: what is left of the address after all the translating on the way.
    pub client: String,
}

impl Request {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("/")
    }
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, q)| q)
    }
    /// A value of the query or of a form in the body.
    pub fn field(&self, name: &str) -> Option<String> {
        let body = std::str::from_utf8(&self.body).unwrap_or_default().trim();
        let all = self.query().split('&').chain(body.split('&'));
        all.filter_map(|kv| kv.split_once('=')).find(|(k, _)| *k == name).map(|(_, v)| v.replace('+', " "))
    }
}

pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Answer {
    pub fn text(body: impl Into<String>) -> Self {
        Self { status: 200, kind: "text/plain", body: body.into() }
    }
    pub fn json(status: u16, body: impl Into<String>) -> Self {
        Self { status, kind: "application/json", body: body.into() }
    }
    pub fn error(status: u16, why: &str) -> Self {
        Self::json(status, format!("{{\"error\":{}}}\n", quoted(why)))
    }
}

/// A JSON string.
pub fn quoted(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        404 => "Not Found",
        409 => "Conflict",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "",
    }
}

pub type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// Answers until the process ends.
pub fn listen(port: u16, name: &str, handler: Handler) -> Result<(), String> {
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .map_err(|e| format!("cannot listen on port {port}: {e}"))?;
    println!("{name} version {} on port {port}", crate::version());
    for c in listener.incoming().flatten() {
        let handler = handler.clone();
        std::thread::spawn(move || connection(c, &handler));
    }
    Ok(())
}

fn line(input: &mut impl BufRead) -> Option<String> {
    let mut l = String::new();
    let n = input.by_ref().take(LINE).read_line(&mut l).ok()?;
    (n > 0).then(|| l.trim_end().to_owned())
}

fn connection(c: TcpStream, handler: &Handler) {
    let _ = c.set_read_timeout(Some(Duration::from_secs(60)));
    let _ = c.set_nodelay(true);
    let Ok(mut out) = c.try_clone() else { return };
    let client = c.peer_addr().map(|a| a.ip().to_canonical().to_string()).unwrap_or_default();
    let mut input = BufReader::new(c);
    loop {
        let Some(first) = line(&mut input) else { return };
        let mut words = first.split_whitespace();
        let (method, target) = (words.next().unwrap_or("GET"), words.next().unwrap_or("/"));
        let mut r = Request {
            method: method.to_owned(),
            target: target.to_owned(),
            body: Vec::new(),
            client: client.clone(),
        };
        let (mut length, mut close) = (0_u64, first.ends_with("HTTP/1.0"));
        loop {
            let Some(h) = line(&mut input) else { return };
            let h = h.to_ascii_lowercase();
            if h.is_empty() {
                break;
            }
            if let Some(v) = h.strip_prefix("content-length:") {
                length = v.trim().parse().unwrap_or(0);
            }
            close |= h == "connection: close";
        }
        if input.by_ref().take(length.min(BODY)).read_to_end(&mut r.body).is_err() {
            return;
        }
        IN_FLIGHT.fetch_add(1, Ordering::Relaxed);
        let a = handler(&r);
        // Who goes does not ask for more.
        close |= crate::signals::terminating();
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
            a.status,
            reason(a.status),
            a.kind,
            a.body.len(),
            if close { "close" } else { "keep-alive" }
        );
        let written = out.write_all(&[head.as_bytes(), a.body.as_bytes()].concat());
        IN_FLIGHT.fetch_sub(1, Ordering::Relaxed);
        if written.is_err() || close {
            return;
        }
        if !matches!(r.path(), "/healthz" | "/readyz") {
            println!("{} {} {}", r.method, r.target, a.status);
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failed {
    /// Nobody got the request.
    Connect(String),
    /// It may have been carried out.
    After(String),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(e) | Self::After(e) => f.write_str(e),
        }
    }
}

/// `host` or `host:port` (default 80).
fn connect(host: &str, limit: Duration) -> Result<TcpStream, String> {
    let (name, port) = match host.rsplit_once(':') {
        Some((n, p)) => (n, p.parse().map_err(|_| format!("{p:?} is not a port"))?),
        None => (host, 80),
    };
    let addrs = (name, port).to_socket_addrs().map_err(|e| format!("{name}: {e}"))?;
    let mut last = format!("{name}: no address");
    for a in addrs {
        match TcpStream::connect_timeout(&a, limit) {
            Ok(s) => return Ok(s),
            Err(e) => last = format!("{a}: {e}"),
        }
    }
    Err(last)
}

/// One request on a connection of its own; answers status and body.
pub fn call(
    host: &str,
    method: &str,
    target: &str,
    body: &[u8],
    limit: Duration,
) -> Result<(u16, String), Failed> {
    let mut s = connect(host, limit).map_err(Failed::Connect)?;
    let after = |e: std::io::Error| Failed::After(format!("{host}: {e}"));
    s.set_read_timeout(Some(limit)).map_err(after)?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    s.write_all(&[head.as_bytes(), body].concat()).map_err(after)?;
    let mut answer = Vec::new();
    s.take(BODY + LINE).read_to_end(&mut answer).map_err(after)?;
    let text = String::from_utf8_lossy(&answer);
    let cut = || Failed::After(format!("{host}: the answer ends early"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).ok_or_else(cut)?;
    let length = head
        .lines()
        .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    if length.is_some_and(|n: usize| n != body.len()) {
        return Err(cut());
    }
    Ok((status, body.to_owned()))
}
