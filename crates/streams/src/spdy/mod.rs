//! SPDY/3.1 over any byte stream: frames, and the multiplexer of streams.
//!
//! Flow control: Go's implementation (`moby/spdystream`), which is what kubelets, container runtimes and clients speak,
//! has none: it neither sends nor heeds `WINDOW_UPDATE`. So windows bind only once the other side has spoken of them
//! (a `SETTINGS` with an initial window, a `WINDOW_UPDATE`); otherwise a stream whose reader is slow stops the reading
//! of the connection when its buffer is full, as there.

mod connection;
mod frame;
mod stream;

pub use connection::{Connection, Incoming, Options};
pub use frame::{Decoder, Encoder, Error, Frame, Headers, INITIAL_WINDOW_SIZE, Limits, status};
pub use stream::Stream;
