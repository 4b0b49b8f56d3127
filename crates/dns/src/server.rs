//! The sockets, and the loop that follows the cluster.

use crate::cache::Cache;
use crate::forward::Forwarder;
use crate::message::{self, Todo};
use dnsplan::Zone;
use hickory_proto::op::ResponseCode;
use runtime::Runtime;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;

#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// `cluster.local`
    pub domain: String,
    /// Where the servers for all other names are listed.
    pub resolv_conf: PathBuf,
    /// Addresses that lead to this server: never forwarded to.
    pub own: Vec<IpAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen for DNS on {0}: {1}; another server may have the port: choose another one")]
    Listen(SocketAddr, std::io::Error),
}

/// Connections by TCP at once.
const TCP_CONNECTIONS: usize = 512;
const TCP_IDLE: Duration = Duration::from_secs(10);

/// The zone, and what is needed to answer from it. A look-up and a change of one service both take microseconds: they
/// take turns at one zone, which is never copied.
pub struct Shared {
    zone: RwLock<Zone>,
    forward: Forwarder,
    turn: AtomicUsize,
    /// How often the zone has changed.
    generation: AtomicU64,
}

impl Shared {
    pub fn change(&self, f: impl FnOnce(&mut Zone)) {
        f(&mut self.zone.write().unwrap_or_else(PoisonError::into_inner));
        // After the change: who sees the new number sees the new zone.
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    fn decide(&self, query: &[u8], turn: usize) -> Todo {
        message::decide(&self.zone.read().unwrap_or_else(PoisonError::into_inner), query, turn)
    }

    /// The answer to one query, in bytes; `None` says nothing.
    async fn answer(&self, query: &[u8], udp: bool) -> Option<Vec<u8>> {
        let reply = match self.decide(query, self.turn()) {
            Todo::Reply(m) => *m,
            Todo::Ignore => return None,
            Todo::Forward { query: onward, alias } => {
                let original = hickory_proto::op::Message::from_vec(query).ok()?;
                match self.forward.ask(&onward).await {
                    None => message::response(&original, ResponseCode::ServFail),
                    Some(a) => {
                        let mut m = message::response(&original, a.metadata.response_code);
                        m.add_answers(alias.map(|a| *a).into_iter().chain(a.answers));
                        m.add_authorities(a.authorities);
                        m
                    }
                }
            }
        };
        message::encode(&reply, query, udp)
    }
}

/// Serves until the runtime stops; returns once the sockets are bound and the tasks run.
pub async fn run(cfg: Config, client: client::Client, rt: Runtime) -> Result<(), Error> {
    let udp = UdpSocket::bind(cfg.listen).await.map_err(|e| Error::Listen(cfg.listen, e))?;
    let tcp = TcpListener::bind(cfg.listen).await.map_err(|e| Error::Listen(cfg.listen, e))?;
    let shared = Arc::new(Shared {
        zone: RwLock::new(Zone::new(&cfg.domain)),
        forward: Forwarder::from_file(&cfg.resolv_conf, &cfg.own),
        turn: AtomicUsize::new(0),
        generation: AtomicU64::new(0),
    });
    rt.spawn_until_stop("dns-udp", datagrams(udp, shared.clone(), rt.clone()));
    rt.spawn_until_stop("dns-tcp", connections(tcp, shared.clone(), rt.clone()));
    let follow = crate::follow::run(shared, client, rt.clone());
    rt.spawn_until_stop("dns-records", follow);
    Ok(())
}

async fn datagrams(socket: UdpSocket, shared: Arc<Shared>, rt: Runtime) {
    let socket = Arc::new(socket);
    let (mut buf, mut out, mut cache) = (vec![0; 4096], Vec::new(), Cache::default());
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buf).await else { continue };
        let (query, turn) = (&buf[..n], shared.turn());
        let generation = shared.generation.load(Ordering::Acquire);
        // The cluster's own names are answered without waiting; only forwarded ones take a task of their own.
        if cache.answer(generation, query, turn, &mut out) {
            let _ = socket.send_to(&out, from).await;
            continue;
        }
        match shared.decide(query, turn) {
            Todo::Ignore => {}
            Todo::Reply(m) => {
                if let Some(b) = message::encode(&m, query, true) {
                    cache.keep(query, turn, m.answers.len(), &b);
                    let _ = socket.send_to(&b, from).await;
                }
            }
            Todo::Forward { .. } => {
                let (socket, shared, query) = (socket.clone(), shared.clone(), query.to_vec());
                rt.spawn_until_stop("dns-forward", async move {
                    if let Some(b) = shared.answer(&query, true).await {
                        let _ = socket.send_to(&b, from).await;
                    }
                });
            }
        }
    }
}

async fn connections(listener: TcpListener, shared: Arc<Shared>, rt: Runtime) {
    let slots = Arc::new(Semaphore::new(TCP_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else { continue };
        let shared = shared.clone();
        rt.spawn_until_stop("dns-connection", async move {
            let _slot = slot;
            let _ = connection(stream, &shared).await;
        });
    }
}

async fn connection(mut s: TcpStream, shared: &Shared) -> std::io::Result<()> {
    loop {
        let len = tokio::time::timeout(TCP_IDLE, s.read_u16()).await??;
        let mut query = vec![0; usize::from(len)];
        tokio::time::timeout(TCP_IDLE, s.read_exact(&mut query)).await??;
        let Some(b) = shared.answer(&query, false).await else { return Ok(()) };
        s.write_all(&u16::try_from(b.len()).map_err(std::io::Error::other)?.to_be_bytes()).await?;
        s.write_all(&b).await?;
    }
}
