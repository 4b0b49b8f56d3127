//! The SQLite file: opening it with care, reading all of it, adding a batch.
//!
//! `log` holds one row for every change that was not given up by a compaction; the newest row of a key is its present.
//! A row's number is revision * 2^20 + position, so rows lie in the order of history and need no index. `lease` and
//! `meta` are small. WAL mode, synchronous FULL: when COMMIT returns, the batch is on the disk.

use crate::Error;
use crate::crc::crc32;
use bytes::Bytes;
use mvcc::{Event, Loader, Millis, Place, Record, Revision, State};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// "keel" in the file's header tells our databases from others'.
const APPLICATION: i64 = 0x6b65_656c;
const FORMAT: i64 = 1;
/// Rows given up that one transaction deletes: bounds how long writers wait behind it.
pub const GARBAGE_STEP: usize = 500;

const SCHEMA: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE log (
        id INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB NOT NULL,
        created INTEGER NOT NULL, version INTEGER NOT NULL, lease INTEGER NOT NULL, crc INTEGER NOT NULL);
    CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl INTEGER NOT NULL, deadline INTEGER NOT NULL);
    INSERT INTO meta VALUES ('floor', 0);
";

/// `path` with something appended to its name.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut s = path.as_os_str().to_owned();
    s.push(suffix);
    s.into()
}

fn row_id(p: Place) -> i64 {
    (p.revision << 20) | i64::from(p.sub)
}

fn place(id: i64) -> Place {
    Place { revision: id >> 20, sub: u32::try_from(id & 0xf_ffff).unwrap_or(0) }
}

fn checksum(r: &Record, id: i64) -> i64 {
    let mut c = crc32(0, r.key.as_bytes());
    for n in [id, r.create_revision, r.version, r.lease] {
        c = crc32(c, &n.to_le_bytes());
    }
    crc32(c, &r.value).into()
}

/// What a batch changes besides keys.
#[derive(Default)]
pub struct Extras {
    /// Leases to write: number, seconds, deadline.
    pub granted: Vec<(i64, i64, i64)>,
    pub revoked: Vec<i64>,
    pub floor: Option<Revision>,
}

impl Extras {
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty() && self.revoked.is_empty() && self.floor.is_none()
    }
}

pub struct Disk {
    conn: Connection,
    path: PathBuf,
    log: PathBuf,
    #[cfg(test)]
    pub fail_commit: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

/// What was found on the disk.
pub struct Found {
    pub disk: Disk,
    pub state: State,
    /// Rows that a compaction gave up and had not deleted yet.
    pub garbage: Vec<Place>,
}

impl Disk {
    /// Opens or makes the database and reads it. `path` must be locked by the caller. Nothing is written to a file
    /// that turns out to be damaged or another program's. From `now` on leases have their whole time again.
    pub fn open(path: &Path, durable: bool, now: Millis) -> Result<Found, Error> {
        let fail = |e: rusqlite::Error| open_error(path, &e);
        let io = |e: std::io::Error| Error::Io(format!("cannot open the database {}: {e}", path.display()));
        let fresh = match std::fs::metadata(path) {
            Ok(m) if m.is_dir() => {
                return Err(Error::Io(format!("{} is a directory, not a database file", path.display())));
            }
            Ok(m) => m.len() == 0,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => true,
            Err(e) => return Err(io(e)),
        };
        if fresh {
            create(path).map_err(|e| match e {
                Made::File(e) => io(e),
                Made::Database(e) => fail(e),
            })?;
        }
        let conn = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(fail)?;
        // Until all of it has been read, closing must not move the write-ahead log into the file.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(fail)?;
        conn.busy_timeout(Duration::from_secs(10)).map_err(fail)?;
        conn.set_prepared_statement_cache_capacity(32);
        let number = |sql: &str| conn.query_row(sql, [], |r| r.get::<_, i64>(0)).map_err(fail);
        let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
        let (app, format) = (number("PRAGMA application_id")?, number("PRAGMA user_version")?);
        if empty && app == 0 {
            // The mode first: it cannot be set within a transaction.
            number_or_text(&conn, "PRAGMA journal_mode = WAL").map_err(fail)?;
            conn.execute_batch(&format!(
                "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION};
                 PRAGMA user_version = {FORMAT}; COMMIT;"
            ))
            .map_err(fail)?;
        } else if app != APPLICATION {
            return Err(Error::Io(format!(
                "{} is a database of another program: give the server another data directory",
                path.display()
            )));
        } else if format != FORMAT {
            return Err(Error::Io(format!(
                "{} has format {format}, and this program knows {FORMAT}: run the version that wrote it",
                path.display()
            )));
        }
        let (state, garbage) = load(&conn, path, now)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        number_or_text(&conn, "PRAGMA journal_mode = WAL").map_err(fail)?;
        let sync = if durable { "FULL" } else { "OFF" };
        conn.execute_batch(&format!(
            "PRAGMA synchronous = {sync}; PRAGMA cache_size = -512; PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 8388608;"
        ))
        .map_err(fail)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(fail)?;
        let disk = Self {
            conn,
            path: path.to_owned(),
            log: beside(path, "-wal"),
            #[cfg(test)]
            fail_commit: std::sync::Arc::default(),
        };
        Ok(Found { disk, state, garbage })
    }

    /// Makes a batch durable, all of it or nothing; and deletes some rows that were given up.
    pub fn commit<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
        extras: &Extras,
        garbage: &[Place],
    ) -> Result<(), Error> {
        let done = self.try_commit(events, extras, garbage);
        done.map_err(|e| {
            self.roll_back();
            let hint = match e.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => {
                    " (make room on its file system; writes go on by themselves then)"
                }
                _ => "",
            };
            Error::Io(format!("writing to {}: {e}{hint}", self.path.display()))
        })
    }

    fn try_commit<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
        extras: &Extras,
        garbage: &[Place],
    ) -> rusqlite::Result<()> {
        // What a failed batch left open.
        self.roll_back();
        let c = &self.conn;
        c.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut insert = c.prepare_cached("INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
        for e in events {
            let r = &e.record;
            let id = row_id(r.place());
            let sum = checksum(r, id);
            insert.execute(params![id, &*r.key, &r.value[..], r.create_revision, r.version, r.lease, sum])?;
        }
        for (id, ttl, deadline) in &extras.granted {
            c.prepare_cached("INSERT OR REPLACE INTO lease VALUES (?1, ?2, ?3)")?
                .execute(params![id, ttl, deadline])?;
        }
        for id in &extras.revoked {
            c.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([id])?;
        }
        if let Some(f) = extras.floor {
            c.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'floor'")?.execute([f])?;
        }
        let mut delete = c.prepare_cached("DELETE FROM log WHERE id = ?1")?;
        for p in garbage {
            delete.execute([row_id(*p)])?;
        }
        #[cfg(test)]
        if self.fail_commit.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC),
                None,
            ));
        }
        c.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn roll_back(&self) {
        if !self.conn.is_autocommit()
            && let Err(e) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::warn!(error = %e, "rolling back a batch that the disk refused");
        }
    }

    /// Gives free space in the file back to the file system. Takes as long as writing all of it.
    pub fn vacuum(&mut self) -> Result<(), Error> {
        let done = self.conn.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);");
        done.map_err(|e| Error::Io(format!("compacting the file {}: {e}", self.path.display())))
    }

    /// Bytes of the file, and how many of them hold something.
    pub fn space(&self) -> Result<(u64, u64), Error> {
        let number = |sql: &str| {
            let n = self.conn.query_row(sql, [], |r| r.get::<_, i64>(0));
            n.map(i64::unsigned_abs).map_err(|e| open_error(&self.path, &e))
        };
        let size = number("PRAGMA page_size")?;
        let (all, free) = (number("PRAGMA page_count")?, number("PRAGMA freelist_count")?);
        Ok((all * size, (all - free.min(all)) * size))
    }

    /// Bytes of the file and its write-ahead log.
    pub fn size(&self) -> u64 {
        let len = |p: &Path| std::fs::metadata(p).map_or(0, |m| m.len());
        len(&self.path) + len(&self.log)
    }

    #[cfg(test)]
    pub fn execute(&self, sql: &str) {
        number_or_text(&self.conn, sql).unwrap();
    }

    pub fn close(self) {
        if let Err((_, e)) = self.conn.close() {
            tracing::warn!(error = %e, "closing {}", self.path.display());
        }
    }
}

/// A pragma that answers with a row.
fn number_or_text(c: &Connection, sql: &str) -> rusqlite::Result<()> {
    c.query_row(sql, [], |_| Ok(()))
}

pub fn open_error(path: &Path, e: &rusqlite::Error) -> Error {
    let path = path.display();
    Error::Io(match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            format!("{path} is no database: move it away, or give the server another data directory")
        }
        Some(ErrorCode::DatabaseCorrupt) => damaged(&path, &e.to_string()),
        _ => format!("cannot open the database {path}: {e}"),
    })
}

enum Made {
    File(std::io::Error),
    Database(rusqlite::Error),
}

impl From<std::io::Error> for Made {
    fn from(e: std::io::Error) -> Self {
        Self::File(e)
    }
}
impl From<rusqlite::Error> for Made {
    fn from(e: rusqlite::Error) -> Self {
        Self::Database(e)
    }
}

/// Makes an empty database, whole or not at all: beside its place without waiting for the disk, which is waited for
/// once before it is put there.
fn create(path: &Path) -> Result<(), Made> {
    let new = beside(path, ".new");
    // What a start that was cut short left, and (as SQLite would) what belongs to a database that is no more.
    for old in
        [&new, &beside(&new, "-wal"), &beside(&new, "-shm"), &beside(path, "-wal"), &beside(path, "-journal")]
    {
        match std::fs::remove_file(old) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    // Made here and not by SQLite for its mode, which SQLite gives to the files beside it too.
    let f = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let conn = Connection::open_with_flags(
        &new,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    conn.execute_batch("PRAGMA synchronous = OFF;")?;
    number_or_text(&conn, "PRAGMA journal_mode = MEMORY")?;
    conn.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT}; COMMIT;"
    ))?;
    number_or_text(&conn, "PRAGMA journal_mode = WAL")?;
    conn.close().map_err(|(_, e)| e)?;
    f.sync_all()?;
    std::fs::rename(&new, path)?;
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::File::open(dir)?.sync_all()?;
    }
    Ok(())
}

fn damaged(path: &dyn std::fmt::Display, why: &str) -> String {
    format!(
        "the database {path} is damaged ({why}): nothing was changed in it; keep a copy, and put a backup in its place"
    )
}

fn load(c: &Connection, path: &Path, now: Millis) -> Result<(State, Vec<Place>), Error> {
    let fail = |e: rusqlite::Error| open_error(path, &e);
    let bad = |why: String| Error::Io(damaged(&path.display(), &why));
    let floor: i64 =
        c.query_row("SELECT value FROM meta WHERE key = 'floor'", [], |r| r.get(0)).map_err(fail)?;
    let mut l = Loader::new(floor);
    let mut q = c.prepare("SELECT id, ttl FROM lease").map_err(fail)?;
    let mut rows = q.query([]).map_err(fail)?;
    while let Some(r) = rows.next().map_err(fail)? {
        let get = |i| r.get::<_, i64>(i).map_err(fail);
        // As etcd does it: nobody could renew a lease while the store was away, and how long that was is told only by a
        // clock that may have been set meanwhile. What was kept of the deadline is for older versions of this program.
        l.lease(get(0)?, get(1)?, now);
    }
    let sql = "SELECT id, key, value, created, version, lease, crc FROM log ORDER BY id";
    let mut q = c.prepare(sql).map_err(fail)?;
    let mut rows = q.query([]).map_err(fail)?;
    while let Some(r) = rows.next().map_err(fail)? {
        let get = |i| r.get::<_, i64>(i).map_err(fail);
        let id = get(0)?;
        let key = r.get_ref(1).map_err(fail)?.as_str().map_err(|e| bad(format!("row {id}: {e}")))?;
        let value = r.get_ref(2).map_err(fail)?.as_blob().map_err(|e| bad(format!("row {id}: {e}")))?;
        let p = place(id);
        let record = Record {
            key: key.into(),
            value: Bytes::copy_from_slice(value),
            create_revision: get(3)?,
            mod_revision: p.revision,
            version: get(4)?,
            lease: get(5)?,
            sub: p.sub,
            ext: OnceLock::new(),
        };
        if checksum(&record, id) != get(6)? {
            return Err(bad(format!("the checksum of row {id}, {key}, is wrong")));
        }
        l.row(record).map_err(|e| bad(e.to_string()))?;
    }
    l.finish().map_err(|e| bad(e.to_string()))
}

/// Makes the directory of a database, for its owner only.
pub fn make_dir(db: &Path) -> Result<(), Error> {
    let Some(dir) = db.parent().filter(|d| !d.as_os_str().is_empty() && !d.is_dir()) else { return Ok(()) };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| Error::Io(format!("cannot make the data directory {}: {e}", dir.display())))
}
