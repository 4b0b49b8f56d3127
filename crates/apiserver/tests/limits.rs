//! What is too much, too late, too old or too deep.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

mod common;

use apiserver::body::{Input, MAX_BODY};
use apiserver::server::Sender;
use common::Server;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

const CMS: &str = "/api/v1/namespaces/a/configmaps";

fn cm(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

async fn fill(s: &Server, names: &[&str]) {
    for n in names {
        assert_eq!(s.json(&format!("POST {CMS}"), cm(n)).await.code, 201);
    }
}

#[tokio::test]
async fn bodies() {
    let s = Server::ready().await;
    let nested =
        |n: usize| format!("{{\"metadata\":{{\"name\":\"x\"}},\"x\":{}{}}}", "[".repeat(n), "]".repeat(n));
    let yaml_bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\nkind: ConfigMap\napiVersion: v1\n";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("application/json", vec![b'x'; MAX_BODY + 1], "413 Request entity too large: limit is 3145728"),
        ("application/json", nested(20_000).into_bytes(), "400"),
        ("application/yaml", nested(20_000).into_bytes(), "400"),
        ("application/yaml", yaml_bomb.into(), "400"),
        ("application/json", b"\xff\xfe".to_vec(), "400"),
        ("application/json", b"{\"metadata\":{\"name\":\"x\"}} trailing".to_vec(), "400"),
        ("application/vnd.kubernetes.protobuf", b"k8s\0".to_vec(), "400"),
        ("application/vnd.kubernetes.protobuf", [b"k8s\0".to_vec(), vec![0xff; 2000]].concat(), "400"),
        ("application/xml", b"<x/>".to_vec(), "415"),
        ("", b"\0".to_vec(), "400"),
    ];
    for (kind, body, want) in cases {
        let a = s.raw(&format!("POST {CMS}"), &[("content-type", kind)], body).await;
        let got = a.brief();
        assert!(got.starts_with(want), "{kind}\n got: {got}\nwant: {want}");
    }
    // The same for patches.
    fill(&s, &["x"]).await;
    for (kind, body) in [
        ("application/merge-patch+json", nested(20_000)),
        ("application/json-patch+json", format!("{}{}", "[".repeat(20_000), "]".repeat(20_000))),
        (
            "application/json-patch+json",
            json!(vec![json!({"op": "remove", "path": "/x"}); 20_000]).to_string(),
        ),
        ("application/apply-patch+yaml", nested(20_000)),
    ] {
        let a = s.raw(&format!("PATCH {CMS}/x?fieldManager=t"), &[("content-type", kind)], body).await;
        assert!((400..=422).contains(&a.code), "{kind}: {}", a.brief());
    }
}

#[tokio::test]
async fn objects_too_large_for_the_store() {
    let s = Server::ready().await;
    let data = "x".repeat((1 << 20) + 1);
    let a = s.json(&format!("POST {CMS}"), json!({"metadata": {"name": "x"}, "data": {"k": data}})).await;
    assert_eq!(a.code, 422, "{}", a.brief());
    assert!(a.brief().contains("Too long: may not be more than 1048576 bytes"), "{}", a.brief());
}

// Paused: a version of the future is waited for, three seconds.
#[tokio::test(start_paused = true)]
async fn lines() {
    let s = Server::ready().await;
    fill(&s, &["x", "y"]).await;
    let later = s.revision() + 1000;
    let cases = [
        (
            "GET /api/v1/configmaps?timeout=5",
            r#"400 invalid timeout specified in the request URL - time: missing unit in duration "5""#,
        ),
        ("GET /api/v1/configmaps?timeout=5s", "200 [x y]"),
        ("GET /api/v1/configmaps?timeout=0s", "200 [x y]"),
        ("GET /api/v1/namespaces/%zz", "400 "),
        ("GET /api/v1/watch", "400 unable to determine kind and namespace from url, /api/v1/watch"),
        (
            "GET /api/v1/configmaps?resourceVersionMatch=Exact",
            r#"422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"#,
        ),
        (
            "GET /api/v1/configmaps?resourceVersion=0&resourceVersionMatch=Exact",
            r#"422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0""#,
        ),
        ("GET /api/v1/configmaps?resourceVersion=0", "200 [x y]"),
        (
            "GET /api/v1/configmaps?sendInitialEvents=true",
            r#"422 ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"#,
        ),
        (
            "GET /api/v1/configmaps?watch=1&sendInitialEvents=true",
            r#"422 ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"#,
        ),
        (
            "PUT /api/v1/namespaces/a/configmaps/x/status",
            "404 the server could not find the requested resource",
        ),
        ("BREW /api/v1/configmaps", "405 the server does not allow this method on the requested resource"),
        ("OPTIONS /api/v1/configmaps", "405 the server does not allow this method on the requested resource"),
    ];
    for (line, want) in cases {
        let a = s.json(line, Value::Null).await;
        let got = a.brief();
        assert!(
            got == want || (want.ends_with(' ') && got.starts_with(want)),
            "{line}\n got: {got}\nwant: {want}"
        );
    }
    // The future: the client is told when to ask again.
    for q in ["", "&resourceVersionMatch=Exact", "&resourceVersionMatch=NotOlderThan"] {
        let a = s.get(&format!("/api/v1/configmaps?resourceVersion={later}{q}")).await;
        let v = a.value();
        assert_eq!(
            (a.code, v["message"].as_str().unwrap()),
            (504, &*format!("Timeout: Too large resource version: {later}, current: {}", s.revision())),
            "{q}"
        );
        assert_eq!(v["reason"], "Timeout");
        assert_eq!(v["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
        assert_eq!(v["details"]["retryAfterSeconds"], 1);
    }
}

#[tokio::test]
async fn the_past_is_listed_until_it_is_forgotten() {
    let s = Server::ready().await;
    fill(&s, &["x", "y"]).await;
    let then = s.revision();
    fill(&s, &["z"]).await;
    let exact = format!("{CMS}?resourceVersion={then}&resourceVersionMatch=Exact");
    let a = s.get(&exact).await;
    assert_eq!(a.brief(), "200 [x y]");
    assert_eq!(a.value()["metadata"]["resourceVersion"], then.to_string());
    assert_eq!(s.get(&format!("{CMS}?resourceVersion={then}")).await.brief(), "200 [x y z]");
    // Pages of the past, whatever happens meanwhile.
    let first = s.get(&format!("{CMS}?limit=1")).await.value();
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(s.json(&format!("DELETE {CMS}/y"), Value::Null).await.code, 200);
    assert_eq!(s.get(&format!("{CMS}?limit=5&continue={token}")).await.brief(), "200 [y z]");
    assert_eq!(
        s.get(&format!("{CMS}?continue={token}&resourceVersion=3")).await.brief(),
        "400 specifying resource version is not allowed when using continue"
    );

    s.api.store.compact(s.revision()).await.unwrap();
    let gone = s.get(&exact).await;
    assert_eq!((gone.code, gone.value()["reason"].as_str()), (410, Some("Expired")), "{}", gone.brief());
    let gone = s.get(&format!("{CMS}?limit=5&continue={token}")).await;
    let v = gone.value();
    assert_eq!((gone.code, v["reason"].as_str()), (410, Some("Expired")));
    // The answer's own token goes on in the present.
    let again = v["metadata"]["continue"].as_str().unwrap();
    assert_eq!(s.get(&format!("{CMS}?limit=5&continue={again}")).await.brief(), "200 [z]");
    let mut w = s.watch(&format!("{CMS}?watch=1&resourceVersion={then}")).await;
    let e = w.next().await.unwrap();
    assert_eq!((&e["type"], &e["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(w.next().await.is_none());
}

#[tokio::test]
async fn old_watch_paths() {
    let s = Server::ready().await;
    fill(&s, &["x", "y"]).await;
    let mut w = s.watch("/api/v1/watch/namespaces/a/configmaps").await;
    assert_eq!([w.short().await, w.short().await], ["ADDED x", "ADDED y"]);
    let mut w = s.watch("/api/v1/watch/namespaces/a/configmaps/y").await;
    assert_eq!(w.short().await, "ADDED y");
    fill(&s, &["z"]).await;
    assert_eq!(s.json(&format!("DELETE {CMS}/y"), Value::Null).await.code, 200);
    assert_eq!(w.short().await, "DELETED y");
}

#[tokio::test]
async fn puts_that_create() {
    let s = Server::ready().await;
    let lease = "/apis/coordination.k8s.io/v1/namespaces/a/leases/l";
    let body = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}});
    assert_eq!(s.json(&format!("PUT {lease}"), body.clone()).await.brief(), "201 l");
    assert_eq!(
        s.json(&format!("PUT {lease}"), body).await.brief(),
        r#"422 leases.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"#
    );
}

#[tokio::test]
async fn too_many_at_a_time() {
    let store = common::mem::Mem::new();
    let mut cfg = common::config(&store);
    cfg.max_in_flight = 1;
    cfg.max_mutating_in_flight = 0;
    cfg.authentication.anonymous = authn::anonymous::Anonymous::Everywhere;
    let s = Server::with(cfg, store);
    assert_eq!(s.json("POST /api/v1/namespaces", cm("a")).await.code, 201);
    // One request whose body does not come keeps the place.
    let (mut tx, rx) = tokio::io::duplex(64);
    let held = {
        let api = s.api.clone();
        s.rt.spawn("held", async move {
            let io = hyper_util::rt::TokioIo::new(rx);
            let svc = hyper::service::service_fn(move |r: Request<hyper::body::Incoming>| {
                let api = api.clone();
                async move {
                    Ok::<_, std::convert::Infallible>(
                        api.handle(r.map(Input::Net), Sender::Network(None)).await,
                    )
                }
            });
            let done = hyper::server::conn::http1::Builder::new()
                .header_read_timeout(None)
                .serve_connection(io, svc)
                .await;
            assert!(done.is_ok() || done.is_err());
        })
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let head = format!(
        "POST {CMS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\nexpect: 100-continue\r\n\r\n"
    );
    tx.write_all(head.as_bytes()).await.unwrap();
    let post = || {
        let b = Request::post(CMS).header("content-type", "application/json");
        b.body(Input::Bytes(cm("z").to_string().into())).unwrap()
    };
    // The server says so when it begins to read the body.
    let mut first = [0; 12];
    tx.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 100");
    let res = s.api.handle(post(), Sender::Network(None)).await;
    assert_eq!(res.status(), 429);
    assert_eq!(res.headers()["retry-after"], "1");
    let body = res.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "Too many requests, please try again later.\n");
    // Components of the process need no place.
    assert_eq!(s.json(&format!("POST {CMS}"), cm("y")).await.code, 201);
    held.abort();
}

#[tokio::test]
async fn requests_are_classified() {
    let store = common::mem::Mem::new();
    let mut cfg = common::config(&store);
    cfg.authentication.tokens = authn::static_tokens::StaticTokens::parse("t,bob,1\n").unwrap();
    let s = Server::with(cfg, store);
    s.api.start();
    s.rt.ready.wait_for("apiserver/autoregister-completion").await;
    let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let list = loop {
        let v = s.get(schemas).await.value();
        let told = |f: &Value| f["status"]["conditions"][0]["status"] == "False";
        if v["items"].as_array().unwrap().iter().all(told) {
            break v;
        }
        tokio::task::yield_now().await;
    };
    let condition = &list["items"][0]["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("Dangling"), &json!("Found")));
    let class = async |path: &str| {
        let b = Request::get(path).header("authorization", "Bearer t");
        let r = s.api.handle(b.body(Input::Bytes(Default::default())).unwrap(), Sender::Network(None)).await;
        let uid = r.headers()["x-kubernetes-pf-flowschema-uid"].to_str().unwrap().to_owned();
        let f =
            list["items"].as_array().unwrap().iter().find(|f| f["metadata"]["uid"] == uid.as_str()).unwrap();
        (
            f["metadata"]["name"].as_str().unwrap().to_owned(),
            r.headers().contains_key("x-kubernetes-pf-prioritylevel-uid"),
        )
    };
    assert_eq!(class("/api/v1/pods").await, ("global-default".to_owned(), true));
    assert_eq!(class("/healthz").await, ("probes".to_owned(), true));
    // A schema of one's own comes first, as soon as it is there.
    let own = json!({"metadata": {"name": "own"}, "spec": {
        "priorityLevelConfiguration": {"name": "workload-low"}, "matchingPrecedence": 50,
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "bob"}}],
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/version"]}]}]}});
    let made = s.json(&format!("POST {schemas}"), own).await.value();
    loop {
        let b = Request::get("/version").header("authorization", "Bearer t");
        let r = s.api.handle(b.body(Input::Bytes(Default::default())).unwrap(), Sender::Network(None)).await;
        if r.headers()["x-kubernetes-pf-flowschema-uid"] == made["metadata"]["uid"].as_str().unwrap() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(
        s.get("/metrics")
            .await
            .text()
            .contains("apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} 245\n")
    );
}
