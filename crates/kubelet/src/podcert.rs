//! Certificates of pods (KEP 4317): a PodCertificateRequest for each projection, its key kept in memory, renewed when
//! the signer says so.

use crate::pod::helpers::{self, namespace, spec, uid};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use client::Client;
use k8s_openapi::api::core::v1::{Node, Pod, PodCertificateProjection, ServiceAccount};
use k8s_openapi::jiff::Timestamp;
use runtime::Clock;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long a pod's start waits for the signer before it tries again later.
const PATIENCE: Duration = Duration::from_secs(3);
/// A request that nobody answered is given up and made anew.
const ABANDON: i64 = 15 * 60 * 1_000_000_000;

/// A private key and its certificate chain, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    pub key: String,
    pub chain: String,
    /// When to ask for another, nanoseconds since 1970.
    pub refresh_at: i64,
}

/// A request that waits for its certificate.
#[derive(Clone, Debug)]
struct Asked {
    name: String,
    key: String,
    at: i64,
}

#[derive(Clone, Debug, Default)]
struct State {
    have: Option<Bundle>,
    asked: Option<Asked>,
    /// Denied or failed: for good.
    refused: Option<String>,
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Outcome {
    Waiting,
    Issued { chain: String, refresh_at: i64 },
    Refused(String),
}

type Key = (String, String, usize);

pub struct PodCerts {
    client: Client,
    clock: Clock,
    node: std::sync::Mutex<String>,
    all: std::sync::Mutex<HashMap<Key, Arc<Mutex<State>>>>,
}

/// A new key of the type, and an empty signing request that proves it.
fn key_and_proof(kind: &str) -> Result<(String, Vec<u8>), String> {
    use rcgen::KeyPair;
    let key = match kind {
        "RSA3072" => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_3072),
        "RSA4096" => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_4096),
        "ECDSAP256" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
        "ECDSAP384" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
        "ECDSAP521" => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512),
        "ED25519" => KeyPair::generate_for(&rcgen::PKCS_ED25519),
        other => return Err(format!("unknown key type {other:?}")),
    };
    let err = |e: rcgen::Error| format!("while generating keypair: {e}");
    let key = key.map_err(err)?;
    let mut p = rcgen::CertificateParams::default();
    p.distinguished_name = rcgen::DistinguishedName::new();
    let csr = p.serialize_request(&key).map_err(err)?;
    Ok((key.serialize_pem(), csr.der().to_vec()))
}

fn outcome(v: &Value, now: i64) -> Outcome {
    let condition = |kind: &str| {
        v.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten().find(|c| {
            c.get("type").and_then(Value::as_str) == Some(kind)
                && c.get("status").and_then(Value::as_str) == Some("True")
        })
    };
    for (kind, word) in [("Denied", "denied"), ("Failed", "failed")] {
        if let Some(c) = condition(kind) {
            let s = |k: &str| c.get(k).and_then(Value::as_str).unwrap_or("");
            return Outcome::Refused(format!(
                "PodCertificateRequest was permanently {word}: reason={:?} message={:?}",
                s("reason"),
                s("message")
            ));
        }
    }
    if condition("Issued").is_none() {
        return Outcome::Waiting;
    }
    let chain = v.pointer("/status/certificateChain").and_then(Value::as_str).unwrap_or("");
    let refresh_at = v
        .pointer("/status/beginRefreshAt")
        .and_then(Value::as_str)
        .and_then(|t| t.parse::<Timestamp>().ok())
        .and_then(|t| i64::try_from(t.as_nanosecond()).ok())
        .unwrap_or(now + 3600 * 1_000_000_000);
    Outcome::Issued { chain: blocks(chain), refresh_at }
}

/// The PEM blocks of a chain, without what is between them.
fn blocks(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("-----BEGIN ") {
            inside = true;
        }
        if inside {
            out.push_str(line.trim_end());
            out.push('\n');
        }
        if line.starts_with("-----END ") {
            inside = false;
        }
    }
    out
}

impl PodCerts {
    pub fn new(client: Client, clock: Clock) -> Self {
        Self { client, clock, node: std::sync::Mutex::default(), all: std::sync::Mutex::default() }
    }

    pub fn forget(&self, pod_uid: &str) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).retain(|k, _| k.0 != pod_uid);
    }

    /// The bundle of one projection, asked for when it is not there or due.
    pub async fn get(
        &self,
        pod: &Pod,
        volume: &str,
        index: usize,
        p: &PodCertificateProjection,
    ) -> Result<Bundle, String> {
        let key = (uid(pod).to_owned(), volume.to_owned(), index);
        let slot = self.all.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        let mut s = slot.lock().await;
        let now = self.clock.unix_nanos();
        if let Some(b) = &s.have
            && now < b.refresh_at
        {
            return Ok(b.clone());
        }
        if let Some(r) = &s.refused {
            // What there is holds until it expires; there will be no other.
            return s.have.clone().map(|b| Bundle { refresh_at: i64::MAX, ..b }).ok_or_else(|| r.clone());
        }
        let later = now + 10_000_000_000;
        let fresh = self.advance(pod, p, &mut s).await;
        match (fresh, &s.have) {
            (Ok(Some(b)), _) => Ok(b),
            (Ok(None) | Err(_), Some(old)) => Ok(Bundle { refresh_at: later, ..old.clone() }),
            (Ok(None), None) => Err("credential bundle is not issued yet".into()),
            (Err(e), None) => Err(e),
        }
    }

    /// Asks, or looks after what was asked for; waits a little.
    async fn advance(
        &self,
        pod: &Pod,
        p: &PodCertificateProjection,
        s: &mut State,
    ) -> Result<Option<Bundle>, String> {
        let now = self.clock.unix_nanos();
        if s.asked.as_ref().is_some_and(|a| now - a.at > ABANDON) {
            s.asked = None;
        }
        let asked = match &s.asked {
            Some(a) => a.clone(),
            None => {
                let a = self.ask(pod, p).await?;
                s.asked = Some(a.clone());
                a
            }
        };
        let path = format!(
            "/apis/certificates.k8s.io/v1/namespaces/{}/podcertificaterequests/{}",
            namespace(pod),
            asked.name
        );
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.client.request(http::Method::GET, &path, None).await {
                Ok(v) => match outcome(&v, self.clock.unix_nanos()) {
                    Outcome::Waiting => {}
                    Outcome::Issued { chain, refresh_at } => {
                        let b = Bundle { key: asked.key, chain, refresh_at };
                        s.have = Some(b.clone());
                        s.asked = None;
                        return Ok(Some(b));
                    }
                    Outcome::Refused(why) => {
                        s.asked = None;
                        s.refused = Some(why.clone());
                        return Err(why);
                    }
                },
                Err(e) if e.is_not_found() => {
                    s.asked = None;
                    return Ok(None);
                }
                // The authorizer may not have seen yet that the request is this node's.
                Err(e) if e.is(meta::Reason::Forbidden) && tokio::time::Instant::now() < end => {}
                Err(e) => return Err(e.to_string()),
            }
            if tokio::time::Instant::now() >= end {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn node_uid(&self, name: &str) -> Result<String, String> {
        {
            let n = self.node.lock().unwrap_or_else(PoisonError::into_inner);
            if !n.is_empty() {
                return Ok(n.clone());
            }
        }
        let n: Node = self.client.get(None, name).await.map_err(|e| e.to_string())?;
        let id = n.metadata.uid.unwrap_or_default();
        self.node.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&id);
        Ok(id)
    }

    async fn ask(&self, pod: &Pod, p: &PodCertificateProjection) -> Result<Asked, String> {
        let s = spec(pod);
        let ns = namespace(pod);
        let node = s.node_name.clone().unwrap_or_default();
        let node_uid = self.node_uid(&node).await?;
        let account = s.service_account_name.as_deref().unwrap_or("default");
        let sa: ServiceAccount = self.client.get(Some(ns), account).await.map_err(|e| e.to_string())?;
        let (key, proof) = key_and_proof(&p.key_type)?;
        let mut request = json!({
            "signerName": p.signer_name, "podName": helpers::name(pod), "podUID": uid(pod),
            "serviceAccountName": account, "serviceAccountUID": sa.metadata.uid,
            "nodeName": node, "nodeUID": node_uid, "stubPKCS10Request": STANDARD.encode(&proof),
        });
        if let Some(n) = p.max_expiration_seconds {
            request["maxExpirationSeconds"] = json!(n);
        }
        if let Some(a) = p.user_annotations.as_ref().filter(|a| !a.is_empty()) {
            request["unverifiedUserAnnotations"] = json!(a);
        }
        let body = json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "PodCertificateRequest",
            "metadata": {"generateName": "req-", "namespace": ns, "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": helpers::name(pod), "uid": uid(pod)}]},
            "spec": request,
        });
        let path = format!("/apis/certificates.k8s.io/v1/namespaces/{ns}/podcertificaterequests");
        let made = self
            .client
            .request(http::Method::POST, &path, Some(&body))
            .await
            .map_err(|e| format!("while creating on API: {e}"))?;
        let name = made.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("").to_owned();
        Ok(Asked { name, key, at: self.clock.unix_nanos() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        let v = |c: &str| {
            json!({"status": {"conditions": [{"type": c, "status": "True", "reason": "r", "message": "m"}],
            "certificateChain": "junk\n-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\njunk", "beginRefreshAt": "1970-01-01T00:01:00Z"}})
        };
        assert_eq!(outcome(&json!({}), 0), Outcome::Waiting);
        assert_eq!(
            outcome(&v("Issued"), 0),
            Outcome::Issued {
                chain: "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n".into(),
                refresh_at: 60_000_000_000
            }
        );
        assert_eq!(
            outcome(&v("Denied"), 0),
            Outcome::Refused(
                "PodCertificateRequest was permanently denied: reason=\"r\" message=\"m\"".into()
            )
        );
    }

    #[test]
    fn keys() {
        for k in ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"] {
            let (key, proof) = key_and_proof(k).unwrap();
            assert!(key.starts_with("-----BEGIN PRIVATE KEY-----") && proof.len() > 50, "{k}");
        }
        assert!(key_and_proof("X").is_err());
    }
}
