//! kubeconfig files with everything embedded.

use crate::{Error, Identity, files};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::path::Path;

/// A kubeconfig of one cluster and one user, as JSON (which is YAML too).
pub fn render(server: &str, ca_pem: &str, user: &str, id: &Identity) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "keelson", "cluster": {
            "certificate-authority-data": STANDARD.encode(ca_pem), "server": server}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": STANDARD.encode(&id.cert_pem),
            "client-key-data": STANDARD.encode(&id.key_pem)}}],
        "contexts": [{"name": "keelson", "context": {"cluster": "keelson", "user": user}}],
        "current-context": "keelson",
    })
}

/// Writes it, 0600, if it is not there with the same content.
pub fn write(path: &Path, config: &Value) -> Result<(), Error> {
    let text = format!("{}\n", serde_json::to_string_pretty(config).unwrap_or_default());
    if files::read(path)?.as_deref() == Some(&text) {
        return Ok(());
    }
    files::write(path, text.as_bytes(), 0o600)
}
