//! `gen-config simple|with-ca`: the files of an installation from binaries, from `config.properties` and templates.
//!
//! Everything is worked out before anything is written, and `target/` is replaced as a whole, so that a mistake leaves
//! what was there. Every mistake names its file and line.

pub mod certs;
pub mod csr;
pub mod properties;
mod templates;
#[cfg(test)]
mod tests;

use properties::{KNOWN, Property};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const USAGE: &str = "Usage: gen-config (simple / with-ca / certs / init) [--dir DIR]

  init     write config.properties and gen-config.sh into DIR, to begin with
  simple   make target/ for a cluster without authentication
  with-ca  make target/ for a cluster with certificates, tokens and RBAC
  certs    make the certificates that target/ca asks for, and a bootstrap token

DIR (default: the current folder) holds config.properties. Folders kubernetes-simple/ and kubernetes-with-ca/ in it take
the place of the templates in the program.
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Simple,
    WithCa,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Simple => "kubernetes-simple",
            Self::WithCa => "kubernetes-with-ca",
        }
    }
}

/// Paths and contents.
pub type Files = BTreeMap<String, String>;

/// Replaces every `{{KEY}}`: pure. Problems name file and line.
pub fn fill(file: &str, templates: &Files, p: &[Property], kind: Kind) -> Result<Files, Vec<String>> {
    let (mut out, mut bad) = (Files::new(), Vec::new());
    let mut used: Vec<&str> = KNOWN.to_vec();
    for (path, text) in templates {
        let mut made = String::with_capacity(text.len());
        for (i, line) in text.split_inclusive('\n').enumerate() {
            let mut rest = line;
            while let Some((before, after)) = rest.split_once("{{") {
                made.push_str(before);
                let at = format!("{}/{path}:{}", kind.folder(), i + 1);
                let Some((key, after)) = after.split_once("}}") else {
                    bad.push(format!("{at}: \"{{{{\" without \"}}}}\""));
                    rest = "";
                    break;
                };
                match p.iter().find(|p| p.key == key) {
                    Some(found) => {
                        made.push_str(&found.value);
                        used.push(key);
                    }
                    None => bad.push(format!("{at}: {{{{{key}}}}} has no value: {file} does not say {key}")),
                }
                rest = after;
            }
            made.push_str(rest);
        }
        out.insert(path.clone(), made);
    }
    for k in p.iter().filter(|k| !used.contains(&k.key.as_str())) {
        bad.push(format!("{file}:{}: {} is used by no template", k.line, k.key));
    }
    if let Some(e) = p.iter().find(|k| k.key == "ETCD_ENDPOINTS") {
        let tls = e.value.split(',').any(|u| u.starts_with("https://"));
        let plain = e.value.split(',').any(|u| u.starts_with("http://"));
        match kind {
            Kind::Simple if tls => {
                bad.push(format!(
                    "{file}:{}: simple has no certificates: ETCD_ENDPOINTS must be http://",
                    e.line
                ));
            }
            Kind::WithCa if plain => {
                bad.push(format!("{file}:{}: with-ca speaks TLS: ETCD_ENDPOINTS must be https://", e.line));
            }
            _ => {}
        }
    }
    if bad.is_empty() { Ok(out) } else { Err(bad) }
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> Vec<String> + '_ {
    move |e| vec![format!("{}: {e}", path.display())]
}

fn read_folder(root: &Path, dir: &Path, out: &mut Files) -> Result<(), Vec<String>> {
    for e in std::fs::read_dir(dir).map_err(io(dir))? {
        let path = e.map_err(io(dir))?.path();
        if path.is_dir() {
            read_folder(root, &path, out)?;
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(io(&path))?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        out.insert(name, text);
    }
    Ok(())
}

fn templates(dir: &Path, kind: Kind) -> Result<Files, Vec<String>> {
    let own = dir.join(kind.folder());
    if own.is_dir() {
        let mut out = Files::new();
        read_folder(&own, &own, &mut out)?;
        return Ok(out);
    }
    let built_in = match kind {
        Kind::Simple => templates::SIMPLE,
        Kind::WithCa => templates::WITH_CA,
    };
    Ok(built_in.iter().map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect())
}

/// Puts files in the place of `target`, all or nothing.
fn replace(target: &Path, files: &Files) -> Result<(), Vec<String>> {
    let beside = |what: &str| PathBuf::from(format!("{}.{what}", target.display()));
    let (new, old) = (beside("new"), beside("old"));
    for leftover in [&new, &old] {
        if leftover.exists() {
            std::fs::remove_dir_all(leftover).map_err(io(leftover))?;
        }
    }
    for (name, text) in files {
        let path = new.join(name);
        let dir = path.parent().unwrap_or(&new);
        std::fs::create_dir_all(dir).map_err(io(dir))?;
        std::fs::write(&path, text).map_err(io(&path))?;
    }
    if target.exists() {
        std::fs::rename(target, &old).map_err(io(target))?;
    }
    std::fs::rename(&new, target).map_err(io(target))?;
    if old.exists() {
        std::fs::remove_dir_all(&old).map_err(io(&old))?;
    }
    Ok(())
}

/// Makes `target/` in a folder; answers what is to be printed.
pub fn generate(dir: &Path, kind: Kind) -> Result<String, Vec<String>> {
    let path = dir.join("config.properties");
    let file = "config.properties";
    let text = std::fs::read_to_string(&path)
        .map_err(|e| vec![format!("{}: {e}; `gen-config init` writes one to begin with", path.display())])?;
    let properties = properties::parse(file, &text)?;
    let files = fill(file, &templates(dir, kind)?, &properties, kind)?;
    if kind == Kind::WithCa {
        let bad: Vec<String> = csr::check(&files).err().into_iter().collect();
        if !bad.is_empty() {
            return Err(bad);
        }
    }
    let target = dir.join("target");
    replace(&target, &files)?;
    let mut out = String::from("====替换变量列表====\n");
    for p in &properties {
        out += &format!("{}={}\n", p.key, p.value);
    }
    out += "====================\n====替换配置文件====\n";
    for f in files.keys() {
        out += &format!("{f}\n");
    }
    let at = target.canonicalize().unwrap_or(target);
    out += &format!("=================\n配置生成成功,位置: {}\n", at.display());
    Ok(out)
}

fn init(dir: &Path) -> Result<String, Vec<String>> {
    let mut out = String::new();
    for (name, text) in [("config.properties", templates::PROPERTIES), ("gen-config.sh", templates::SCRIPT)] {
        let path = dir.join(name);
        if path.exists() {
            out += &format!("{name} is there already\n");
            continue;
        }
        std::fs::write(&path, text).map_err(io(&path))?;
        if name.ends_with(".sh") {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).map_err(io(&path))?;
        }
        out += &format!("{name}\n");
    }
    Ok(out)
}

/// The applet. `now` in Unix seconds; answers what to print, or the errors.
pub fn run(args: &[String], now: i64) -> Result<String, String> {
    let mut dir = PathBuf::from(".");
    let mut words = Vec::new();
    let mut it = args.iter();
    while let Some(a) = it.next() {
        match a.as_str() {
            "-h" | "--help" | "help" => return Ok(USAGE.to_owned()),
            "--dir" => dir = it.next().ok_or("--dir needs a folder")?.into(),
            d if d.starts_with("--dir=") => dir = d["--dir=".len()..].into(),
            f if f.starts_with('-') => return Err(format!("unknown flag: {f}\n{USAGE}")),
            w => words.push(w),
        }
    }
    let done = match words.as_slice() {
        ["simple"] => generate(&dir, Kind::Simple),
        ["with-ca"] => generate(&dir, Kind::WithCa),
        ["certs"] => certs::make(&dir.join("target/ca"), now),
        ["init"] => init(&dir),
        _ => return Err(USAGE.to_owned()),
    };
    done.map_err(|all| all.join("\n"))
}
