//! Tokens issued and verified against a small store.

use super::*;
use crate::keys::PrivateKey;
use meta::Value;
use rcgen::KeyPair;
use serde_json::json;

const NOW: Timestamp = Timestamp { seconds: 1_800_000_000, nanos: 0 };

struct Store(Vec<(&'static str, Value)>);
impl Lookup for Store {
    fn get(&self, group: &str, resource: &str, ns: &str, name: &str) -> Option<Value> {
        assert_eq!(group, "");
        let all = self.0.iter().filter(|(r, _)| *r == resource);
        all.map(|(_, o)| o)
            .find(|o| {
                o["metadata"]["name"] == name && o["metadata"]["namespace"].as_str().unwrap_or("") == ns
            })
            .cloned()
    }
}

fn store() -> Store {
    let meta = |ns: &str, n: &str, uid: &str| json!({"metadata": {"namespace": ns, "name": n, "uid": uid}});
    Store(vec![
        ("serviceaccounts", meta("ns", "sa", "u-sa")),
        ("pods", meta("ns", "pod", "u-pod")),
        ("secrets", meta("ns", "secret", "u-secret")),
        ("nodes", meta("", "node", "u-node")),
    ])
}

fn signer() -> Signer {
    Signer::new(PrivateKey::from_pem(&KeyPair::generate().unwrap().serialize_pem()).unwrap(), "https://iss")
}

fn verifier(s: &Signer) -> ServiceAccountTokens {
    let other = PrivateKey::from_pem(&KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let keys = vec![other.public().clone(), s.key().public().clone()];
    ServiceAccountTokens::new(
        keys,
        vec!["https://iss".into(), "https://old".into()],
        vec!["api".into()],
        true,
    )
}

fn r(name: &str, uid: &str) -> Ref {
    Ref { name: name.into(), uid: uid.into() }
}

fn issue(s: &Signer, binding: Binding) -> String {
    let aud = ["api".to_owned(), "other".to_owned()];
    let i = Issue {
        namespace: "ns",
        service_account: "sa",
        service_account_uid: "u-sa",
        audiences: &aud,
        expiration_seconds: 3600,
        binding,
        warn_after: 600,
        now: NOW,
        seed: [7; 16],
    };
    s.issue(&i).unwrap().token
}

#[test]
fn says_what_upstream_says() {
    let s = signer();
    let token = issue(&s, Binding::Pod(r("pod", "u-pod"), Some(r("node", ""))));
    let parts: Vec<&str> = token.split('.').collect();
    let text = |p: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(p).unwrap()).unwrap();
    assert_eq!(text(parts[0]), format!(r#"{{"alg":"ES256","kid":"{}"}}"#, s.key().public().id()));
    assert_eq!(
        text(parts[1]),
        r#"{"aud":["api","other"],"exp":1800003600,"iat":1800000000,"iss":"https://iss","jti":"07070707-0707-4707-8707-070707070707","kubernetes.io":{"namespace":"ns","node":{"name":"node"},"pod":{"name":"pod","uid":"u-pod"},"serviceaccount":{"name":"sa","uid":"u-sa"},"warnafter":1800000600},"nbf":1800000000,"sub":"system:serviceaccount:ns:sa"}"#
    );
}

#[test]
fn verifies_bound_tokens() {
    let s = signer();
    let v = verifier(&s);
    let token = issue(&s, Binding::Pod(r("pod", "u-pod"), Some(r("node", "u-node"))));
    let a = v.authenticate(&token, None, NOW, &store()).unwrap().unwrap();
    assert_eq!(a.user.name, "system:serviceaccount:ns:sa");
    assert_eq!(a.user.uid, "u-sa");
    assert_eq!(
        a.user.groups,
        ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]
    );
    let extra: Vec<(String, String)> = a
        .user
        .extra
        .iter()
        .map(|(k, v)| (k.replace("authentication.kubernetes.io/", ""), v.join(",")))
        .collect();
    assert_eq!(
        extra.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        [
            "credential-id=JTI=07070707-0707-4707-8707-070707070707",
            "node-name=node",
            "node-uid=u-node",
            "pod-name=pod",
            "pod-uid=u-pod"
        ]
    );
    assert_eq!(a.audiences, ["api"]);
    assert!(a.annotations.is_empty());
    // Late enough to be stale, other audiences, and then none that fits.
    let late =
        v.authenticate(&token, Some(&["other".into()]), NOW.plus_seconds(601), &store()).unwrap().unwrap();
    assert_eq!(late.audiences, ["other"]);
    assert_eq!(
        late.annotations[0].1,
        "subject: system:serviceaccount:ns:sa, seconds after warning threshold: 1"
    );
    assert!(v.authenticate(&token, Some(&["x".into()]), NOW, &store()).is_err());
}

#[test]
fn refuses() {
    let s = signer();
    let v = verifier(&s);
    let good = issue(&s, Binding::None);
    let at = |t: &str, seconds: i64, st: &Store| match v.authenticate(t, None, NOW.plus_seconds(seconds), st)
    {
        Ok(Some(_)) => String::new(),
        Ok(None) => "not ours".into(),
        Err(e) => e.to_string(),
    };
    assert_eq!(at(&good, 3660, &store()), "");
    assert_eq!(at(&good, 3661, &store()), "token: service account token has expired");
    assert_eq!(at(&good, -61, &store()), "token: service account token is not valid yet");
    // Any changed character of the payload or signature; the cache does not help.
    let mut forged = good.clone().into_bytes();
    let last = forged.len() - 4;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(at(std::str::from_utf8(&forged).unwrap(), 0, &store()), "token: invalid signature");
    assert_eq!(at(&issue(&signer(), Binding::None), 0, &store()), "token: invalid signature, no keys found");
    for t in ["", "a.b", "a.b.c", "{}", &good[..good.len() / 3]] {
        assert_eq!(at(t, 0, &store()), "not ours", "{t}");
    }
    let foreign = Signer::new(s.key().clone(), "https://foreign");
    assert_eq!(at(&issue(&foreign, Binding::None), 0, &store()), "not ours");

    let without = |kind: &str| Store(store().0.into_iter().filter(|(r, _)| *r != kind).collect());
    let pod = issue(&s, Binding::Pod(r("pod", "u-pod"), None));
    let invalidated = "token: service account token has been invalidated";
    assert_eq!(at(&pod, 0, &without("pods")), invalidated);
    assert_eq!(at(&pod, 0, &without("serviceaccounts")), "token: serviceaccounts \"sa\" not found");
    assert_eq!(
        at(&issue(&s, Binding::Pod(r("pod", "x"), None)), 0, &store()),
        "token: pod UID (u-pod) does not match service account pod ref claim (x)"
    );
    assert_eq!(at(&issue(&s, Binding::Secret(r("secret", "u-secret"))), 0, &without("secrets")), invalidated);
    assert_eq!(at(&issue(&s, Binding::Node(r("node", "u-node"))), 0, &without("nodes")), invalidated);
    assert_eq!(at(&issue(&s, Binding::Node(r("node", "u-node"))), 0, &store()), "");
    let mut dying = store();
    dying.0[1].1["metadata"]["deletionTimestamp"] = NOW.rfc3339().into();
    assert_eq!(at(&pod, 60, &dying), "");
    assert_eq!(at(&pod, 61, &dying), invalidated);
}

#[test]
fn never_takes_an_algorithm_from_the_token() {
    let s = signer();
    let v = verifier(&s);
    let token = issue(&s, Binding::None);
    let payload = token.split('.').nth(1).unwrap();
    for alg in ["none", "HS256", "RS256", "ES384"] {
        let head = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{alg}"}}"#));
        for sig in ["", token.rsplit('.').next().unwrap()] {
            let t = format!("{head}.{payload}.{sig}");
            assert!(!matches!(v.authenticate(&t, None, NOW, &store()), Ok(Some(_))), "{alg}");
        }
    }
}

#[test]
fn knows_tokens_of_secrets() {
    let s = signer();
    let v = verifier(&s);
    let mut st = store();
    let token = s.issue_legacy(&st.0[0].1, &st.0[2].1).unwrap();
    let ask = |st: &Store| v.authenticate(&token, None, NOW, st).map(Option::unwrap);
    assert_eq!(ask(&st).unwrap_err().to_string(), "token: Token does not match server's copy");
    st.0[2].1["data"] = json!({"token": base64::engine::general_purpose::STANDARD.encode(&token)});
    let a = ask(&st).unwrap();
    assert_eq!((a.user.name.as_str(), a.user.uid.as_str()), ("system:serviceaccount:ns:sa", "u-sa"));
    assert_eq!(a.last_used.unwrap().date, "2027-01-15");
    assert_eq!(a.annotations[1].0, "authentication.k8s.io/legacy-token-manual-secret");
    st.0[0].1["secrets"] = json!([{"name": "secret"}]);
    st.0[2].1["metadata"]["labels"] = json!({"kubernetes.io/legacy-token-last-used": "2027-01-15"});
    let a = ask(&st).unwrap();
    assert_eq!((a.last_used, a.warnings.len()), (None, 1));
    st.0[2].1["metadata"]["labels"] = json!({"kubernetes.io/legacy-token-invalid-since": "2027-01-01"});
    assert!(ask(&st).unwrap_err().to_string().contains("has been marked invalid"));
}

#[test]
fn extends_old_tokens() {
    let api = ["api".to_owned()];
    assert_eq!(warn_after(3607, &api, &api, true, EXTENDED_EXPIRATION), (31_536_000, 3607));
    assert_eq!(warn_after(3607, &api, &api, false, EXTENDED_EXPIRATION), (3607, 0));
    assert_eq!(warn_after(3600, &api, &api, true, EXTENDED_EXPIRATION), (3600, 0));
    assert_eq!(warn_after(3607, &["x".into()], &api, true, EXTENDED_EXPIRATION), (3607, 0));
}

#[test]
fn publishes_its_keys() {
    let s = signer();
    let v = verifier(&s);
    let jwks: Value = serde_json::from_str(&crate::oidc::jwks(v.keys())).unwrap();
    assert_eq!(jwks["keys"][1]["kid"], s.key().public().id());
    assert_eq!(jwks["keys"][1]["crv"], "P-256");
    assert_eq!(
        crate::oidc::configuration("https://iss", "https://h/openid/v1/jwks", v.keys()).unwrap(),
        r#"{"issuer":"https://iss","jwks_uri":"https://h/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}"#
    );
    assert!(crate::oidc::configuration("kubernetes.default.svc", "https://h", v.keys()).is_err());
}
