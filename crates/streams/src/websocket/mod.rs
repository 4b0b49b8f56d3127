//! WebSocket: how Kubernetes puts several streams into one connection (`channel.k8s.io` and its kin), one stream into
//! it (`binary.k8s.io`), or a whole SPDY connection (`SPDY/3.1+…`).

mod channels;
mod protocol;
mod reader;
mod tunnel;

pub use channels::{ChannelReader, ChannelWriter, Channels};
pub use protocol::{Event, Malformed, Protocol, V5};
pub use reader::{READER_PROTOCOLS, send_reader};
pub use tunnel::Tunnel;

pub use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::protocol::Role;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// The largest message: clients send what they have in one (as upstream's server, which stops at 32 MiB).
const MAX_MESSAGE: usize = 32 << 20;

/// WebSocket over a connection that has been upgraded.
pub async fn over<S>(io: S, role: Role) -> WebSocketStream<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let c = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    WebSocketStream::from_raw_socket(io, role, Some(c)).await
}
