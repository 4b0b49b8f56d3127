//! Services: makes many of them, and measures a proxy from where its packets go: in its network namespace. Every endpoint
//! is an address of that namespace, so that whoever connects to a Service hears which endpoint took the connection.

use crate::Args;
use crate::net::{Call, Conn, Target};
use crate::objects::JSON;
use crate::stat::{Span, micros};
use http::Method;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const NS: &str = "default";
const PORT: u16 = 8080;
/// An answer from a programmed Service takes microseconds here; a packet that nobody translates is lost.
const PATIENCE: Duration = Duration::from_millis(20);

/// The address of Service number `i`, and those of its endpoints in their `version`.
fn cluster_ip(i: u64) -> Ipv4Addr {
    Ipv4Addr::new(10, 100, (i / 250) as u8, (i % 250 + 1) as u8)
}

fn endpoints(i: u64, version: u64) -> [Ipv4Addr; 2] {
    let last = (i % 250 + 1) as u8;
    let third = (i / 250) as u8;
    // 10,000 Services take 40 networks of 250; the versions lie beside each other.
    let second = 77 + (version % 8) as u8;
    [Ipv4Addr::new(10, second, third, last), Ipv4Addr::new(10, second, 100 + third, last)]
}

fn name(i: u64) -> String {
    format!("s{i:05}")
}

fn slice(i: u64, version: u64) -> Value {
    let list: Vec<Value> = endpoints(i, version)
        .iter()
        .map(|a| json!({"addresses": [a.to_string()], "conditions": {"ready": true, "serving": true}}))
        .collect();
    json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": format!("{}-a", name(i)), "namespace": NS, "labels": {
            "kubernetes.io/service-name": name(i), "endpointslice.kubernetes.io/managed-by": "loadgen"}},
        "ports": [{"name": "main", "port": PORT, "protocol": "TCP"}], "endpoints": list})
}

fn slices() -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices")
}

async fn send(conn: &mut Conn, method: Method, path: &str, v: &Value) -> Result<(), String> {
    let body = v.to_string().into();
    conn.call(Call { method, path, content: JSON, accept: JSON, body }).await.map(drop)
}

/// Makes Services `first` to `first + count`, each with two endpoints; each tenth headless when asked for DNS names.
pub async fn fill(args: &Args) -> Result<Value, String> {
    let target = Target::kubeconfig(args.text("kubeconfig")?)?;
    let (first, count) = (args.number("first", 0)?, args.number("count", 100)?);
    let headless = args.number("headless", 0)?;
    let span = Span::start(&args.servers());
    let make = move |mut conn: Conn, i: u64| async move {
        let i = first + i;
        let ip = if headless > 0 && i % headless == headless - 1 {
            "None".to_owned()
        } else {
            cluster_ip(i).to_string()
        };
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name(i), "namespace": NS},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": [
                {"name": "main", "port": 80, "targetPort": PORT, "protocol": "TCP"}]}});
        send(&mut conn, Method::POST, &format!("/api/v1/namespaces/{NS}/services"), &service).await?;
        send(&mut conn, Method::POST, &slices(), &slice(i, 0)).await
    };
    target.each(32, count, make).await?;
    Ok(span.end(count, Vec::new()))
}

/// Makes a node of this name, as a proxy asks for its own.
pub async fn node(args: &Args) -> Result<Value, String> {
    let mut conn = Target::kubeconfig(args.text("kubeconfig")?)?.connect().await?;
    let (name, ip) = (args.text("name")?, args.text("ip")?);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "spec": {"podCIDR": "10.77.0.0/16"},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": name}]}});
    send(&mut conn, Method::POST, "/api/v1/nodes", &node).await?;
    Ok(json!({}))
}

/// Stands behind every endpoint: tells each client the address it reached.
async fn serve() -> Result<(), String> {
    let at = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), PORT);
    let listener = TcpListener::bind(at).await.map_err(|e| format!("port {PORT}: {e}"))?;
    tokio::spawn(async move {
        while let Ok((mut s, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(SocketAddr::V4(me)) = s.local_addr() {
                    let _ = s.write_all(&me.ip().octets()).await;
                    // The client ends it, by a reset: no port is left waiting.
                    let _ = s.read(&mut [0]).await;
                }
            });
        }
    });
    Ok(())
}

/// Who answers for a Service.
async fn probe(i: u64, patience: Duration) -> Option<Ipv4Addr> {
    let ask = async {
        let mut s = TcpStream::connect((cluster_ip(i), 80)).await.ok()?;
        s.set_zero_linger().ok()?;
        let mut at = [0; 4];
        s.read_exact(&mut at).await.ok()?;
        Some(Ipv4Addr::from(at))
    };
    tokio::time::timeout(patience, ask).await.ok()?
}

/// Waits until each of the Services named answers from its endpoints of that version.
async fn programmed(services: &[u64], version: u64, limit: Duration) -> Result<(), String> {
    let begin = Instant::now();
    for i in services {
        while !probe(*i, PATIENCE).await.is_some_and(|a| endpoints(*i, version).contains(&a)) {
            if begin.elapsed() > limit {
                return Err(format!("{} does not lead to its endpoints after {limit:?}", name(*i)));
            }
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    }
    Ok(())
}

/// From now until the last of `--services` is programmed; `--since` is when the proxy was started, by the machine's clock.
pub async fn ready(args: &Args) -> Result<Value, String> {
    let n = args.number("services", 1)?;
    serve().await?;
    let all = [n - 1, n / 2, 0];
    programmed(&all, args.number("version", 0)?, Duration::from_secs(args.number("timeout", 120)?)).await?;
    Ok(json!({"at": crate::stat::clock()}))
}

/// Changes the endpoints of one Service again and again; each time until a connection reaches a new one.
pub async fn change(args: &Args) -> Result<Value, String> {
    let mut conn = Target::kubeconfig(args.text("kubeconfig")?)?.connect().await?;
    let (n, changes) = (args.number("services", 1)?, args.number("changes", 10)?);
    serve().await?;
    let span = Span::start(&args.servers());
    let mut latencies = Vec::new();
    for k in 0..changes {
        let i = (k * 37 + n / 3) % n;
        let path = format!("{}/{}-a", slices(), name(i));
        // Every Service goes there and back: nobody need remember where it was left.
        for version in [1, 0] {
            let begin = Instant::now();
            send(&mut conn, Method::PUT, &path, &slice(i, version)).await?;
            programmed(&[i], version, Duration::from_secs(60)).await?;
            latencies.push(micros(begin));
            tokio::time::sleep(Duration::from_millis(args.number("pause", 100)?)).await;
        }
    }
    Ok(span.end(2 * changes, latencies))
}

/// Connections a second to all of the Services, by some clients.
pub async fn connect(args: &Args) -> Result<Value, String> {
    let (n, clients) = (args.number("services", 1)?, args.number("clients", 16)?);
    let millis = args.number("millis", 1000)?;
    serve().await?;
    // The kernel translates in the time of who connects: both ends are in this process.
    let span = Span::start(&crate::stat::Servers { pids: vec![std::process::id()], ..Default::default() });
    let end = Instant::now() + Duration::from_millis(millis);
    let mut tasks = Vec::new();
    for c in 0..clients {
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut i) = (Vec::new(), c * 7919);
            while Instant::now() < end {
                let begin = Instant::now();
                if probe(i % n, Duration::from_secs(5)).await.is_none() {
                    return Err(format!("{} does not answer", name(i % n)));
                }
                latencies.push(micros(begin));
                i += 104_729;
            }
            Ok(latencies)
        }));
    }
    span.of(tasks).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_services_share_an_address() {
        let all: BTreeSet<Ipv4Addr> = (0..10_000).map(cluster_ip).collect();
        let ends: BTreeSet<Ipv4Addr> =
            (0..10_000).flat_map(|i| [endpoints(i, 0), endpoints(i, 1)]).flatten().collect();
        assert_eq!((all.len(), ends.len()), (10_000, 40_000));
    }
}
