//! One byte stream, server to client, as messages: logs and the like (upstream `wsstream.Reader`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{SinkExt, Stream, StreamExt};
use std::fmt::Display;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// The empty name stands for no protocol asked for.
pub const READER_PROTOCOLS: &[&str] = &["", "binary.k8s.io", "base64.binary.k8s.io"];

/// Bytes of one message.
const CHUNK: usize = 2048;

/// Sends what comes from `data` until it ends or the client goes; then says good-bye.
pub async fn send_reader<S, D, E>(ws: WebSocketStream<S>, protocol: &str, data: D)
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Stream<Item = Result<Bytes, E>>,
    E: Display,
{
    let base64 = protocol.starts_with("base64.");
    let message = |b: Bytes| {
        if base64 { Message::text(STANDARD.encode(&b)) } else { Message::Binary(b) }
    };
    let (mut sink, mut incoming) = ws.split();
    let send = async {
        // So that the client knows that the connection stands before there is anything to say.
        if sink.send(message(Bytes::new())).await.is_err() {
            return;
        }
        let mut data = std::pin::pin!(data);
        while let Some(piece) = data.next().await {
            let mut piece = match piece {
                Ok(p) => p,
                Err(e) => {
                    tracing::debug!("a stream to a WebSocket broke off: {e}");
                    break;
                }
            };
            while !piece.is_empty() {
                let part = piece.split_to(piece.len().min(CHUNK));
                if sink.send(message(part)).await.is_err() {
                    return;
                }
            }
        }
        let _ = sink.send(Message::Close(None)).await;
        let _ = sink.close().await;
    };
    let gone = async { while let Some(Ok(_)) = incoming.next().await {} };
    tokio::select! { () = send => {} () = gone => {} }
}
