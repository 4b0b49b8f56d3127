//! A file system of its own, in a file: to fill it, and to cut its power.
#![allow(unsafe_code, reason = "a file system is shut down by an ioctl")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Image {
    file: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
    mounted: bool,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let o = Command::new(program).args(args).output().map_err(|e| format!("{program}: {e}"))?;
    let said = String::from_utf8_lossy(&o.stderr).trim().to_owned();
    if o.status.success() { Ok(()) } else { Err(format!("{program} {}: {said}", args.join(" "))) }
}

/// Gives this process, which has one thread yet, mounts of its own. What a test host or container that begins
/// meanwhile took along of ours would stay mounted there, and be no new beginning after a power cut.
pub fn alone() -> Result<(), String> {
    let (none, root) = (std::ptr::null(), c"/".as_ptr());
    // SAFETY: plain calls; the strings live through them.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, root, none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
    };
    if done { Ok(()) } else { Err(format!("mounts of its own: {}", std::io::Error::last_os_error())) }
}

impl Image {
    /// Makes and mounts one.
    pub fn new(dir: &Path, megabytes: u64) -> Result<Self, String> {
        let (file, at) = (dir.join("disk.img"), dir.join("disk"));
        std::fs::create_dir_all(&at).map_err(|e| format!("{}: {e}", at.display()))?;
        let f = File::create(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        f.set_len(megabytes << 20).map_err(|e| e.to_string())?;
        let name = file.to_string_lossy().into_owned();
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &name])?;
        let mut i = Self { file, at, mounted: false };
        i.mount()?;
        Ok(i)
    }

    pub fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o", "loop", &self.file.to_string_lossy(), &self.at.to_string_lossy()])?;
        self.mounted = true;
        Ok(())
    }

    pub fn unmount(&mut self) -> Result<(), String> {
        run("umount", &[&self.at.to_string_lossy()])?;
        self.mounted = false;
        Ok(())
    }

    /// From here on nothing reaches the disk: not what is in memory, not the file system's own journal.
    pub fn cut_power(&self) -> Result<(), String> {
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;
        let no_log_flush: u32 = 2;
        let f = File::open(&self.at).map_err(|e| e.to_string())?;
        // SAFETY: the kernel reads the number.
        let done = unsafe { libc::ioctl(f.as_raw_fd(), SHUTDOWN, &raw const no_log_flush) };
        if done == 0 { Ok(()) } else { Err(format!("shutdown: {}", std::io::Error::last_os_error())) }
    }

    /// A file that takes the room there is, but for so many bytes.
    pub fn fill(&self, but: u64) -> Result<(), String> {
        let f = File::create(self.at.join("ballast")).map_err(|e| e.to_string())?;
        let free = self.free()?;
        let size = i64::try_from(free.saturating_sub(but)).map_err(|e| e.to_string())?;
        // SAFETY: a plain call.
        let e = unsafe { libc::posix_fallocate(f.as_raw_fd(), 0, size) };
        if e == 0 {
            Ok(())
        } else {
            Err(format!("filling the disk: {}", std::io::Error::from_raw_os_error(e)))
        }
    }

    pub fn make_room(&self) -> Result<(), String> {
        std::fs::remove_file(self.at.join("ballast")).map_err(|e| e.to_string())
    }

    pub fn free(&self) -> Result<u64, String> {
        let path = std::ffi::CString::new(self.at.to_string_lossy().as_bytes()).map_err(|e| e.to_string())?;
        // SAFETY: the kernel fills the structure; the path ends with a zero.
        unsafe {
            let mut s: libc::statvfs = std::mem::zeroed();
            if libc::statvfs(path.as_ptr(), &raw mut s) != 0 {
                return Err(std::io::Error::last_os_error().to_string());
            }
            Ok(s.f_bavail * s.f_frsize)
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.mounted {
            // Whoever still uses it is not waited for.
            let _ = run("umount", &["-l", &self.at.to_string_lossy()]);
        }
        let _ = std::fs::remove_file(&self.file);
    }
}
