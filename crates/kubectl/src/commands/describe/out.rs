//! What a description is written to: lines at levels, with cells that are aligned at the end.

use crate::objects::{self, text};
use crate::tabwriter::align;
use meta::time::Timestamp;
use serde_json::Value;

/// Longer values of annotations stand on lines of their own.
const MAX_ANNOTATION: usize = 140;

#[derive(Default)]
pub struct Out {
    done: String,
    open: String,
    /// The time now, in seconds.
    pub now: i64,
}

impl Out {
    pub fn new(now: i64) -> Self {
        Self { now, ..Self::default() }
    }
    /// A part of a line.
    pub fn part(&mut self, level: usize, s: &str) {
        self.open.extend(std::iter::repeat_n("  ", level));
        // Nothing from the cluster may drive the terminal.
        if s.contains(['\x1b', '\r']) {
            self.open.push_str(&s.replace('\x1b', "^[").replace('\r', "\\r"));
        } else {
            self.open.push_str(s);
        }
    }
    pub fn line(&mut self, level: usize, s: &str) {
        self.part(level, s);
        self.open.push('\n');
    }
    /// Columns end here.
    pub fn flush(&mut self) {
        self.done.push_str(&align(&self.open, 0, 2));
        self.open.clear();
    }
    /// As it was written, not aligned.
    pub fn raw(self) -> String {
        self.open
    }
    pub fn finish(mut self) -> String {
        self.flush();
        self.done
    }

    /// `Title:` and lines beside it.
    pub fn beside(&mut self, indent: &str, title: &str, all: &[String]) {
        self.part(0, &format!("{indent}{title}:\t"));
        if all.is_empty() {
            self.line(0, "<none>");
        }
        for (i, s) in all.iter().enumerate() {
            let start = if i == 0 { String::new() } else { format!("{indent}\t") };
            self.line(0, &format!("{start}{s}"));
        }
    }
    pub fn labels(&mut self, title: &str, m: &Value) {
        let all: Vec<String> = objects::labels(m, "").into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        self.beside("", title, &all);
    }
    pub fn annotations(&mut self, title: &str, m: &Value) {
        self.part(0, &format!("{title}:\t"));
        let mut all = objects::labels(m, "");
        all.retain(|(k, _)| k != crate::commands::create::LAST_APPLIED);
        if all.is_empty() {
            self.line(0, "<none>");
        }
        for (i, (k, v)) in all.iter().enumerate() {
            if i > 0 {
                self.part(0, "\t");
            }
            let v = v.strip_suffix('\n').unwrap_or(v);
            if v.len() + k.len() + 2 > MAX_ANNOTATION || v.contains('\n') {
                self.line(0, &format!("{k}:"));
                for s in v.split('\n') {
                    self.line(0, &format!("\t  {}", shorten(s, MAX_ANNOTATION - 2)));
                }
            } else {
                self.line(0, &format!("{k}: {v}"));
            }
        }
    }
    /// Name, and where it has one the namespace, as most kinds begin.
    pub fn head(&mut self, v: &Value) {
        self.line(0, &format!("Name:\t{}", text(v, "/metadata/name")));
        if !text(v, "/metadata/namespace").is_empty() {
            self.line(0, &format!("Namespace:\t{}", text(v, "/metadata/namespace")));
        }
    }
    /// Labels and annotations.
    pub fn notes(&mut self, v: &Value) {
        self.labels("Labels", &v["metadata"]["labels"]);
        self.annotations("Annotations", &v["metadata"]["annotations"]);
    }
    pub fn ago(&self, at: &str) -> String {
        match Timestamp::parse(at) {
            Some(t) => meta::time::human_duration(self.now - t.seconds),
            None => "<unknown>".into(),
        }
    }
}

pub fn shorten(s: &str, most: usize) -> String {
    if s.len() <= most {
        return s.to_owned();
    }
    let mut n = most;
    while !s.is_char_boundary(n) {
        n -= 1;
    }
    format!("{}...", &s[..n])
}

/// `a=b,c=d`, or `<none>`.
pub fn pairs(m: &Value) -> String {
    or_none(&crate::pods::pairs(m))
}
/// A label selector in words.
pub fn selector(s: &Value) -> String {
    or_none(&crate::pods::selector(s))
}
pub fn or_none(s: &str) -> String {
    if s.is_empty() { "<none>".into() } else { s.to_owned() }
}

/// A time as Go's RFC 1123 with a number for the zone; that of this machine.
pub fn date(at: &str) -> String {
    formatted(at, "%a, %d %b %Y %H:%M:%S %z", "Mon, 01 Jan 0001 00:00:00 +0000")
}
/// A time as Go prints one.
pub fn go_time(at: &str) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S %z %Z", "0001-01-01 00:00:00 +0000 UTC")
}
fn formatted(at: &str, form: &str, zero: &str) -> String {
    let t = Timestamp::parse(at).and_then(|t| jiff::Timestamp::from_second(t.seconds).ok());
    t.map_or_else(|| zero.to_owned(), |t| t.to_zoned(jiff::tz::TimeZone::system()).strftime(form).to_string())
}

/// A number or a word, as it is; nothing where there is nothing.
pub fn word(v: &Value) -> String {
    match v {
        Value::Null => String::new(),
        v => crate::print::go(v),
    }
}
pub fn number(v: &Value) -> i64 {
    v.as_i64().unwrap_or(0)
}
/// `True`, `False`, or that it is not said.
pub fn boolean(v: &Value) -> &'static str {
    match v {
        Value::Bool(true) => "True",
        Value::Bool(false) => "False",
        _ => "<unset>",
    }
}
pub fn list<'v>(v: &'v Value, at: &str) -> impl Iterator<Item = &'v Value> {
    v.pointer(at).and_then(Value::as_array).into_iter().flatten()
}
pub fn words(v: &Value, at: &str) -> Vec<String> {
    list(v, at).map(word).collect()
}

macro_rules! l {
    ($o:expr, $level:expr, $($arg:tt)*) => { $o.line($level, &format!($($arg)*)) };
}
pub(super) use l;
