//! `/version`: what clients decide by.

use crate::respond;
use http::{Response, StatusCode};
use serde_json::json;
use serve::Body;

/// The version of Kubernetes whose API this is. Clients parse it, so it carries no tag of ours.
pub const GIT_VERSION: &str = "v1.37.2";
pub const MAJOR: &str = "1";
pub const MINOR: &str = "37";

pub fn serve() -> Response<Body> {
    let v = json!({
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": GIT_VERSION,
        "gitCommit": concat!("keelson-", env!("CARGO_PKG_VERSION")),
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "rust",
        "compiler": "rustc",
        "platform": format!("linux/{}", arch()),
    });
    let body = serde_json::to_string_pretty(&v).unwrap_or_default();
    respond::bytes(StatusCode::OK, "application/json", body)
}

/// The machine's name as Go says it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
