//! The log file: a JSON line for each event, rotated by size, old files removed by number and age.

use meta::time::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// `--audit-log-*`
#[derive(Clone, Debug)]
pub struct Options {
    /// `-` is standard output.
    pub path: PathBuf,
    /// Days that rotated files are kept; 0: for ever.
    pub max_age: i64,
    /// Rotated files that are kept; 0: all.
    pub max_backups: usize,
    /// Megabytes before a file is rotated.
    pub max_size: u64,
}

/// An open log.
pub struct Log {
    options: Options,
    out: Out,
}

enum Out {
    Stdout,
    File { file: File, size: u64 },
}

fn open(path: &Path) -> Result<Out, String> {
    if path == Path::new("-") {
        return Ok(Out::Stdout);
    }
    let e = |e: std::io::Error| format!("audit log {}: {e}", path.display());
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(e)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(e)?;
    let size = file.metadata().map_err(e)?.len();
    Ok(Out::File { file, size })
}

impl Log {
    pub fn open(options: Options) -> Result<Self, String> {
        Ok(Self { out: open(&options.path)?, options })
    }

    /// Writes whole lines.
    pub fn write(&mut self, lines: &[u8], now: Timestamp) -> Result<(), String> {
        let most = if self.options.max_size == 0 { 100 } else { self.options.max_size } << 20;
        if let Out::File { size, .. } = self.out
            && size > 0
            && size + lines.len() as u64 > most
        {
            self.rotate(now)?;
        }
        match &mut self.out {
            Out::Stdout => std::io::stdout().write_all(lines).map_err(|e| e.to_string()),
            Out::File { file, size } => {
                *size += lines.len() as u64;
                file.write_all(lines).map_err(|e| format!("audit log {}: {e}", self.options.path.display()))
            }
        }
    }

    fn parts(&self) -> (PathBuf, String, String) {
        let p = &self.options.path;
        let text =
            |s: Option<&std::ffi::OsStr>| s.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let ext = text(p.extension());
        let ext = if ext.is_empty() { ext } else { format!(".{ext}") };
        (p.parent().unwrap_or(Path::new("")).to_owned(), format!("{}-", text(p.file_stem())), ext)
    }

    fn rotate(&mut self, now: Timestamp) -> Result<(), String> {
        let (dir, stem, ext) = self.parts();
        let stamp: String = now.rfc3339_micro().replace(':', "-").chars().take(23).collect();
        let to = dir.join(format!("{stem}{stamp}{ext}"));
        std::fs::rename(&self.options.path, &to)
            .map_err(|e| format!("audit log {}: {e}", self.options.path.display()))?;
        self.out = open(&self.options.path)?;
        self.remove_old(now);
        Ok(())
    }

    fn remove_old(&self, now: Timestamp) {
        let (dir, stem, ext) = self.parts();
        let dir = if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir };
        let names = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut old: Vec<(String, PathBuf)> = names
            .filter_map(|f| {
                let name = f.file_name().to_string_lossy().into_owned();
                let stamp = name.strip_prefix(&stem)?.strip_suffix(&ext)?.to_owned();
                (stamp.len() == 23 && stamp.as_bytes()[10] == b'T').then(|| (stamp, f.path()))
            })
            .collect();
        old.sort();
        old.reverse();
        let oldest: String = now
            .plus_seconds(-self.options.max_age.saturating_mul(86_400))
            .rfc3339_micro()
            .replace(':', "-")
            .chars()
            .take(23)
            .collect();
        for (i, (stamp, path)) in old.iter().enumerate() {
            let many = self.options.max_backups > 0 && i >= self.options.max_backups;
            let aged = self.options.max_age > 0 && *stamp < oldest;
            if (many || aged)
                && let Err(e) = std::fs::remove_file(path)
            {
                tracing::warn!(path = %path.display(), error = %e, "an old audit log cannot be removed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotates_and_forgets() {
        let dir = std::env::temp_dir().join(format!("audit-log-{}", std::process::id()));
        let path = dir.join("a.log");
        let day = |n: i64| Timestamp { seconds: 1_767_323_045 + n * 86_400, nanos: 123_000_000 };
        let mut log =
            Log::open(Options { path: path.clone(), max_age: 3, max_backups: 2, max_size: 1 }).unwrap();
        let line = vec![b'x'; 700 << 10];
        let names = || {
            let mut n: Vec<String> = std::fs::read_dir(&dir)
                .unwrap()
                .map(|f| f.unwrap().file_name().into_string().unwrap())
                .collect();
            n.sort();
            n.join(" ")
        };
        log.write(&line, day(0)).unwrap();
        assert_eq!(names(), "a.log");
        log.write(&line, day(0)).unwrap();
        assert_eq!(names(), "a-2026-01-02T03-04-05.123.log a.log");
        log.write(&line, day(1)).unwrap();
        log.write(&line, day(2)).unwrap();
        assert_eq!(names(), "a-2026-01-03T03-04-05.123.log a-2026-01-04T03-04-05.123.log a.log");
        log.write(&line, day(6)).unwrap();
        assert_eq!(names(), "a-2026-01-08T03-04-05.123.log a.log");
        // A second start goes on with the file.
        drop(log);
        let mut log = Log::open(Options { path, max_age: 0, max_backups: 0, max_size: 1 }).unwrap();
        log.write(&line, day(7)).unwrap();
        assert_eq!(names(), "a-2026-01-08T03-04-05.123.log a-2026-01-09T03-04-05.123.log a.log");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
