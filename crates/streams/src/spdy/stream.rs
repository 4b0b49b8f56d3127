//! One stream of a connection: reads end with the other side's FIN or reset, shutting down sends FIN, dropping resets.

use super::connection::Shared;
use super::frame::{Frame, Headers};
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one data frame that is written.
const CHUNK: usize = 32 << 10;
/// Window is given back in pieces of this size.
const ACKNOWLEDGE: u32 = 16 << 10;

pub struct Stream {
    pub(super) id: u32,
    pub(super) shared: Arc<Shared>,
}

impl Stream {
    pub fn id(&self) -> u32 {
        self.id
    }
    /// The headers it was opened with.
    pub fn headers(&self) -> Headers {
        self.shared.lock().streams.get(&self.id).map(|e| e.headers.clone()).unwrap_or_default()
    }
    /// Says that nothing more will be written.
    pub fn finish(&mut self) {
        let mut s = self.shared.lock();
        let s = &mut *s;
        if let Some(e) = s.streams.get_mut(&self.id)
            && !e.local_fin
        {
            e.local_fin = true;
            s.put(&Frame::Data { id: self.id, fin: true, data: Bytes::new() });
            self.shared.out_ready.notify_one();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.forget(self.id);
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut s = self.shared.lock();
        let s = &mut *s;
        let Some(e) = s.streams.get_mut(&self.id) else { return Poll::Ready(Ok(())) };
        let mut taken = 0;
        while let Some(front) = e.data.front_mut() {
            let n = front.len().min(buf.remaining());
            if n == 0 {
                break;
            }
            buf.put_slice(&front[..n]);
            front.advance(n);
            taken += n;
            if front.is_empty() {
                e.data.pop_front();
            }
        }
        if taken > 0 {
            e.buffered -= taken;
            let n = u32::try_from(taken).unwrap_or(0);
            e.unacknowledged = e.unacknowledged.saturating_add(n);
            s.unacknowledged = s.unacknowledged.saturating_add(n);
            if s.windows {
                let mut frames = Vec::new();
                if e.unacknowledged >= ACKNOWLEDGE && !e.remote_fin {
                    frames.push((self.id, std::mem::take(&mut e.unacknowledged)));
                }
                if s.unacknowledged >= ACKNOWLEDGE {
                    frames.push((0, std::mem::take(&mut s.unacknowledged)));
                }
                for (id, delta) in frames {
                    s.put(&Frame::WindowUpdate { id, delta });
                    self.shared.out_ready.notify_one();
                }
            }
            self.shared.room.notify_one();
            return Poll::Ready(Ok(()));
        }
        if buf.remaining() == 0 || e.remote_fin || e.reset {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = &s.dead {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, why.clone())));
        }
        e.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut s = self.shared.lock();
        let s = &mut *s;
        let broken = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        if s.dead.is_some() {
            return broken();
        }
        let crowded = s.crowded();
        let Some(e) = s.streams.get_mut(&self.id) else { return broken() };
        if e.local_fin || e.reset {
            return broken();
        }
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut n = data.len().min(CHUNK);
        if s.windows {
            if e.window <= 0 {
                e.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            n = n.min(usize::try_from(e.window.min(s.window).max(0)).unwrap_or(0));
        }
        if crowded || n == 0 {
            s.wait_for_room(cx.waker());
            return Poll::Pending;
        }
        let sent = i64::try_from(n).unwrap_or(0);
        e.window -= sent;
        s.window -= sent;
        s.put(&Frame::Data { id: self.id, fin: false, data: Bytes::copy_from_slice(&data[..n]) });
        self.shared.out_ready.notify_one();
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}
