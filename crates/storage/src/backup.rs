//! Backups: a copy of a database in use, and putting one in the place of a database.

use crate::Error;
use crate::disk::{Disk, beside, make_dir};
use crate::lock::Lock;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions, rename};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

fn sync_dir(of: &Path) -> io::Result<()> {
    match of.parent().filter(|d| !d.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Writes a consistent copy of the database while it is in use. The copy is a database like any other.
pub fn copy_to(db: &Path, to: &Path) -> Result<(), Error> {
    let fail = |e: &dyn std::fmt::Display| Error::Io(format!("writing the backup {}: {e}", to.display()));
    if to.exists() {
        return Err(fail(&"the file exists already"));
    }
    make_dir(to)?;
    let part = beside(to, ".part");
    // Left over from a backup that was cut off.
    let _ = std::fs::remove_file(&part);
    let done = (|| {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(|e| fail(&e))?;
        let c = Connection::open_with_flags(
            db,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|e| fail(&e))?;
        c.busy_timeout(Duration::from_secs(10)).map_err(|e| fail(&e))?;
        c.execute("VACUUM INTO ?1", [part.to_string_lossy()]).map_err(|e| fail(&e))?;
        let f = OpenOptions::new().read(true).open(&part).map_err(|e| fail(&e))?;
        f.sync_all().map_err(|e| fail(&e))?;
        rename(&part, to).map_err(|e| fail(&e))?;
        sync_dir(to).map_err(|e| fail(&e))?;
        Ok(())
    })();
    if done.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    done
}

/// Puts the backup `from` in the place of the database `db`, which no server may have open. What was there is kept
/// beside it, with `.replaced` in its name.
pub fn restore(from: &Path, db: &Path) -> Result<(), Error> {
    let fail = |e: &dyn std::fmt::Display| {
        Error::Io(format!("restoring {} from {}: {e}", db.display(), from.display()))
    };
    make_dir(db)?;
    let _lock = Lock::take(db)?;
    let (old, part) = (beside(db, ".replaced"), beside(db, ".restored"));
    if old.exists() {
        return Err(fail(&format!("{} is there from another time: move it away", old.display())));
    }
    let remove = |suffix: &str| match std::fs::remove_file(beside(&part, suffix)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    };
    for s in ["", "-wal", "-shm"] {
        remove(s).map_err(|e| fail(&e))?;
    }
    let copy = || -> io::Result<()> {
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        io::copy(&mut File::open(from)?, &mut to)?;
        to.sync_all()
    };
    copy().map_err(|e| fail(&e))?;
    // All of it is read, so that a bad backup replaces nothing.
    match Disk::open(&part, true, 0) {
        Ok(found) => found.disk.close(),
        Err(e) => {
            for s in ["", "-wal", "-shm"] {
                remove(s).map_err(|e| fail(&e))?;
            }
            return Err(e);
        }
    }
    let swap = || -> io::Result<()> {
        // A write-ahead log belongs to its database: beside another one it would spoil it.
        for s in ["-wal", "-shm", ""] {
            let now = beside(db, s);
            if now.exists() {
                rename(now, beside(&old, s))?;
            }
        }
        rename(&part, db)?;
        sync_dir(db)
    };
    swap().map_err(|e| fail(&e))
}
