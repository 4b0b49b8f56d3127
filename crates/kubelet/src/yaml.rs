//! YAML of manifests and configuration files, as JSON.

use serde_json::Value;

/// One document.
pub fn parse(text: &str) -> Result<Value, String> {
    schema::yaml::parse(text.as_bytes()).map_err(|e| e.to_string())
}
