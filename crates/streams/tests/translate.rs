//! A command over WebSocket on one side and SPDY on the other: the client, the translation, and a runtime played here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use runtime::Runtime;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use streams::client::{Command, Outcome, Session, Size};
use streams::spdy::{Connection, Options, Stream};
use streams::translate::{self, Wanted};
use streams::websocket::{self as ws, Protocol, Role};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(b);
        Poll::Ready(Ok(b.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// Takes the streams as they come, echoes stdin on stdout, reports the first size on stderr's place, ends with `result`.
async fn play(io: DuplexStream, streams: &[&str], result: &str, rt: Runtime) {
    let conn = Connection::server(io, Options::default(), &rt);
    let mut got: Vec<(String, Stream)> = Vec::new();
    for want in streams {
        let i = conn.accept().await.unwrap();
        assert_eq!(i.headers().get("streamType"), Some(*want));
        got.push(((*want).to_owned(), i.accept()));
    }
    let mut take = |name: &str| got.iter().position(|(n, _)| n == name).map(|i| got.remove(i).1);
    let (stdin, stdout, stderr) = (take("stdin"), take("stdout"), take("stderr"));
    let (resize, error) = (take("resize"), take("error"));
    if let (Some(mut r), Some(mut o)) = (stdin, stdout) {
        if let Some(mut z) = resize {
            let mut size = [0; 25];
            z.read_exact(&mut size).await.unwrap();
            o.write_all(&size).await.unwrap();
        }
        tokio::io::copy(&mut r, &mut o).await.unwrap();
        o.shutdown().await.unwrap();
    }
    if let Some(mut e) = stderr {
        e.write_all(b"on stderr").await.unwrap();
        e.shutdown().await.unwrap();
    }
    let mut error = error.unwrap();
    error.write_all(result.as_bytes()).await.unwrap();
    // Go's runtimes close the connection without ending the stream.
    drop(conn);
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

struct Case {
    wanted: Wanted,
    streams: &'static [&'static str],
    result: &'static str,
    stdin: Vec<u8>,
}

async fn run(case: Case) -> (Result<Outcome, String>, String, String) {
    let rt = Runtime::new();
    let (near, far) = duplex(4096);
    let (spdy_near, spdy_far) = duplex(4096);
    let (w, result, inner) = (case.wanted, case.result, rt.clone());
    rt.spawn("runtime", play(spdy_far, case.streams, result, rt.clone()));
    rt.spawn("translation", async move {
        let dial = async { Ok::<_, String>((spdy_near, "v4.channel.k8s.io".to_owned())) };
        translate::commands(far, w, dial, &inner).await;
    });
    let (stdout, stderr) = (Sink::default(), Sink::default());
    let (tx, rx) = mpsc::channel(1);
    let boxed = |on: bool, s: &Sink| on.then(|| Box::new(s.clone()) as Box<dyn AsyncWrite + Send + Unpin>);
    let c = Command {
        stdin: w.stdin.then(|| Box::new(io::Cursor::new(case.stdin)) as _),
        stdout: boxed(w.stdout, &stdout),
        stderr: boxed(w.stderr, &stderr),
        tty: w.tty,
        sizes: w.tty.then_some(rx),
    };
    let _ = tx.send(Size { width: 80, height: 24 }).await;
    let near = ws::over(near, Role::Client).await;
    let (channels, session) =
        Session::websocket(near, Protocol::named(ws::V5).unwrap(), true, c.wanted(), &rt);
    let r = session.run(c).await.map_err(|e| e.to_string());
    channels.close().await;
    (r, stdout.text(), stderr.text())
}

#[tokio::test]
async fn a_command_with_all_streams() {
    let wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: false };
    let text = "all work and no play ".repeat(20_000);
    let (r, out, err) = run(Case {
        wanted,
        streams: &["error", "stdin", "stdout", "stderr"],
        result: r#"{"metadata":{},"status":"Success"}"#,
        stdin: text.clone().into_bytes(),
    })
    .await;
    assert_eq!(r, Ok(Outcome::Success));
    assert!(out == text, "{} bytes", out.len());
    assert_eq!(err, "on stderr");
}

#[tokio::test]
async fn a_terminal_and_an_exit_code() {
    let wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: true };
    let (r, out, err) = run(Case {
        wanted,
        streams: &["error", "stdin", "stdout", "resize"],
        result: r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#,
        stdin: b"exit 3\n".to_vec(),
    })
    .await;
    assert_eq!(r, Ok(Outcome::Exit(3)));
    assert_eq!(out, "{\"Width\":80,\"Height\":24}\nexit 3\n");
    assert_eq!(err, "");
}

#[tokio::test]
async fn a_runtime_that_is_not_there() {
    let rt = Runtime::new();
    let (near, far) = duplex(4096);
    let inner = rt.clone();
    rt.spawn("translation", async move {
        let w = Wanted { stdout: true, ..Wanted::default() };
        let dial = async { Err::<(DuplexStream, String), _>("dial tcp: refused".to_owned()) };
        translate::commands(far, w, dial, &inner).await;
    });
    let c = Command { stdout: Some(Box::new(Sink::default())), ..Command::default() };
    let near = ws::over(near, Role::Client).await;
    let (_channels, session) =
        Session::websocket(near, Protocol::named(ws::V5).unwrap(), true, c.wanted(), &rt);
    let Outcome::Failure(v) = session.run(c).await.unwrap() else { panic!("no failure") };
    assert_eq!(v["message"], "Internal error occurred: dial tcp: refused");
    assert_eq!(v["code"], 500);
}

#[tokio::test]
async fn spdy_goes_through_a_tunnel() {
    use streams::client::PortForward;
    let rt = Runtime::new();
    let (near, far) = duplex(4096);
    let (spdy_near, spdy_far) = duplex(4096);
    rt.spawn("tunnel", translate::tunnel(far, spdy_near));
    let inner = rt.clone();
    rt.spawn("pod", async move {
        let conn = Connection::server(spdy_far, Options::default(), &inner);
        let error = conn.accept().await.unwrap();
        let h = |i: &streams::spdy::Incoming, n: &str| i.headers().get(n).map(str::to_owned);
        assert_eq!(h(&error, "streamType").as_deref(), Some("error"));
        let mut error = error.accept();
        let data = conn.accept().await.unwrap();
        assert_eq!(h(&data, "streamType").as_deref(), Some("data"));
        assert_eq!((h(&data, "port").as_deref(), h(&data, "requestID").as_deref()), (Some("80"), Some("0")));
        let mut data = data.accept();
        let mut got = Vec::new();
        data.read_to_end(&mut got).await.unwrap();
        data.write_all(&got).await.unwrap();
        data.shutdown().await.unwrap();
        error.write_all(b"and then it broke").await.unwrap();
        error.shutdown().await.unwrap();
        conn.closed().await;
    });
    let tunnel = ws::Tunnel::new(ws::over(near, Role::Client).await);
    let pf = PortForward::over(Connection::client(tunnel, Options::default(), &rt));
    let (mut local, end) = duplex(64);
    let forwarding = pf.forward(80, end);
    let using = async {
        local.write_all(b"ping").await.unwrap();
        local.shutdown().await.unwrap();
        let mut got = Vec::new();
        local.read_to_end(&mut got).await.unwrap();
        got
    };
    let (said, got) = futures::future::join(forwarding, using).await;
    assert_eq!(got, b"ping");
    assert_eq!(said.unwrap().as_deref(), Some("and then it broke"));
}
