//! A database in one file: a line for each change, on disk before it is acknowledged, read again at the start.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub struct Store(Mutex<Inner>);

struct Inner {
    file: File,
    rows: BTreeMap<String, String>,
}

impl Store {
    /// Opens the file, making it where it is missing; waits while another process has it.
    pub fn open(path: &Path) -> Result<Self, String> {
        let err = |e: std::io::Error| format!("{}: {e}", path.display());
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(err)?;
        }
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(err)?;
        file.lock().map_err(err)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(err)?;
        // What was cut by a crash was never acknowledged.
        let whole = text.rfind('\n').map_or(0, |i| i + 1);
        file.set_len(u64::try_from(whole).unwrap_or(0)).map_err(err)?;
        file.seek(std::io::SeekFrom::End(0)).map_err(err)?;
        let rows = text[..whole].lines().filter_map(|l| l.split_once('\t'));
        let rows = rows.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Ok(Self(Mutex::new(Inner { file, rows })))
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.inner().rows.get(key).cloned()
    }

    pub fn keys(&self) -> Vec<String> {
        self.inner().rows.keys().cloned().collect()
    }

    /// Adds a row; `false`: there is one of that key.
    pub fn add(&self, key: &str, value: &str) -> Result<bool, String> {
        let clean = |s: &str| s.replace(['\t', '\n', '\r'], " ");
        let (key, value) = (clean(key), clean(value));
        let mut i = self.inner();
        if i.rows.contains_key(&key) {
            return Ok(false);
        }
        i.file.write_all(format!("{key}\t{value}\n").as_bytes()).map_err(|e| e.to_string())?;
        i.file.sync_data().map_err(|e| e.to_string())?;
        i.rows.insert(key, value);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_outlive_the_process_and_torn_lines_do_not_count() {
        let dir = std::env::temp_dir().join(format!("demo-store-{}", std::process::id()));
        let path = dir.join("db");
        let s = Store::open(&path).unwrap();
        assert!(s.add("ann", "1").unwrap());
        assert!(!s.add("ann", "2").unwrap());
        assert!(s.add("b\nc", "x\ty").unwrap());
        drop(s);
        File::options().append(true).open(&path).unwrap().write_all(b"torn\tli").unwrap();
        let s = Store::open(&path).unwrap();
        assert_eq!(s.keys(), ["ann", "b c"]);
        assert_eq!(s.get("b c").as_deref(), Some("x y"));
        assert!(s.add("dan", "3").unwrap());
        drop(s);
        assert_eq!(Store::open(&path).unwrap().keys(), ["ann", "b c", "dan"]);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
