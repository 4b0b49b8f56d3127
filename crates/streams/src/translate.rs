//! What stands between a client's WebSocket and a container runtime that speaks SPDY only (upstream
//! `apiserver/pkg/util/proxy` `streamtranslator.go`, `streamtunnel.go`): used by the kubelet, and by the API server for
//! kubelets that do not do it themselves.

pub use crate::client::Wanted;
use crate::client::{Command, Outcome, Session, Size};
use crate::spdy::{Connection, Options};
use crate::websocket::{self as ws, Channels, Protocol, Role, Tunnel};
use runtime::Runtime;
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;

/// What a node declares that does this itself.
pub const NODE_FEATURE: &str = "ExtendWebSocketsToKubelet";

/// The subprotocols that [`commands`] takes.
pub const PROTOCOLS: &[&str] = &[ws::V5];

const PING: Duration = Duration::from_secs(5);
/// Bytes of one report of the terminal's size.
const MAX_SIZE: usize = 4096;
const CHANNELS: [u8; 2] = [0, 4];
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;

/// Serves a client's connection (already upgraded, with protocol v5) by one that `dial` opens: the connection and the
/// protocol agreed on. What goes wrong is told to the client.
pub async fn commands<S, F, U>(near: S, wanted: Wanted, dial: F, rt: &Runtime)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Result<(U, String), String>>,
    U: AsyncRead + AsyncWrite + Send + 'static,
{
    let near = ws::over(near, Role::Server).await;
    let protocol = Protocol { base64: false, close: true };
    let (channels, readers) = Channels::start(near, protocol, &CHANNELS, None, rt);
    let mut readers = readers.into_iter();
    let (stdin, resize) = (readers.next(), readers.next());
    // An empty message, so that the client knows that the connection stands.
    let first = if wanted.stdout {
        STDOUT
    } else if wanted.stderr {
        STDERR
    } else {
        ERROR
    };
    if !channels.send(first, b"").await {
        return;
    }
    let (size_tx, sizes) = mpsc::channel(1);
    let resizing = async {
        if let Some(r) = resize {
            read_sizes(r, size_tx).await;
        }
        std::future::pending::<()>().await;
    };
    let work = async {
        let (far, name) = dial.await?;
        let conn = Connection::client(far, Options { ping: Some(PING), ..Options::default() }, rt);
        let writer = |on: bool, channel: u8| on.then(|| Box::new(channels.writer(channel)) as _);
        let c = Command {
            stdin: stdin.filter(|_| wanted.stdin).map(|r| Box::new(r) as _),
            stdout: writer(wanted.stdout, STDOUT),
            stderr: writer(wanted.stderr, STDERR),
            tty: wanted.tty,
            sizes: wanted.tty.then_some(sizes),
        };
        let session = Session::spdy(&conn, &name, wanted).await.map_err(|e| e.to_string())?;
        session.run(c).await.map_err(|e| e.to_string())
    };
    let ended = tokio::select! {
        r = work => r,
        () = channels.closed() => return,
        () = resizing => return,
    };
    channels.send(ERROR, status(ended).to_string().as_bytes()).await;
    channels.close().await;
}

/// A command's end as the error channel says it.
fn status(ended: Result<Outcome, String>) -> Value {
    match ended {
        Ok(Outcome::Success) => json!({"metadata": {}, "status": "Success"}),
        Ok(Outcome::Exit(code)) => json!({
            "metadata": {},
            "status": "Failure",
            "message": format!("command terminated with non-zero exit code: command terminated with exit code {code}"),
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
        Ok(Outcome::Failure(v)) if v.get("reason").is_some() => v,
        Ok(Outcome::Failure(v)) => internal(v["message"].as_str().unwrap_or_default()),
        Err(e) => internal(&e),
    }
}

fn internal(text: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "message": format!("Internal error occurred: {text}"),
        "reason": "InternalError",
        "details": {"causes": [{"message": text}]},
        "code": 500,
    })
}

/// Reads JSON values, one after the other, whatever the pieces they come in.
async fn read_sizes<R: AsyncRead + Unpin>(mut r: R, to: mpsc::Sender<Size>) {
    let mut buf: Vec<u8> = Vec::new();
    let mut piece = [0; 512];
    loop {
        let n = match r.read(&mut piece).await {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        buf.extend_from_slice(&piece[..n]);
        let mut values = serde_json::Deserializer::from_slice(&buf).into_iter::<Value>();
        let mut used = 0;
        loop {
            match values.next() {
                Some(Ok(v)) => {
                    used = values.byte_offset();
                    if let Some(size) = Size::from_json(&v)
                        && to.send(size).await.is_err()
                    {
                        return;
                    }
                }
                Some(Err(e)) if e.is_eof() => break,
                Some(Err(_)) => return,
                None => break,
            }
        }
        buf.drain(..used);
        if buf.len() > MAX_SIZE {
            return;
        }
    }
}

/// Joins a client's SPDY in WebSocket (already upgraded) to SPDY.
pub async fn tunnel<S, U>(near: S, mut far: U)
where
    S: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let mut near = Tunnel::new(ws::over(near, Role::Server).await);
    join(&mut near, &mut far).await;
}

/// Joins two connections until either has ended: that is how these sessions end.
pub async fn join<A, B>(a: &mut A, b: &mut B)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    use tokio::io::AsyncWriteExt;
    {
        let (mut ar, mut aw) = tokio::io::split(&mut *a);
        let (mut br, mut bw) = tokio::io::split(&mut *b);
        let (there, back) = (tokio::io::copy(&mut ar, &mut bw), tokio::io::copy(&mut br, &mut aw));
        let r = tokio::select! { r = there => r, r = back => r };
        if let Err(e) = r {
            tracing::debug!("a stream ended: {e}");
        }
    }
    let end = futures::future::join(a.shutdown(), b.shutdown());
    let _ = tokio::time::timeout(PING, end).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_come_in_any_pieces() {
        let (tx, mut rx) = mpsc::channel(8);
        let text = b"{\"Width\":1,\"Height\":2}\n{\"Width\":3,\"Hei";
        read_sizes(tokio_test_pieces(&[text, b"ght\":4}", b" {\"Width\":5,\"Height\":6}x{"]), tx).await;
        let mut got = Vec::new();
        while let Some(s) = rx.recv().await {
            got.push((s.width, s.height));
        }
        assert_eq!(got, [(1, 2), (3, 4), (5, 6)]);
    }

    fn tokio_test_pieces(p: &[&[u8]]) -> impl AsyncRead + Unpin {
        use bytes::Bytes;
        let all: Vec<_> = p.iter().map(|b| Ok::<_, std::io::Error>(Bytes::copy_from_slice(b))).collect();
        tokio_util::io::StreamReader::new(futures::stream::iter(all))
    }

    #[test]
    fn statuses() {
        assert_eq!(status(Ok(Outcome::Success)).to_string(), r#"{"metadata":{},"status":"Success"}"#);
        assert_eq!(status(Ok(Outcome::Exit(7)))["details"]["causes"][0]["message"], "7");
        assert_eq!(status(Err("x".into()))["message"], "Internal error occurred: x");
    }
}
