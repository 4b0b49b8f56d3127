//! Channels over one WebSocket connection: a reader for each that is read, writers at will.

use super::protocol::{Event, Protocol};
use bytes::{Buf, Bytes};
use futures::{SinkExt, StreamExt};
use runtime::Runtime;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::{CancellationToken, PollSender};

/// Messages that wait for one channel's reader, and those that wait to be sent.
const QUEUE: usize = 4;
/// Bytes of one message that is written.
const CHUNK: usize = 32 << 10;
/// How long the end of a connection may take.
const LINGER: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for so long is over (upstream `defaultIdleConnectionTimeout`).
pub(super) const IDLE: Duration = Duration::from_secs(4 * 60 * 60);

type Piece = io::Result<Bytes>;

/// The connection. [`Channels::close`] ends it in good order; dropped, it is cut.
pub struct Channels {
    protocol: Protocol,
    out: mpsc::Sender<Message>,
    over: CancellationToken,
    cut: CancellationToken,
}

impl Drop for Channels {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

impl Channels {
    /// Begins to read: what comes on the channels that `read` lists goes to the readers, in that order; the rest is
    /// dropped. `ping`: how often the other side is pinged.
    pub fn start<S>(
        ws: WebSocketStream<S>,
        protocol: Protocol,
        read: &[u8],
        ping: Option<Duration>,
        rt: &Runtime,
    ) -> (Self, Vec<ChannelReader>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sink, mut stream) = ws.split();
        let (out, mut queue) = mpsc::channel::<Message>(QUEUE);
        let (mut senders, mut readers) = (Vec::new(), Vec::new());
        for channel in read {
            let (tx, rx) = mpsc::channel(QUEUE);
            senders.push((*channel, Some(tx)));
            readers.push(ChannelReader { rx, rest: Bytes::new(), failed: false });
        }
        let me = Self { protocol, out, over: CancellationToken::new(), cut: CancellationToken::new() };
        let (over, cut) = (me.over.clone(), me.cut.clone());
        rt.spawn_until_stop("websocket write", async move {
            let mut pings = ping.map(|p| tokio::time::interval_at(tokio::time::Instant::now() + p, p));
            let work = async {
                loop {
                    let tick = async {
                        match &mut pings {
                            Some(p) => {
                                p.tick().await;
                            }
                            None => std::future::pending().await,
                        }
                    };
                    let m = tokio::select! {
                        m = queue.recv() => m,
                        () = tick => Some(Message::Ping(Bytes::new())),
                        () = over.cancelled() => None,
                    };
                    let Some(m) = m else { break };
                    let last = matches!(m, Message::Close(_));
                    if sink.send(m).await.is_err() {
                        break;
                    }
                    if last {
                        // The reader waits for the answer.
                        over.cancelled().await;
                        break;
                    }
                }
                let _ = tokio::time::timeout(LINGER, sink.close()).await;
            };
            tokio::select! { () = work => {} () = cut.cancelled() => {} }
            over.cancel();
        });
        let (over, cut) = (me.over.clone(), me.cut.clone());
        rt.spawn_until_stop("websocket read", async move {
            let work = async {
                loop {
                    let m = match tokio::time::timeout(IDLE, stream.next()).await {
                        Ok(Some(Ok(Message::Close(f)))) => match f {
                            Some(f) if f.code != CloseCode::Normal && f.code != CloseCode::Status => {
                                break Err(format!("websocket: close {}: {}", f.code, f.reason));
                            }
                            _ => break Ok(()),
                        },
                        Ok(Some(Ok(m))) => m,
                        Ok(None) => break Ok(()),
                        Ok(Some(Err(tungstenite::Error::ConnectionClosed))) => break Ok(()),
                        Ok(Some(Err(e))) => break Err(e.to_string()),
                        Err(_) => break Err("i/o timeout".into()),
                    };
                    match protocol.decode(m) {
                        Ok(None) => {}
                        Ok(Some(Event::Close(c))) => match senders.iter_mut().find(|(n, _)| *n == c) {
                            Some((_, tx)) => *tx = None,
                            None => tracing::debug!(channel = c, "close of a channel that is not read"),
                        },
                        Ok(Some(Event::Data(c, data))) => {
                            let to = senders.iter_mut().find(|(n, _)| *n == c);
                            // A reader that is gone wants no more; the others do.
                            if let Some((_, to)) = to
                                && let Some(tx) = to
                                && !data.is_empty()
                                && tx.send(Ok(data)).await.is_err()
                            {
                                *to = None;
                            }
                        }
                        Err(e) => {
                            tracing::debug!("websocket message: {e}");
                            if matches!(e, super::Malformed::Close(_)) {
                                break Err(e.to_string());
                            }
                        }
                    }
                }
            };
            let end = tokio::select! { r = work => r, () = cut.cancelled() => Err("closed".to_owned()) };
            over.cancel();
            if let Err(why) = end {
                for tx in senders.iter().filter_map(|(_, tx)| tx.as_ref()) {
                    let _ = tx.try_send(Err(io::Error::other(why.clone())));
                }
            }
        });
        (me, readers)
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
    pub fn writer(&self, channel: u8) -> ChannelWriter {
        ChannelWriter {
            protocol: self.protocol,
            channel,
            out: PollSender::new(self.out.clone()),
            over: self.over.clone(),
            closed: false,
        }
    }
    /// Sends one message, which may be empty; false: the connection is over.
    pub async fn send(&self, channel: u8, data: &[u8]) -> bool {
        self.put(self.protocol.encode(channel, data)).await
    }
    async fn put(&self, m: Message) -> bool {
        tokio::select! {
            r = self.out.send(m) => r.is_ok(),
            () = self.over.cancelled() => false,
        }
    }
    /// Until the connection is over.
    pub async fn closed(&self) {
        self.over.cancelled().await;
    }
    /// Sends what is queued, says good-bye, waits for the other side to do so, a little.
    pub async fn close(self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        if self.put(Message::Close(Some(frame))).await {
            let _ = tokio::time::timeout(LINGER, self.over.cancelled()).await;
        }
    }
}

/// What comes on one channel.
pub struct ChannelReader {
    rx: mpsc::Receiver<Piece>,
    rest: Bytes,
    failed: bool,
}

impl AsyncRead for ChannelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() && !self.failed {
            match ready!(self.rx.poll_recv(cx)) {
                Some(Ok(b)) => self.rest = b,
                Some(Err(e)) => {
                    self.failed = true;
                    return Poll::Ready(Err(e));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

/// Writes to one channel; shutting down closes it where the protocol can say so.
pub struct ChannelWriter {
    protocol: Protocol,
    channel: u8,
    out: PollSender<Message>,
    over: CancellationToken,
    closed: bool,
}

impl ChannelWriter {
    fn poll_send(&mut self, cx: &mut Context<'_>, m: impl FnOnce(&Self) -> Message) -> Poll<io::Result<()>> {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        if self.over.is_cancelled() {
            return Poll::Ready(Err(broken()));
        }
        ready!(self.out.poll_reserve(cx)).map_err(|_| broken())?;
        let m = m(self);
        Poll::Ready(self.out.send_item(m).map_err(|_| broken()))
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let n = data.len().min(CHUNK);
        ready!(self.poll_send(cx, |w| w.protocol.encode(w.channel, &data[..n])))?;
        Poll::Ready(Ok(n))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        if let Some(m) = self.protocol.encode_close(self.channel) {
            ready!(self.poll_send(cx, |_| m))?;
        }
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}
