//! Checks of the invariants that no compiler holds: layers, purity, file sizes and headers.

use crate::sh;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Lines a file may have.
const CEILING: usize = 800;

/// Crates that layers 1 and 2 may not depend on, whatever they need them for.
const IMPURE: &[&str] =
    &["tokio", "hyper", "hyper-util", "rusqlite", "rustix", "libc", "socket2", "tonic", "tracing"];

/// Words that may not stand in a file of layers 1 and 2.
const IMPURE_WORDS: &[&str] = &[
    "std::net::Tcp",
    "std::net::Udp",
    "std::fs::",
    "std::process::Command",
    "SystemTime",
    "Instant::now",
    "getrandom::",
];

/// Layer-4 crates that are the private library of another: (library, its one user).
const OWNED: &[(&str, &str)] = &[("cri", "kubelet")];

pub fn run(_: &[String]) -> Result<(), String> {
    let problems = check(&sh::root())?;
    if problems.is_empty() {
        return Ok(());
    }
    for p in &problems {
        eprintln!("tidy: {p}");
    }
    Err(format!("{} problem(s)", problems.len()))
}

struct Crate {
    layer: i64,
    dir: PathBuf,
    deps: Vec<String>,
}

fn crates() -> Result<BTreeMap<String, Crate>, String> {
    let meta = sh::output(sh::cargo().args(["metadata", "--no-deps", "--format-version=1", "--offline"]))?;
    let meta: Value = serde_json::from_str(&meta).map_err(|e| e.to_string())?;
    let mut all = BTreeMap::new();
    for p in meta["packages"].as_array().into_iter().flatten() {
        let name = p["name"].as_str().unwrap_or_default().to_owned();
        let dir = Path::new(p["manifest_path"].as_str().unwrap_or_default())
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        let deps = p["dependencies"].as_array().into_iter().flatten();
        let deps = deps
            .filter(|d| d["kind"].is_null())
            .filter_map(|d| d["name"].as_str())
            .map(str::to_owned)
            .collect();
        let layer = p["metadata"]["keelson"]["layer"].as_i64().unwrap_or(0);
        all.insert(name, Crate { layer, dir, deps });
    }
    Ok(all)
}

fn check(root: &Path) -> Result<Vec<String>, String> {
    let all = crates()?;
    let mut out = Vec::new();
    for (name, c) in &all {
        if c.layer == 0 {
            out.push(format!("{name}: the manifest says no layer (package.metadata.keelson)"));
        }
        if c.dir.file_name().is_some_and(|d| d.to_string_lossy() != *name) {
            out.push(format!("{name}: its folder is {}", c.dir.display()));
        }
        for d in &c.deps {
            if let Some(other) = all.get(d) {
                let owned = OWNED.iter().any(|(lib, user)| lib == d && user == name);
                if other.layer > c.layer || (other.layer == c.layer && c.layer == 4 && !owned) {
                    out.push(format!("{name} (layer {}) depends on {d} (layer {})", c.layer, other.layer));
                }
            }
            if d == "storage" && !matches!(name.as_str(), "apiserver" | "keelson" | "etcd") {
                out.push(format!("{name} depends on storage: only the API server may"));
            }
            if c.layer <= 2 && IMPURE.contains(&d.as_str()) {
                out.push(format!("{name} (layer {}) depends on {d}: layers 1 and 2 are pure", c.layer));
            }
        }
        files(root, name, c, &mut out)?;
    }
    Ok(out)
}

fn files(root: &Path, name: &str, c: &Crate, out: &mut Vec<String>) -> Result<(), String> {
    let mut todo = vec![c.dir.join("src"), c.dir.join("tests")];
    while let Some(dir) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for e in entries.flatten() {
            let path = e.path();
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if path.is_dir() {
                if !matches!(e.file_name().to_string_lossy().as_ref(), "gen" | "testdata") {
                    todo.push(path);
                }
                continue;
            }
            if path.extension().is_none_or(|x| x != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).map_err(|e| format!("{shown}: {e}"))?;
            if !text.starts_with("//!") {
                out.push(format!("{shown}: does not begin with a //! line"));
            }
            let lines = text.lines().count();
            let generated = text.lines().take(10).any(|l| l.to_ascii_lowercase().contains("generated"));
            if lines > CEILING && !generated {
                out.push(format!("{shown}: {lines} lines, more than {CEILING}"));
            }
            let test_file = shown.contains("/tests");
            if c.layer <= 2 && !test_file {
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                for w in IMPURE_WORDS {
                    if code.contains(w) && !(name == "meta" && *w == "getrandom::") {
                        out.push(format!("{shown}: {w} in a pure crate"));
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_workspace_is_tidy() {
        let problems = super::check(&crate::sh::root()).unwrap();
        assert!(problems.is_empty(), "{problems:#?}");
    }
}
