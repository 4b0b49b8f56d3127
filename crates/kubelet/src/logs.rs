//! Container logs: the CRI's line format, reading with the options of `kubectl logs`, following, rotation.

use bytes::Bytes;
use k8s_openapi::jiff::Timestamp;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a follower waits at the end of the file before it looks again.
const FOLLOW: Duration = Duration::from_millis(200);
const CHUNK: usize = 32 << 10;
/// A line longer than this is passed on in pieces.
const MAX_LINE: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// One line of a log file.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub time: &'a str,
    pub stream: Stream,
    /// The line goes on in the next one.
    pub partial: bool,
    pub text: &'a [u8],
}

/// `2026-01-02T15:04:05.123456789Z stdout F text`
pub fn parse(line: &[u8]) -> Option<Line<'_>> {
    let (time, rest) = split(line)?;
    let (stream, rest) = split(rest)?;
    let (tags, text) = split(rest).unwrap_or((rest, b""));
    let stream = match stream {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let first = tags.split(|b| *b == b':').next().unwrap_or(tags);
    Some(Line { time: std::str::from_utf8(time).ok()?, stream, partial: first == b"P", text })
}

fn split(b: &[u8]) -> Option<(&[u8], &[u8])> {
    let i = b.iter().position(|c| *c == b' ')?;
    Some((&b[..i], &b[i + 1..]))
}

#[derive(Clone, Debug, Default)]
pub struct Options {
    pub follow: bool,
    pub timestamps: bool,
    /// Nanoseconds since 1970.
    pub since: Option<i128>,
    pub tail: Option<usize>,
    pub limit: Option<usize>,
    /// `None`: both.
    pub stream: Option<Stream>,
}

/// Formats and filters lines, and counts what may still go out.
struct Filter {
    o: Options,
    left: Option<usize>,
    /// Lines before `since` are over: times need not be parsed any more.
    since_done: bool,
}

impl Filter {
    fn new(o: Options) -> Self {
        Self { left: o.limit, since_done: o.since.is_none(), o }
    }
    /// Appends a raw line (without its newline); answers false when the limit is reached.
    fn push(&mut self, raw: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(l) = parse(raw) else { return true };
        if self.o.stream.is_some_and(|s| s != l.stream) {
            return true;
        }
        if let Some(since) = self.o.since
            && !self.since_done
        {
            let t = l.time.parse::<Timestamp>().map_or(0, |t| t.as_nanosecond());
            if t < since {
                return true;
            }
            self.since_done = true;
        }
        let mut text = Vec::with_capacity(l.text.len() + 40);
        if self.o.timestamps {
            text.extend_from_slice(l.time.as_bytes());
            text.push(b' ');
        }
        text.extend_from_slice(l.text);
        if !l.partial {
            text.push(b'\n');
        }
        if let Some(left) = &mut self.left {
            text.truncate(*left);
            *left -= text.len();
        }
        out.extend_from_slice(&text);
        self.left != Some(0)
    }
}

/// The offset at which the last `n` lines begin.
fn tail_offset(f: &mut File, n: usize) -> io::Result<u64> {
    let len = f.metadata()?.len();
    if n == 0 {
        return Ok(len);
    }
    let mut end = len;
    let mut seen = 0;
    let mut block = vec![0u8; 16 << 10];
    while end > 0 {
        let size = (block.len() as u64).min(end);
        let start = end - size;
        f.seek(SeekFrom::Start(start))?;
        let b = &mut block[..usize::try_from(size).unwrap_or(0)];
        f.read_exact(b)?;
        for (i, c) in b.iter().enumerate().rev() {
            let at = start + i as u64;
            // The newline that ends the file begins no line.
            if *c == b'\n' && at + 1 < len {
                seen += 1;
                if seen == n {
                    return Ok(at + 1);
                }
            }
        }
        end = start;
    }
    Ok(0)
}

/// Reads whole lines from a file that grows.
struct Reader {
    inner: BufReader<File>,
    half: Vec<u8>,
}

impl Reader {
    fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut f = File::open(path)?;
        f.seek(SeekFrom::Start(offset))?;
        Ok(Self { inner: BufReader::with_capacity(64 << 10, f), half: vec![] })
    }
    /// The next line without its newline; `None` at the end so far.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut part = (&mut self.inner).take(MAX_LINE);
        part.read_until(b'\n', &mut self.half)?;
        match self.half.last() {
            Some(b'\n') => {
                self.half.pop();
                Ok(Some(std::mem::take(&mut self.half)))
            }
            _ if self.half.len() as u64 >= MAX_LINE => Ok(Some(std::mem::take(&mut self.half))),
            _ => Ok(None),
        }
    }
    fn inode(&self) -> Option<u64> {
        self.inner.get_ref().metadata().ok().map(|m| m.ino())
    }
}

/// Sends a log's bytes until its end, or, following, until `running` says no and all is read, or nobody listens.
pub async fn read(
    path: &Path,
    o: Options,
    running: impl Fn() -> bool,
    tx: mpsc::Sender<Bytes>,
) -> io::Result<()> {
    let offset = match o.tail {
        Some(n) => tail_offset(&mut File::open(path)?, n)?,
        None => 0,
    };
    let follow = o.follow;
    let mut reader = Reader::open(path, offset)?;
    let mut filter = Filter::new(o);
    if filter.left == Some(0) {
        return Ok(());
    }
    let mut out = vec![];
    let mut last_look = false;
    loop {
        let line = reader.next()?;
        if let Some(line) = &line {
            let more = filter.push(line, &mut out);
            if out.len() >= CHUNK || !more {
                if tx.send(Bytes::from(std::mem::take(&mut out))).await.is_err() {
                    return Ok(());
                }
                if !more {
                    return Ok(());
                }
            }
            continue;
        }
        if !out.is_empty() && tx.send(Bytes::from(std::mem::take(&mut out))).await.is_err() {
            return Ok(());
        }
        if !follow || last_look {
            // A last line without its end.
            if !reader.half.is_empty() {
                filter.push(&std::mem::take(&mut reader.half), &mut out);
                let _ = tx.send(Bytes::from(out)).await;
            }
            return Ok(());
        }
        // Rotated: the path is another file now, and this one is read to its end.
        if let Ok(m) = std::fs::metadata(path)
            && reader.inode() != Some(m.ino())
        {
            if reader.next()?.is_none() {
                reader = Reader::open(path, 0)?;
            }
            continue;
        }
        // What was written before the container ended is read once more.
        last_look = !running();
        if !last_look {
            tokio::select! { () = tokio::time::sleep(FOLLOW) => {}, () = tx.closed() => return Ok(()) }
        }
    }
}

/// The last lines' text, at most `max` bytes: a container's last words when it left none.
pub fn last_lines(path: &Path, lines: usize, max: usize) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let offset = tail_offset(&mut File::open(path)?, lines)?;
        let mut r = Reader::open(path, offset)?;
        let mut filter = Filter::new(Options::default());
        let mut out = vec![];
        while let Some(l) = r.next()? {
            filter.push(&l, &mut out);
            if out.len() > 4 * max {
                out.drain(..out.len() - max);
            }
        }
        if out.len() > max {
            out.drain(..out.len() - max);
        }
        Ok(out)
    };
    match read() {
        Ok(b) => String::from_utf8_lossy(&b).into_owned(),
        Err(e) => format!("Error on reading termination message from logs: {e}"),
    }
}

pub mod rotate {
    //! Rotation of large logs: rename, have the runtime open a new one, compress the old.

    use std::fs;
    use std::io;
    use std::path::{Path, PathBuf};

    /// The rotated files of a log, oldest first: `0.log.20260102-150405`, with `.gz` when compressed.
    pub fn rotated(log: &Path) -> Vec<PathBuf> {
        let (Some(dir), Some(name)) = (log.parent(), log.file_name().and_then(|n| n.to_str())) else {
            return vec![];
        };
        let prefix = format!("{name}.");
        let Ok(list) = fs::read_dir(dir) else { return vec![] };
        let mut out: Vec<PathBuf> = list
            .flatten()
            .map(|e| e.path())
            .filter(|p| {
                p.file_name()
                    .and_then(|n| n.to_str())
                    .is_some_and(|n| n.starts_with(&prefix) && !n.ends_with(".tmp"))
            })
            .collect();
        out.sort();
        out
    }

    /// Makes room for one more rotated file: the newest `max_files - 2` stay, compressed but for the last.
    pub fn tidy(log: &Path, max_files: usize) -> io::Result<()> {
        let all = rotated(log);
        let keep = max_files.saturating_sub(2);
        let drop = all.len().saturating_sub(keep);
        for p in &all[..drop] {
            fs::remove_file(p)?;
        }
        for p in &all[drop..] {
            if p.extension().is_none_or(|e| e != "gz") {
                compress(p)?;
            }
        }
        Ok(())
    }

    fn compress(p: &Path) -> io::Result<()> {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let tmp = p.with_file_name(format!("{name}.tmp"));
        let gz = p.with_file_name(format!("{name}.gz"));
        let mut from = fs::File::open(p)?;
        let mut to = flate2::write::GzEncoder::new(fs::File::create(&tmp)?, flate2::Compression::default());
        io::copy(&mut from, &mut to)?;
        to.finish()?;
        fs::rename(&tmp, &gz)?;
        fs::remove_file(p)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn file(text: &str) -> PathBuf {
        let p = std::env::temp_dir().join(format!("kubelet-log-{}", crate::rand::hex8()));
        std::fs::write(&p, text).unwrap();
        p
    }

    const LOG: &str = "2026-01-01T00:00:00.000000001Z stdout F one\n\
        2026-01-01T00:00:01Z stderr F two\n\
        2026-01-01T00:00:02Z stdout P thr\n\
        2026-01-01T00:00:02Z stdout F ee\n\
        garbage\n";

    async fn all(o: Options) -> String {
        let p = file(LOG);
        let (tx, mut rx) = mpsc::channel(8);
        read(&p, o, || false, tx).await.unwrap();
        std::fs::remove_file(p).unwrap();
        let mut out = vec![];
        while let Some(b) = rx.recv().await {
            out.extend_from_slice(&b);
        }
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn options() {
        let d = Options::default;
        let since: Timestamp = "2026-01-01T00:00:01Z".parse().unwrap();
        for (o, want) in [
            (d(), "one\ntwo\nthree\n"),
            (Options { stream: Some(Stream::Stderr), ..d() }, "two\n"),
            (Options { tail: Some(2), ..d() }, "ee\n"),
            (Options { tail: Some(0), ..d() }, ""),
            (Options { tail: Some(100), ..d() }, "one\ntwo\nthree\n"),
            (Options { limit: Some(5), ..d() }, "one\nt"),
            (Options { since: Some(since.as_nanosecond()), ..d() }, "two\nthree\n"),
            (Options { timestamps: true, limit: Some(35), ..d() }, "2026-01-01T00:00:00.000000001Z one\n"),
        ] {
            assert_eq!(all(o.clone()).await, want, "{o:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn follows_over_a_rotation() {
        let p = file("2026-01-01T00:00:00Z stdout F one\n");
        let (tx, mut rx) = mpsc::channel(8);
        let running = AtomicBool::new(true);
        let o = Options { follow: true, ..Default::default() };
        let reading = read(&p, o, || running.load(Ordering::SeqCst), tx);
        let writing = async {
            assert_eq!(rx.recv().await.unwrap(), "one\n");
            let old = p.with_extension("old");
            std::fs::rename(&p, &old).unwrap();
            let mut f = File::create(&p).unwrap();
            writeln!(f, "2026-01-01T00:00:03Z stdout F two").unwrap();
            assert_eq!(rx.recv().await.unwrap(), "two\n");
            running.store(false, Ordering::SeqCst);
            assert!(rx.recv().await.is_none(), "ends with the container");
            std::fs::remove_file(old).unwrap();
        };
        let (r, ()) = futures::future::join(reading, writing).await;
        r.unwrap();
        std::fs::remove_file(p).unwrap();
    }

    #[test]
    fn last_words() {
        let p = file(LOG);
        assert_eq!(last_lines(&p, 80, 2048), "one\ntwo\nthree\n");
        assert_eq!(last_lines(&p, 80, 4), "ree\n");
        std::fs::remove_file(p).unwrap();
    }

    #[test]
    fn rotation_keeps_few() {
        let dir = std::env::temp_dir().join(format!("kubelet-rotate-{}", crate::rand::hex8()));
        std::fs::create_dir_all(&dir).unwrap();
        let log = dir.join("0.log");
        for t in ["1", "2", "3", "4"] {
            std::fs::write(dir.join(format!("0.log.2026010{t}-000000")), "x").unwrap();
        }
        rotate::tidy(&log, 4).unwrap();
        let names: Vec<String> = rotate::rotated(&log)
            .iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["0.log.20260103-000000.gz", "0.log.20260104-000000.gz"]);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
