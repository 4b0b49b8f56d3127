//! What stands between clients and the store to be wrong on purpose, in one way.

use crate::client::{endpoint, lock};
use etcd::pb::etcdserverpb as pb;
use futures::stream::{BoxStream, StreamExt};
use pb::kv_client::KvClient;
use pb::watch_client::WatchClient;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

const MESSAGE: usize = 256 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It hands everything on: the proof that the proxy itself is none.
    Nothing,
    /// Of some puts it says that they are done, and drops them.
    LostWrite,
    /// Some transactions are carried out whatever they compare.
    IgnoredCompare,
    SkippedEvent,
    RepeatedEvent,
    /// Some ranges are answered with what they were long ago.
    StaleRead,
    /// Ranges take half a second.
    Slow,
}

pub struct Proxy {
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

struct Wrong {
    channel: Channel,
    what: Break,
    counted: AtomicU64,
    old: Mutex<HashMap<Vec<u8>, pb::RangeResponse>>,
}

#[derive(Clone)]
struct Service(Arc<Wrong>);

impl Proxy {
    pub async fn start(port: u16, what: Break) -> Result<Self, String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        let at = listener.local_addr().map_err(|e| e.to_string())?;
        let channel = endpoint(port)?.connect().await.map_err(|e| e.to_string())?;
        let (counted, old) = (AtomicU64::new(0), Mutex::default());
        let s = Service(Arc::new(Wrong { channel, what, counted, old }));
        let kv = pb::kv_server::KvServer::new(s.clone())
            .max_decoding_message_size(MESSAGE)
            .max_encoding_message_size(MESSAGE);
        let watch = pb::watch_server::WatchServer::new(s).max_encoding_message_size(MESSAGE);
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let serving = Server::builder().add_service(kv).add_service(watch).serve_with_incoming(incoming);
        let task = tokio::spawn(async move {
            if let Err(e) = serving.await {
                eprintln!("proxy: {e}");
            }
        });
        Ok(Self { port: at.port(), task })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.0.channel.clone()).max_decoding_message_size(MESSAGE)
    }
    /// Whether it is this one's turn to go wrong, of those who ask.
    fn turn(&self, what: Break, every: u64) -> bool {
        self.0.what == what && self.0.counted.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl pb::kv_server::Kv for Service {
    async fn range(&self, r: Request<pb::RangeRequest>) -> Answer<pb::RangeResponse> {
        let ask = r.into_inner();
        if self.0.what == Break::Slow {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let mut name = ask.key.to_vec();
        name.extend_from_slice(&ask.range_end);
        name.extend_from_slice(&ask.revision.to_le_bytes());
        if self.turn(Break::StaleRead, 7)
            && let Some(old) = lock(&self.0.old).get(&name)
        {
            return Ok(Response::new(old.clone()));
        }
        let answer = self.kv().range(ask).await?.into_inner();
        if self.0.what == Break::StaleRead {
            lock(&self.0.old).entry(name).or_insert_with(|| answer.clone());
        }
        Ok(Response::new(answer))
    }

    type RangeStreamStream = BoxStream<'static, Result<pb::RangeStreamResponse, Status>>;

    async fn range_stream(&self, r: Request<pb::RangeRequest>) -> Answer<Self::RangeStreamStream> {
        Ok(Response::new(self.kv().range_stream(r.into_inner()).await?.into_inner().boxed()))
    }

    async fn put(&self, r: Request<pb::PutRequest>) -> Answer<pb::PutResponse> {
        let ask = r.into_inner();
        if self.turn(Break::LostWrite, 30) {
            let now = pb::RangeRequest { key: ask.key, ..Default::default() };
            let mut header = self.kv().range(now).await?.into_inner().header;
            if let Some(h) = &mut header {
                h.revision += 1;
            }
            return Ok(Response::new(pb::PutResponse { header, prev_kv: None }));
        }
        self.kv().put(ask).await
    }

    async fn delete_range(&self, r: Request<pb::DeleteRangeRequest>) -> Answer<pb::DeleteRangeResponse> {
        self.kv().delete_range(r.into_inner()).await
    }

    async fn txn(&self, r: Request<pb::TxnRequest>) -> Answer<pb::TxnResponse> {
        let mut ask = r.into_inner();
        if self.0.what == Break::IgnoredCompare {
            ask.compare.clear();
        }
        self.kv().txn(ask).await
    }

    async fn compact(&self, r: Request<pb::CompactionRequest>) -> Answer<pb::CompactionResponse> {
        self.kv().compact(r.into_inner()).await
    }
}

#[tonic::async_trait]
impl pb::watch_server::Watch for Service {
    type WatchStream = BoxStream<'static, Result<pb::WatchResponse, Status>>;

    async fn watch(&self, r: Request<Streaming<pb::WatchRequest>>) -> Answer<Self::WatchStream> {
        let asked = r.into_inner().filter_map(|r| futures::future::ready(r.ok()));
        let mut to = WatchClient::new(self.0.channel.clone()).max_decoding_message_size(MESSAGE);
        let me = self.clone();
        let told = to.watch(asked).await?.into_inner().map(move |a| {
            let mut a = a?;
            if !a.events.is_empty() {
                if me.turn(Break::SkippedEvent, 40) {
                    a.events.remove(0);
                }
                if me.turn(Break::RepeatedEvent, 40)
                    && let Some(e) = a.events.last().cloned()
                {
                    a.events.push(e);
                }
            }
            Ok(a)
        });
        Ok(Response::new(told.boxed()))
    }
}
