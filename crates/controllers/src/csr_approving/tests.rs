//! Requests that are approved, and those that are left alone.

use crate::testing::Cluster;
use crate::util::csr::testing::request;
use base64::Engine;
use meta::object::ObjectExt;
use serde_json::{Value, json};

fn csr(name: &str, signer: &str, user: &str, usages: &[&str], pem: &str) -> Value {
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"request": base64::engine::general_purpose::STANDARD.encode(pem), "signerName": signer,
            "username": user, "groups": ["system:nodes", "system:authenticated"], "usages": usages}})
}

fn approval(c: &Cluster, name: &str) -> String {
    let v = c.api.object("certificates.k8s.io", "certificatesigningrequests", "", name).unwrap();
    v.array_at("status.conditions").first().map(|c| c.str_at("message").to_owned()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn approves_what_a_review_allows() {
    let c = Cluster::start(&["certificatesigningrequest-approving-controller"]).await;
    let client = &["digital signature", "client auth"];
    let signer = "kubernetes.io/kube-apiserver-client-kubelet";
    let pem = request("system:node:n1", &["system:nodes"], &[]);
    c.api.seed("certificatesigningrequests", csr("denied", signer, "system:node:n1", client, &pem));
    c.settle().await;
    assert_eq!(approval(&c, "denied"), "");
    let asked: Vec<String> =
        c.api.take_log().into_iter().filter(|l| l.contains("subjectaccessreviews")).collect();
    assert!(asked[0].contains("selfnodeclient") && asked[1].contains("nodeclient"), "{asked:?}");
    c.api.answer(
        "POST /apis/authorization.k8s.io/v1/subjectaccessreviews",
        json!({"status": {"allowed": true}}),
    );
    c.api.seed("certificatesigningrequests", csr("allowed", signer, "bootstrapper", client, &pem));
    c.settle().await;
    assert_eq!(
        approval(&c, "allowed"),
        "Auto approving kubelet client certificate after SubjectAccessReview."
    );
    // Others' requests are nobody's business.
    c.api.seed("certificatesigningrequests", csr("other", "example.com/x", "system:node:n1", client, &pem));
    c.settle().await;
    assert_eq!(approval(&c, "other"), "");
}

#[tokio::test(start_paused = true)]
async fn approves_serving_certificates_for_the_nodes_own_addresses() {
    let c = Cluster::start(&["certificatesigningrequest-approving-controller"]).await;
    c.api.seed("nodes", json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "host"},
            {"type": "InternalDNS", "address": "kubernetes.default.svc"}, {"type": "ExternalIP", "address": "127.0.0.1"},
            {"type": "ExternalIP", "address": "10.0.0.9"}]}}));
    c.api.seed(
        "nodes",
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n9"},
        "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.9"}]}}),
    );
    let usages = &["digital signature", "server auth"];
    let cases: &[(&str, &str, &[&str], bool)] = &[
        ("all", "system:node:n1", &["n1", "host", "10.0.0.1"], true),
        ("foreign-ip", "system:node:n1", &["n1", "10.0.0.2"], false),
        ("foreign-name", "system:node:n1", &["kubernetes", "10.0.0.1"], false),
        ("other-user", "system:node:n2", &["n1"], false),
        ("the-servers-name", "system:node:n1", &["n1", "kubernetes.default.svc"], false),
        ("every-hosts", "system:node:n1", &["n1", "127.0.0.1"], false),
        ("another-nodes", "system:node:n1", &["n1", "10.0.0.9"], false),
    ];
    for (name, user, names, _) in cases {
        let pem = request("system:node:n1", &["system:nodes"], names);
        c.api.seed(
            "certificatesigningrequests",
            csr(name, "kubernetes.io/kubelet-serving", user, usages, &pem),
        );
    }
    c.settle().await;
    for (name, _, _, ok) in cases {
        assert_eq!(!approval(&c, name).is_empty(), *ok, "{name}");
    }
}
