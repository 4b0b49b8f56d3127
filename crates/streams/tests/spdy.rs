//! Two ends of a SPDY connection, with and without windows, and ends that misbehave.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use bytes::BytesMut;
use runtime::Runtime;
use std::io::ErrorKind;
use std::time::Duration;
use streams::spdy::{Connection, Decoder, Encoder, Frame, Headers, INITIAL_WINDOW_SIZE, Options, status};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const WIRE: usize = 8 << 10;

fn pair(flow_control: bool) -> (Connection, Connection, Runtime) {
    let rt = Runtime::new();
    let (a, b) = duplex(WIRE);
    let o = Options { flow_control, ..Options::default() };
    (Connection::client(a, o, &rt), Connection::server(b, o, &rt), rt)
}

/// Answers every stream with what comes in, until both are at their end.
fn echo(server: Connection, rt: &Runtime) {
    let inner = rt.clone();
    rt.spawn("echo", async move {
        while let Some(i) = server.accept().await {
            if i.headers().get("streamtype") == Some("refused") {
                i.reject();
                continue;
            }
            let s = i.accept();
            inner.spawn("echo one", async move {
                let (mut r, mut w) = tokio::io::split(s);
                let _ = tokio::io::copy(&mut r, &mut w).await;
                let _ = w.shutdown().await;
            });
        }
    });
}

async fn exchange(flow_control: bool) {
    let (client, server, rt) = pair(flow_control);
    echo(server, &rt);
    let big: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
    let one = async |kind: &str| {
        let s = client.open(Headers::new().with("streamType", kind)).await.unwrap();
        let (mut r, mut w) = tokio::io::split(s);
        let write = async {
            w.write_all(&big).await.unwrap();
            w.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let read = async { r.read_to_end(&mut got).await.unwrap() };
        futures::future::join(write, read).await;
        assert!(got == big, "{kind}: {} bytes", got.len());
    };
    futures::future::join3(one("a"), one("b"), one("c")).await;
    let refused = client.open(Headers::new().with("streamType", "refused")).await;
    assert_eq!(refused.map(|_| ()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn streams_carry_both_ways() {
    exchange(false).await;
}

#[tokio::test]
async fn streams_carry_both_ways_within_windows() {
    exchange(true).await;
}

#[tokio::test]
async fn an_unread_stream_does_not_stop_others_within_windows() {
    let (client, server, rt) = pair(true);
    let slow = client.open(Headers::new().with("n", "slow"));
    let slow_far = async { server.accept().await.unwrap().accept() };
    let (slow, slow_far) = futures::future::join(slow, slow_far).await;
    let mut slow = slow.unwrap();
    rt.spawn("slow writer", async move {
        let _ = slow.write_all(&vec![1; 300 << 10]).await;
    });
    let quick = client.open(Headers::new().with("n", "quick"));
    let quick_far = async { server.accept().await.unwrap().accept() };
    let (quick, mut quick_far) = futures::future::join(quick, quick_far).await;
    let mut quick = quick.unwrap();
    quick_far.write_all(b"there").await.unwrap();
    let mut got = [0; 5];
    quick.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"there");
    drop(slow_far);
}

#[tokio::test]
async fn the_end_of_a_connection() {
    let (client, server, _rt) = pair(false);
    let open = client.open(Headers::new());
    let accept = async { server.accept().await.unwrap().accept() };
    let (mine, mut theirs) = futures::future::join(open, accept).await;
    let mut mine = mine.unwrap();
    theirs.write_all(b"last words").await.unwrap();
    // As Go's server ends: without FIN, by closing the connection.
    drop(server);
    let mut got = Vec::new();
    mine.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last words");
    client.closed().await;
    assert_eq!(client.open(Headers::new()).await.map(|_| ()).unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(mine.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// The other end by hand.
struct Hand {
    io: DuplexStream,
    encoder: Encoder,
    decoder: Decoder,
    buf: BytesMut,
}

impl Hand {
    fn new(io: DuplexStream) -> Self {
        Self { io, encoder: Encoder::default(), decoder: Decoder::default(), buf: BytesMut::new() }
    }
    async fn put(&mut self, f: Frame) {
        let mut out = BytesMut::new();
        self.encoder.put(&f, &mut out).unwrap();
        self.io.write_all(&out).await.unwrap();
    }
    async fn get(&mut self) -> Option<Frame> {
        loop {
            if let Some(f) = self.decoder.next(&mut self.buf).unwrap() {
                return Some(f);
            }
            if self.io.read_buf(&mut self.buf).await.unwrap() == 0 {
                return None;
            }
        }
    }
}

fn syn(id: u32) -> Frame {
    let headers = Headers::new().with("n", id.to_string());
    Frame::SynStream { id, associated: 0, priority: 0, fin: false, unidirectional: false, headers }
}

#[tokio::test]
async fn a_peer_that_breaks_rules() {
    let rt = Runtime::new();
    let (a, b) = duplex(WIRE);
    let server = Connection::server(a, Options { max_streams: 2, ..Options::default() }, &rt);
    let mut peer = Hand::new(b);
    // Even ids are the server's.
    peer.put(syn(2)).await;
    assert_eq!(peer.get().await, Some(Frame::Rst { id: 2, status: status::PROTOCOL_ERROR }));
    peer.put(syn(5)).await;
    let five = server.accept().await.unwrap().accept();
    assert!(matches!(peer.get().await, Some(Frame::SynReply { id: 5, .. })));
    // Ids only grow.
    peer.put(syn(3)).await;
    assert_eq!(peer.get().await, Some(Frame::Rst { id: 3, status: status::PROTOCOL_ERROR }));
    peer.put(syn(7)).await;
    let _seven = server.accept().await.unwrap().accept();
    assert!(matches!(peer.get().await, Some(Frame::SynReply { id: 7, .. })));
    // More than there may be.
    peer.put(syn(9)).await;
    assert_eq!(peer.get().await, Some(Frame::Rst { id: 9, status: status::REFUSED_STREAM }));
    // Pings are answered, answers are not.
    peer.put(Frame::Ping(2)).await;
    peer.put(Frame::Ping(1)).await;
    assert_eq!(peer.get().await, Some(Frame::Ping(1)));
    // Data of streams that never were.
    peer.put(Frame::Data { id: 99, fin: true, data: "x".into() }).await;
    drop(five);
    assert_eq!(peer.get().await, Some(Frame::Rst { id: 5, status: status::CANCEL }));
    // Nonsense ends it, with a word.
    peer.io.write_all(&[0x80, 9, 0, 1, 0, 0, 0, 0]).await.unwrap();
    assert_eq!(peer.get().await, Some(Frame::GoAway { last: 9, status: 1 }));
    assert_eq!(peer.get().await, None);
    assert!(server.accept().await.is_none());
}

#[tokio::test]
async fn windows_bind_once_spoken_of() {
    let rt = Runtime::new();
    let (a, b) = duplex(1 << 20);
    let client = Connection::client(a, Options::default(), &rt);
    let mut peer = Hand::new(b);
    peer.put(Frame::Settings(vec![(INITIAL_WINDOW_SIZE, 10)])).await;
    peer.put(Frame::Ping(2)).await;
    // The answer to the ping says that the setting is known.
    assert_eq!(peer.get().await, Some(Frame::Ping(2)));
    let opening = client.open(Headers::new());
    let replying = async {
        assert!(matches!(peer.get().await, Some(Frame::SynStream { id: 1, .. })));
        peer.put(Frame::SynReply { id: 1, fin: false, headers: Headers::new() }).await;
    };
    let (s, ()) = futures::future::join(opening, replying).await;
    let mut s = s.unwrap();
    assert_eq!(s.write(&[0; 64]).await.unwrap(), 10);
    let more = async { s.write(&[0; 64]).await.unwrap() };
    let grant = async {
        assert!(matches!(peer.get().await, Some(Frame::Data { id: 1, data, .. }) if data.len() == 10));
        peer.put(Frame::WindowUpdate { id: 1, delta: 7 }).await;
    };
    assert_eq!(futures::future::join(more, grant).await.0, 7);
}

#[tokio::test(start_paused = true)]
async fn pings_go_out() {
    let rt = Runtime::new();
    let (a, b) = duplex(WIRE);
    let ping = Some(Duration::from_secs(5));
    let _client = Connection::client(a, Options { ping, ..Options::default() }, &rt);
    let mut peer = Hand::new(b);
    assert_eq!(peer.get().await, Some(Frame::Ping(1)));
    assert_eq!(peer.get().await, Some(Frame::Ping(3)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_answers_times_out() {
    let rt = Runtime::new();
    let (a, _b) = duplex(WIRE);
    let client = Connection::client(a, Options::default(), &rt);
    assert_eq!(client.open(Headers::new()).await.map(|_| ()).unwrap_err().kind(), ErrorKind::TimedOut);
}
