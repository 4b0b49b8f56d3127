//! subPath: a place inside a volume, bind-mounted from a descriptor so that nobody can swing a link under it
//! (upstream `pkg/volume/util/subpath`).

use super::mounts;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat2, statat};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// Checks the text of a subPath.
pub fn validate(sub: &str) -> Result<(), String> {
    let p = Path::new(sub);
    if p.is_absolute() {
        return Err(format!("error SubPath `{sub}` must not be an absolute path"));
    }
    if p.components().any(|c| c == Component::ParentDir) {
        return Err(format!("unable to provision SubPath `{sub}`: must not contain '..'"));
    }
    Ok(())
}

fn open_in(dir: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    openat2(
        dir,
        path,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
    )
    .map_err(io::Error::from)
}

/// Opens the place, making missing directories with the volume's own mode.
fn open(volume: &Path, sub: &str) -> io::Result<OwnedFd> {
    let root: OwnedFd =
        rustix::fs::open(volume, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let rel = Path::new(sub);
    if rel.components().next().is_none() {
        return Ok(root);
    }
    match open_in(&root, rel, OFlags::PATH) {
        Ok(fd) => return Ok(fd),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mode = Mode::from_raw_mode(statat(&root, "", AtFlags::EMPTY_PATH)?.st_mode & 0o7777);
    let mut done = PathBuf::new();
    for c in rel.components().filter(|c| matches!(c, Component::Normal(_))) {
        let parent = if done.as_os_str().is_empty() {
            open_in(&root, Path::new("."), OFlags::PATH | OFlags::DIRECTORY)?
        } else {
            open_in(&root, &done, OFlags::PATH | OFlags::DIRECTORY)?
        };
        match mkdirat(&parent, c.as_os_str(), mode) {
            Ok(()) => {
                // Whatever the umask is.
                let fd = openat2(
                    &parent,
                    c.as_os_str(),
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                    ResolveFlags::BENEATH,
                )?;
                rustix::fs::fchmod(&fd, mode)?;
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        done.push(c);
    }
    open_in(&root, rel, OFlags::PATH)
}

/// Mounts the place at its slot below the pod's directory and answers the slot.
pub fn prepare(
    pod_dir: &Path,
    volume_name: &str,
    container: &str,
    index: usize,
    volume: &Path,
    sub: &str,
) -> io::Result<PathBuf> {
    let fd = open(volume, sub)?;
    let slot = pod_dir.join("volume-subpaths").join(volume_name).join(container).join(index.to_string());
    // What an earlier container of that name had there.
    mounts::unmount_below(&slot)?;
    let kind = FileType::from_raw_mode(statat(&fd, "", AtFlags::EMPTY_PATH)?.st_mode);
    if let Some(parent) = slot.parent() {
        fs::create_dir_all(parent)?;
    }
    if kind == FileType::Directory {
        if slot.is_file() {
            fs::remove_file(&slot)?;
        }
        fs::create_dir_all(&slot)?;
    } else {
        if slot.is_dir() {
            fs::remove_dir(&slot)?;
        }
        fs::OpenOptions::new().create(true).truncate(false).write(true).open(&slot)?;
    }
    let from = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), fd.as_raw_fd()));
    mounts::bind(&from, &slot)?;
    Ok(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_inside() {
        let dir = std::env::temp_dir().join(format!("kubelet-subpath-{}", crate::rand::hex8()));
        fs::create_dir_all(dir.join("v/in")).unwrap();
        std::os::unix::fs::symlink("/etc", dir.join("v/out")).unwrap();
        std::os::unix::fs::symlink("../..", dir.join("v/up")).unwrap();
        std::os::unix::fs::symlink("in", dir.join("v/link")).unwrap();
        let v = dir.join("v");
        assert!(open(&v, "in").is_ok());
        assert!(open(&v, "link").is_ok(), "a link that stays inside");
        assert!(open(&v, "new/deep").is_ok() && v.join("new/deep").is_dir());
        for bad in ["out", "up", "out/passwd"] {
            assert!(open(&v, bad).is_err(), "{bad}");
        }
        assert!(validate("a/../b").is_err() && validate("/a").is_err() && validate("a/b").is_ok());
        fs::remove_dir_all(dir).unwrap();
    }
}
