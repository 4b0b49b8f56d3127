//! Writes a set of files so that readers see all of the old or all of the new: a fresh directory, and one rename of the
//! link `..data` (upstream `pkg/volume/util/atomic_writer.go`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    pub data: Vec<u8>,
    pub mode: u32,
    /// Owner of the file, where it is not root.
    pub user: Option<u32>,
}

/// Files by relative path.
pub type Payload = BTreeMap<String, File>;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";

/// Whether a path may be written: relative, without `..`, its first part not beginning with `..`.
fn check(path: &str) -> io::Result<()> {
    let bad =
        |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, format!("invalid path {path:?}: {why}")));
    if path.is_empty() || path.len() > 4096 {
        return bad("must not be empty or longer than 4096 bytes");
    }
    let p = Path::new(path);
    if p.is_absolute() {
        return bad("must be relative");
    }
    if p.components().any(|c| !matches!(c, Component::Normal(_))) {
        return bad("must not contain '..'");
    }
    if path.starts_with("..") {
        return bad("must not start with '..'");
    }
    Ok(())
}

/// Brings the directory to the payload; answers whether anything changed. `own` sets owners in the new directory.
pub fn write(dir: &Path, payload: &Payload, own: &dyn Fn(&Path) -> io::Result<()>) -> io::Result<bool> {
    for p in payload.keys() {
        check(p)?;
    }
    let link = dir.join(DATA);
    let old = fs::read_link(&link).ok();
    if let Some(old) = &old
        && same(&dir.join(old), payload)?
    {
        links(dir, payload)?;
        return Ok(false);
    }
    let name = format!("..{}.{}", crate::rand::hex8(), crate::rand::hex8());
    let fresh = dir.join(&name);
    fs::create_dir(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    let filled = fill(&fresh, payload).and_then(|()| own(&fresh));
    if let Err(e) = filled {
        let _ = fs::remove_dir_all(&fresh);
        return Err(e);
    }
    let new_link = dir.join(DATA_NEW);
    match fs::remove_file(&new_link) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    symlink(&name, &new_link)?;
    fs::rename(&new_link, &link)?;
    links(dir, payload)?;
    if let Some(old) = old.filter(|o| o.components().count() == 1) {
        let _ = fs::remove_dir_all(dir.join(old));
    }
    Ok(true)
}

fn fill(fresh: &Path, payload: &Payload) -> io::Result<()> {
    for (path, f) in payload {
        let full = fresh.join(path);
        let mut at = PathBuf::from(fresh);
        if let Some(parent) = Path::new(path).parent() {
            for c in parent.components() {
                at.push(c);
                match fs::create_dir(&at) {
                    Ok(()) => fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?,
                    Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(e),
                }
            }
        }
        fs::write(&full, &f.data)?;
        fs::set_permissions(&full, fs::Permissions::from_mode(f.mode & 0o7777))?;
        if let Some(u) = f.user {
            std::os::unix::fs::chown(&full, Some(u), None)?;
        }
    }
    Ok(())
}

/// All files below a directory, relative.
fn walk(dir: &Path, prefix: &str, out: &mut BTreeSet<String>) -> io::Result<()> {
    for e in fs::read_dir(dir)? {
        let e = e?;
        let name = e.file_name().to_string_lossy().into_owned();
        let rel = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if e.file_type()?.is_dir() {
            walk(&e.path(), &rel, out)?;
        } else {
            out.insert(rel);
        }
    }
    Ok(())
}

fn same(dir: &Path, payload: &Payload) -> io::Result<bool> {
    let mut have = BTreeSet::new();
    match walk(dir, "", &mut have) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        r => r?,
    }
    if !have.iter().eq(payload.keys()) {
        return Ok(false);
    }
    for (path, f) in payload {
        if fs::read(dir.join(path))? != f.data {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The visible names: one link for each first part of a path; those of files that went are removed.
fn links(dir: &Path, payload: &Payload) -> io::Result<()> {
    let wanted: BTreeSet<&str> = payload.keys().map(|p| p.split('/').next().unwrap_or(p)).collect();
    for name in &wanted {
        let link = dir.join(name);
        let to = Path::new(DATA).join(name);
        match fs::read_link(&link) {
            Ok(t) if t == to => {}
            Ok(_) => {
                fs::remove_file(&link)?;
                symlink(&to, &link)?;
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => symlink(&to, &link)?,
            Err(e) => return Err(e),
        }
    }
    for e in fs::read_dir(dir)? {
        let e = e?;
        let name = e.file_name().to_string_lossy().into_owned();
        let ours = e.file_type()?.is_symlink() && !name.starts_with("..");
        if ours && !wanted.contains(name.as_str()) {
            fs::remove_file(e.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(list: &[(&str, &str)]) -> Payload {
        list.iter()
            .map(|(p, d)| ((*p).to_owned(), File { data: d.as_bytes().to_vec(), mode: 0o640, user: None }))
            .collect()
    }

    #[test]
    fn swaps_whole_sets() {
        let dir = std::env::temp_dir().join(format!("kubelet-atomic-{}", crate::rand::hex8()));
        fs::create_dir_all(&dir).unwrap();
        let none = |_: &Path| Ok(());
        let first = payload(&[("a", "1"), ("d/b", "2")]);
        assert!(write(&dir, &first, &none).unwrap());
        assert_eq!(fs::read_to_string(dir.join("d/b")).unwrap(), "2");
        assert_eq!(fs::read_link(dir.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::metadata(dir.join("a")).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!write(&dir, &first, &none).unwrap(), "nothing changed");
        let data = fs::read_link(dir.join("..data")).unwrap();
        assert!(write(&dir, &payload(&[("a", "new")]), &none).unwrap());
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "new");
        assert!(!dir.join("d").exists() && !dir.join(data).exists(), "the old set is gone");
        assert!(write(&dir, &Payload::new(), &none).unwrap());
        assert!(fs::symlink_metadata(dir.join("a")).is_err());
        for bad in ["../x", "/x", "a/../b", "..x", ""] {
            assert!(write(&dir, &payload(&[(bad, "")]), &none).is_err(), "{bad}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
