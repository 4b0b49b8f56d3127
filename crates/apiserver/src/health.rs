//! `/healthz`, `/livez`, `/readyz` with upstream's output.

use crate::query::Query;
use crate::respond;
use crate::server::ApiServer;
use http::{HeaderValue, Response, StatusCode};
use serve::Body;
use std::fmt::Write;

/// A named check: fine, or why not.
type Check = (String, std::result::Result<(), String>);

/// Set while the server goes on serving before it ends (`--shutdown-delay-duration`).
pub const LEAVING: &str = "apiserver/leaving";

async fn checks(s: &ApiServer, which: &str) -> Vec<Check> {
    let mut all: Vec<Check> = vec![("ping".into(), Ok(())), ("log".into(), Ok(()))];
    let ready = s.rt.ready.all();
    let store = s.store.health().await.map_err(|e| e.to_string());
    if which == "readyz" {
        all.push(("etcd-readiness".into(), store.clone()));
    }
    all.push(("etcd".into(), store));
    let leaving = ready.contains_key(LEAVING);
    // What components of this process report of this server; `poststarthook/…` among them.
    for (name, state) in ready {
        if let Some(own) = name.strip_prefix("apiserver/").filter(|_| name != LEAVING) {
            all.push((own.to_owned(), state));
        }
    }
    if which == "readyz" {
        let stopping = leaving || s.rt.is_stopping();
        all.push(("shutdown".into(), if stopping { Err("process is shutting down".into()) } else { Ok(()) }));
    }
    all
}

/// `path` is `/readyz` or `/readyz/NAME`, without a slash at the end.
pub async fn serve(s: &ApiServer, path: &str, query: &Query) -> Response<Body> {
    let rest = path.trim_start_matches('/');
    let (which, one) = rest.split_once('/').unwrap_or((rest, ""));
    let all = checks(s, which).await;
    let mut r = if one.is_empty() {
        let excluded: Vec<&str> = query.all("exclude").collect();
        root(which, &all, &excluded, query.get("verbose").is_some())
    } else {
        match all.iter().find(|(n, _)| n == one) {
            None => return crate::server::no_such_path(),
            Some((_, Ok(()))) => respond::text(StatusCode::OK, "ok"),
            Some((_, Err(why))) => {
                respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}\n"))
            }
        }
    };
    r.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    r
}

fn root(which: &str, all: &[Check], excluded: &[&str], verbose: bool) -> Response<Body> {
    let mut out = String::new();
    let mut failed: Vec<&str> = Vec::new();
    let mut unmatched: Vec<&str> = excluded.to_vec();
    for (name, state) in all {
        // Writing to a string does not fail.
        let mut line = |s: std::fmt::Arguments<'_>| {
            let _ = out.write_fmt(s);
        };
        if excluded.contains(&name.as_str()) {
            unmatched.retain(|x| x != name);
            line(format_args!("[+]{name} excluded: ok\n"));
            continue;
        }
        match state {
            Ok(()) => line(format_args!("[+]{name} ok\n")),
            Err(_) => {
                failed.push(name);
                line(format_args!("[-]{name} failed: reason withheld\n"));
            }
        }
    }
    if !unmatched.is_empty() {
        let names: Vec<String> = unmatched.iter().map(|n| format!("{n:?}")).collect();
        let _ =
            writeln!(out, "warn: some health checks cannot be excluded: no matches for {}", names.join(","));
    }
    if !failed.is_empty() {
        tracing::info!(checks = failed.join(","), "{which} check failed");
        let _ = writeln!(out, "{which} check failed");
        return respond::text(StatusCode::INTERNAL_SERVER_ERROR, out);
    }
    if !verbose {
        return respond::text(StatusCode::OK, "ok");
    }
    let _ = writeln!(out, "{which} check passed");
    respond::text(StatusCode::OK, out)
}
