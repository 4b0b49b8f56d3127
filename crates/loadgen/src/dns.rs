//! Questions to a DNS server: names that are there and names that are not, each client with one in flight.

use crate::Args;
use crate::stat::{Span, micros};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const LOST: Duration = Duration::from_secs(2);

/// A question for the addresses of a name.
fn question(id: u16, name: &str, out: &mut Vec<u8>) {
    out.clear();
    out.extend(id.to_be_bytes());
    // Recursion is asked for; one question; one additional record, which says how large an answer may be.
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out.extend([0, 0, 1, 0, 1]);
    out.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
}

/// Name number `k`, and the response code and least number of answers it must get. Of ten, three are the misses that the
/// search list of every pod makes.
fn name(k: u64, services: u64, headless: u64) -> (String, u8, u8) {
    let i = k % services;
    match k / 7 % 10 {
        0..3 => (format!("s{i:05}.default.svc.cluster.local.default.svc.cluster.local"), 3, 0),
        _ if headless > 0 && i % headless == headless - 1 => {
            (format!("s{i:05}.default.svc.cluster.local"), 0, 2)
        }
        _ => (format!("s{i:05}.default.svc.cluster.local"), 0, 1),
    }
}

fn judge(query: &[u8], answer: &[u8], name: &str, rcode: u8, least: u8) -> Result<(), String> {
    let right = answer.len() >= 12
        && answer[..2] == query[..2]
        && answer[2] & 0x80 != 0
        && answer[3] & 15 == rcode
        && answer[6] == 0
        && answer[7] >= least;
    if right { Ok(()) } else { Err(format!("{name}: answered {:?}", &answer[..answer.len().min(12)])) }
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let server: SocketAddr = args.text("server")?.parse().map_err(|e| format!("--server: {e}"))?;
    let (services, headless) = (args.number("services", 1000)?, args.number("headless", 0)?);
    let end = Instant::now() + Duration::from_millis(args.number("millis", 1000)?);
    let span = Span::start(&args.servers());
    let mut tasks = Vec::new();
    for c in 0..args.number("clients", 16)? {
        let socket = UdpSocket::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        socket.connect(server).await.map_err(|e| e.to_string())?;
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut query, mut answer) = (Vec::new(), Vec::new(), [0; 4096]);
            let mut k = c * 7919;
            while Instant::now() < end {
                let (name, rcode, least) = name(k, services, headless);
                question(k as u16, &name, &mut query);
                let begin = Instant::now();
                socket.send(&query).await.map_err(|e| e.to_string())?;
                let got = tokio::time::timeout(LOST, socket.recv(&mut answer)).await;
                let n = got.map_err(|_| format!("{name}: no answer"))?.map_err(|e| e.to_string())?;
                latencies.push(micros(begin));
                judge(&query, &answer[..n], &name, rcode, least)?;
                k += 104_729;
            }
            Ok::<_, String>(latencies)
        }));
    }
    span.of(tasks).await
}

#[cfg(test)]
mod tests {
    #[test]
    fn questions_are_dns() {
        let mut q = Vec::new();
        super::question(7, "a.bc", &mut q);
        assert_eq!(q[..23], [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1, 0]);
        let mut good = q.clone();
        (good[2], good[7]) = (0x81, 1);
        assert!(super::judge(&q, &good, "a.bc", 0, 1).is_ok());
        assert!(super::judge(&q, &good, "a.bc", 3, 0).is_err());
        assert!(super::judge(&q, &good, "a.bc", 0, 2).is_err());
    }
}
