//! Small HTTP answers: the health check node ports of services, the proxy's own health, metrics.

use crate::status::Status;
use runtime::Runtime;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Exchanges at once on one port: this is asked every few seconds by a load balancer.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(2);
/// A port that cannot be had is tried again.
const RETRY: Duration = Duration::from_secs(10);

type State = Arc<Mutex<(String, usize)>>;

/// The listeners of health check node ports, kept as the services want them.
#[derive(Default)]
pub struct Ports(BTreeMap<u16, (State, JoinHandle<()>)>);

impl Ports {
    pub fn follow(&mut self, want: &BTreeMap<u16, (String, usize)>, status: &Arc<Status>, rt: &Runtime) {
        self.0.retain(|p, (_, task)| {
            let keep = want.contains_key(p);
            if !keep {
                task.abort();
            }
            keep
        });
        for (port, state) in want {
            match self.0.get(port) {
                Some((s, _)) => s.lock().unwrap_or_else(PoisonError::into_inner).clone_from(state),
                None => {
                    let s: State = Arc::new(Mutex::new(state.clone()));
                    let (mine, status) = (s.clone(), status.clone());
                    let answer = move |_: &str| {
                        let s = mine.lock().unwrap_or_else(PoisonError::into_inner);
                        service(&s.0, s.1, status.healthy())
                    };
                    let at = ([0, 0, 0, 0], *port).into();
                    let task = rt.spawn_until_stop("service-health", serve(at, answer, rt.clone()));
                    self.0.insert(*port, (s, task));
                }
            }
        }
    }
}

/// Status, header lines, body.
pub type Answer = (u16, String, String);

fn service(service: &str, local: usize, healthy: bool) -> Answer {
    let (ns, name) = service.split_once('/').unwrap_or(("", service));
    let body = serde_json::json!({"service": {"namespace": ns, "name": name}, "localEndpoints": local, "serviceProxyHealthy": healthy});
    let head = format!(
        "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nX-Load-Balancing-Endpoint-Weight: {local}\r\n"
    );
    (if local > 0 && healthy { 200 } else { 503 }, head, body.to_string())
}

/// The proxy's own answers at an address.
pub fn own(at: SocketAddr, status: Arc<Status>, rt: &Runtime) {
    let answer = move |path: &str| {
        let (code, kind, body) = status.answer(path);
        (code, format!("Content-Type: {kind}\r\nX-Content-Type-Options: nosniff\r\n"), body)
    };
    rt.spawn_until_stop("proxy-health", serve(at, answer, rt.clone()));
}

async fn serve(at: SocketAddr, answer: impl Fn(&str) -> Answer + Send + Sync + 'static, rt: Runtime) {
    let mut said = false;
    let listener = loop {
        match TcpListener::bind(at).await {
            Ok(l) => break l,
            Err(e) if !said => tracing::error!("cannot listen for health checks on {at}: {e}; trying again"),
            Err(_) => {}
        }
        said = true;
        tokio::time::sleep(RETRY).await;
    };
    let (slots, answer) = (Arc::new(Semaphore::new(AT_ONCE)), Arc::new(answer));
    loop {
        let Ok((c, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let answer = answer.clone();
        rt.spawn_until_stop("health-check", async move {
            let _slot = slot;
            let _ = tokio::time::timeout(PATIENCE, exchange(c, &*answer)).await;
        });
    }
}

async fn exchange(mut c: TcpStream, answer: &(impl Fn(&str) -> Answer + ?Sized)) {
    let (mut buf, mut n) = ([0; 4096], 0);
    while n < buf.len() && !buf[..n].windows(4).any(|w| w == b"\r\n\r\n") {
        match c.read(&mut buf[n..]).await {
            Ok(0) | Err(_) => return,
            Ok(more) => n += more,
        }
    }
    let request = String::from_utf8_lossy(&buf[..n]).into_owned();
    let mut words = request.split_ascii_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (code, head, body) = match method {
        "GET" | "HEAD" => answer(path),
        _ => (405, String::new(), String::new()),
    };
    let reason = match code {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    };
    let length = body.len();
    let mut text =
        format!("HTTP/1.1 {code} {reason}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    if method != "HEAD" {
        text.push_str(&body);
    }
    let _ = c.write_all(text.as_bytes()).await;
    let _ = c.shutdown().await;
}
