//! fsGroup: the group of a volume's files, and its permission bits.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const EXEC: u32 = 0o110;
const SETGID: u32 = 0o2000;

/// One file or directory.
pub fn set_group_one(path: &Path, gid: i64, read_only: bool) -> io::Result<()> {
    let gid = u32::try_from(gid).map_err(|_| io::Error::other(format!("fsGroup {gid} is no group id")))?;
    let m = fs::symlink_metadata(path)?;
    if m.gid() != gid {
        lchown(path, None, Some(gid))?;
    }
    if m.file_type().is_symlink() {
        return Ok(());
    }
    let mut mask = if read_only { READ_ONLY } else { READ_WRITE };
    if m.is_dir() {
        mask |= SETGID | EXEC;
    }
    // chown clears the setgid bit, so the mode is set even when it looks right.
    fs::set_permissions(path, fs::Permissions::from_mode((m.mode() & 0o7777) | mask))
}

/// A whole tree.
pub fn set_group(path: &Path, gid: i64, read_only: bool) -> io::Result<()> {
    set_group_one(path, gid, read_only)?;
    if fs::symlink_metadata(path)?.is_dir() {
        for e in fs::read_dir(path)? {
            set_group(&e?.path(), gid, read_only)?;
        }
    }
    Ok(())
}

/// A tree, unless its root is as it should be and the policy is to look no further (fsGroupChangePolicy
/// OnRootMismatch).
pub fn apply(path: &Path, gid: i64, on_root_mismatch: bool) -> io::Result<()> {
    if on_root_mismatch {
        let m = fs::metadata(path)?;
        let wanted = READ_WRITE | EXEC | SETGID;
        if i64::from(m.gid()) == gid && m.mode() & wanted == wanted {
            return Ok(());
        }
    }
    set_group(path, gid, false)
}
