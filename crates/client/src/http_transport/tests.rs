//! Tests over loopback sockets, against a small scripted server.

use super::*;
use crate::config::{Auth, Pem};
use crate::raw::RawEvent;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use std::sync::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

type Script = Arc<dyn Fn(usize, &Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync>;

/// What the server saw: connections made, and a line for each request.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<(usize, Vec<String>)>>);

impl Seen {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().1.clone()
    }
    fn connections(&self) -> usize {
        self.0.lock().unwrap().0
    }
}

struct Server {
    port: u16,
    seen: Seen,
    rt: Runtime,
}

fn text(code: u16, kind: &str, body: &str) -> Response<Full<Bytes>> {
    let b = Response::builder().status(code).header("content-type", kind);
    b.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

async fn serve(tls: Option<Arc<rustls::ServerConfig>>, script: Script) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, seen, rt) = (listener.local_addr().unwrap().port(), Seen::default(), Runtime::new());
    let (log, tasks) = (seen.clone(), rt.clone());
    rt.spawn_until_stop("server", async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            log.0.lock().unwrap().0 += 1;
            let (log, script, tls) = (log.clone(), script.clone(), tls.clone());
            let service = service_fn(move |mut req: Request<Incoming>| {
                let n = {
                    let mut l = log.0.lock().unwrap();
                    let auth =
                        req.headers().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or("-");
                    let line = format!(
                        "{:?} {} {} {auth}",
                        req.version(),
                        req.method(),
                        req.uri().path_and_query().unwrap()
                    );
                    l.1.push(line);
                    l.1.len()
                };
                let resp = script(n, &req);
                let upgrade = resp.status() == StatusCode::SWITCHING_PROTOCOLS;
                async move {
                    if upgrade {
                        let on = hyper::upgrade::on(&mut req);
                        #[allow(clippy::disallowed_methods)]
                        tokio::spawn(async move {
                            let mut io = TokioIo::new(on.await.unwrap());
                            let mut b = [0; 4];
                            io.read_exact(&mut b).await.unwrap();
                            io.write_all(&b).await.unwrap();
                        });
                    }
                    Ok::<_, std::convert::Infallible>(resp)
                }
            });
            tasks.spawn_until_stop("connection", async move {
                let b = auto::Builder::new(TokioExecutor::new());
                match tls {
                    None => drop(b.serve_connection_with_upgrades(TokioIo::new(tcp), service).await),
                    Some(t) => {
                        let Ok(io) = tokio_rustls::TlsAcceptor::from(t).accept(tcp).await else { return };
                        drop(b.serve_connection_with_upgrades(TokioIo::new(io), service).await);
                    }
                }
            });
        }
    });
    Server { port, seen, rt }
}

/// A self-signed certificate that says it is an authority.
fn certificate() -> (String, Arc<rustls::ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let mut p = CertificateParams::new(vec!["localhost".into()]).unwrap();
    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let cert = p.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut c = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    c.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (cert.pem(), Arc::new(c))
}

fn transport(server: String, change: impl FnOnce(&mut Config)) -> HttpTransport {
    let mut c = Config { server, ..Config::default() };
    change(&mut c);
    HttpTransport::new(c, &Runtime::new()).unwrap()
}

fn get(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn http2_over_tls_with_a_token() {
    let (ca, tls) = certificate();
    let s = serve(Some(tls), Arc::new(|_, _| text(200, "application/json", "{}"))).await;
    let t = transport(format!("https://localhost:{}/sub/", s.port), |c| {
        c.ca = Some(Pem::Data(ca.into_bytes()));
        c.auth = Auth::Token("secret".into());
    });
    for _ in 0..3 {
        assert_eq!(t.call(get("/api?x=1")).await.unwrap().status(), 200);
    }
    assert_eq!(s.seen.lines(), ["HTTP/2.0 GET /sub/api?x=1 Bearer secret"; 3]);
    assert_eq!(s.seen.connections(), 1);
}

#[tokio::test]
async fn the_server_is_verified() {
    let (ca, tls) = certificate();
    let (other, _) = certificate();
    let s = serve(Some(tls), Arc::new(|_, _| text(200, "application/json", "{}"))).await;
    let try_it = async |host: &str, change: &dyn Fn(&mut Config)| {
        let t = transport(format!("https://{host}:{}", s.port), |c| {
            c.connect_retries = 0;
            change(c);
        });
        t.call(get("/")).await.map(drop).map_err(|e| e.to_string())
    };
    let trust = |pem: &str| Some(Pem::Data(pem.as_bytes().to_vec()));
    assert!(try_it("localhost", &|c| c.ca = trust(&other)).await.unwrap_err().contains("certificate"));
    assert!(try_it("127.0.0.1", &|c| c.ca = trust(&ca)).await.unwrap_err().contains("certificate"));
    assert_eq!(
        try_it("127.0.0.1", &|c| {
            c.ca = trust(&ca);
            c.tls_server_name = Some("localhost".into());
        })
        .await,
        Ok(())
    );
    assert_eq!(try_it("127.0.0.1", &|c| c.insecure_skip_tls_verify = true).await, Ok(()));
}

#[tokio::test]
async fn asks_again_when_told_to_and_reconnects() {
    let script: Script = Arc::new(|n, _| match n {
        1 | 2 => {
            let mut r = text(429, "application/json", "{}");
            r.headers_mut().insert("retry-after", HeaderValue::from_static("0"));
            r
        }
        _ => text(200, "application/json", "{}"),
    });
    let s = serve(None, script.clone()).await;
    let t = transport(format!("http://127.0.0.1:{}", s.port), |_| {});
    let post = Request::post("/x").body(Bytes::from_static(b"{}")).unwrap();
    assert_eq!(t.call(post).await.unwrap().status(), 200);
    assert_eq!(s.seen.lines().len(), 3);
    assert!(s.rt.shutdown(Duration::from_secs(5)).await);
    let e = t.call(get("/")).await.unwrap_err().to_string();
    assert!(e.contains("was refused - did you specify the right host or port?"), "{e}");
    let listener = TcpListener::bind(("127.0.0.1", s.port)).await;
    assert!(listener.is_ok(), "the port is free again");
}

#[tokio::test]
async fn lists_in_pages_and_begins_anew_when_a_page_is_gone() {
    let item = |n: &str| format!(r#"{{"metadata":{{"name":"{n}","namespace":"ns","resourceVersion":"5"}}}}"#);
    let page = move |names: &[&str], token: &str| {
        let items: Vec<_> = names.iter().map(|n| item(n)).collect();
        format!(
            r#"{{"kind":"PodList","metadata":{{"resourceVersion":"9","continue":"{token}"}},"items":[{}]}}"#,
            items.join(",")
        )
    };
    let script: Script = Arc::new(move |n, _| match n {
        1 => text(200, "application/json", &page(&["a", "b"], "tok")),
        2 => text(
            410,
            "application/json",
            r#"{"kind":"Status","status":"Failure","reason":"Expired","code":410}"#,
        ),
        _ => text(200, "application/json", &page(&["a", "b", "c"], "")),
    });
    let s = serve(None, script).await;
    let t = transport(format!("http://127.0.0.1:{}", s.port), |_| {});
    let what = ListWatch {
        version: "v1".into(),
        resource: "pods".into(),
        label_selector: "a=b".into(),
        ..ListWatch::default()
    };
    let got = t.list(what).await;
    assert_eq!(
        s.seen.lines(),
        [
            "HTTP/1.1 GET /api/v1/pods?labelSelector=a%3Db&limit=500 -",
            "HTTP/1.1 GET /api/v1/pods?labelSelector=a%3Db&limit=500&continue=tok -",
            "HTTP/1.1 GET /api/v1/pods?labelSelector=a%3Db -",
        ]
    );
    let got = got.unwrap();
    let names: Vec<_> = got.items.iter().map(|o| o.header.name.as_str()).collect();
    assert_eq!((got.resource_version, names), (9, vec!["a", "b", "c"]));
}

#[tokio::test]
async fn watches_json() {
    let body = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"3\"}}}\n{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"4\"}}}\n";
    let s = serve(None, Arc::new(move |_, _| text(200, "application/json", body))).await;
    let t = transport(format!("http://127.0.0.1:{}", s.port), |_| {});
    let what =
        ListWatch { group: "g".into(), version: "v1".into(), resource: "xs".into(), ..ListWatch::default() };
    let events: Vec<_> = t.watch(what, 2).await.unwrap().collect().await;
    let Ok(RawEvent::Added(o)) = &events[0] else { panic!() };
    assert_eq!((o.header.name.as_str(), o.resource_version), ("a", 3));
    assert!(matches!(events[1], Ok(RawEvent::Bookmark(4))));
    assert_eq!(events.len(), 2);
    assert!(s.seen.lines()[0].starts_with(
        "HTTP/1.1 GET /apis/g/v1/xs?watch=true&allowWatchBookmarks=true&resourceVersion=2&timeoutSeconds="
    ));
}

#[tokio::test]
async fn upgrades_a_connection() {
    let script: Script = Arc::new(|_, _| {
        let mut r = text(101, "x", "");
        r.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        r.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
        r
    });
    let (ca, tls) = certificate();
    let s = serve(Some(tls), script).await;
    let t = transport(format!("https://localhost:{}", s.port), |c| c.ca = Some(Pem::Data(ca.into_bytes())));
    let req =
        Request::get("/exec").header("connection", "upgrade").header("upgrade", "echo").body(Bytes::new());
    let resp = t.upgrade(req.unwrap()).await.unwrap();
    assert_eq!(resp.status(), 101);
    let mut io = TokioIo::new(hyper::upgrade::on(resp).await.unwrap());
    io.write_all(b"ping").await.unwrap();
    let mut b = [0; 4];
    io.read_exact(&mut b).await.unwrap();
    assert_eq!(&b, b"ping");
}

#[tokio::test]
async fn of_several_servers_another_is_taken() {
    let ok: Script = Arc::new(|_, _| text(200, "text/plain", "ok"));
    let (a, b) = (serve(None, ok.clone()).await, serve(None, ok).await);
    let url = |s: &Server| format!("http://127.0.0.1:{}", s.port);
    let t = transport("http://127.0.0.1:1".into(), |c| c.others = vec![url(&a), url(&b)]);
    let counts = || [a.seen.lines().len(), b.seen.lines().len()];
    for _ in 0..3 {
        t.call(get("/x")).await.unwrap();
    }
    // All to one of the two that are there.
    let before = counts();
    assert!(before == [3, 0] || before == [0, 3], "{before:?}");
    t.inner.connector.next_server();
    for _ in 0..2 {
        t.call(get("/x")).await.unwrap();
    }
    let after = counts();
    assert!(after.contains(&3) && after.contains(&2), "{after:?}");
    // One that ends is left as well.
    let (ended, other) = if after[0] == 2 { (&a, &b) } else { (&b, &a) };
    ended.rt.shutdown(Duration::from_secs(1)).await;
    t.call(get("/x")).await.unwrap();
    assert_eq!(other.seen.lines().len(), 4);
    let mixed = Config { server: url(&a), others: vec!["https://x".into()], ..Config::default() };
    assert!(HttpTransport::new(mixed, &Runtime::new()).is_err());
}
