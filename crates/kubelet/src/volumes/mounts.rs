//! Mounting, unmounting, and knowing what is mounted.

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};
use std::ffi::CString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// All mount points at or below a directory, deepest first.
pub fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string("/proc/self/mountinfo")?;
    let mut out: Vec<PathBuf> = text.lines().filter_map(mount_point).filter(|p| p.starts_with(dir)).collect();
    out.reverse();
    Ok(out)
}

/// The fifth field of a line of mountinfo, its octal escapes undone.
fn mount_point(line: &str) -> Option<PathBuf> {
    let field = line.split(' ').nth(4)?;
    let mut out = Vec::with_capacity(field.len());
    let b = field.as_bytes();
    let mut i = 0;
    while i < b.len() {
        if b[i] == b'\\'
            && let Some(n) = field.get(i + 1..i + 4).and_then(|o| u8::from_str_radix(o, 8).ok())
        {
            out.push(n);
            i += 4;
            continue;
        }
        out.push(b[i]);
        i += 1;
    }
    use std::os::unix::ffi::OsStringExt;
    Some(PathBuf::from(std::ffi::OsString::from_vec(out)))
}

/// Whether something is mounted on the directory.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    let here = match std::fs::symlink_metadata(path) {
        Ok(m) => m,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    let parent = path.parent().unwrap_or(Path::new("/"));
    if here.dev() != std::fs::metadata(parent)?.dev() {
        return Ok(true);
    }
    // A bind mount of the same file system shows only in the table.
    Ok(below(path)?.iter().any(|p| p == path))
}

/// A tmpfs of at most `size` bytes (0: the kernel's half of memory).
pub fn tmpfs(path: &Path, size: u64) -> io::Result<()> {
    let options = if size > 0 { format!("size={size}") } else { String::new() };
    let options = CString::new(options)?;
    mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(options.as_c_str())).map_err(io::Error::from)
}

/// A hugetlbfs of one page size (`2Mi`).
pub fn hugetlbfs(path: &Path, page_size: Option<&str>, size: u64) -> io::Result<()> {
    let mut options = vec![];
    if let Some(q) = page_size.and_then(|p| meta::quantity::Quantity::parse(p).ok()) {
        options.push(format!("pagesize={}", q.value()));
    }
    if size > 0 {
        options.push(format!("size={size}"));
    }
    let options = CString::new(options.join(","))?;
    mount("nodev", path, "hugetlbfs", MountFlags::empty(), Some(options.as_c_str())).map_err(io::Error::from)
}

/// Shows `from` (with all below it) at `to` too.
pub fn bind(from: &Path, to: &Path) -> io::Result<()> {
    mount_bind_recursive(from, to).map_err(io::Error::from)
}

/// Unmounts everything at or below a directory; what is busy goes as soon as it is free.
pub fn unmount_below(dir: &Path) -> io::Result<()> {
    // A mount may hide another on the same point: look again until there is none.
    for _ in 0..16 {
        let list = below(dir)?;
        if list.is_empty() {
            return Ok(());
        }
        for p in list {
            unmount_one(&p)?;
        }
    }
    Err(io::Error::other(format!("{} has mounts that come back", dir.display())))
}

fn unmount_one(p: &Path) -> io::Result<()> {
    match unmount(p, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::BUSY) => {
            unmount(p, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH).map_err(io::Error::from)
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
        Err(e) => Err(io::Error::new(io::Error::from(e).kind(), format!("unmounting {}: {e}", p.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let line = "36 35 98:0 /mnt1 /mnt\\040two/x rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt two/x")));
        assert!(!is_mount_point(Path::new("/nonexistent/x")).unwrap());
        assert!(is_mount_point(Path::new("/proc")).unwrap());
    }
}
