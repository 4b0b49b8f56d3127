//! Detached JSON web signatures, HMAC with SHA-256 (`k8s.io/cluster-bootstrap/token/jws`).

use crate::k8s::core::ConfigMap;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

const CONTENT: &str = "kubeconfig";
const PREFIX: &str = "jws-kubeconfig-";

/// The ConfigMap with the signatures of these tokens and no others; `None` when it has them, or has nothing to sign.
pub fn signed(info: &ConfigMap, tokens: BTreeMap<String, String>) -> Option<ConfigMap> {
    let content = info.data.as_ref()?.get(CONTENT)?;
    let mut new = info.clone();
    let data = new.data.get_or_insert_default();
    data.retain(|k, _| !k.starts_with(PREFIX));
    for (id, secret) in &tokens {
        data.insert(format!("{PREFIX}{id}"), signature(content, id, secret));
    }
    (new.data != info.data).then_some(new)
}

fn signature(content: &str, id: &str, secret: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}"));
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(content));
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(hmac(secret.as_bytes(), signed.as_bytes())))
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // RFC 4231, test case 2; then upstream's own test of signatures.
        let hex: String =
            hmac(b"Jefe", b"what do ya want for nothing?").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(
            signature(
                "Hello from the other side. I must have called a thousand times.",
                "joshua",
                "my voice is my passcode"
            ),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }
}
