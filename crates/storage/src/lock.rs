//! One server per database: a lock on a file beside it, which the kernel drops when the process is gone.

use crate::Error;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Holds the database as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    pub fn take(db: &Path) -> Result<Self, Error> {
        let path = super::disk::beside(db, ".lock");
        let io = |what: &str, e: std::io::Error| Error::Io(format!("{what} {}: {e}", path.display()));
        let mut f = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| io("opening the lock file", e))?;
        if let Err(e) = flock(&f, FlockOperation::NonBlockingLockExclusive) {
            if e != rustix::io::Errno::WOULDBLOCK {
                return Err(io("locking", e.into()));
            }
            let mut pid = String::new();
            // Whoever holds the lock wrote its number; an unreadable one only makes the message poorer.
            let _ = f.read_to_string(&mut pid);
            let pid = pid.trim();
            let who = if pid.is_empty() { "another process".into() } else { format!("process {pid}") };
            return Err(Error::Io(format!(
                "{} is in use by {who}: stop that server first, or give this one another data directory",
                db.display()
            )));
        }
        let write = |f: &mut File| -> std::io::Result<()> {
            f.set_len(0)?;
            f.rewind()?;
            writeln!(f, "{}", std::process::id())
        };
        write(&mut f).map_err(|e| io("writing", e))?;
        Ok(Self { _file: f })
    }
}
