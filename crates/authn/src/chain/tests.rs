//! The chain's order and its refusals.

use super::*;
use meta::Value;
use rcgen::{CertificateParams, DnType, KeyPair};

struct Empty;
impl Lookup for Empty {
    fn get(&self, _: &str, _: &str, _: &str, _: &str) -> Option<Value> {
        None
    }
}

fn cert(cn: &str) -> CertificateDer<'static> {
    let mut p = CertificateParams::default();
    p.distinguished_name = rcgen::DistinguishedName::new();
    p.distinguished_name.push(DnType::CommonName, cn);
    p.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn ask(a: &Authenticator, certs: &[CertificateDer<'static>], headers: &[(&str, &str)], path: &str) -> String {
    let mut h = HeaderMap::new();
    for (k, v) in headers {
        h.append(http::HeaderName::from_bytes(k.as_bytes()).unwrap(), v.parse().unwrap());
    }
    let r = Request { certs, headers: &h, path, memo: None };
    match a.authenticate(&r, Timestamp { seconds: 1_800_000_000, nanos: 0 }, &Empty) {
        Ok(Some(x)) => format!("{} {}", x.user.name, x.user.groups.join(",")),
        Ok(None) => "nobody".into(),
        Err(e) => format!("error: {e}"),
    }
}

#[test]
fn asks_in_order() {
    let proxy = FrontProxy::new(
        Box::new(|c, _| cert::common_name(&c[0]).is_ok_and(|n| n.starts_with("proxy"))),
        vec!["proxy".into()],
    );
    let a = Authenticator::new(Config {
        front_proxy: Some(proxy),
        client_certificates: true,
        static_tokens: StaticTokens::parse("tok,bob,1,g").unwrap(),
        ..Config::default()
    });
    let remote = [("x-remote-user", "eve"), ("x-remote-group", "g1"), ("x-remote-group", "g2")];
    let bearer = [("authorization", "Bearer tok")];
    let wrong = [("authorization", "Bearer no")];
    for (certs, headers, path, want) in [
        (vec![], &bearer[..], "/api", "bob g,system:authenticated"),
        (vec![], &wrong[..], "/healthz", "error: invalid bearer token"),
        (vec![], &[][..], "/api", "nobody"),
        (vec![], &[][..], "/healthz", "system:anonymous system:unauthenticated"),
        (vec![cert("alice")], &[][..], "/api", "alice system:authenticated"),
        (vec![cert("alice")], &remote[..], "/api", "alice system:authenticated"),
        (vec![cert("proxy")], &remote[..], "/api", "eve g1,g2,system:authenticated"),
        (vec![cert("proxy2")], &remote[..], "/api", "proxy2 system:authenticated"),
        (vec![], &remote[..], "/api", "nobody"),
    ] {
        assert_eq!(ask(&a, &certs, headers, path), want, "{headers:?} {path}");
    }
    let mut h = HeaderMap::new();
    for (k, v) in remote.iter().chain(&bearer) {
        h.append(http::HeaderName::from_bytes(k.as_bytes()).unwrap(), v.parse().unwrap());
    }
    a.strip(&mut h);
    assert!(h.is_empty());
}

#[test]
fn anonymous_is_configurable() {
    let with = |anonymous| Authenticator::new(Config { anonymous, ..Config::default() });
    assert!(ask(&with(Anonymous::Everywhere), &[], &[], "/api").starts_with("system:anonymous"));
    assert_eq!(ask(&with(Anonymous::Nowhere), &[], &[], "/healthz"), "nobody");
    let only = with(Anonymous::Paths(vec!["/x".into()]));
    assert!(ask(&only, &[], &[], "/x").starts_with("system:anonymous"));
    assert_eq!(ask(&only, &[], &[], "/x/"), "nobody");
    // Certificates are nothing where they are not configured.
    assert_eq!(ask(&with(Anonymous::Nowhere), &[cert("a")], &[], "/"), "nobody");
}
