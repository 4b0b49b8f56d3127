//! A remote command over WebSocket v5 through the API server, to a kubelet that speaks SPDY only.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{Server, config};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use runtime::Runtime;
use serde_json::json;
use std::net::SocketAddr;
use streams::client::{Command, Outcome, PortForward, command};
use streams::negotiate;
use streams::spdy::{Connection, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// A kubelet with a certificate of its own: commands are echoed, ports answer in capitals.
async fn kubelet(cert: &str, key: &str, rt: &Runtime) -> u16 {
    let certificates = serve::CertSource::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    let tls = serve::TlsSettings { certificates, client_ca: None, http2: true };
    let listener = serve::Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let at = listener.local_addr().unwrap();
    let tasks = rt.clone();
    let server = serve::Server::new(rt.clone()).tls(&tls).unwrap();
    rt.spawn("kubelet", server.run(listener, move |req| answer(req, tasks.clone())));
    at.port()
}

async fn answer(mut req: Request<Incoming>, rt: Runtime) -> Response<serve::Body> {
    let forward = req.uri().path().starts_with("/portForward/a/p");
    assert!(forward || req.uri().path() == "/exec/a/p/c", "{}", req.uri());
    let supported = if forward { negotiate::PORT_FORWARD } else { "v4.channel.k8s.io" };
    let (_, headers) = negotiate::accept_spdy(req.headers(), &[supported]).unwrap();
    let near = hyper::upgrade::on(&mut req);
    rt.clone().spawn("stream", async move {
        let conn = Connection::server(TokioIo::new(near.await.unwrap()), Options::default(), &rt);
        let mut error = conn.accept().await.unwrap().accept();
        let mut one = conn.accept().await.unwrap().accept();
        if forward {
            let mut all = Vec::new();
            one.read_to_end(&mut all).await.unwrap();
            one.write_all(&all.to_ascii_uppercase()).await.unwrap();
            one.shutdown().await.unwrap();
            error.shutdown().await.unwrap();
            conn.closed().await;
        } else {
            let mut out = conn.accept().await.unwrap().accept();
            tokio::io::copy(&mut one, &mut out).await.unwrap();
            let status = br#"{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"9"}]}}"#;
            error.write_all(status).await.unwrap();
        }
    });
    let mut r = Response::new(serve::empty());
    *r.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *r.headers_mut() = headers;
    r
}

async fn send(rt: Runtime, to: SocketAddr, req: Request<Bytes>) -> Result<Response<Incoming>, String> {
    let tcp = tokio::net::TcpStream::connect(to).await.map_err(|e| e.to_string())?;
    let (mut send, conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(|e| e.to_string())?;
    rt.spawn("http", async move {
        let _ = conn.with_upgrades().await;
    });
    let mut req = req.map(http_body_util::Full::new);
    // The fallback would hide what is tested here.
    assert_eq!(req.headers()["upgrade"], "websocket");
    req.headers_mut().insert("host", "api".parse().unwrap());
    let answer = send.send_request(req).await.map_err(|e| e.to_string())?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        use http_body_util::BodyExt;
        panic!("{:?}", answer.into_body().collect().await.map(|b| b.to_bytes()));
    }
    Ok(answer)
}

#[tokio::test]
async fn websockets_for_a_kubelet_without() {
    let own = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let (cert, key) = (own.cert.pem(), own.signing_key.serialize_pem());
    let store = common::mem::Mem::new();
    let mut cfg = config(&store);
    let client = apiserver::connect::KubeletClient::new(cert.as_bytes(), key.as_bytes(), None);
    cfg.kubelet = Some(client.unwrap());
    cfg.authentication.anonymous = authn::anonymous::Anonymous::Everywhere;
    let s = Server::with(cfg, store);
    let port = kubelet(&cert, &key, &s.rt).await;
    for (path, body) in [
        ("namespaces", json!({"metadata": {"name": "a"}})),
        ("namespaces/a/serviceaccounts", json!({"metadata": {"name": "default"}})),
        ("nodes", json!({"metadata": {"name": "n"}})),
        (
            "namespaces/a/pods",
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}}),
        ),
    ] {
        let got = s.json(&format!("POST /api/v1/{path}"), body).await;
        assert_eq!(got.code, 201, "{path}");
    }
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    let patch = [("content-type", "application/merge-patch+json")];
    assert_eq!(s.raw("PATCH /api/v1/nodes/n/status", &patch, status.to_string()).await.code, 200);

    let listener = serve::Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let at = listener.local_addr().unwrap();
    let api = s.api.clone();
    s.rt.spawn("api", async move { api.serve(listener, None).await.unwrap() });
    let rt = s.rt.clone();
    let dial = |req| send(rt.clone(), at, req);

    let (out, mut kept) = duplex(1 << 16);
    let c = Command {
        stdin: Some(Box::new(std::io::Cursor::new(b"through two protocols".to_vec()))),
        stdout: Some(Box::new(out)),
        ..Command::default()
    };
    let path = "/api/v1/namespaces/a/pods/p/exec?command=x&stdin=true&stdout=true";
    assert_eq!(command(dial, path, c, &rt).await.unwrap(), Outcome::Exit(9));
    let mut got = String::new();
    kept.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "through two protocols");

    let pf = PortForward::open(dial, "/api/v1/namespaces/a/pods/p/portforward", &rt).await.unwrap();
    let (mut local, end) = duplex(64);
    let using = async {
        local.write_all(b"port").await.unwrap();
        local.shutdown().await.unwrap();
        let mut got = String::new();
        local.read_to_string(&mut got).await.unwrap();
        got
    };
    let (said, got) = futures::future::join(pf.forward(80, end), using).await;
    assert_eq!((said.unwrap(), got.as_str()), (None, "PORT"));
}
