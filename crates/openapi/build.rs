//! Collects the documentation of types and fields from the sources of the `k8s-openapi` crate (Apache-2.0), which are
//! generated from the API's own descriptions, into one compressed table for `kubectl explain`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("docs.bin");
    let mut text = String::new();
    match sources() {
        Some(dir) => collect(&dir, &mut text),
        None => println!(
            "cargo::warning=the sources of k8s-openapi were not found: explain will have no descriptions"
        ),
    }
    let mut z = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    z.write_all(text.as_bytes())
        .and_then(|()| z.finish())
        .and_then(|b| std::fs::write(out, b))
        .expect("OUT_DIR is writable");
}

/// Where cargo unpacked the crate.
fn sources() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO")?;
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let o = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--offline"])
        .current_dir(manifest)
        .output()
        .ok()?;
    let meta: serde_json::Value = serde_json::from_slice(&o.stdout).ok()?;
    let package = meta["packages"].as_array()?.iter().find(|p| p["name"] == "k8s-openapi")?;
    Some(Path::new(package["manifest_path"].as_str()?).parent()?.join("src/v1_37"))
}

/// Files in a stable order: `T definition⇥description`, then `F field⇥description`; line breaks are `\n`.
fn collect(dir: &Path, out: &mut String) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    for p in paths {
        if p.is_dir() {
            collect(&p, out);
        } else if let Ok(text) = std::fs::read_to_string(&p) {
            file(&text, out);
        }
    }
}

fn file(text: &str, out: &mut String) {
    let Some(name) = text.lines().next().and_then(|l| l.strip_prefix("// Generated from definition ")) else {
        return;
    };
    // `"podIP" => Field::Key_pod_ip,` tells the JSON name of a field.
    let json = |field: &str| {
        let needle = format!("=> Field::Key_{},", field.trim_start_matches("r#").trim_end_matches('_'));
        let line = text.lines().find(|l| l.trim_end().ends_with(&needle))?;
        line.split('"').nth(1).map(str::to_owned)
    };
    let mut doc: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let t = line.trim();
        if let Some(d) = t.strip_prefix("///") {
            doc.push(d.strip_prefix(' ').unwrap_or(d));
            continue;
        }
        if !inside && (t.starts_with("pub struct ") || t.starts_with("pub enum ")) {
            out.push_str(&format!(
                "T{name}\t{}\n",
                doc.join("\n").replace('\\', "\\\\").replace('\n', "\\n")
            ));
            inside = true;
        } else if inside && let Some(f) = t.strip_prefix("pub ").and_then(|f| f.split_once(':')) {
            if let Some(j) = json(f.0) {
                out.push_str(&format!(
                    "F{j}\t{}\n",
                    doc.join("\n").replace('\\', "\\\\").replace('\n', "\\n")
                ));
            }
        } else if inside && t == "}" {
            return;
        }
        if !t.starts_with("#[") {
            doc.clear();
        }
    }
}
