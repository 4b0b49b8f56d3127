//! Commands in containers: the terminal on this side, and the exchange with the pod (`exec`, `attach`, `cp`, `debug`).

use crate::cx::Cx;
use crate::error::Error;
use crate::objects::text;
use client::url::{escape_query, with_query};
use rustix::termios;
use serde_json::Value;
use streams::client::{Command, Input, Outcome, Output, Size, command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// The terminal as it was, put back when this goes.
struct RawMode(termios::Termios);

impl RawMode {
    fn start() -> Option<Self> {
        let before = termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(std::io::stdin(), termios::OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}
impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(std::io::stdin(), termios::OptionalActions::Now, &self.0);
    }
}

/// A standard stream of this process, read and written beside the runtime's threads.
pub fn standard(s: impl std::os::fd::AsFd) -> Result<tokio::fs::File, Error> {
    Ok(tokio::fs::File::from_std(std::fs::File::from(s.as_fd().try_clone_to_owned()?)))
}

/// Whether both ends of this process are a terminal's.
pub fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdin())
}

fn size() -> Option<Size> {
    let s = termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(Size { width: s.ws_col, height: s.ws_row })
}

/// The terminal's size now and whenever it changes; first, where `nudge`, another one, so that programs draw anew.
fn sizes(cx: &Cx, nudge: bool) -> Option<mpsc::Receiver<Size>> {
    let first = size()?;
    let (tx, rx) = mpsc::channel(8);
    let mut winch = signal(SignalKind::window_change()).ok()?;
    cx.rt.spawn("terminal size", async move {
        if nudge {
            let other = Size { width: first.width.wrapping_add(1), height: first.height.wrapping_add(1) };
            let _ = tx.send(other).await;
        }
        let mut last = first;
        let mut alive = tx.send(first).await.is_ok();
        while alive && winch.recv().await.is_some() {
            if let Some(now) = size().filter(|s| *s != last) {
                last = now;
                alive = tx.send(now).await.is_ok();
            }
        }
    });
    Some(rx)
}

/// This side of a command.
#[derive(Default)]
pub struct Io {
    pub stdin: Option<Input>,
    pub stdout: Option<Output>,
    pub stderr: Option<Output>,
    /// The terminal becomes the command's.
    pub tty: bool,
    pub nudge: bool,
}

impl Io {
    /// This process's own streams.
    pub fn own(stdin: bool, tty: bool) -> Result<Self, Error> {
        Ok(Self {
            stdin: if stdin { Some(Box::new(standard(std::io::stdin())?)) } else { None },
            stdout: Some(Box::new(standard(std::io::stdout())?)),
            stderr: if tty { None } else { Some(Box::new(standard(std::io::stderr())?)) },
            tty,
            nudge: false,
        })
    }
}

/// Runs `exec` or `attach` of a pod to its end.
pub async fn run(
    cx: &Cx,
    pod: &Value,
    sub: &str,
    container: &str,
    words: &[String],
    io: Io,
) -> Result<Outcome, Error> {
    let of = cx.discovery().await?.find("pods")?;
    let on = |b: bool| if b { "true" } else { "" };
    let mut path = with_query(
        of.object(text(pod, "/metadata/namespace"), text(pod, "/metadata/name"), sub),
        &[
            ("container", container),
            ("stdin", on(io.stdin.is_some())),
            ("stdout", on(io.stdout.is_some())),
            ("stderr", on(io.stderr.is_some() && !io.tty)),
            ("tty", on(io.tty)),
        ],
    );
    for w in words {
        path.push_str("&command=");
        path.push_str(&escape_query(w));
    }
    let net = cx.net().await?;
    let sizes = if io.tty { sizes(cx, io.nudge) } else { None };
    let raw = if io.tty { RawMode::start() } else { None };
    let c = Command { stdin: io.stdin, stdout: io.stdout, stderr: io.stderr, tty: io.tty, sizes };
    let r = command(|req| net.upgrade(req), &path, c, &cx.rt).await;
    drop(raw);
    r.map_err(failed)
}

/// A failure to begin.
pub fn failed(e: streams::client::Error) -> Error {
    match e.status().and_then(|s| serde_json::from_value(s).ok()) {
        Some(s) => Error::Status(Box::new(s)),
        None => Error::plain(e.to_string()),
    }
}

/// How a command ended, as a result of ours.
pub fn ended(o: Outcome) -> Result<(), Error> {
    match o {
        Outcome::Success => Ok(()),
        Outcome::Exit(code) => Err(Error::Raw(format!("command terminated with exit code {code}"), code)),
        Outcome::Failure(v) => Err(match serde_json::from_value::<meta::Status>(v.clone()) {
            Ok(s) if s.kind == "Status" && !s.reason.is_empty() => Error::Status(Box::new(s)),
            _ => Error::plain(text(&v, "/message")),
        }),
    }
}
