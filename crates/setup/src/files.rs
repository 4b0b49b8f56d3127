//! Files written whole or not at all.

use crate::Error;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

fn err(what: &'static str, path: &Path, source: std::io::Error) -> Error {
    let hint = match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "run as the user who owns it (root for a server), or choose another --data-dir"
        }
        std::io::ErrorKind::StorageFull => "free some space on that disk",
        std::io::ErrorKind::NotADirectory => "a part of the path is a file: choose another --data-dir",
        _ => "check the path and the disk",
    };
    Error::File { what, path: path.display().to_string(), source, hint }
}

/// Makes a private folder (0700) and its parents; an existing one is made private.
pub fn private_dir(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| err("create folder", path, e))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(|e| err("make private", path, e))
}

/// Writes a file through a temporary one beside it, so that a crash leaves the old or the new content. One that is so
/// already is left alone.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    let same_mode = |m: std::fs::Metadata| m.is_file() && m.permissions().mode() & 0o7777 == mode;
    if std::fs::symlink_metadata(path).is_ok_and(same_mode) && std::fs::read(path).is_ok_and(|c| c == content)
    {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let tmp = dir.join(format!(".{name}.new"));
    let go = || -> std::io::Result<()> {
        let mut f =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&tmp)?;
        f.set_permissions(std::fs::Permissions::from_mode(mode))?;
        f.write_all(content)?;
        f.sync_all()?;
        std::fs::rename(&tmp, path)?;
        std::fs::File::open(dir)?.sync_all()
    };
    go().map_err(|e| err("write", path, e))
}

/// The content, or `None` where there is no such file.
pub fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(s) => Ok(Some(s)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(err("read", path, e)),
    }
}
