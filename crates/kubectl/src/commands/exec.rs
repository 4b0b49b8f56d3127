//! `exec`: a command in a container.

use super::logs;
use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use client::url::{escape_query, with_query};
use streams::client::{Command, Outcome, command};

pub const FLAGS: &[Flag] = &[
    flag("container", Some('c'), Form::Text, "", "Container name; default: the first, or the one annotated"),
    flag("stdin", Some('i'), Form::Bool, "false", "Pass stdin to the container"),
    flag("tty", Some('t'), Form::Bool, "false", "Stdin is a TTY"),
    flag("quiet", Some('q'), Form::Bool, "false", "Only print output from the remote session"),
];

/// The terminal as it was, put back when this goes.
struct RawMode(rustix::termios::Termios);

impl RawMode {
    fn start() -> Option<Self> {
        let before = rustix::termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}
impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &self.0);
    }
}

/// A standard stream of this process, read and written beside the runtime's threads.
fn standard(s: impl std::os::fd::AsFd) -> Result<tokio::fs::File, Error> {
    Ok(tokio::fs::File::from_std(std::fs::File::from(s.as_fd().try_clone_to_owned()?)))
}

pub async fn exec(cx: Cx) -> Result<(), Error> {
    let a = &cx.p.args;
    if a.is_empty() {
        return Err(Error::plain("pod, type/name or --filename must be specified"));
    }
    if a.len() < 2 {
        return Err(Error::plain("you must specify at least one command for the container"));
    }
    if cx.p.dash.is_none_or(|d| d != 1) {
        return Err(Error::plain(
            "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead\nSee 'kubectl exec -h' for help and examples",
        ));
    }
    let pods = logs::pods(&cx, &a[0]).await?;
    let pod = pods.first().ok_or_else(|| Error::plain("no pod found"))?;
    let phase = text(pod, "/status/phase");
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Error::plain(format!(
            "cannot exec into a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = match cx.p.text("container") {
        "" => logs::container(pod, cx.p.on("quiet")),
        c => c.to_owned(),
    };
    let stdin = cx.p.on("stdin");
    let mut tty = cx.p.on("tty");
    if tty && !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
        tty = false;
    }
    let of = cx.discovery().await?.find("pods")?;
    let on = |b: bool| if b { "true" } else { "" };
    let mut path = with_query(
        of.object(text(pod, "/metadata/namespace"), text(pod, "/metadata/name"), "exec"),
        &[
            ("container", &container),
            ("stdin", on(stdin)),
            ("stdout", "true"),
            ("stderr", on(!tty)),
            ("tty", on(tty)),
        ],
    );
    for c in &a[1..] {
        path.push_str("&command=");
        path.push_str(&escape_query(c));
    }
    let net = cx.net().await?;
    let c = Command {
        stdin: if stdin { Some(Box::new(standard(std::io::stdin())?)) } else { None },
        stdout: Some(Box::new(standard(std::io::stdout())?)),
        stderr: if tty { None } else { Some(Box::new(standard(std::io::stderr())?)) },
        tty,
        sizes: None,
    };
    let raw = if tty { RawMode::start() } else { None };
    let r = command(|req| net.upgrade(req), &path, c, &cx.rt).await;
    drop(raw);
    match r {
        Ok(Outcome::Success) => Ok(()),
        Ok(Outcome::Exit(code)) => Err(Error::Raw(format!("command terminated with exit code {code}"), code)),
        Ok(Outcome::Failure(v)) => Err(Error::plain(text(&v, "/message"))),
        Err(e) => Err(match e.status().and_then(|s| serde_json::from_value(s).ok()) {
            Some(s) => Error::Status(Box::new(s)),
            None => Error::plain(e.to_string()),
        }),
    }
}
