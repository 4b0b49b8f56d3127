//! Who is let in, and that the committed bundle is the sources'.

use crate::guard::{self, Refused};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(k, v): &(&str, &str)| {
        (HeaderName::from_bytes(k.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn admit(path: &str, pairs: &[(&str, &str)]) -> Result<String, Refused> {
    guard::admit(&Method::GET, path, &headers(pairs)).map(|t| t.to_str().unwrap().to_owned())
}

#[test]
fn only_with_the_users_token() {
    let pods = "/api/v1/pods";
    assert_eq!(admit(pods, &[]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("cookie", "token=t")]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("authorization", "Basic dTpw")]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("authorization", "Bearer ")]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("authorization", "Bearer t")]), Ok("Bearer t".into()));
    assert_eq!(admit(pods, &[("x-dashboard-authorization", "Bearer t")]), Ok("Bearer t".into()));
    for prefix in [guard::BEARER_PROTOCOL, guard::OWN_BEARER_PROTOCOL] {
        let h = format!("v5.channel.k8s.io, {prefix}dG9r");
        assert_eq!(admit(pods, &[("sec-websocket-protocol", &h)]), Ok("Bearer tok".into()));
    }
    let broken = format!("{}!!", guard::BEARER_PROTOCOL);
    assert_eq!(admit(pods, &[("sec-websocket-protocol", &broken)]), Err(Refused::NoToken));
}

#[test]
fn not_for_pages_of_other_sites() {
    let with = |more: &[(&str, &str)]| {
        let mut all = vec![("authorization", "Bearer t"), ("host", "127.0.0.1:8444")];
        all.extend_from_slice(more);
        admit("/api/v1/pods", &all).is_ok()
    };
    assert!(with(&[]));
    assert!(with(&[("sec-fetch-site", "same-origin")]));
    assert!(!with(&[("sec-fetch-site", "cross-site")]));
    assert!(!with(&[("sec-fetch-site", "same-site")]));
    assert!(with(&[("origin", "http://127.0.0.1:8444")]));
    assert!(!with(&[("origin", "http://127.0.0.1:8445")]));
    assert!(!with(&[("origin", "https://evil.example")]));
    assert!(!with(&[("origin", "null")]));
    assert!(with(&[("origin", "http://localhost:8001"), ("x-forwarded-host", "localhost:8001")]));
}

#[test]
fn pages_of_the_cluster_are_not_opened() {
    let refused = |p: &str| admit(p, &[("authorization", "Bearer t")]) == Err(Refused::NoProxying);
    for p in [
        "/api/v1/namespaces/a/services/web/proxy/",
        "/api/v1/namespaces/a/services/web/pr%6Fxy/x",
        "/api/v1/namespaces/a/pods/web:80/proxy",
        "/api/v1/nodes/n1/proxy/logs",
        "/api//v1/nodes/n1/proxy",
        "/api/v1/proxy/nodes/n1",
    ] {
        assert!(refused(p), "{p}");
    }
    for p in
        ["/api/v1/namespaces/a/configmaps/proxy", "/api/v1/namespaces/proxy/pods", "/api/v1/namespaces/proxy"]
    {
        assert!(!refused(p), "{p}");
    }
}

#[test]
fn headers_that_pass() {
    let h = headers(&[
        ("accept", "application/json"),
        ("cookie", "a=b"),
        ("impersonate-user", "root"),
        ("x-remote-user", "root"),
        ("x-forwarded-for", "192.0.2.1"),
        ("authorization", "Bearer other"),
    ]);
    let out = guard::forwarded(&h, HeaderValue::from_static("Bearer t"));
    let mut got: Vec<_> = out.iter().map(|(k, v)| format!("{k}: {}", v.to_str().unwrap())).collect();
    got.sort();
    assert_eq!(got, ["accept: application/json", "authorization: Bearer t"]);
    let back = guard::returned(&headers(&[
        ("set-cookie", "a=b"),
        ("content-type", "text/html"),
        ("location", "/x"),
    ]));
    assert_eq!(back.len(), 2);
    assert_eq!(back["cache-control"], "no-store");
}

#[test]
fn paths() {
    for p in ["/api", "/api/v1/pods", "/apis/apps/v1", "/version", "/openapi/v3", "/readyz"] {
        assert!(guard::is_api(p), "{p}");
    }
    for p in ["/", "/apix", "/assets/app.js", "/metrics", "/logs", "/stream/api"] {
        assert!(!guard::is_api(p), "{p}");
    }
    assert_eq!(guard::stream_target("/stream/api/v1/pods"), Some("/api/v1/pods"));
    assert_eq!(guard::stream_target("/stream/metrics"), None);
}

#[test]
fn bundle_is_whole() {
    for a in crate::assets::BUNDLE {
        assert!(!crate::assets::plain(a).is_empty(), "{}", a.path);
    }
    let index = crate::assets::find("/").expect("index.html");
    let html = String::from_utf8(crate::assets::plain(index)).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://"), "the page asks the internet: {html}");
    assert!(!html.contains("<script>"), "an inline script is against the policy");
    let gzip: usize = crate::assets::BUNDLE.iter().map(|a| a.bytes.len()).sum();
    assert!(gzip < 700 << 10, "the bundle has grown to {gzip} bytes");
}

/// As `web/build/sources.mjs` does it: every file of the sources by name, with its content.
#[test]
fn bundle_is_the_sources() {
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let mut files = Vec::new();
    let mut todo = vec![web.join("src"), web.join("build"), web.join("public")];
    while let Some(dir) = todo.pop() {
        for e in std::fs::read_dir(&dir).unwrap().flatten() {
            let p = e.path();
            if p.is_dir() { todo.push(p) } else { files.push(p) }
        }
    }
    files.extend(
        ["index.html", "package.json", "package-lock.json", "tsconfig.json", "vite.config.ts"]
            .map(|f| web.join(f)),
    );
    let name = |p: &PathBuf| p.strip_prefix(&web).unwrap().to_string_lossy().into_owned();
    files.sort_by_key(name);
    let mut all = Sha256::new();
    for f in &files {
        let one = Sha256::digest(std::fs::read(f).unwrap());
        all.update(format!("{} {}\n", name(f), hex(&one)));
    }
    let recorded = std::fs::read_to_string(web.join("../dist/SOURCES")).unwrap();
    assert_eq!(
        recorded.trim(),
        hex(&all.finalize()),
        "web/ has changed since dist/ was built: cargo xtask dashboard"
    );
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}
