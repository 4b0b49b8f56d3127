//! Who is let in, and that the committed bundle is the sources'.

use crate::guard::{self, Refused};
use crate::session::{self, Key};
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
    let token = guard::admit(&Method::GET, path, &headers(pairs))?;
    Ok(token.map(|t| t.to_str().unwrap().to_owned()).unwrap_or_default())
}

/// The `Cookie` header of a browser that was given these.
fn kept(set: &[HeaderValue]) -> String {
    let one = |v: &HeaderValue| v.to_str().unwrap().split(';').next().unwrap().to_owned();
    set.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[test]
fn only_with_the_users_token() {
    let pods = "/api/v1/pods";
    assert_eq!(admit(pods, &[]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("cookie", "token=t")]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("authorization", "Basic dTpw")]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("authorization", "Bearer ")]), Err(Refused::NoToken));
    assert_eq!(admit(pods, &[("authorization", "Bearer t")]), Ok("Bearer t".into()));
}

#[test]
fn a_session_is_a_key_and_its_cookies() {
    let pods = "/api/v1/pods";
    let (key, other) = (Key::fresh().unwrap(), Key::fresh().unwrap());
    let cookies = session::cookies(&key, "tok", true).unwrap();
    let cookie = kept(&cookies);
    let text = cookies[0].to_str().unwrap();
    assert!(
        text.starts_with("__Host-keelson-") && text.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        "{text}"
    );
    assert!(!cookie.contains("tok"), "the token is to be read in {cookie}");

    let with = |k: &Key, c: &str| admit(pods, &[("x-dashboard-key", &k.text()), ("cookie", c)]);
    assert_eq!(with(&key, &cookie), Ok("Bearer tok".into()));
    assert_eq!(with(&key, &format!("a=b; {cookie}; c=d")), Ok("Bearer tok".into()));
    // Another site's page makes a browser send the cookies; another server of this host gets them.
    assert_eq!(admit(pods, &[("cookie", &cookie)]), Err(Refused::NoToken));
    assert_eq!(with(&other, &cookie), Err(Refused::NoToken));
    assert_eq!(with(&key, ""), Err(Refused::NoToken));
    let forged = kept(&session::cookies(&other, "root", true).unwrap());
    assert_eq!(with(&key, &forged), Err(Refused::NoToken));
    let mut cut = cookie.clone();
    cut.pop();
    assert_eq!(with(&key, &cut), Err(Refused::NoToken));

    // Where the API asks for no token there is a session without one.
    let none = kept(&session::cookies(&key, "", false).unwrap());
    assert!(none.starts_with("keelson-"));
    assert_eq!(with(&key, &none), Ok(String::new()));
    // What scripts say goes first, and is judged alone.
    let basic = [("authorization", "Basic dTpw"), ("x-dashboard-key", &key.text()), ("cookie", &cookie)];
    assert_eq!(admit(pods, &basic), Err(Refused::NoToken));
}

#[test]
fn long_tokens_take_several_cookies() {
    let key = Key::fresh().unwrap();
    let token = "t".repeat(session::MAX_TOKEN);
    let cookies = session::cookies(&key, &token, false).unwrap();
    assert!(cookies.len() > 3 && cookies.iter().all(|c| c.len() < 4096));
    let h = headers(&[("x-dashboard-key", &key.text()), ("cookie", &kept(&cookies))]);
    assert_eq!(session::token(&h), Some(token.clone()));
    let gone = session::removal(&key, &h);
    assert_eq!(gone.len(), cookies.len());
    assert!(
        gone.iter().all(
            |c| c.to_str().unwrap().contains("=; Path=/; ") && c.to_str().unwrap().ends_with("Max-Age=0")
        )
    );
    assert!(session::removal(&Key::fresh().unwrap(), &h).is_empty());
    assert!(session::cookies(&key, &format!("{token}t"), false).is_none());
}

#[test]
fn websockets_say_where_they_come_from() {
    let key = Key::fresh().unwrap();
    let cookie = kept(&session::cookies(&key, "tok", false).unwrap());
    let protocols = format!("v5.channel.k8s.io, {}{}", session::KEY_PROTOCOL, key.text());
    let exec = "/api/v1/namespaces/a/pods/b/exec";
    let open = |more: &[(&str, &str)]| {
        let mut all = vec![
            ("host", "127.0.0.1:8444"),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", protocols.as_str()),
            ("cookie", cookie.as_str()),
        ];
        all.extend_from_slice(more);
        admit(exec, &all)
    };
    assert_eq!(open(&[("origin", "http://127.0.0.1:8444")]), Ok("Bearer tok".into()));
    assert_eq!(open(&[]), Err(Refused::NoOrigin));
    assert_eq!(open(&[("origin", "http://127.0.0.1:30080")]), Err(Refused::OtherSite));
    assert_eq!(open(&[("origin", "http://evil.example")]), Err(Refused::OtherSite));
    assert_eq!(open(&[("origin", "null")]), Err(Refused::OtherSite));
    let both = [("origin", "http://127.0.0.1:8444"), ("sec-fetch-site", "cross-site")];
    assert_eq!(open(&both), Err(Refused::OtherSite));
    let h = headers(&[("sec-websocket-protocol", &protocols)]);
    assert_eq!(guard::plain_protocols(&h), ["v5.channel.k8s.io"]);
}

#[test]
fn tokens_are_brought_over_tls_or_from_this_machine() {
    let from = |o: &str| guard::came_by_tls(&headers(&[("origin", o)]));
    assert_eq!(from("https://node:30443"), Ok(true));
    for here in ["http://localhost:8001", "http://127.0.0.1:8444", "http://[::1]:8444", "http://a.localhost"]
    {
        assert_eq!(from(here), Ok(false), "{here}");
    }
    for there in [
        "http://node:30443",
        "http://10.0.0.1",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
    ] {
        assert_eq!(from(there), Err(Refused::Plain), "{there}");
    }
    assert_eq!(from("null"), Err(Refused::OtherSite));
    assert_eq!(guard::came_by_tls(&HeaderMap::new()), Err(Refused::NoOrigin));
}

#[test]
fn the_policy_lets_nothing_inline_run() {
    let mut h = HeaderMap::new();
    guard::secure(&mut h);
    let policy = h["content-security-policy"].to_str().unwrap().to_owned();
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"));
    assert_eq!(
        (h["x-frame-options"].to_str().unwrap(), h["referrer-policy"].to_str().unwrap()),
        ("DENY", "no-referrer")
    );
    let mut page = HeaderMap::new();
    guard::page_policy(&mut page, "word");
    guard::secure(&mut page);
    let own = page["content-security-policy"].to_str().unwrap();
    assert_eq!(own, format!("{policy} 'nonce-word'"));
    let index = crate::assets::find("/").unwrap();
    let html = String::from_utf8(crate::assets::plain(index)).unwrap();
    assert!(html.contains(crate::assets::NONCE) && !html.contains("style="), "{html}");
    let one = crate::assets::answer("/", &HeaderMap::new()).headers()["content-security-policy"].clone();
    assert_ne!(one, crate::assets::answer("/", &HeaderMap::new()).headers()["content-security-policy"]);
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
    assert!(!with(&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")]));
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
    let out = guard::forwarded(&h, Some(HeaderValue::from_static("Bearer t")));
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
