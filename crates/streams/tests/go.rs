//! Our ends against upstream's (`oracle/`), both ways round. Skipped, with a word, where Go or its modules are missing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use runtime::Runtime;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Output, Stdio};
use streams::client::{Command, Outcome, PortForward, Size, command};
use streams::negotiate;
use streams::spdy::{Connection, Options};
use streams::translate::{self, Wanted};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The built program, or none with a word why.
fn oracle() -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("oracle");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("streams-oracle");
    let built = Process::new("go")
        .args(["build", "-o"])
        .arg(&out)
        .arg(".")
        .current_dir(dir)
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        .output();
    match built {
        Ok(o) if o.status.success() => Some(out),
        Ok(o) => {
            println!("skipped: the oracle does not build: {}", String::from_utf8_lossy(&o.stderr));
            None
        }
        Err(e) => {
            println!("skipped: no Go: {e}");
            None
        }
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(oracle: &Path) -> Self {
        let mut child = Process::new(oracle)
            .arg("server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().to_owned() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request over a connection of its own.
async fn send(rt: Runtime, address: String, req: Request<Bytes>) -> Result<Response<Incoming>, String> {
    let tcp = TcpStream::connect(&address).await.map_err(|e| e.to_string())?;
    let (mut send, conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    rt.spawn("http", async move {
        let _ = conn.with_upgrades().await;
    });
    let mut req = req.map(|_| Empty::<Bytes>::new());
    req.headers_mut().insert("host", address.parse().unwrap());
    send.send_request(req).await.map_err(|e| e.to_string())
}

/// What is written to a place, once that is closed.
struct Kept(tokio::task::JoinHandle<Vec<u8>>);

#[allow(clippy::disallowed_methods, reason = "the result is of interest")]
fn kept() -> (Box<dyn tokio::io::AsyncWrite + Send + Unpin>, Kept) {
    let (a, mut b) = duplex(1 << 10);
    let task = tokio::spawn(async move {
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.unwrap();
        all
    });
    (Box::new(a), Kept(task))
}

/// Upstream's SPDY server closes its connection with what we sent last unread, which resets it: once in a while the status
/// goes with it, for upstream's client as for ours. Then once more.
const RESET: &str = "reset by peer";
const TRIES: usize = 8;

/// Our client against `path` of the oracle's server.
async fn ours(address: &str, path: &str, stdin: &[u8], tty: bool) -> (String, Vec<u8>, Vec<u8>) {
    for _ in 1..TRIES {
        let r = ours_once(address, path, stdin, tty).await;
        if !r.0.contains(RESET) {
            return r;
        }
    }
    ours_once(address, path, stdin, tty).await
}

async fn ours_once(address: &str, path: &str, stdin: &[u8], tty: bool) -> (String, Vec<u8>, Vec<u8>) {
    let rt = Runtime::new();
    let ((out, out_kept), (err, err_kept)) = (kept(), kept());
    let (tx, sizes) = mpsc::channel(1);
    let _ = tx.try_send(Size { width: 80, height: 24 });
    let c = Command {
        stdin: path.contains("input=1").then(|| Box::new(io::Cursor::new(stdin.to_vec())) as _),
        stdout: Some(out),
        stderr: path.contains("error=1").then_some(err),
        tty,
        sizes: tty.then_some(sizes),
    };
    let dial = |req| send(rt.clone(), address.to_owned(), req);
    let r = match command(dial, path, c, &rt).await {
        Ok(Outcome::Success) => "success".to_owned(),
        Ok(Outcome::Exit(n)) => format!("exit {n}"),
        Ok(Outcome::Failure(v)) => v["message"].as_str().unwrap_or_default().to_owned(),
        Err(e) => format!("error: {e}"),
    };
    (r, out_kept.0.await.unwrap(), err_kept.0.await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_clients_and_go_servers() {
    let Some(oracle) = oracle() else { return };
    let server = Server::start(&oracle);
    let a = server.address.as_str();
    let big: Vec<u8> = (0..300_000u32).map(|i| b'a' + (i % 26) as u8).collect();
    // A container runtime refuses v5: the fallback to SPDY is tried with it.
    for via in ["ws", "spdy"] {
        let q = |cmd: &str| format!("/{via}/exec?command={cmd}&input=1&output=1&error=1");
        let (r, out, err) = ours(a, &q("echo"), &big, false).await;
        assert_eq!(r, "success", "{via}");
        assert!(out == big, "{via}: {} bytes", out.len());
        assert_eq!(err, b"on stderr");
        let (r, ..) = ours(a, &q("exit"), b"", false).await;
        assert_eq!(r, "exit 42", "{via}");
        let (r, ..) = ours(a, &q("fail"), b"", false).await;
        assert!(r.contains("it failed"), "{via}: {r}");
        // No flood here: upstream's translation loses it now and then, with upstream's client too, and upstream's SPDY
        // server closes its connection with our window updates unread, which resets it.
        let path = format!("/{via}/exec?command=size&output=1&tty=1");
        let (r, out, _) = ours(a, &path, b"", true).await;
        assert_eq!((r.as_str(), &out[..]), ("success", &b"80x24"[..]), "{via}");

        let rt = Runtime::new();
        let dial = |req| send(rt.clone(), a.to_owned(), req);
        let pf = PortForward::open(dial, &format!("/{via}/portforward"), &rt).await.unwrap();
        let one = async |port, text: &[u8]| {
            let (mut local, end) = duplex(64);
            let using = async {
                local.write_all(text).await.unwrap();
                local.shutdown().await.unwrap();
                let mut got = Vec::new();
                local.read_to_end(&mut got).await.unwrap();
                got
            };
            futures::future::join(pf.forward(port, end), using).await
        };
        let ((said, got), (said2, got2)) = futures::future::join(one(80, b"one"), one(80, b"two")).await;
        assert_eq!((said.unwrap(), said2.unwrap()), (None, None));
        assert_eq!((&got[..], &got2[..]), (&b"ONE"[..], &b"TWO"[..]));
        let (said, _) = one(81, b"").await;
        assert!(said.unwrap().unwrap().contains("nobody listens on 81"));
        assert!(!pf.is_closed());
    }
    // The older protocols, whose results are text.
    for only in ["v2.channel.k8s.io", "v3.channel.k8s.io"] {
        let path = format!("/spdy/exec?command=fail&output=1&only={only}");
        let (r, ..) = ours(a, &path, b"", false).await;
        assert!(r.contains("error executing command in container: it failed"), "{only}: {r}");
    }
}

/// Serves as API server and kubelet do: translation and tunnels to the oracle's runtime; `/own/` is a runtime of ours.
async fn serve(rt: Runtime, far: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let tasks = rt.clone();
    rt.spawn("server", async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let (rt, far) = (tasks.clone(), far.clone());
            tasks.spawn("connection", async move {
                let inner = rt.clone();
                let service = hyper::service::service_fn(move |req| answer(inner.clone(), far.clone(), req));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tcp), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    address
}

async fn answer(
    rt: Runtime,
    far: String,
    mut req: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, std::convert::Infallible> {
    let mut out = Response::new(Empty::new());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let to = req.uri().path_and_query().unwrap().as_str().replace("/here/", "/spdy/");
    let client = hyper::upgrade::on(&mut req);
    if req.uri().path().starts_with("/own/") {
        let (_, h) = negotiate::accept_spdy(req.headers(), &["v4.channel.k8s.io"]).unwrap();
        *out.headers_mut() = h;
        let inner = rt.clone();
        rt.spawn("own", async move {
            let conn = Connection::server(TokioIo::new(client.await.unwrap()), Options::default(), &inner);
            let mut error = conn.accept().await.unwrap().accept();
            let mut stdin = conn.accept().await.unwrap().accept();
            let mut stdout = conn.accept().await.unwrap().accept();
            let mut stderr = conn.accept().await.unwrap().accept();
            tokio::io::copy(&mut stdin, &mut stdout).await.unwrap();
            stderr.write_all(b"ours").await.unwrap();
            error.write_all(br#"{"metadata":{},"status":"Success"}"#).await.unwrap();
        });
    } else if let [inner] = negotiate::tunnelled_protocols(req.headers())[..] {
        let spdy = negotiate::spdy_request(&to, &[inner]).unwrap();
        let got = send(rt.clone(), far, spdy).await.unwrap();
        let chosen = format!("{}{inner}", negotiate::TUNNEL);
        *out.headers_mut() = negotiate::accept_websocket(req.headers(), &[&chosen]).unwrap().1;
        rt.spawn("tunnel", async move {
            let far = hyper::upgrade::on(got).await.unwrap();
            translate::tunnel(TokioIo::new(client.await.unwrap()), TokioIo::new(far)).await;
        });
    } else {
        let (_, h) = negotiate::accept_websocket(req.headers(), translate::PROTOCOLS).unwrap();
        *out.headers_mut() = h;
        let q = to.clone();
        let on = move |k: &str| q.contains(&format!("{k}=1"));
        let w = Wanted { stdin: on("input"), stdout: on("output"), stderr: on("error"), tty: on("tty") };
        let inner = rt.clone();
        rt.spawn("translation", async move {
            let dial = async {
                let spdy = negotiate::spdy_request(&to, negotiate::COMMAND_PROTOCOLS).unwrap();
                let got = send(inner.clone(), far, spdy).await?;
                let protocol = got.headers()["x-stream-protocol-version"].to_str().unwrap().to_owned();
                let io = hyper::upgrade::on(got).await.map_err(|e| e.to_string())?;
                Ok((TokioIo::new(io), protocol))
            };
            translate::commands(TokioIo::new(client.await.unwrap()), w, dial, &inner).await;
        });
    }
    Ok(out)
}

async fn theirs(oracle: &Path, args: [&str; 2], to: String, stdin: &[u8]) -> Output {
    for _ in 1..TRIES {
        let o = theirs_once(oracle, args, to.clone(), stdin).await;
        if !String::from_utf8_lossy(&o.stderr).contains(RESET) {
            return o;
        }
    }
    theirs_once(oracle, args, to, stdin).await
}

/// Upstream's client against `to`.
async fn theirs_once(oracle: &Path, args: [&str; 2], to: String, stdin: &[u8]) -> Output {
    let (oracle, stdin) = (oracle.to_owned(), stdin.to_vec());
    let args = args.map(str::to_owned);
    tokio::task::spawn_blocking(move || {
        let mut child = Process::new(oracle)
            .args(args)
            .arg(to)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let feed = std::thread::spawn(move || {
            let _ = to.write_all(&stdin);
        });
        let out = child.wait_with_output().unwrap();
        feed.join().unwrap();
        out
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn go_clients_and_our_servers() {
    let Some(oracle) = oracle() else { return };
    let server = Server::start(&oracle);
    let rt = Runtime::new();
    let here = serve(rt.clone(), server.address.clone()).await;
    let url = |cmd: &str| format!("http://{here}/here/exec?command={cmd}&input=1&output=1&error=1");
    let big: Vec<u8> = (0..300_000u32).map(|i| b'a' + (i % 26) as u8).collect();

    let o = theirs(&oracle, ["exec", "ws"], url("echo"), &big).await;
    assert!(o.stdout == big, "{} bytes, {}", o.stdout.len(), String::from_utf8_lossy(&o.stderr));
    assert_eq!((o.status.code(), &o.stderr[..]), (Some(0), &b"on stderr"[..]));
    let o = theirs(&oracle, ["exec", "ws"], url("exit"), b"").await;
    assert_eq!(o.status.code(), Some(42), "{}", String::from_utf8_lossy(&o.stderr));
    let o = theirs(&oracle, ["exec", "ws"], url("fail"), b"").await;
    assert_eq!(o.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&o.stderr).contains("it failed"));
    let o = theirs(&oracle, ["exec", "ws"], url("flood"), b"").await;
    assert_eq!((o.status.code(), o.stdout.len(), o.stderr.len()), (Some(0), 1_000_000, 1_000_000));
    let to = format!("http://{here}/here/exec?command=size&output=1&tty=1");
    let o = theirs(&oracle, ["attach-tty", "ws"], to, b"").await;
    assert_eq!((o.status.code(), &o.stdout[..]), (Some(0), &b"80x24"[..]));

    let o = theirs(&oracle, ["forward", "ws"], format!("http://{here}/here/portforward"), b"through").await;
    assert_eq!(&o.stdout[..], b"THROUGH", "{}", String::from_utf8_lossy(&o.stderr));

    let to = format!("http://{here}/own/exec?input=1&output=1&error=1");
    let o = theirs(&oracle, ["exec", "spdy"], to, &big).await;
    assert!(o.stdout == big, "{} bytes, {}", o.stdout.len(), String::from_utf8_lossy(&o.stderr));
    assert_eq!((o.status.code(), &o.stderr[..]), (Some(0), &b"ours"[..]));
}
