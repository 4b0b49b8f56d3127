//! `/logs/`: the files below /var/log, as upstream's `--enable-system-log-handler` shows them.

use super::{Answer, Fail, Query, answer, text};
use http::StatusCode;
use std::path::{Component, Path};

const ROOT: &str = "/var/log";
const MAX_FILE: u64 = 64 << 20;

fn escape(s: &str) -> String {
    s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}

pub(super) async fn serve(rest: &[&str], _q: &Query) -> Result<Answer, Fail> {
    let rel = rest.join("/");
    let rel = Path::new(&rel);
    if rel.components().any(|c| !matches!(c, Component::Normal(_))) {
        return Err(Fail::bad("invalid path"));
    }
    let path = Path::new(ROOT).join(rel);
    // A link must not lead out of the folder, except to where container logs are.
    let real = tokio::fs::canonicalize(&path).await.map_err(|_| Fail::not_found("404 page not found\n"))?;
    if !real.starts_with(ROOT) {
        return Err(Fail(StatusCode::FORBIDDEN, "403 Forbidden\n".into()));
    }
    let meta = tokio::fs::metadata(&real).await.map_err(|e| Fail::internal(e.to_string()))?;
    if meta.is_dir() {
        let mut names = vec![];
        let mut dir = tokio::fs::read_dir(&real).await.map_err(|e| Fail::internal(e.to_string()))?;
        while let Ok(Some(e)) = dir.next_entry().await {
            let mut n = e.file_name().to_string_lossy().into_owned();
            if e.file_type().await.is_ok_and(|t| t.is_dir()) {
                n.push('/');
            }
            names.push(n);
        }
        names.sort();
        let lines: String = names.iter().map(|n| format!("<a href=\"{0}\">{0}</a>\n", escape(n))).collect();
        return Ok(answer(
            StatusCode::OK,
            "text/html; charset=utf-8",
            format!(
                "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n{lines}</pre>\n"
            ),
        ));
    }
    if meta.len() > MAX_FILE {
        return Err(Fail(StatusCode::PAYLOAD_TOO_LARGE, "the file is larger than 64 MiB\n".into()));
    }
    let body = tokio::fs::read(&real).await.map_err(|e| Fail::internal(e.to_string()))?;
    Ok(text(StatusCode::OK, body))
}
