//! `attach`: the streams of a process that runs in a container already.

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use crate::pods;
use crate::print;
use crate::remote::{self, Io};
use bytes::Bytes;
use client::url::with_query;
use futures::StreamExt;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

super::commands! {
    "attach" "(POD | TYPE/NAME) -c CONTAINER"
        "Attach to a running container\n\nConnects to a process that is already running inside an existing container: what it prints comes here, and with -i\nwhat is typed here goes there. Keys that --detach-keys names end the session and leave the process running."
        "# Output of the first container of a pod\nkubectl attach web-0\n\n# Talk to it\nkubectl attach web-0 -c app -i -t\n\n# The first pod of a ReplicaSet\nkubectl attach rs/web"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    flag("container", Some('c'), Form::Text, "", "Container name; default: the first, or the one annotated"),
    flag("stdin", Some('i'), Form::Bool, "false", "Pass stdin to the container"),
    flag("tty", Some('t'), Form::Bool, "false", "Stdin is a TTY"),
    flag("quiet", Some('q'), Form::Bool, "false", "Only print output from the remote session"),
    flag(
        "detach-keys",
        None,
        Form::Text,
        "ctrl-p,ctrl-q",
        "The keys that end the session, separated by commas",
    ),
    pods::RUNNING_TIMEOUT,
];

pub async fn run(cx: Cx) -> Result<(), Error> {
    let a = &cx.p.args;
    let word = match a.as_slice() {
        [] => return Err(Error::plain("at least 1 argument is required for attach")),
        [w] => w.clone(),
        [t, n] => format!("{t}/{n}"),
        _ => {
            return Err(Error::plain(format!(
                "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw {}: [{}]",
                a.len(),
                a.join(" ")
            )));
        }
    };
    if cx.p.millis("pod-running-timeout")? <= 0 {
        return Err(Error::plain("--pod-running-timeout must be higher than zero"));
    }
    let pod = pods::pod(&cx, &word).await?;
    let phase = text(&pod, "/status/phase");
    if phase == "Succeeded" || phase == "Failed" {
        return Err(Error::plain(format!(
            "cannot attach a container in a completed pod; current phase is {phase}"
        )));
    }
    let container = match cx.p.text("container") {
        "" => pods::container(&pod, cx.p.on("quiet")),
        c => c.to_owned(),
    };
    let o = Options {
        stdin: cx.p.on("stdin"),
        tty: cx.p.on("tty"),
        quiet: cx.p.on("quiet"),
        keys: cx.p.text("detach-keys"),
        history: false,
    };
    to(&cx, &pod, &container, o).await
}

pub struct Options<'a> {
    pub stdin: bool,
    pub tty: bool,
    pub quiet: bool,
    pub keys: &'a str,
    /// Print first what the container has said already.
    pub history: bool,
}

/// Attaches to a container and stays until its process or the session ends.
pub async fn to(cx: &Cx, pod: &Value, container: &str, o: Options<'_>) -> Result<(), Error> {
    let name = text(pod, "/metadata/name");
    let Some((list, c)) = pods::find(pod, container) else {
        return Err(Error::plain(format!(
            "cannot attach to the container: container {container} is not valid for pod {name} out of: {}",
            pods::every(pod)
        )));
    };
    let mut tty = o.tty;
    if tty && c["tty"] != true {
        tty = false;
        if !o.quiet {
            eprintln!("error: Unable to use a TTY - container {container} did not allocate one");
        }
    } else if c["tty"] == true {
        // Its output is one stream, and without a terminal here nobody could tell.
        tty = true;
    }
    let raw = tty && o.stdin && remote::is_terminal();
    if tty && o.stdin && !raw && !o.quiet {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    if !o.quiet {
        eprintln!(
            "All commands and output from this session will be recorded in container logs, including credentials and sensitive information passed through the command prompt.\nIf you don't see a command prompt, try pressing enter."
        );
    }
    let mut io = Io::own(o.stdin, raw)?;
    io.nudge = true;
    if raw && let Some(i) = io.stdin.take() {
        io.stdin = Some(Box::new(Detachable { inner: i, keys: keys(o.keys)?, seen: 0, over: false }));
    }
    // A process with a terminal has one output.
    if tty {
        io.stderr = None;
    }
    remote::ended(remote::run(cx, pod, "attach", container, &[], io).await?)?;
    if !o.quiet && raw {
        let again =
            format!("kubectl attach {name} -c {container} -n {} -i -t", text(pod, "/metadata/namespace"));
        print::line(&if list == "ephemeralContainers" {
            format!(
                "Session ended, the ephemeral container will not be restarted but may be reattached using '{again}' if it is still running"
            )
        } else {
            format!("Session ended, resume using '{again}' command")
        });
    }
    Ok(())
}

/// Attaches as soon as a container runs; where it has ended by then, or cannot be attached to, its log is what is left.
pub async fn when_running(
    cx: &Cx,
    ns: &str,
    name: &str,
    container: &str,
    o: Options<'_>,
) -> Result<Value, Error> {
    let (pod, state) = running(cx, ns, name, container, o.quiet).await?;
    let of = cx.discovery().await?.find("pods")?;
    if state["terminated"].is_null() && !gone(&pod) {
        if o.history {
            let log = with_query(of.object(ns, name, "log"), &[("container", container)]);
            if let Ok(b) = cx.bytes(&log).await {
                print::out(&String::from_utf8_lossy(&b));
            }
        }
        match to(cx, &pod, container, o).await {
            Ok(()) => return Ok(pod),
            Err(e @ Error::Raw(..)) => return Err(e),
            Err(e) => eprintln!(
                "warning: couldn't attach to pod/{name}, falling back to streaming logs: {}",
                e.bare()
            ),
        }
    }
    let log = with_query(of.object(ns, name, "log"), &[("container", container), ("follow", "true")]);
    let r = cx.send(Method::GET, &log, "", "application/json, */*", Bytes::new()).await?;
    let mut body = r.into_body().into_data_stream();
    while let Some(chunk) = body.next().await {
        print::out(&String::from_utf8_lossy(&chunk.map_err(|e| Error::plain(e.to_string()))?));
    }
    Ok(pod)
}

/// Until a container runs or has ended, for so long at most.
pub async fn started(
    cx: &Cx,
    ns: &str,
    name: &str,
    container: &str,
    limit: std::time::Duration,
) -> Result<(), Error> {
    match tokio::time::timeout(limit, running(cx, ns, name, container, true)).await {
        Ok(r) => r.map(|_| ()),
        Err(_) => Err(Error::plain("timed out waiting for the condition")),
    }
}

/// The pod as soon as a container runs or has ended, and the container's state.
async fn running(
    cx: &Cx,
    ns: &str,
    name: &str,
    container: &str,
    quiet: bool,
) -> Result<(Value, Value), Error> {
    let of = cx.discovery().await?.find("pods")?;
    let (mut pod, mut said) = (cx.get(&of.object(ns, name, "")).await?, String::new());
    loop {
        let s = state(&pod, container);
        if !s["running"].is_null() || !s["terminated"].is_null() || gone(&pod) {
            return Ok((pod, s));
        }
        let why = text(&s, "/waiting/message");
        if !quiet && !why.is_empty() && why != said {
            eprintln!("Warning: container {container}: {why}");
            why.clone_into(&mut said);
        }
        let path = with_query(
            of.collection(ns),
            &[
                ("fieldSelector", &format!("metadata.name={name}")),
                ("watch", "true"),
                ("resourceVersion", text(&pod, "/metadata/resourceVersion")),
            ],
        );
        let mut next = Value::Null;
        cx.lines(&path, "application/json", |mut e| {
            if text(&e, "/type") == "DELETED" {
                return Err(Error::plain(format!("pods {name:?} not found")));
            }
            next = e["object"].take();
            Ok(false)
        })
        .await?;
        pod = if text(&next, "/kind") == "Pod" { next } else { cx.get(&of.object(ns, name, "")).await? };
    }
}

fn gone(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

fn state(pod: &Value, container: &str) -> Value {
    ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        .iter()
        .flat_map(|l| pod["status"][*l].as_array().into_iter().flatten())
        .find(|s| text(s, "/name") == container)
        .map(|s| s["state"].clone())
        .unwrap_or_default()
}

/// `ctrl-p,ctrl-q` as bytes.
fn keys(s: &str) -> Result<Vec<u8>, Error> {
    let one = |k: &str| match k.strip_prefix("ctrl-") {
        Some(c) => match c.as_bytes() {
            [c @ (b'a'..=b'z' | b'@' | b'[' | b'\\' | b']' | b'^' | b'_')] => {
                Some(c.to_ascii_uppercase() - b'@')
            }
            _ => None,
        },
        None => k.as_bytes().first().copied().filter(|_| k.len() == 1),
    };
    s.split(',')
        .filter(|k| !k.is_empty())
        .map(|k| {
            one(k)
                .ok_or_else(|| Error::plain(format!("could not bind detach keys: unknown character: '{k}'")))
        })
        .collect()
}

/// Input that ends when the keys were typed one after the other; keys that may be the beginning are held back.
struct Detachable {
    inner: streams::client::Input,
    keys: Vec<u8>,
    seen: usize,
    over: bool,
}

/// What goes on of the bytes that came, and whether the keys were complete.
fn pass(keys: &[u8], seen: &mut usize, from: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(from.len());
    for b in from {
        if keys.get(*seen) == Some(b) {
            *seen += 1;
            if *seen == keys.len() {
                return (out, true);
            }
            continue;
        }
        out.extend_from_slice(&keys[..*seen]);
        *seen = 0;
        if keys.first() == Some(b) && keys.len() > 1 {
            *seen = 1;
        } else {
            out.push(*b);
        }
    }
    (out, false)
}

impl AsyncRead for Detachable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            if self.over || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0u8; 1024];
            // Room for keys that were held back.
            let room = buf.remaining().saturating_sub(self.keys.len()).clamp(1, bytes.len());
            let mut part = ReadBuf::new(&mut bytes[..room]);
            match Pin::new(&mut self.inner).poll_read(cx, &mut part) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let me = &mut *self;
            let (out, over) = pass(&me.keys, &mut me.seen, part.filled());
            me.over = over;
            let n = out.len().min(buf.remaining());
            buf.put_slice(&out[..n]);
            if n > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detaching() {
        let k = keys("ctrl-p,ctrl-q").unwrap();
        assert_eq!(k, [16, 17]);
        assert!(keys("ctrl-").is_err() && keys("alt-x").is_err());
        let mut seen = 0;
        assert_eq!(pass(&k, &mut seen, b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(pass(&k, &mut seen, b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(pass(&k, &mut seen, b"x\x10\x10\x11y"), (b"x\x10".to_vec(), true));
    }
}
