//! What a token secret lacks.

use crate::k8s::core::Secret;

pub const ACCOUNT: &str = "kubernetes.io/service-account.name";
pub const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub ca: bool,
    pub namespace: bool,
    pub token: bool,
}

/// `ca` is empty when there is none to give.
pub fn needs(s: &Secret, ca: &[u8]) -> Needs {
    let data = |k: &str| s.data.as_ref().and_then(|d| d.get(k)).map(|b| b.0.as_slice()).unwrap_or_default();
    Needs {
        ca: !ca.is_empty() && data("ca.crt") != ca,
        namespace: data("namespace").is_empty(),
        token: data("token").is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lacks() {
        let s: Secret = serde_json::from_value(json!({"data": {"ca.crt": "QQ==", "token": "QQ=="}})).unwrap();
        assert_eq!(needs(&s, b"A"), Needs { ca: false, namespace: true, token: false });
        assert_eq!(needs(&s, b"B"), Needs { ca: true, namespace: true, token: false });
        assert_eq!(needs(&Secret::default(), b""), Needs { ca: false, namespace: true, token: true });
    }
}
