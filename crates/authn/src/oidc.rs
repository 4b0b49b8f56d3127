//! The OpenID Connect discovery documents of the service account issuer (pkg/serviceaccount/openidmetadata.go).

use crate::keys::PublicKey;
use serde_json::Value;
use std::collections::BTreeSet;

pub const CONFIG_PATH: &str = "/.well-known/openid-configuration";
pub const JWKS_PATH: &str = "/openid/v1/jwks";
/// Seconds that answers may be cached (`Cache-Control: public, max-age=3600`).
pub const MAX_AGE: u32 = 3600;

/// The discovery document. `jwks_uri` is `https://ADDRESS/openid/v1/jwks` unless configured.
/// An error where the issuer is no URL that OpenID allows: then the endpoints are not served.
pub fn configuration(issuer: &str, jwks_uri: &str, keys: &[PublicKey]) -> Result<String, String> {
    if !issuer.starts_with("https://") {
        return Err(format!("issuer URL must use https scheme, got: {issuer}"));
    }
    if issuer.contains('?') {
        return Err(format!("issuer URL may not include a query, got: {issuer}"));
    }
    if issuer.contains('#') {
        return Err(format!("issuer URL may not include a fragment, got: {issuer}"));
    }
    if !jwks_uri.starts_with("https://") {
        return Err(format!("jwksURI requires https scheme, parsed as: {jwks_uri}"));
    }
    if keys.is_empty() {
        return Err("no keys provided for validating keyset".into());
    }
    let algorithms: BTreeSet<&str> = keys.iter().map(PublicKey::algorithm_name).collect();
    let algorithms: Vec<&str> = algorithms.into_iter().collect();
    Ok(format!(
        r#"{{"issuer":{},"jwks_uri":{},"response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":{}}}"#,
        Value::from(issuer),
        Value::from(jwks_uri),
        Value::from(algorithms)
    ))
}

/// The key set.
pub fn jwks(keys: &[PublicKey]) -> String {
    let all: Vec<String> = keys.iter().map(PublicKey::jwk).collect();
    format!(r#"{{"keys":[{}]}}"#, all.join(","))
}
