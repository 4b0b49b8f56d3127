//! A byte stream in binary messages, for SPDY through WebSocket (upstream `TunnelingConnection`).

use bytes::{Buf, Bytes};
use futures::{Sink, Stream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Bytes of one message that is written.
const CHUNK: usize = 32 << 10;

pub struct Tunnel<S> {
    ws: WebSocketStream<S>,
    rest: Bytes,
    over: bool,
}

impl<S> Tunnel<S> {
    pub fn new(ws: WebSocketStream<S>) -> Self {
        Self { ws, rest: Bytes::new(), over: false }
    }
}

fn failure(e: Error) -> io::Error {
    match e {
        Error::Io(e) => e,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        e => io::Error::other(e.to_string()),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() && !self.over {
            match ready!(Pin::new(&mut self.ws).poll_next(cx)) {
                Some(Ok(Message::Binary(b))) => self.rest = b,
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::other("invalid message type received")));
                }
                Some(Ok(Message::Close(_))) | None => self.over = true,
                Some(Ok(_)) => {}
                Some(Err(Error::ConnectionClosed)) => self.over = true,
                Some(Err(e)) => return Poll::Ready(Err(failure(e))),
            }
        }
        let n = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest[..n]);
        self.rest.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let n = data.len().min(CHUNK);
        ready!(Pin::new(&mut self.ws).poll_ready(cx)).map_err(failure)?;
        let m = Message::Binary(Bytes::copy_from_slice(&data[..n]));
        Pin::new(&mut self.ws).start_send(m).map_err(failure)?;
        Poll::Ready(Ok(n))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.ws).poll_flush(cx).map_err(failure)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.ws).poll_close(cx)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(failure(e))),
        }
    }
}
