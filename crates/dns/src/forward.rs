//! Asking the servers of `resolv.conf` about everything that is not the cluster's, and remembering what they said.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
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

/// `resolv.conf` is looked at again after so long, when something is asked.
const RELOAD: Duration = Duration::from_secs(5);

/// An answer, when it came, and how long it holds.
struct Kept {
    since: Instant,
    holds: Duration,
    answer: Message,
}

#[derive(Default)]
struct Servers {
    list: Vec<SocketAddr>,
    /// Where they are listed, the addresses that lead back to us, and when that was last read.
    source: Option<(PathBuf, Vec<IpAddr>, Instant)>,
}

pub struct Forwarder {
    servers: Mutex<Servers>,
    running: Semaphore,
    /// By name, type, and whether signatures were asked for.
    cache: Mutex<HashMap<(String, u16, bool), Kept>>,
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
    pub fn new(list: Vec<SocketAddr>) -> Self {
        let servers = Mutex::new(Servers { list, source: None });
        Self { servers, running: Semaphore::new(CONCURRENT), cache: Mutex::default() }
    }

    pub fn from_file(path: &Path, mine: &[IpAddr]) -> Self {
        let f = Self::new(servers(&std::fs::read_to_string(path).unwrap_or_default(), mine));
        f.lock().source = Some((path.to_owned(), mine.to_owned(), Instant::now()));
        f
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The servers to ask, in order; the list is read anew now and then, as hosts that move between networks change it.
    fn servers(&self) -> Vec<SocketAddr> {
        let mut s = self.lock();
        let Servers { list, source } = &mut *s;
        if let Some((path, mine, read)) = source
            && read.elapsed() > RELOAD
        {
            *read = Instant::now();
            if let Ok(text) = std::fs::read_to_string(path) {
                *list = servers(&text, mine);
            }
        }
        list.clone()
    }

    /// Answers a query, with the query's own id; `None`: nobody answered, or too many are waiting.
    pub async fn ask(&self, query: &Message) -> Option<Message> {
        let q = query.queries.first()?;
        let signed = query.edns.as_ref().is_some_and(|e| e.flags().dnssec_ok);
        let key = (q.name().to_ascii().to_ascii_lowercase(), u16::from(q.query_type()), signed);
        let id = query.metadata.id;
        if let Some(mut hit) = self.cached(&key) {
            hit.metadata.id = id;
            return Some(hit);
        }
        let _slot = self.running.try_acquire().ok()?;
        let bytes = query.to_vec().ok()?;
        let mut last = None;
        for server in self.servers() {
            let Ok(Ok(mut answer)) = timeout(PATIENCE, by_udp(server, &bytes)).await else { continue };
            if answer.metadata.truncation
                && let Ok(Ok(whole)) = timeout(PATIENCE, by_tcp(server, &bytes)).await
            {
                answer = whole;
            }
            answer.metadata.id = id;
            if matches!(answer.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
                self.remember(key, &answer);
                return Some(answer);
            }
            // A server that cannot answer does not speak for the next one.
            last.get_or_insert(answer);
        }
        last
    }

    fn cached(&self, key: &(String, u16, bool)) -> Option<Message> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = cache.get(key)?;
        let age = kept.since.elapsed();
        if age >= kept.holds {
            cache.remove(key);
            return None;
        }
        let mut m = kept.answer.clone();
        let spent = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        let Message { answers, authorities, additionals, .. } = &mut m;
        for r in answers.iter_mut().chain(authorities).chain(additionals) {
            r.ttl = r.ttl.saturating_sub(spent);
        }
        Some(m)
    }

    fn remember(&self, key: (String, u16, bool), m: &Message) {
        let seconds = lifetime(m).min(CACHE_SECONDS);
        if seconds == 0 || m.metadata.truncation {
            return;
        }
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_ENTRIES {
            cache.retain(|_, k| k.since.elapsed() < k.holds);
            if cache.len() >= CACHE_ENTRIES {
                cache.clear();
            }
        }
        let holds = Duration::from_secs(u64::from(seconds));
        cache.insert(key, Kept { since: Instant::now(), holds, answer: m.clone() });
    }
}

/// How long an answer holds: as its shortest-lived record; one that says there is nothing, as the authority's SOA has it
/// (RFC 2308), without which it is not kept.
fn lifetime(m: &Message) -> u32 {
    if m.answers.is_empty() {
        let soa = m.authorities.iter().filter_map(|r| match &r.data {
            RData::SOA(s) => Some(r.ttl.min(s.minimum)),
            _ => None,
        });
        return soa.min().unwrap_or(0);
    }
    m.all_sections().map(|r| r.ttl).min().unwrap_or(0)
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

    fn message(code: ResponseCode, soa: Option<(u32, u32)>) -> Message {
        use hickory_proto::rr::rdata::SOA;
        use hickory_proto::rr::{Name, Record};
        let mut m = Message::response(1, hickory_proto::op::OpCode::Query);
        m.metadata.response_code = code;
        if let Some((ttl, minimum)) = soa {
            let n = Name::from_ascii("example.com.").unwrap();
            let soa = SOA::new(n.clone(), n.clone(), 1, 2, 3, 4, minimum);
            m.add_authority(Record::from_rdata(n, ttl, RData::SOA(soa)));
        }
        m
    }

    #[test]
    fn nothing_is_remembered_as_long_as_the_authority_says() {
        assert_eq!(lifetime(&message(ResponseCode::NXDomain, Some((900, 20)))), 20);
        assert_eq!(lifetime(&message(ResponseCode::NXDomain, Some((10, 20)))), 10);
        assert_eq!(lifetime(&message(ResponseCode::NoError, None)), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_age_in_the_cache() {
        let f = Forwarder::new(Vec::new());
        let key = || ("example.com.".to_owned(), 1, false);
        f.remember(key(), &message(ResponseCode::NXDomain, Some((900, 20))));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(f.cached(&key()).unwrap().authorities[0].ttl, 895);
        tokio::time::advance(Duration::from_secs(16)).await;
        assert!(f.cached(&key()).is_none());
    }
}
