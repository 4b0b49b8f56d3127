//! Tests of kubeconfig merging and resolving.

use super::kubeconfig::{Kubeconfig, Overrides};
use super::*;

const TWO: &str = r#"
apiVersion: v1
kind: Config
preferences: {}
current-context: a
clusters:
- name: ca
  cluster: {server: "https://a:6443", certificate-authority-data: Q0E=, tls-server-name: sni}
- name: cb
  cluster: {server: "http://b", insecure-skip-tls-verify: true}
contexts:
- name: a
  context: {cluster: ca, user: ua, namespace: dev}
- name: b
  context: {cluster: cb, user: ub}
users:
- name: ua
  user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
- name: ub
  user: {token: secret, tokenFile: /t, as: jane, as-groups: [g]}
"#;

#[test]
fn contexts_and_overrides() {
    let k = Kubeconfig::parse(TWO.as_bytes()).unwrap();
    let a = k.resolve(&Overrides::default()).unwrap();
    assert_eq!((a.server.as_str(), a.namespace.as_str()), ("https://a:6443", "dev"));
    assert_eq!(a.ca, Some(Pem::Data(b"CA".to_vec())));
    assert_eq!(a.client_cert, Some((Pem::Data(b"CERT".to_vec()), Pem::Data(b"KEY".to_vec()))));
    assert_eq!(a.tls_server_name.as_deref(), Some("sni"));
    let b = k.resolve(&Overrides { context: "b".into(), ..Overrides::default() }).unwrap();
    assert_eq!((b.auth, b.insecure_skip_tls_verify), (Auth::Token("secret".into()), true));
    assert_eq!((b.impersonate.user.as_str(), b.namespace.as_str()), ("jane", "default"));
    let o =
        Overrides { server: "c:1".into(), user: "ub".into(), namespace: "x".into(), ..Overrides::default() };
    let c = k.resolve(&o).unwrap();
    assert_eq!((c.server.as_str(), c.namespace.as_str()), ("http://c:1", "x"));
    assert_eq!(c.auth, Auth::Token("secret".into()));
}

#[test]
fn what_is_wrong_is_said() {
    let k = Kubeconfig::parse(TWO.as_bytes()).unwrap();
    let cases = [
        (Overrides { context: "x".into(), ..Overrides::default() }, "context \"x\" does not exist"),
        (Overrides { cluster: "x".into(), ..Overrides::default() }, "cluster \"x\" does not exist"),
        (Overrides { user: "x".into(), ..Overrides::default() }, "auth info \"x\" does not exist"),
    ];
    for (o, want) in cases {
        assert_eq!(k.resolve(&o).unwrap_err().to_string(), want);
    }
    let e = Kubeconfig::default().resolve(&Overrides::default()).unwrap_err().to_string();
    assert!(e.contains("no configuration has been provided"), "{e}");
}

#[test]
fn the_first_file_wins() {
    let mut k = Kubeconfig::parse(b"current-context: b\nclusters: null\n").unwrap();
    k.merge(Kubeconfig::parse(TWO.as_bytes()).unwrap());
    assert_eq!(k.current_context, "b");
    assert_eq!(k.clusters.len(), 2);
    let before = k.clone();
    k.merge(Kubeconfig::parse(TWO.replace("https://a", "https://z").as_bytes()).unwrap());
    assert_eq!(k, before);
}

#[test]
fn in_a_pod() {
    let dir = std::env::temp_dir().join(format!("keelson-incluster-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("token"), "t").unwrap();
    std::fs::write(dir.join("namespace"), "kube-system\n").unwrap();
    let c = Config::in_cluster_at(&dir, Some("fd00::1".into()), Some("443".into())).unwrap();
    assert_eq!((c.server.as_str(), c.namespace.as_str()), ("https://[fd00::1]:443", "kube-system"));
    assert!(Config::in_cluster_at(&dir, None, Some("443".into())).is_err());
    std::fs::remove_dir_all(&dir).unwrap();
    assert!(Config::in_cluster_at(&dir, Some("h".into()), Some("443".into())).is_err());
}
