//! One SPDY connection: who reads, who writes, and what both know of the streams.

use super::frame::{Decoder, Encoder, Frame, Headers, INITIAL_WINDOW_SIZE, Limits, MAX_ID, status};
use super::stream::Stream;
use bytes::{Bytes, BytesMut};
use runtime::Runtime;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long the other side may take to accept a stream (upstream `createStreamResponseTimeout`).
const REPLY: Duration = Duration::from_secs(30);
/// How long a closing connection may take to send what it still has.
const LINGER: Duration = Duration::from_secs(5);
/// Bytes waiting to be sent before writers wait.
const OUT_SOFT: usize = 256 << 10;
/// Bytes waiting to be sent before the connection is given up: only answers to a flood get there.
const OUT_HARD: usize = 4 << 20;
/// Bytes of a stream waiting to be read before the connection's reading stops.
const STREAM_BUFFER: usize = 256 << 10;
/// Pieces of data waiting, whatever their size.
const STREAM_PIECES: usize = 4096;
/// A window that nobody has spoken of (SPDY draft 3.1, 2.6.8).
const DEFAULT_WINDOW: i64 = 64 << 10;
const READ: usize = 32 << 10;

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub limits: Limits,
    /// How often the other side is pinged, so that nobody between takes the connection for dead.
    pub ping: Option<Duration>,
    /// Announce windows: for peers that are known to keep to them.
    pub flow_control: bool,
    pub max_streams: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { limits: Limits::default(), ping: None, flow_control: false, max_streams: 2048 }
    }
}

/// A connection. Dropped: streams end, what is still to be sent is sent, the connection is closed.
pub struct Connection {
    shared: Arc<Shared>,
}

/// A stream that the other side asks for.
pub struct Incoming {
    stream: Stream,
}

pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to send, or an end to come to.
    pub(super) out_ready: Notify,
    /// A stream has been read from, or is gone.
    pub(super) room: Notify,
    incoming: Notify,
    /// No frame comes in any more.
    ended: CancellationToken,
    max_streams: usize,
}

pub(super) struct State {
    encoder: Encoder,
    pub(super) out: BytesMut,
    pub(super) streams: HashMap<u32, Entry>,
    next_id: u32,
    last_received: u32,
    next_ping: u32,
    incoming: VecDeque<u32>,
    /// Writers that wait for room.
    pub(super) writers: Vec<Waker>,
    /// Set: nothing can be read or written any more; the text says why.
    pub(super) dead: Option<String>,
    /// The other side opens no more and takes no more streams.
    gone_away: bool,
    closing: bool,
    /// The other side speaks of windows.
    pub(super) windows: bool,
    initial_window: i64,
    /// What may still be sent on the whole connection.
    pub(super) window: i64,
    pub(super) unacknowledged: u32,
}

/// What both sides know of one stream.
pub(super) struct Entry {
    pub(super) headers: Headers,
    pub(super) data: VecDeque<Bytes>,
    pub(super) buffered: usize,
    /// The other side sends no more.
    pub(super) remote_fin: bool,
    /// This side sends no more.
    pub(super) local_fin: bool,
    pub(super) reset: bool,
    replied: bool,
    /// What may still be sent.
    pub(super) window: i64,
    pub(super) unacknowledged: u32,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Entry {
    fn new(headers: Headers, window: i64) -> Self {
        Self {
            headers,
            data: VecDeque::new(),
            buffered: 0,
            remote_fin: false,
            local_fin: false,
            reset: false,
            replied: false,
            window,
            unacknowledged: 0,
            reader: None,
            writer: None,
        }
    }
    pub(super) fn wake(&mut self) {
        for w in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            w.wake();
        }
    }
    fn full(&self) -> bool {
        self.buffered >= STREAM_BUFFER || self.data.len() >= STREAM_PIECES
    }
}

impl State {
    /// Queues a frame; a frame that cannot be written is the caller's mistake and ends the connection.
    pub(super) fn put(&mut self, f: &Frame) {
        let Self { encoder, out, .. } = self;
        if let Err(e) = encoder.put(f, out) {
            self.die(&e.to_string());
        }
    }
    pub(super) fn die(&mut self, why: &str) {
        if self.dead.is_none() {
            self.dead = Some(why.to_owned());
        }
        for e in self.streams.values_mut() {
            e.wake();
        }
        self.wake_writers();
    }
    fn wake_writers(&mut self) {
        for w in self.writers.drain(..) {
            w.wake();
        }
    }
    pub(super) fn wait_for_room(&mut self, w: &Waker) {
        if !self.writers.iter().any(|x| x.will_wake(w)) {
            self.writers.push(w.clone());
        }
    }
    pub(super) fn crowded(&self) -> bool {
        self.out.len() >= OUT_SOFT
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream is not used any more.
    pub(super) fn forget(&self, id: u32) {
        let mut s = self.lock();
        if let Some(e) = s.streams.remove(&id)
            && !e.reset
            && !(e.local_fin && e.remote_fin)
            && s.dead.is_none()
        {
            s.acknowledge(u32::try_from(e.buffered).unwrap_or(0));
            s.put(&Frame::Rst { id, status: status::CANCEL });
        }
        drop(s);
        self.out_ready.notify_one();
        self.room.notify_one();
    }

    fn die(&self, why: &str) {
        self.lock().die(why);
        self.ended.cancel();
        self.incoming.notify_waiters();
        self.out_ready.notify_one();
        self.room.notify_one();
    }

    /// Takes one frame in; the error is the connection's end.
    fn take(&self, f: Frame, client: bool) -> Result<(), String> {
        let mut s = self.lock();
        let s = &mut *s;
        match f {
            Frame::SynStream { id, fin, unidirectional, headers, .. } => {
                let theirs = (id % 2 == 0) == client;
                if !theirs || id <= s.last_received {
                    s.put(&Frame::Rst { id, status: status::PROTOCOL_ERROR });
                } else if s.gone_away || s.closing || s.streams.len() >= self.max_streams {
                    s.last_received = id;
                    s.put(&Frame::Rst { id, status: status::REFUSED_STREAM });
                } else {
                    s.last_received = id;
                    let mut e = Entry::new(headers, s.initial_window);
                    (e.remote_fin, e.local_fin, e.replied) = (fin, unidirectional, true);
                    s.streams.insert(id, e);
                    s.incoming.push_back(id);
                    self.incoming.notify_one();
                }
            }
            Frame::SynReply { id, fin, .. } => {
                if let Some(e) = s.streams.get_mut(&id) {
                    e.replied = true;
                    e.remote_fin |= fin;
                    e.wake();
                }
            }
            Frame::Headers { id, fin, .. } => {
                if let Some(e) = s.streams.get_mut(&id) {
                    e.remote_fin |= fin;
                    e.wake();
                }
            }
            Frame::Rst { id, status } => {
                if let Some(e) = s.streams.get_mut(&id) {
                    (e.reset, e.local_fin, e.remote_fin) = (true, true, true);
                    tracing::trace!(id, status, "stream reset");
                    e.wake();
                }
            }
            Frame::Settings(all) => {
                for (id, value) in all {
                    if id == INITIAL_WINDOW_SIZE {
                        let new = i64::from(value & MAX_ID);
                        let delta = new - s.initial_window;
                        (s.initial_window, s.windows) = (new, true);
                        for e in s.streams.values_mut() {
                            e.window += delta;
                            e.wake();
                        }
                    }
                }
            }
            Frame::WindowUpdate { id, delta } => {
                s.windows = true;
                let delta = i64::from(delta);
                if id == 0 {
                    s.window += delta;
                    s.wake_writers();
                    if s.window > i64::from(MAX_ID) {
                        return Err("the window grew beyond what there may be".into());
                    }
                } else if let Some(e) = s.streams.get_mut(&id) {
                    e.window += delta;
                    e.wake();
                    if e.window > i64::from(MAX_ID) {
                        e.reset = true;
                        s.put(&Frame::Rst { id, status: status::FLOW_CONTROL_ERROR });
                    }
                }
            }
            // Answers to one's own pings are of one's own kind: odd a client's.
            Frame::Ping(id) => {
                if (id % 2 == 1) != client {
                    s.put(&Frame::Ping(id));
                }
            }
            Frame::GoAway { .. } => s.gone_away = true,
            Frame::Data { id, fin, data } => {
                let n = u32::try_from(data.len()).unwrap_or(u32::MAX);
                match s.streams.get_mut(&id) {
                    Some(e) if !e.remote_fin => {
                        if !data.is_empty() {
                            e.buffered += data.len();
                            e.data.push_back(data);
                        }
                        e.remote_fin = fin;
                        if let Some(w) = e.reader.take() {
                            w.wake();
                        }
                    }
                    // Of a stream that is over on this side.
                    _ => s.acknowledge(n),
                }
            }
        }
        if s.out.len() > OUT_HARD {
            return Err("the other side asks for answers and does not take them".into());
        }
        Ok(())
    }

    async fn read<R: AsyncRead + Unpin>(&self, mut r: R, client: bool, limits: Limits) -> String {
        let mut decoder = Decoder::new(limits);
        let mut buf = BytesMut::with_capacity(READ);
        loop {
            loop {
                let f = match decoder.next(&mut buf) {
                    Ok(Some(f)) => f,
                    Ok(None) => break,
                    Err(e) => {
                        let mut s = self.lock();
                        let last = s.last_received;
                        s.put(&Frame::GoAway { last, status: 1 });
                        return e.to_string();
                    }
                };
                let slow = match &f {
                    Frame::Data { id, .. } => Some(*id),
                    _ => None,
                };
                if let Err(e) = self.take(f, client) {
                    return e;
                }
                self.out_ready.notify_one();
                if let Some(id) = slow {
                    while self.lock().streams.get(&id).is_some_and(Entry::full) {
                        self.room.notified().await;
                        if self.lock().dead.is_some() {
                            return "closed".into();
                        }
                    }
                }
            }
            buf.reserve(READ);
            match r.read_buf(&mut buf).await {
                Ok(0) => return "the connection was closed".into(),
                Ok(_) => {}
                Err(e) => return e.to_string(),
            }
        }
    }

    /// Nothing can be sent any more; what the other side said before it went is still read to its end.
    async fn heard_out(&self) {
        let discard = async {
            loop {
                {
                    let mut s = self.lock();
                    s.out.clear();
                    s.wake_writers();
                }
                self.out_ready.notified().await;
            }
        };
        tokio::select! {
            () = discard => {}
            () = self.ended.cancelled() => {}
            () = tokio::time::sleep(LINGER) => {}
        }
    }

    async fn write<W: AsyncWrite + Unpin>(&self, mut w: W, ping: Option<Duration>) {
        let mut pings = ping.map(|p| tokio::time::interval_at(tokio::time::Instant::now() + p, p));
        loop {
            let (bytes, end) = {
                let mut s = self.lock();
                let b = s.out.split().freeze();
                s.wake_writers();
                (b, s.dead.is_some() || s.closing)
            };
            if !bytes.is_empty() {
                let sent = async {
                    w.write_all(&bytes).await?;
                    w.flush().await
                };
                let sent = if end {
                    tokio::time::timeout(LINGER, sent).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
                } else {
                    sent.await
                };
                if let Err(e) = sent {
                    if !end {
                        self.heard_out().await;
                    }
                    return self.die(&e.to_string());
                }
                continue;
            }
            if end {
                let _ = tokio::time::timeout(LINGER, w.shutdown()).await;
                return self.die("closed");
            }
            let tick = async {
                match &mut pings {
                    Some(p) => {
                        p.tick().await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.out_ready.notified() => {}
                () = tick => {
                    let mut s = self.lock();
                    let id = s.next_ping;
                    s.next_ping = if id > MAX_ID - 2 { id % 2 + 2 } else { id + 2 };
                    s.put(&Frame::Ping(id));
                }
            }
        }
    }
}

impl State {
    /// Gives back window for bytes that nobody reads.
    fn acknowledge(&mut self, n: u32) {
        if self.windows && n > 0 {
            self.put(&Frame::WindowUpdate { id: 0, delta: n });
        }
    }
}

impl Connection {
    /// The side that asked for the upgrade.
    pub fn client<S>(io: S, options: Options, rt: &Runtime) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self::start(io, true, options, rt)
    }
    /// The side that was asked.
    pub fn server<S>(io: S, options: Options, rt: &Runtime) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self::start(io, false, options, rt)
    }

    fn start<S>(io: S, client: bool, options: Options, rt: &Runtime) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let mut state = State {
            encoder: Encoder::default(),
            out: BytesMut::new(),
            streams: HashMap::new(),
            next_id: if client { 1 } else { 2 },
            last_received: 0,
            next_ping: if client { 1 } else { 2 },
            incoming: VecDeque::new(),
            writers: Vec::new(),
            dead: None,
            gone_away: false,
            closing: false,
            windows: false,
            initial_window: DEFAULT_WINDOW,
            window: DEFAULT_WINDOW,
            unacknowledged: 0,
        };
        if options.flow_control {
            let window = u32::try_from(DEFAULT_WINDOW).unwrap_or(0);
            state.put(&Frame::Settings(vec![(INITIAL_WINDOW_SIZE, window)]));
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            out_ready: Notify::new(),
            room: Notify::new(),
            incoming: Notify::new(),
            ended: CancellationToken::new(),
            max_streams: options.max_streams,
        });
        let (r, w) = tokio::io::split(io);
        let (reading, writing) = (shared.clone(), shared.clone());
        rt.spawn_until_stop("spdy read", async move {
            let over = reading.ended.clone();
            let why = tokio::select! {
                why = reading.read(r, client, options.limits) => why,
                () = over.cancelled() => "closed".into(),
            };
            reading.die(&why);
        });
        rt.spawn_until_stop("spdy write", async move { writing.write(w, options.ping).await });
        Self { shared }
    }

    /// Opens a stream and waits for the other side to accept it.
    pub async fn open(&self, headers: Headers) -> io::Result<Stream> {
        let stream = {
            let mut s = self.shared.lock();
            if let Some(why) = &s.dead {
                return Err(io::Error::new(io::ErrorKind::NotConnected, why.clone()));
            }
            let id = s.next_id;
            if s.gone_away || s.closing || id > MAX_ID || s.streams.len() >= self.shared.max_streams {
                return Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    "no more streams on this connection",
                ));
            }
            s.next_id = id + 2;
            let window = s.initial_window;
            s.streams.insert(id, Entry::new(headers.clone(), window));
            s.put(&Frame::SynStream {
                id,
                associated: 0,
                priority: 0,
                fin: false,
                unidirectional: false,
                headers,
            });
            Stream { id, shared: self.shared.clone() }
        };
        self.shared.out_ready.notify_one();
        let id = stream.id;
        let replied = std::future::poll_fn(|cx| {
            use std::task::Poll;
            let mut s = self.shared.lock();
            let dead = s.dead.clone();
            match s.streams.get_mut(&id) {
                Some(e) if e.replied => Poll::Ready(Ok(())),
                Some(e) if !e.reset && dead.is_none() => {
                    e.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionRefused,
                    dead.unwrap_or_else(|| "the stream was refused".into()),
                ))),
            }
        });
        match tokio::time::timeout(REPLY, replied).await {
            Ok(r) => r.map(|()| stream),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "timed out waiting for stream")),
        }
    }

    /// The next stream that the other side asks for; none: the connection is over.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let notified = self.shared.incoming.notified();
            {
                let mut s = self.shared.lock();
                while let Some(id) = s.incoming.pop_front() {
                    if s.streams.contains_key(&id) {
                        return Some(Incoming { stream: Stream { id, shared: self.shared.clone() } });
                    }
                }
                if s.dead.is_some() {
                    return None;
                }
            }
            tokio::select! {
                () = notified => {}
                () = self.shared.ended.cancelled() => {}
            }
        }
    }

    /// Until the other side is gone.
    pub async fn closed(&self) {
        self.shared.ended.cancelled().await;
    }
    pub fn is_closed(&self) -> bool {
        self.shared.ended.is_cancelled()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut s = self.shared.lock();
        let open: Vec<u32> = s
            .streams
            .iter()
            .filter(|(_, e)| !(e.reset || e.local_fin && e.remote_fin))
            .map(|(id, _)| *id)
            .collect();
        if s.dead.is_none() {
            for id in open {
                s.put(&Frame::Rst { id, status: status::CANCEL });
            }
            let last = s.last_received;
            s.put(&Frame::GoAway { last, status: 0 });
        }
        for e in s.streams.values_mut() {
            (e.reset, e.local_fin, e.remote_fin) = (true, true, true);
            e.wake();
        }
        s.closing = true;
        drop(s);
        self.shared.out_ready.notify_one();
    }
}

impl Incoming {
    pub fn headers(&self) -> Headers {
        self.stream.headers()
    }
    pub fn accept(self) -> Stream {
        let mut s = self.stream.shared.lock();
        s.put(&Frame::SynReply { id: self.stream.id, fin: false, headers: Headers::new() });
        drop(s);
        self.stream.shared.out_ready.notify_one();
        self.stream
    }
    /// Resets the stream.
    pub fn reject(self) {
        drop(self);
    }
}
