//! A stream that notes its writes stands for the socket.

use super::*;
use std::collections::VecDeque;
use std::pin::pin;
use std::task::Waker;

/// Reads what it is given; takes what it has room for.
#[derive(Default)]
struct Noted {
    input: VecDeque<u8>,
    room: usize,
    writes: Vec<usize>,
    all: Vec<u8>,
    flushed: usize,
    broken: bool,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while buf.remaining() > 0
            && let Some(b) = self.input.pop_front()
        {
            buf.put_slice(&[b]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        if self.broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let n = b.len().min(self.room);
        if n == 0 {
            return Poll::Pending;
        }
        self.room -= n;
        self.writes.push(n);
        self.all.extend_from_slice(&b[..n]);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushed += 1;
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn opened(first: &[u8], room: usize) -> (Gather<Noted>, Rest<Noted>) {
    let (mut g, rest) = gather(Noted { input: first.iter().copied().collect(), room, ..Noted::default() });
    let mut space = [0; 8];
    let read =
        Pin::new(&mut g).poll_read(&mut Context::from_waker(Waker::noop()), &mut ReadBuf::new(&mut space));
    assert!(matches!(read, Poll::Ready(Ok(()))));
    (g, rest)
}

/// One turn of a connection that writes these, flushing after each; answers what was taken of each.
fn turn(g: &mut Gather<Noted>, rest: &Rest<Noted>, writes: &[&[u8]]) -> Vec<Option<usize>> {
    turn_of(1, g, rest, writes)
}

fn turn_of(open: usize, g: &mut Gather<Noted>, rest: &Rest<Noted>, writes: &[&[u8]]) -> Vec<Option<usize>> {
    let open = AtomicUsize::new(open);
    let mut taken = Vec::new();
    {
        let conn = pin!(poll_fn(|cx| {
            for w in writes {
                taken.push(match Pin::new(&mut *g).poll_write(cx, w) {
                    Poll::Ready(Ok(n)) => Some(n),
                    _ => None,
                });
                assert!(Pin::new(&mut *g).poll_flush(cx).is_ready());
            }
            Poll::<()>::Pending
        }));
        let driven = pin!(drive(conn, rest, &open));
        assert!(driven.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    taken
}

#[test]
fn a_turn_is_one_write() {
    let (mut g, rest) = opened(b"PRI * HT", 1 << 20);
    assert_eq!(turn(&mut g, &rest, &[b"one", b"two", b"three"]), [Some(3), Some(3), Some(5)]);
    let s = &lock(&rest.0).stream;
    assert_eq!((s.all.as_slice(), s.writes.as_slice(), s.flushed), (&b"onetwothree"[..], &[11][..], 1));
}

#[test]
fn of_many_streams_two_turns_are_one_write() {
    let (mut g, rest) = opened(b"PRI * HT", 1 << 20);
    turn_of(MANY, &mut g, &rest, &[b"one"]);
    assert_eq!(lock(&rest.0).stream.writes, [0; 0]);
    turn_of(MANY, &mut g, &rest, &[b"two"]);
    assert_eq!(lock(&rest.0).stream.writes, [6]);
    turn_of(MANY, &mut g, &rest, &[b"three"]);
    turn_of(MANY, &mut g, &rest, &[]);
    assert_eq!(lock(&rest.0).stream.writes, [6, 5]);
}

#[test]
fn http1_goes_through() {
    let (mut g, rest) = opened(b"GET / HT", 1 << 20);
    turn(&mut g, &rest, &[b"one", b"two"]);
    let s = &lock(&rest.0).stream;
    assert_eq!((s.writes.as_slice(), s.flushed), (&[3, 3][..], 2));
}

#[test]
fn large_writes_are_not_held_and_keep_their_place() {
    let (mut g, rest) = opened(b"PRI * HT", 1 << 20);
    let large = vec![b'x'; LARGE];
    turn(&mut g, &rest, &[b"head", &large, b"tail"]);
    assert_eq!(lock(&rest.0).stream.writes, [4, LARGE, 4]);
    assert_eq!(lock(&rest.0).stream.all, [b"head", large.as_slice(), b"tail"].concat());
}

#[test]
fn a_socket_without_room_holds_up_the_connection() {
    let (mut g, rest) = opened(b"PRI * HT", 10);
    let piece = vec![b'y'; LARGE - 1];
    let pieces: Vec<&[u8]> = vec![&piece; 10];
    let taken = turn(&mut g, &rest, &pieces);
    assert_eq!(taken.iter().flatten().count(), MOST / piece.len());
    assert!(lock(&rest.0).held.len() <= MOST);
    // When there is room again, all that was taken goes, in the next turn.
    lock(&rest.0).stream.room = 1 << 20;
    turn(&mut g, &rest, &[]);
    assert_eq!(lock(&rest.0).stream.all.len(), MOST / piece.len() * piece.len());
    assert_eq!(lock(&rest.0).held.capacity(), 0);
}

#[test]
fn a_broken_socket_is_found_out_by_the_connection() {
    let (mut g, rest) = opened(b"PRI * HT", 10);
    lock(&rest.0).stream.broken = true;
    assert_eq!(turn(&mut g, &rest, &[b"lost"]), [Some(4)]);
    assert_eq!(turn(&mut g, &rest, &[b"refused"]), [None]);
}
