//! Small HTTP answers for load balancers: the health check node ports of services, and the proxy's own health.

use proxyplan::Model;
use runtime::Runtime;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

type State = Arc<Mutex<(String, usize)>>;

/// The listeners of health check node ports, kept as the services want them.
#[derive(Default)]
pub struct Ports(BTreeMap<u16, (State, JoinHandle<()>)>);

impl Ports {
    pub fn follow(&mut self, m: &Model, rt: &Runtime) {
        self.0.retain(|p, (_, task)| {
            let keep = m.health.contains_key(p);
            if !keep {
                task.abort();
            }
            keep
        });
        for (port, state) in &m.health {
            match self.0.get(port) {
                Some((s, _)) => s.lock().unwrap_or_else(PoisonError::into_inner).clone_from(state),
                None => {
                    let s: State = Arc::new(Mutex::new(state.clone()));
                    let task =
                        rt.spawn_until_stop("service-health", serve(([0, 0, 0, 0], *port).into(), s.clone()));
                    self.0.insert(*port, (s, task));
                }
            }
        }
    }
}

fn answer(service: &str, local: usize) -> (&'static str, String) {
    let (ns, name) = service.split_once('/').unwrap_or(("", service));
    let body = serde_json::json!({"service": {"namespace": ns, "name": name}, "localEndpoints": local, "serviceProxyHealthy": true});
    (if local > 0 { "200 OK" } else { "503 Service Unavailable" }, body.to_string())
}

async fn serve(at: SocketAddr, state: State) {
    let listener = match TcpListener::bind(at).await {
        Ok(l) => l,
        Err(e) => {
            tracing::error!("cannot listen on health check node port {}: {e}", at.port());
            return;
        }
    };
    loop {
        let Ok((mut c, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (status, body) = {
            let s = state.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&s.0, s.1)
        };
        // One small exchange after the other: this is asked every few seconds by a load balancer.
        let exchange = async {
            let mut buf = [0; 2048];
            let _ = c.read(&mut buf).await;
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = c.write_all(head.as_bytes()).await;
            let _ = c.write_all(body.as_bytes()).await;
        };
        let _ = tokio::time::timeout(Duration::from_secs(2), exchange).await;
    }
}
