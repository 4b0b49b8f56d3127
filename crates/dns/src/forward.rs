//! Asking the servers of `resolv.conf` about everything that is not the cluster's, and remembering what they said.

use hickory_proto::op::Message;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

/// Queries under way at once; more are refused, as CoreDNS's `max_concurrent` does.
const CONCURRENT: usize = 1000;
const CACHE_ENTRIES: usize = 10_000;
const CACHE_SECONDS: u32 = 30;
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Forwarder {
    servers: Vec<SocketAddr>,
    running: Semaphore,
    cache: Mutex<HashMap<(String, u16), (Instant, Message)>>,
}

/// The name servers of a `resolv.conf`, those that would lead back to us left out.
pub fn servers(resolv_conf: &str, mine: &[IpAddr]) -> Vec<SocketAddr> {
    resolv_conf
        .lines()
        .filter_map(|l| l.trim().strip_prefix("nameserver"))
        .filter_map(|l| l.split_whitespace().next()?.split('%').next()?.parse::<IpAddr>().ok())
        .filter(|ip| !mine.contains(ip))
        .map(|ip| SocketAddr::new(ip, 53))
        .take(15)
        .collect()
}

impl Forwarder {
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Self { servers, running: Semaphore::new(CONCURRENT), cache: Mutex::default() }
    }

    pub fn from_file(path: &Path, mine: &[IpAddr]) -> Self {
        Self::new(servers(&std::fs::read_to_string(path).unwrap_or_default(), mine))
    }

    /// Answers a query, with the query's own id; `None`: nobody answered, or too many are waiting.
    pub async fn ask(&self, query: &Message) -> Option<Message> {
        let q = query.queries.first()?;
        let key = (q.name().to_ascii().to_ascii_lowercase(), u16::from(q.query_type()));
        let id = query.metadata.id;
        if let Some(mut hit) = self.cached(&key) {
            hit.metadata.id = id;
            return Some(hit);
        }
        let _slot = self.running.try_acquire().ok()?;
        let bytes = query.to_vec().ok()?;
        for server in &self.servers {
            let Ok(Ok(mut answer)) = timeout(PATIENCE, by_udp(*server, &bytes)).await else { continue };
            if answer.metadata.truncation
                && let Ok(Ok(whole)) = timeout(PATIENCE, by_tcp(*server, &bytes)).await
            {
                answer = whole;
            }
            self.remember(key, &answer);
            answer.metadata.id = id;
            return Some(answer);
        }
        None
    }

    fn cached(&self, key: &(String, u16)) -> Option<Message> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        match cache.get(key) {
            Some((until, m)) if *until > Instant::now() => Some(m.clone()),
            Some(_) => {
                cache.remove(key);
                None
            }
            None => None,
        }
    }

    fn remember(&self, key: (String, u16), m: &Message) {
        let seconds = m.all_sections().map(|r| r.ttl).min().unwrap_or(0).min(CACHE_SECONDS);
        if seconds == 0 {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_ENTRIES {
            let now = Instant::now();
            cache.retain(|_, (until, _)| *until > now);
            if cache.len() >= CACHE_ENTRIES {
                cache.clear();
            }
        }
        cache.insert(key, (Instant::now() + Duration::from_secs(u64::from(seconds)), m.clone()));
    }
}

fn matches(query: &[u8], answer: &[u8]) -> bool {
    answer.len() > 12 && answer[..2] == query[..2] && answer[2] & 0x80 != 0
}

async fn by_udp(server: SocketAddr, query: &[u8]) -> std::io::Result<Message> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    // A socket of its own, connected: answers from elsewhere never arrive, and the port is drawn anew for each query.
    let s = UdpSocket::bind(any).await?;
    s.connect(server).await?;
    s.send(query).await?;
    let mut buf = vec![0; 4096];
    loop {
        let n = s.recv(&mut buf).await?;
        if matches(query, &buf[..n])
            && let Ok(m) = Message::from_vec(&buf[..n])
        {
            return Ok(m);
        }
    }
}

async fn by_tcp(server: SocketAddr, query: &[u8]) -> std::io::Result<Message> {
    let mut s = TcpStream::connect(server).await?;
    let len = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    s.write_all(&len.to_be_bytes()).await?;
    s.write_all(query).await?;
    let n = s.read_u16().await?;
    let mut buf = vec![0; usize::from(n)];
    s.read_exact(&mut buf).await?;
    if !matches(query, &buf) {
        return Err(std::io::Error::other("an answer to another question"));
    }
    Message::from_vec(&buf).map_err(std::io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_and_loops_left_out() {
        let text = "# x\nnameserver 192.0.2.1\nsearch a\n nameserver 10.96.0.10\nnameserver fe80::1%eth0\nnameserver rubbish\n";
        let got = servers(text, &["10.96.0.10".parse().unwrap()]);
        assert_eq!(got, ["192.0.2.1:53".parse().unwrap(), "[fe80::1]:53".parse().unwrap()]);
    }
}
