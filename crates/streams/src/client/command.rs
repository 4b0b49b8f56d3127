//! A command in a container: exec and attach (upstream `client-go/tools/remotecommand`).

use super::{Error, spdy, websocket};
use crate::negotiate::COMMAND_PROTOCOLS;
use crate::spdy::{Connection, Headers, Options};
use crate::websocket::{self as ws, Channels, Protocol, Role};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use runtime::Runtime;
use serde_json::Value;
use std::fmt::Display;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
pub const ERROR: u8 = 3;
pub const RESIZE: u8 = 4;

const PING: Duration = Duration::from_secs(5);
/// Bytes of a result that are read.
const MAX_RESULT: u64 = 1 << 20;
const COPY: usize = 32 << 10;

pub type Input = Box<dyn AsyncRead + Send + Unpin>;
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// A terminal's size; on the wire `{"Width":80,"Height":24}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

impl Size {
    pub fn to_json(self) -> String {
        // Upstream's encoder ends each with a newline.
        format!("{{\"Width\":{},\"Height\":{}}}\n", self.width, self.height)
    }
    pub fn from_json(v: &Value) -> Option<Self> {
        // Go's decoder takes the names in any case.
        let at = |name: &str| {
            let (_, v) = v.as_object()?.iter().find(|(k, _)| k.eq_ignore_ascii_case(name))?;
            u16::try_from(v.as_u64()?).ok()
        };
        v.is_object().then(|| Self { width: at("Width").unwrap_or(0), height: at("Height").unwrap_or(0) })
    }
}

/// This side of a command's streams. What is none is not asked for; the request's query must say the same.
#[derive(Default)]
pub struct Command {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    pub tty: bool,
    /// The terminal's size, whenever it is another; the first as soon as possible.
    pub sizes: Option<mpsc::Receiver<Size>>,
}

/// The streams that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Command {
    pub fn wanted(&self) -> Wanted {
        Wanted {
            stdin: self.stdin.is_some(),
            stdout: self.stdout.is_some(),
            stderr: self.stderr.is_some(),
            tty: self.tty,
        }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Success,
    /// The command ran and says so.
    Exit(u8),
    /// It could not run, or nobody knows: a `Status` (of what the older protocols say in plain text: with that message).
    Failure(Value),
}

/// The far side's streams.
pub struct Session {
    pub error: Input,
    pub stdin: Option<Output>,
    pub stdout: Option<Input>,
    pub stderr: Option<Input>,
    pub resize: Option<Output>,
    /// Results are a `Status` in JSON, not text.
    pub structured: bool,
}

impl Session {
    /// Over SPDY: one stream each, in the order that upstream's clients open them.
    pub async fn spdy(conn: &Connection, protocol: &str, w: Wanted) -> io::Result<Self> {
        let open = async |kind: &str| conn.open(Headers::new().with("streamType", kind)).await;
        let error: Input = {
            let mut s = open("error").await?;
            // Nothing is said on it from here.
            s.finish();
            Box::new(s)
        };
        let mut me = Self {
            error,
            stdin: None,
            stdout: None,
            stderr: None,
            resize: None,
            structured: matches!(protocol, "v4.channel.k8s.io" | "v5.channel.k8s.io"),
        };
        if w.stdin {
            me.stdin = Some(Box::new(open("stdin").await?));
        }
        if w.stdout {
            me.stdout = Some(Box::new(open("stdout").await?));
        }
        if w.stderr && !w.tty {
            me.stderr = Some(Box::new(open("stderr").await?));
        }
        if w.tty && protocol != "v2.channel.k8s.io" {
            me.resize = Some(Box::new(open("resize").await?));
        }
        Ok(me)
    }

    /// Over WebSocket.
    pub fn websocket<S>(
        ws: ws::WebSocketStream<S>,
        protocol: Protocol,
        structured: bool,
        w: Wanted,
        rt: &Runtime,
    ) -> (Channels, Self)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (channels, readers) = Channels::start(ws, protocol, &[STDOUT, STDERR, ERROR], Some(PING), rt);
        let mut readers = readers.into_iter().map(|r| Box::new(r) as Input);
        let (stdout, stderr, error) = (readers.next(), readers.next(), readers.next());
        let me = Self {
            error: error.unwrap_or_else(|| Box::new(tokio::io::empty())),
            stdin: w.stdin.then(|| Box::new(channels.writer(STDIN)) as Output),
            stdout: stdout.filter(|_| w.stdout),
            stderr: stderr.filter(|_| w.stderr && !w.tty),
            resize: w.tty.then(|| Box::new(channels.writer(RESIZE)) as Output),
            structured,
        };
        (channels, me)
    }

    /// Carries everything until the command's outputs have ended and its result is there.
    pub async fn run(self, c: Command) -> Result<Outcome, Error> {
        let Self { mut error, stdin, stdout, stderr, resize, structured } = self;
        let input = async {
            if let (Some(mut from), Some(mut to)) = (c.stdin, stdin) {
                if let Err(e) = copy(&mut from, &mut to).await {
                    tracing::debug!("copying stdin: {e}");
                }
                let _ = to.shutdown().await;
                // Dropped, it would be reset.
                std::future::pending::<()>().await;
            }
        };
        let sizes = async {
            if let (Some(mut from), Some(mut to)) = (c.sizes, resize) {
                while let Some(size) = from.recv().await {
                    if to.write_all(size.to_json().as_bytes()).await.is_err() || to.flush().await.is_err() {
                        break;
                    }
                }
                std::future::pending::<()>().await;
            }
        };
        let output = async |from: Option<Input>, to: Option<Output>, what: &str| {
            if let (Some(mut from), Some(mut to)) = (from, to) {
                if let Err(e) = copy(&mut from, &mut to).await {
                    tracing::debug!("copying {what}: {e}");
                    // Taken off the connection all the same: the others are behind it.
                    let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
                }
                let _ = to.flush().await;
            }
        };
        let result = async {
            let mut all = Vec::new();
            let n = (&mut error).take(MAX_RESULT).read_to_end(&mut all).await;
            n.map(|_| all)
        };
        let ends = async {
            let ((), (), r) = futures::future::join3(
                output(stdout, c.stdout, "stdout"),
                output(stderr, c.stderr, "stderr"),
                result,
            )
            .await;
            r
        };
        let mut aside = std::pin::pin!(futures::future::join(input, sizes));
        let mut ends = std::pin::pin!(ends);
        let all = tokio::select! {
            r = &mut ends => r?,
            _ = &mut aside => ends.await?,
        };
        outcome(&all, structured)
    }
}

async fn copy(from: &mut Input, to: &mut Output) -> io::Result<()> {
    let mut buf = vec![0; COPY];
    loop {
        let n = from.read(&mut buf).await?;
        if n == 0 {
            return to.flush().await;
        }
        to.write_all(&buf[..n]).await?;
        to.flush().await?;
    }
}

fn outcome(said: &[u8], structured: bool) -> Result<Outcome, Error> {
    if said.is_empty() {
        return Ok(Outcome::Success);
    }
    if !structured {
        let text = format!("error executing remote command: {}", String::from_utf8_lossy(said));
        return Ok(Outcome::Failure(serde_json::json!({"status": "Failure", "message": text})));
    }
    let bad = |what: String| Error::ErrorStream(what);
    let v: Value = serde_json::from_slice(said)
        .map_err(|e| bad(format!("{e} in {:?}", String::from_utf8_lossy(said))))?;
    match v["status"].as_str() {
        Some("Success") => Ok(Outcome::Success),
        Some("Failure") if v["reason"] == "NonZeroExitCode" => {
            let causes = v["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
            let Some(c) = causes.iter().find(|c| c["reason"] == "ExitCode") else {
                return Err(bad("no ExitCode cause given".into()));
            };
            let code = c["message"].as_str().unwrap_or_default();
            code.parse().map(Outcome::Exit).map_err(|_| bad(format!("invalid exit code value {code:?}")))
        }
        Some("Failure") => Ok(Outcome::Failure(v)),
        other => Err(bad(format!("unknown error type {other:?}"))),
    }
}

/// Runs a command: over WebSocket, and where the server does not upgrade to that, over SPDY. `path`: the subresource
/// with its query. An error of the kind `is_upgrade_failure` came from both.
pub async fn command<D, F, E>(dial: D, path: &str, c: Command, rt: &Runtime) -> Result<Outcome, Error>
where
    D: Fn(Request<Bytes>) -> F,
    F: Future<Output = Result<Response<Incoming>, E>>,
    E: Display,
{
    match websocket(&dial, path, &[ws::V5]).await {
        Ok((io, name)) => {
            let ws = ws::over(io, Role::Client).await;
            let protocol = Protocol::named(&name).ok_or_else(|| Error::Negotiation(name.clone()))?;
            let (channels, session) = Session::websocket(ws, protocol, true, c.wanted(), rt);
            let r = session.run(c).await;
            channels.close().await;
            r
        }
        Err(e) if e.is_upgrade_failure() => {
            tracing::debug!("RemoteCommand fallback: {e}");
            let (io, name) = spdy(&dial, path, COMMAND_PROTOCOLS).await?;
            let conn = Connection::client(io, Options { ping: Some(PING), ..Options::default() }, rt);
            let session = Session::spdy(&conn, &name, c.wanted()).await?;
            session.run(c).await
        }
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn check(said: &str, structured: bool, want: Expect) {
        let r = outcome(said.as_bytes(), structured).map_err(|e| e.to_string());
        want.assert_eq(&format!("{r:?}"));
    }

    #[test]
    fn results() {
        check("", true, expect!["Ok(Success)"]);
        check(r#"{"metadata":{},"status":"Success"}"#, true, expect!["Ok(Success)"]);
        check(
            r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"42"}]}}"#,
            true,
            expect!["Ok(Exit(42))"],
        );
        check(
            r#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"x"}]}}"#,
            true,
            expect![[r#"Err("error stream protocol error: invalid exit code value \"x\"")"#]],
        );
        check(
            r#"{"status":"Failure","reason":"InternalError","message":"m"}"#,
            true,
            expect![[
                r#"Ok(Failure(Object {"message": String("m"), "reason": String("InternalError"), "status": String("Failure")}))"#
            ]],
        );
        check(
            "no json",
            true,
            expect![[
                r#"Err("error stream protocol error: expected ident at line 1 column 2 in \"no json\"")"#
            ]],
        );
        check(
            "boom",
            false,
            expect![[
                r#"Ok(Failure(Object {"message": String("error executing remote command: boom"), "status": String("Failure")}))"#
            ]],
        );
    }

    #[test]
    fn sizes() {
        let v: Value = serde_json::from_str(&Size { width: 80, height: 24 }.to_json()).unwrap();
        assert_eq!(Size::from_json(&v), Some(Size { width: 80, height: 24 }));
        assert_eq!(Size::from_json(&serde_json::json!({"width": 3})), Some(Size { width: 3, height: 0 }));
        assert_eq!(Size::from_json(&serde_json::json!([1])), None);
    }
}
