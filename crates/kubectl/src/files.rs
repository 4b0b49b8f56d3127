//! Objects from `-f`: files, folders, patterns, standard input; several documents and Lists.

use crate::error::Error;
use serde_json::Value;
use std::io::Read;
use std::path::{Path, PathBuf};

const MAX_INPUT: u64 = 256 << 20;

/// An object and where it came from.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub source: String,
    pub value: Value,
}

/// Everything that `-f` (and `-R`) name, in order.
pub fn load(names: &[String], recursive: bool) -> Result<Vec<Manifest>, Error> {
    let mut out = Vec::new();
    for n in names {
        if n == "-" {
            let mut b = Vec::new();
            std::io::stdin().take(MAX_INPUT).read_to_end(&mut b)?;
            documents("STDIN", &b, &mut out)?;
            continue;
        }
        if n.starts_with("http://") || n.starts_with("https://") {
            return Err(Error::plain(format!("{n}: URLs are not read here; download it and pass the file")));
        }
        let p = Path::new(n);
        let mut paths = Vec::new();
        if p.is_dir() {
            folder(p, recursive, &mut paths)?;
        } else if n.contains(['*', '?', '[']) && !p.exists() {
            pattern(n, &mut paths)?;
        } else if !p.exists() {
            return Err(Error::plain(format!("the path {n:?} does not exist")));
        } else {
            paths.push(p.to_owned());
        }
        for p in paths {
            let name = p.display().to_string();
            let b = std::fs::read(&p).map_err(|e| Error::plain(format!("open {name}: {e}")))?;
            documents(&name, &b, &mut out)?;
        }
    }
    Ok(out)
}

fn folder(dir: &Path, recursive: bool, out: &mut Vec<PathBuf>) -> Result<(), Error> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)?.filter_map(|e| e.ok().map(|e| e.path())).collect();
    all.sort();
    for p in all {
        if p.is_dir() {
            if recursive {
                folder(&p, true, out)?;
            }
        } else if p.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml") {
            out.push(p);
        }
    }
    Ok(())
}

fn pattern(text: &str, out: &mut Vec<PathBuf>) -> Result<(), Error> {
    let p = Path::new(text);
    let (dir, last) =
        (p.parent().unwrap_or(Path::new("")), p.file_name().unwrap_or_default().to_string_lossy());
    if dir.to_string_lossy().contains(['*', '?', '[']) {
        return Err(Error::plain(format!("{text}: patterns are read in the last part of a path only")));
    }
    let re = regex::escape(&last)
        .replace("\\*", "[^/]*")
        .replace("\\?", "[^/]")
        .replace("\\[", "[")
        .replace("\\]", "]");
    let re = regex::Regex::new(&format!("^{re}$")).map_err(|e| Error::plain(e.to_string()))?;
    let look = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut all: Vec<_> = std::fs::read_dir(look)?.filter_map(|e| e.ok().map(|e| e.file_name())).collect();
    all.sort();
    out.extend(all.iter().filter(|n| re.is_match(&n.to_string_lossy())).map(|n| dir.join(n)));
    if out.is_empty() {
        return Err(Error::plain(format!("the path {text:?} does not exist")));
    }
    Ok(())
}

/// An error of the system in Go's words.
pub fn why(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        std::io::ErrorKind::IsADirectory => "is a directory".into(),
        _ => e.to_string(),
    }
}

/// The objects of a text.
pub fn documents(source: &str, b: &[u8], out: &mut Vec<Manifest>) -> Result<(), Error> {
    let first = b.iter().find(|c| !c.is_ascii_whitespace());
    let all: Vec<Value> = if first == Some(&b'{') {
        let json: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_slice(b).into_iter::<Value>().collect();
        match json {
            Ok(v) => v,
            Err(_) => yaml(source, b)?,
        }
    } else {
        yaml(source, b)?
    };
    for v in all {
        flatten(source, v, out)?;
    }
    Ok(())
}

fn yaml(source: &str, b: &[u8]) -> Result<Vec<Value>, Error> {
    schema::yaml::parse_all(b)
        .map_err(|e| Error::plain(format!("error parsing {source}: error converting YAML to JSON: {e}")))
}

fn flatten(source: &str, v: Value, out: &mut Vec<Manifest>) -> Result<(), Error> {
    let text = |k: &str| v[k].as_str().unwrap_or_default().to_owned();
    let (kind, api) = (text("kind"), text("apiVersion"));
    let lacks = |what: &str| {
        Err(Error::plain(format!(
            "error validating {source:?}: error validating data: {what} not set; if you choose to ignore these errors, turn validation off with --validate=false"
        )))
    };
    if api.is_empty() && kind.is_empty() {
        return lacks("[apiVersion not set, kind").map_err(|e| match e {
            Error::Plain(m) => Error::Plain(m.replace("kind not set", "kind not set]")),
            e => e,
        });
    } else if api.is_empty() {
        return lacks("apiVersion");
    } else if kind.is_empty() {
        return lacks("kind");
    }
    if let Some(items) = v["items"].as_array().filter(|_| kind.ends_with("List")) {
        let item_kind = kind.trim_end_matches("List");
        for i in items {
            let mut i = i.clone();
            if kind != "List" && i.is_object() && i["kind"].is_null() {
                i["kind"] = item_kind.into();
                i["apiVersion"] = api.clone().into();
            }
            flatten(source, i, out)?;
        }
    } else {
        out.push(Manifest { source: source.to_owned(), value: v });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams() {
        let mut out = Vec::new();
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\n";
        documents("f", text.as_bytes(), &mut out).unwrap();
        let names: Vec<_> = out.iter().map(|m| m.value["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["a", "b"]);
        let e = documents("f", b"apiVersion: v1\n", &mut out).unwrap_err();
        assert!(e.tell().0.contains("kind not set;"), "{e:?}");
    }
}
