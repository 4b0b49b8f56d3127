//! A proxy that passes bytes on late: what stands behind it is slower than it is. It proves the benchmarks.

use crate::Args;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, late: Duration) {
    let mut buf = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut buf).await {
        tokio::time::sleep(late).await;
        if n == 0 || to.write_all(&buf[..n]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

/// Passes on what comes to `listener`; answers are late.
pub async fn serve(listener: TcpListener, to: String, late: Duration) {
    while let Ok((client, _)) = listener.accept().await {
        let to = to.clone();
        tokio::spawn(async move {
            let Ok(server) = TcpStream::connect(&to).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::join!(pass(from_client, to_server, Duration::ZERO), pass(from_server, to_client, late));
        });
    }
}

pub async fn run(args: &Args) -> Result<Value, String> {
    let listener = TcpListener::bind(args.text("listen")?).await.map_err(|e| e.to_string())?;
    serve(listener, args.text("to")?.to_owned(), Duration::from_millis(args.number("millis", 5)?)).await;
    Ok(json!({}))
}
