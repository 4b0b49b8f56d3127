//! Probes, lifecycle handlers and stop signals.

use crate::kit::*;

/// The three probes of a container.
pub(super) fn all(c: &Value, grace: Option<i64>, at: &At<'_>, e: &mut Errs) {
    for which in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(p) = c.set(which) else { continue };
        let at = at.c(which);
        handler(p, &["exec", "httpGet", "tcpSocket", "grpc"], grace, &at, e);
        for f in
            ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
        {
            e.nonnegative(&at.c(f), p.i(f));
        }
        let grace_at = at.c("terminationGracePeriodSeconds");
        if let Some(n) = p.oi("terminationGracePeriodSeconds").filter(|n| *n <= 0) {
            e.invalid(&grace_at, n, "must be greater than 0");
        }
        if which == "readinessProbe" {
            if let Some(n) = p.oi("terminationGracePeriodSeconds") {
                e.invalid(&grace_at, n, "must not be set for readinessProbes");
            }
        } else if p.i("successThreshold") != 1 {
            e.invalid(&at.c("successThreshold"), p.i("successThreshold"), "must be 1");
        }
    }
}

pub(super) fn lifecycle(l: &Value, grace: Option<i64>, os: Option<&str>, at: &At<'_>, e: &mut Errs) {
    for which in ["postStart", "preStop"] {
        if let Some(h) = l.set(which) {
            handler(h, &["exec", "httpGet", "tcpSocket", "sleep"], grace, &at.c(which), e);
        }
    }
    if let Some(s) = l.os("stopSignal") {
        stop_signal(s, os, &at.c("stopSignal"), e);
    }
}

fn handler(h: &Value, kinds: &[&str], grace: Option<i64>, at: &At<'_>, e: &mut Errs) {
    let mut found = false;
    for kind in kinds {
        let Some(v) = h.set(kind) else { continue };
        let at = at.c(kind);
        if found {
            e.forbidden(&at, "may not specify more than 1 handler type");
            continue;
        }
        found = true;
        match *kind {
            "exec" if v.list("command").is_empty() => e.required(&at.c("command"), ""),
            "httpGet" => http_get(v, &at, e),
            "tcpSocket" => e.port_num_or_name(&at.c("port"), v.v("port")),
            "grpc" => {
                e.port(&at.c("port"), v.i("port"));
                if let Some(m) = v.os("mode") {
                    e.one_of(&at.c("mode"), m, &["Plaintext", "TLS"]);
                }
            }
            "sleep" => {
                let n = v.i("seconds");
                if let Some(g) = grace.filter(|g| n < 0 || n > *g) {
                    let why =
                        format!("must be non-negative and less than terminationGracePeriodSeconds ({g})");
                    e.invalid(&at, n, why);
                }
            }
            _ => {}
        }
    }
    if !found {
        e.required(at, "must specify a handler type");
    }
}

fn http_get(v: &Value, at: &At<'_>, e: &mut Errs) {
    e.non_empty(&at.c("path"), v.s("path"));
    e.port_num_or_name(&at.c("port"), v.v("port"));
    e.one_of(&at.c("scheme"), v.s("scheme"), &["HTTP", "HTTPS"]);
    for h in v.list("httpHeaders") {
        e.name(&at.c("httpHeaders"), h.s("name"), names::is_http_header_name);
    }
    if let Some(p) = v.os("protocol")
        && e.one_of(&at.c("protocol"), p, &["HTTP1", "HTTP2"])
        && p == "HTTP2"
    {
        if v.s("scheme") != "HTTP" {
            e.invalid(&at.c("protocol"), p, "is only supported with HTTP (H2C)");
        } else if !v.s("host").is_empty() {
            e.invalid(&at.c("host"), v.s("host"), "must be empty when `protocol` is \"HTTP2\"");
        }
    }
}

const SIGNALS: &[&str] = &[
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMAX-1",
    "SIGRTMAX-10",
    "SIGRTMAX-11",
    "SIGRTMAX-12",
    "SIGRTMAX-13",
    "SIGRTMAX-14",
    "SIGRTMAX-2",
    "SIGRTMAX-3",
    "SIGRTMAX-4",
    "SIGRTMAX-5",
    "SIGRTMAX-6",
    "SIGRTMAX-7",
    "SIGRTMAX-8",
    "SIGRTMAX-9",
    "SIGRTMIN",
    "SIGRTMIN+1",
    "SIGRTMIN+10",
    "SIGRTMIN+11",
    "SIGRTMIN+12",
    "SIGRTMIN+13",
    "SIGRTMIN+14",
    "SIGRTMIN+15",
    "SIGRTMIN+2",
    "SIGRTMIN+3",
    "SIGRTMIN+4",
    "SIGRTMIN+5",
    "SIGRTMIN+6",
    "SIGRTMIN+7",
    "SIGRTMIN+8",
    "SIGRTMIN+9",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

fn stop_signal(s: &str, os: Option<&str>, at: &At<'_>, e: &mut Errs) {
    match os {
        None => e.forbidden(at, "may not be set for containers with empty `spec.os.name`"),
        Some("windows") => _ = e.one_of(at, s, &["SIGKILL", "SIGTERM"]),
        Some("linux") => _ = e.one_of(at, s, SIGNALS),
        Some(_) => {}
    }
}
