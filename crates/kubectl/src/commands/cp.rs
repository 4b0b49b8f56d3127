//! `cp`: files to and from containers, as a tar stream through `exec` (kubectl `pkg/cmd/cp`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use crate::pods;
use crate::remote::{self, Io};
use serde_json::Value;
use std::io::{PipeWriter, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use streams::client::Outcome;
use tokio::net::unix::pipe;

super::commands! {
    "cp" "<file-spec-src> <file-spec-dest>"
        "Copy files and directories to and from containers\n\nOne side is a path here, the other [[namespace/]pod:]path in a container. The container must have `tar`. Symbolic links\nare not followed; those in a container are left out when copying from it."
        "# A file or folder to a pod, and to one of its containers\nkubectl cp notes.txt web-0:/tmp/notes.txt\nkubectl cp site web-0:/srv/site -c app\n\n# Back, from a pod of another namespace\nkubectl cp dev/web-0:/var/log/app.log app.log\n\n# With links, modes and patterns: tar itself\ntar cf - site | kubectl exec -i web-0 -- tar xf - -C /srv"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    flag("container", Some('c'), Form::Text, "", "Container name; default: the first, or the one annotated"),
    flag("no-preserve", None, Form::Bool, "false", "Do not keep owners and modes in the container"),
    flag(
        "retries",
        None,
        Form::Text,
        "0",
        "How often to go on where copying from a container broke off; negative: always",
    ),
];

/// One side of the copy.
#[derive(Debug, PartialEq)]
struct Spec {
    namespace: String,
    pod: String,
    path: String,
}

fn spec(arg: &str) -> Result<Spec, Error> {
    let bad = || Error::plain("filespec must match the canonical format: [[namespace/]pod:]file/path");
    let (namespace, pod, path) = match arg.split_once(':') {
        Some(("", _)) => return Err(bad()),
        None => ("", "", arg),
        Some((p, path)) => match p.split('/').collect::<Vec<_>>().as_slice() {
            [pod] => ("", *pod, path),
            [ns, pod] => (*ns, *pod, path),
            _ => return Err(bad()),
        },
    };
    Ok(Spec { namespace: namespace.into(), pod: pod.into(), path: path.into() })
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let [src, dest] = cx.p.args.as_slice() else {
        return Err(Error::plain("source and destination are required"));
    };
    let (src, dest) = (spec(src)?, spec(dest)?);
    if !src.pod.is_empty() && !dest.pod.is_empty() {
        return Err(Error::plain("one of src or dest must be a local file specification"));
    }
    if src.path.is_empty() || dest.path.is_empty() {
        return Err(Error::plain("filepath can not be empty"));
    }
    if !src.pod.is_empty() {
        return from_pod(&cx, &src, &dest.path).await;
    }
    if !dest.pod.is_empty() {
        return to_pod(&cx, &src.path, &dest).await;
    }
    Err(Error::plain("one of src or dest must be a remote file specification"))
}

async fn pod_of(cx: &Cx, s: &Spec) -> Result<(Value, String), Error> {
    let ns = if s.namespace.is_empty() { cx.namespace()? } else { s.namespace.clone() };
    let of = cx.discovery().await?.find("pods")?;
    let pod = cx.get(&of.object(&ns, &s.pod, "")).await?;
    let phase = text(&pod, "/status/phase");
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Error::plain(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = match cx.p.text("container") {
        "" => pods::container(&pod, false),
        c if pods::find(&pod, c).is_some() => c.to_owned(),
        c => {
            return Err(Error::plain(format!(
                "container {c} is not valid for pod {} out of: {}",
                s.pod,
                pods::every(&pod)
            )));
        }
    };
    Ok((pod, container))
}

/// A path without `.` and with `..` carried out, as Go's `path.Clean` has it.
fn clean(p: &str) -> String {
    let root = p.starts_with('/');
    let mut out: Vec<&str> = Vec::new();
    for part in p.split('/') {
        match part {
            "" | "." => {}
            ".." if out.last().is_some_and(|l| *l != "..") => {
                out.pop();
            }
            ".." if root => {}
            p => out.push(p),
        }
    }
    let s = out.join("/");
    match (root, s.is_empty()) {
        (true, _) => format!("/{s}"),
        (false, true) => ".".into(),
        (false, false) => s,
    }
}

fn base(p: &str) -> &str {
    let t = p.trim_end_matches('/');
    if t.is_empty() { if p.is_empty() { "." } else { "/" } } else { t.rsplit('/').next().unwrap_or(t) }
}

fn parent(p: &str) -> String {
    match p.rsplit_once('/') {
        Some((d, _)) => clean(if d.is_empty() { "/" } else { d }),
        None => ".".into(),
    }
}

async fn is_dir(cx: &Cx, pod: &Value, container: &str, path: &str) -> Result<bool, Error> {
    let words = ["test", "-d", path].map(str::to_owned);
    let io = Io {
        stdout: Some(Box::new(tokio::io::sink())),
        stderr: Some(Box::new(tokio::io::sink())),
        ..Io::default()
    };
    let run = remote::run(cx, pod, "exec", container, &words, io);
    match tokio::time::timeout(Duration::from_secs(30), run).await {
        Ok(Ok(o)) => Ok(o == Outcome::Success),
        Ok(Err(e)) => Err(e),
        Err(_) => Err(Error::plain("context deadline exceeded")),
    }
}

async fn to_pod(cx: &Cx, src: &str, dest: &Spec) -> Result<(), Error> {
    if std::fs::metadata(src).is_err() {
        return Err(Error::plain(format!("{src} doesn't exist in local filesystem")));
    }
    let (pod, container) = pod_of(cx, dest).await?;
    // Without a last slash, but for the root itself.
    let mut file = match dest.path.trim_end_matches('/') {
        "" => "/".to_owned(),
        p => p.to_owned(),
    };
    if is_dir(cx, &pod, &container, &file).await? {
        let name = std::fs::canonicalize(src)?;
        let name = match base(src) {
            "." | ".." => name.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            b => b.to_owned(),
        };
        file = format!("{}/{name}", file.trim_end_matches('/'));
    }
    let (read, write) = std::io::pipe()?;
    let (from, name) = (PathBuf::from(src), base(&clean(&file)).to_owned());
    let making = tokio::task::spawn_blocking(move || pack(&from, &name, write));
    let mut words: Vec<String> = vec!["tar".into()];
    if cx.p.on("no-preserve") {
        words.extend(["--no-same-permissions".into(), "--no-same-owner".into()]);
    }
    words.extend(["-xmf".into(), "-".into(), "-C".into(), parent(&clean(&file))]);
    let io =
        Io { stdin: Some(Box::new(pipe::Receiver::from_owned_fd(read.into())?)), ..Io::own(false, false)? };
    let done = remote::run(cx, &pod, "exec", &container, &words, io).await;
    let made = making.await.map_err(|e| Error::plain(e.to_string()))?;
    remote::ended(done?)?;
    // A reader that went away has said why.
    made.map_err(|e| Error::plain(e.to_string()))
}

/// Writes a file or folder as a tar stream, under another name.
fn pack(from: &Path, name: &str, w: PipeWriter) -> std::io::Result<()> {
    let mut t = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 16, w));
    t.follow_symlinks(false);
    add(&mut t, from, Path::new(name))?;
    t.into_inner()?.flush()
}

fn add<W: Write>(t: &mut tar::Builder<W>, from: &Path, name: &Path) -> std::io::Result<()> {
    let meta = std::fs::symlink_metadata(from)?;
    if !meta.is_dir() {
        return t.append_path_with_name(from, name);
    }
    let mut all: Vec<_> = std::fs::read_dir(from)?.collect::<Result<Vec<_>, _>>()?;
    all.sort_by_key(std::fs::DirEntry::file_name);
    if all.is_empty() {
        t.append_dir(name, from)?;
    }
    for e in all {
        add(t, &e.path(), &name.join(e.file_name()))?;
    }
    Ok(())
}

async fn from_pod(cx: &Cx, src: &Spec, dest: &str) -> Result<(), Error> {
    let (pod, container) = pod_of(cx, src).await?;
    let (read, write) = std::io::pipe()?;
    // The names in the stream begin like this, whatever shortcuts the path has.
    let prefix = clean(src.path.trim_start_matches('/'));
    let prefix = prefix.trim_start_matches("../").trim_start_matches("..").to_owned();
    let prefix = if prefix == "." { String::new() } else { prefix };
    let place = Place {
        dest: PathBuf::from(dest),
        again: format!(
            "kubectl exec -n {:?} {:?} -- tar cf - {:?} | tar xf -",
            text(&pod, "/metadata/namespace"),
            src.pod,
            src.path
        ),
        prefix,
    };
    let taking = tokio::task::spawn_blocking(move || place.unpack(read));
    let sent = send(cx, &pod, &container, &src.path, write).await;
    let taken = taking.await.map_err(|e| Error::plain(e.to_string()))?;
    sent?;
    taken.map_err(|e| Error::plain(e.to_string()))
}

/// The container's tar stream into a pipe; goes on where it broke off as often as `--retries` says.
async fn send(cx: &Cx, pod: &Value, container: &str, path: &str, w: PipeWriter) -> Result<(), Error> {
    let most = cx.p.int("retries")?;
    let (mut at, mut tries) = (0u64, 0);
    loop {
        let words: Vec<String> = if most == 0 {
            ["tar", "cf", "-", path].map(str::to_owned).to_vec()
        } else {
            let quoted = path.replace('\'', "'\\''");
            vec![
                "sh".into(),
                "-c".into(),
                format!("tar cf - '{quoted}' | tail -c+{}", at + u64::from(at > 0)),
            ]
        };
        let counter = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let to = Counted { inner: pipe::Sender::from_owned_fd(w.try_clone()?.into())?, n: counter.clone() };
        let io = Io {
            stdout: Some(Box::new(to)),
            stderr: Some(Box::new(remote::standard(std::io::stdout())?)),
            ..Io::default()
        };
        let r = remote::run(cx, pod, "exec", container, &words, io).await;
        at += counter.load(std::sync::atomic::Ordering::Relaxed);
        match r {
            // The command's own failure is its answer; a broken connection may come back.
            Ok(o) => return remote::ended(o),
            Err(e) if most == 0 || (most > 0 && tries >= most) => return Err(e),
            Err(_) => {
                tries += 1;
                println!("Resuming copy at {at} bytes, retry {tries}/{most}");
            }
        }
    }
}

/// Counts what goes through.
struct Counted {
    inner: pipe::Sender,
    n: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl tokio::io::AsyncWrite for Counted {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        buf: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let r = std::pin::Pin::new(&mut self.inner).poll_write(cx, buf);
        if let std::task::Poll::Ready(Ok(n)) = r {
            self.n.fetch_add(n as u64, std::sync::atomic::Ordering::Relaxed);
        }
        r
    }
    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Where a container's files go.
struct Place {
    dest: PathBuf,
    prefix: String,
    /// What to do about links.
    again: String,
}

impl Place {
    fn unpack(&self, r: impl Read) -> std::io::Result<()> {
        let wrong = || std::io::Error::other("tar contents corrupted");
        let mut told = false;
        let mut reader = std::io::BufReader::with_capacity(1 << 16, r);
        {
            let mut t = tar::Archive::new(&mut reader);
            for e in t.entries()? {
                let mut e = e?;
                let name = e.path()?.to_string_lossy().into_owned();
                // Names from a container are not to be trusted: only what was asked for, and only below the target.
                let rest = name.strip_prefix(&self.prefix).ok_or_else(wrong)?;
                let mut to = self.dest.clone();
                let inside = Path::new(rest).components().all(|c| match c {
                    Component::Normal(p) => {
                        to.push(p);
                        true
                    }
                    Component::CurDir | Component::RootDir => true,
                    _ => false,
                });
                if !inside {
                    eprintln!("warning: file {to:?} is outside target destination, skipping");
                    continue;
                }
                if let Some(d) = to.parent().filter(|d| !d.as_os_str().is_empty()) {
                    std::fs::create_dir_all(d)?;
                }
                let kind = e.header().entry_type();
                if kind.is_dir() {
                    std::fs::create_dir_all(&to)?;
                } else if kind.is_symlink() {
                    let link = e.link_name()?.unwrap_or_default().into_owned();
                    let hint =
                        if told { String::new() } else { format!(" (consider using {:?})", self.again) };
                    let hint = hint.replace("\\\"", "\"");
                    eprintln!("warning: skipping symlink: {to:?} -> {link:?}{hint}");
                    told = true;
                } else {
                    let mut f = std::fs::File::create(&to)?;
                    std::io::copy(&mut e, &mut f)?;
                }
            }
        }
        // The padding after the end, so that the container's tar does not write into nothing.
        std::io::copy(&mut reader, &mut std::io::sink()).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_and_paths() {
        let s = |n: &str, p: &str, f: &str| Spec { namespace: n.into(), pod: p.into(), path: f.into() };
        assert_eq!(spec("a/b:c").unwrap(), s("a", "b", "c"));
        assert_eq!(spec("b:/c:d").unwrap(), s("", "b", "/c:d"));
        assert_eq!(spec("./c").unwrap(), s("", "", "./c"));
        assert!(spec(":c").is_err() && spec("a/b/c:d").is_err());
        for (p, want) in
            [("/a/../b/", "/b"), ("a/./b//c", "a/b/c"), ("../x", "../x"), ("", "."), ("/..", "/")]
        {
            assert_eq!(clean(p), want);
        }
        assert_eq!((parent("/tmp/x"), parent("/x"), parent("x")), ("/tmp".into(), "/".into(), ".".into()));
    }

    #[test]
    fn there_and_back() {
        let dir = std::env::temp_dir().join(format!("kubectl-cp-{}", std::process::id()));
        let (src, dest) = (dir.join("src"), dir.join("dest"));
        std::fs::create_dir_all(src.join("sub/empty")).unwrap();
        std::fs::write(src.join("sub/f"), b"hello").unwrap();
        std::os::unix::fs::symlink("f", src.join("sub/l")).unwrap();
        let (r, w) = std::io::pipe().unwrap();
        let from = src.clone();
        let t = std::thread::spawn(move || pack(&from, "etc/src", w));
        let p = Place { dest: dest.clone(), prefix: "etc/src".into(), again: String::new() };
        p.unpack(r).unwrap();
        t.join().unwrap().unwrap();
        assert_eq!(std::fs::read(dest.join("sub/f")).unwrap(), b"hello");
        assert!(dest.join("sub/empty").is_dir() && !dest.join("sub/l").exists());
        let mut evil = tar::Builder::new(Vec::new());
        let mut h = tar::Header::new_gnu();
        h.set_size(1);
        h.as_mut_bytes()[..17].copy_from_slice(b"etc/src/../../bad");
        h.set_cksum();
        evil.append(&h, &b"x"[..]).unwrap();
        p.unpack(evil.into_inner().unwrap().as_slice()).unwrap();
        assert!(!dir.join("bad").exists());
        let other = Place { prefix: "other".into(), ..p };
        let (r, w) = std::io::pipe().unwrap();
        let t = std::thread::spawn(move || pack(&src, "etc/src", w));
        assert!(other.unpack(r).is_err());
        let _ = t.join();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
