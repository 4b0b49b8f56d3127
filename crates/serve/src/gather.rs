//! What an HTTP/2 connection writes in one turn goes out in one piece. The protocol's engine writes frame by frame, and
//! each would be a TLS record and a system call of its own, which for small frames (the events of many watches, a
//! message and its trailers) costs more than all the rest.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is held back at most.
const MOST: usize = 64 * 1024;
/// With so many requests open, what a turn wrote waits for one more: most likely others have something to say, too.
const MANY: usize = 5;
/// Writes from this size on are not copied.
const LARGE: usize = 8 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing was read yet.
    Unknown,
    /// HTTP/1, which may give the stream away to others: all goes through.
    Through,
    Gather,
}

struct Inner<S> {
    stream: S,
    mode: Mode,
    held: Vec<u8>,
    /// So much of it is written.
    start: usize,
    /// Something was written and not flushed.
    dirty: bool,
    /// What is held has waited for a turn.
    waited: bool,
}

/// The stream as the connection sees it.
pub struct Gather<S>(Arc<Mutex<Inner<S>>>);

/// Its other end: whoever drives the connection writes out what a turn left.
pub struct Rest<S>(Arc<Mutex<Inner<S>>>);

pub fn gather<S>(stream: S) -> (Gather<S>, Rest<S>) {
    let inner =
        Inner { stream, mode: Mode::Unknown, held: Vec::new(), start: 0, dirty: false, waited: false };
    let inner = Arc::new(Mutex::new(inner));
    (Gather(inner.clone()), Rest(inner))
}

fn lock<S>(m: &Mutex<Inner<S>>) -> MutexGuard<'_, Inner<S>> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    /// Writes out what is held.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.start < self.held.len() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held[self.start..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += n;
            self.dirty = true;
        }
        if !self.held.is_empty() {
            // An idle connection holds no buffer.
            (self.held, self.start) = (Vec::new(), 0);
        }
        if self.dirty {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let len: usize = bufs.iter().map(|b| b.len()).sum();
        if self.mode == Mode::Gather {
            if len >= LARGE || self.held.len() + len > MOST {
                ready!(self.drain(cx))?;
            }
            if len < LARGE {
                if self.held.is_empty() {
                    self.held.reserve(len.max(4096));
                }
                bufs.iter().for_each(|b| self.held.extend_from_slice(b));
                return Poll::Ready(Ok(len));
            }
            self.dirty = true;
        }
        match bufs {
            [one] => Pin::new(&mut self.stream).poll_write(cx, one),
            _ => Pin::new(&mut self.stream).poll_write_vectored(cx, bufs),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        let before = buf.filled().len();
        let done = Pin::new(&mut inner.stream).poll_read(cx, buf);
        if inner.mode == Mode::Unknown
            && let Some(first @ [_, ..]) = buf.filled().get(before..)
        {
            // The preface of HTTP/2 begins like no method of HTTP/1.
            inner.mode = if first.starts_with(b"PRI") { Mode::Gather } else { Mode::Through };
        }
        done
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        lock(&self.0).write(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).write(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.0).stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        if inner.mode == Mode::Gather {
            // At the end of the turn.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut inner.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = lock(&self.0);
        ready!(inner.drain(cx))?;
        Pin::new(&mut inner.stream).poll_shutdown(cx)
    }
}

/// Drives a connection; what each turn wrote goes out after it.
///
/// A task that was woken runs before others that are ready, so a connection whose streams all have something to send would
/// be woken by the first and send for that one alone. One that wakes itself comes after them.
pub fn drive<'a, C, S>(
    mut conn: Pin<&'a mut C>,
    rest: &'a Rest<S>,
    open: &'a AtomicUsize,
) -> impl Future<Output = C::Output> + 'a
where
    C: Future,
    S: AsyncWrite + Unpin,
{
    poll_fn(move |cx| {
        let turn = conn.as_mut().poll(cx);
        let mut inner = lock(&rest.0);
        if inner.mode != Mode::Gather {
            return turn;
        }
        if turn.is_pending()
            && !inner.waited
            && (1..MOST / 2).contains(&inner.held.len())
            && open.load(Ordering::Relaxed) >= MANY
        {
            inner.waited = true;
            cx.waker().wake_by_ref();
            return turn;
        }
        inner.waited = false;
        if let Poll::Ready(Err(e)) = inner.drain(cx) {
            tracing::debug!(error = %e, "writing to a connection");
            // The connection shall find out by itself.
            (inner.held, inner.start, inner.dirty) = (Vec::new(), 0, false);
            inner.mode = Mode::Through;
            cx.waker().wake_by_ref();
        }
        turn
    })
}

#[cfg(test)]
mod tests;
