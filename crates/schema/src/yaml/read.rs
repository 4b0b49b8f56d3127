//! Events of the YAML parser to values, with go-yaml v2's resolution of plain scalars.

use crate::json::write::to_number;
use crate::{DecodeError, Decoded, MAX_DEPTH, Value};
use base64::Engine as _;
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use meta::field::quote;
use serde_json::{Map, Number};
use std::collections::HashMap;

type R<T> = Result<T, DecodeError>;

/// Go's parser names the line from the second on.
fn fail(line: usize, why: impl std::fmt::Display) -> DecodeError {
    DecodeError(if line > 1 { format!("yaml: line {line}: {why}") } else { format!("yaml: {why}") })
}
fn scan(e: &ScanError) -> DecodeError {
    let info = e.info();
    let known = [
        ("unexpected character", "found character that cannot start any token"),
        ("unclosed bracket", "did not find expected node content"),
        ("unclosed quote", "found unexpected end of stream"),
        ("simple key expected", "could not find expected ':'"),
        ("while scanning a block scalar, ", ""),
    ];
    match known.iter().find(|(ours, _)| info.starts_with(ours)) {
        Some((ours, "")) => fail(e.marker().line(), &info[ours.len()..]),
        Some((_, theirs)) => fail(e.marker().line(), theirs),
        None => fail(e.marker().line(), info),
    }
}

/// Calls `f` with each document until it answers false.
pub(super) fn documents(bytes: &[u8], f: &mut dyn FnMut(Decoded) -> bool) -> R<()> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(DecodeError("yaml: invalid leading UTF-8 octet".into()));
    };
    let options = granit_parser::options! {
        block_scalar_eof_without_line_feed: true,
        bom_inside_document_as_content: true,
        emit_comments: false,
        // Go's parser bounds a key by 1024 as well.
        simple_key_max_lookahead: 1024,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut b = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        nodes: 0,
        aliased: 0,
        strict: Vec::new(),
    };
    loop {
        match b.event()?.0 {
            Event::StreamEnd => return Ok(()),
            Event::DocumentStart(..) => {
                b.anchors.clear();
                let (ev, span) = b.event()?;
                let value = b.node(ev, &span, 0)?.value;
                let strict = if b.strict.is_empty() {
                    Vec::new()
                } else {
                    vec![format!("yaml: unmarshal errors:\n  {}", std::mem::take(&mut b.strict).join("\n  "))]
                };
                if !f(Decoded { value, strict }) {
                    return Ok(());
                }
            }
            _ => {}
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// Finished anchors.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    aliased: usize,
    strict: Vec<String>,
}

#[derive(Clone)]
struct Node {
    value: Value,
    /// How many nodes it is made of.
    size: usize,
}

/// What a mapping's key is.
enum Key {
    Name(String, String),
    Merge,
}

impl<'a> Builder<'a> {
    fn event(&mut self) -> R<(Event<'a>, Span)> {
        match self.parser.next_event() {
            Some(Ok(e)) => Ok(e),
            Some(Err(e)) => Err(scan(&e)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Counts nodes; refuses documents that are mostly aliases, by upstream's measure.
    fn count(&mut self, n: usize, aliased: bool) -> R<()> {
        const LOW: usize = 400_000;
        const HIGH: usize = 4_000_000;
        self.nodes += n;
        if aliased {
            self.aliased += n;
        }
        let allowed = match self.nodes {
            0..=LOW => 0.99,
            HIGH.. => 0.10,
            n => 0.99 - 0.89 * ((n - LOW) as f64 / (HIGH - LOW) as f64),
        };
        if self.aliased > 100 && self.nodes > 1000 && self.aliased as f64 / self.nodes as f64 > allowed {
            return Err(DecodeError("yaml: document contains excessive aliasing".into()));
        }
        Ok(())
    }

    fn node(&mut self, ev: Event<'a>, span: &Span, depth: usize) -> R<Node> {
        let line = span.start.line();
        if depth >= MAX_DEPTH {
            return Err(fail(line, "exceeded max depth"));
        }
        let (node, anchor) = match ev {
            Event::Alias(id) => {
                let Some(n) = self.anchors.get(&id).cloned() else {
                    return Err(DecodeError("yaml: anchor value contains itself".into()));
                };
                self.count(n.size, true)?;
                return Ok(n);
            }
            Event::Scalar(s, style, anchor, tag) => {
                self.count(1, false)?;
                let value = match resolve(&s, style, tag.as_deref())? {
                    Scalar::Value(v) => v,
                    Scalar::Unwritable(s) => {
                        return Err(DecodeError(format!("json: unsupported value: {s}")));
                    }
                };
                (Node { value, size: 1 }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.count(1, false)?;
                let (mut a, mut size) = (Vec::new(), 1);
                loop {
                    match self.event()? {
                        (Event::SequenceEnd, _) => break,
                        (ev, span) => {
                            let n = self.node(ev, &span, depth + 1)?;
                            size += n.size;
                            a.push(n.value);
                        }
                    }
                }
                (Node { value: Value::Array(a), size }, anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                self.count(1, false)?;
                (self.mapping(depth)?, anchor)
            }
            _ => return Err(fail(line, "did not find expected node content")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, depth: usize) -> R<Node> {
        let (mut m, mut size) = (Map::new(), 1);
        loop {
            let (ev, span) = match self.event()? {
                (Event::MappingEnd, _) => return Ok(Node { value: Value::Object(m), size }),
                e => e,
            };
            let key = self.key(ev, &span, depth)?;
            let (ev, span) = self.event()?;
            let line = span.start.line();
            let v = self.node(ev, &span, depth + 1)?;
            size += v.size + 1;
            match key {
                Key::Name(k, shown) => {
                    if m.contains_key(&k) {
                        self.strict.push(format!("line {line}: key {shown} already set in map"));
                    }
                    m.insert(k, v.value);
                }
                // Keys of a merge hold until the mapping says otherwise after it.
                Key::Merge => match v.value {
                    Value::Object(o) => {
                        for k in o.keys().filter(|k| m.contains_key(*k)) {
                            self.strict.push(format!("line {line}: key {} already set in map", quote(k)));
                        }
                        m.extend(o);
                    }
                    Value::Array(a) if a.iter().all(Value::is_object) => {
                        for o in a.into_iter().rev() {
                            if let Value::Object(o) = o {
                                m.extend(o);
                            }
                        }
                    }
                    _ => {
                        return Err(DecodeError(
                            "yaml: map merge requires map or sequence of maps as the value".into(),
                        ));
                    }
                },
            }
        }
    }

    /// A key as text, and as Go shows it.
    fn key(&mut self, ev: Event<'a>, span: &Span, depth: usize) -> R<Key> {
        if let Event::Scalar(s, style, _, tag) = &ev {
            let merges = tag.as_ref().map_or(*style == ScalarStyle::Plain, |t| t.suffix() == "merge");
            if s == "<<" && merges {
                return Ok(Key::Merge);
            }
            if let Scalar::Unwritable(s) = resolve(s, *style, tag.as_deref())? {
                let s = match s.as_str() {
                    "NaN" => ".nan",
                    "-Inf" => "-.inf",
                    _ => ".inf",
                };
                return Ok(Key::Name(s.to_owned(), s.to_owned()));
            }
        }
        Ok(match self.node(ev, span, depth + 1)?.value {
            Value::String(s) => {
                let shown = quote(&s);
                Key::Name(s, shown)
            }
            Value::Bool(b) => Key::Name(b.to_string(), b.to_string()),
            Value::Number(n) => {
                let s = if n.is_f64() {
                    super::write::float(n.as_f64().unwrap_or_default())
                } else {
                    n.to_string()
                };
                Key::Name(s.clone(), s)
            }
            other => {
                let what = match other {
                    Value::Null => "nil",
                    Value::Array(_) => "list",
                    _ => "map",
                };
                return Err(DecodeError(format!("unsupported map key of type: {what}")));
            }
        })
    }
}

enum Scalar {
    Value(Value),
    /// Infinity and what is no number: YAML has them, JSON has not.
    Unwritable(String),
}

/// What a scalar means (go-yaml v2 `resolve.go`).
fn resolve(s: &str, style: ScalarStyle, tag: Option<&Tag>) -> R<Scalar> {
    let string = || Scalar::Value(Value::String(s.to_owned()));
    let suffix = match tag {
        None if style != ScalarStyle::Plain => return Ok(string()),
        None => "",
        Some(t) if t.handle() == "tag:yaml.org,2002:" => t.suffix(),
        Some(_) => return Ok(string()),
    };
    let out = match suffix {
        "str" | "timestamp" => return Ok(string()),
        "binary" => {
            let clean: String = s.split_whitespace().collect();
            let b = base64::engine::general_purpose::STANDARD.decode(clean);
            let b = b.map_err(|_| DecodeError("yaml: !!binary value contains invalid base64 data".into()))?;
            return Ok(Scalar::Value(Value::String(String::from_utf8_lossy(&b).into_owned())));
        }
        "" | "bool" | "int" | "float" | "null" => plain(s),
        _ => return Ok(string()),
    };
    let fits = matches!(
        (&out, suffix),
        (_, "")
            | (Scalar::Value(Value::Bool(_)), "bool")
            | (Scalar::Value(Value::Null), "null")
            | (Scalar::Value(Value::Number(_)), "int" | "float")
            | (Scalar::Unwritable(_), "float")
    );
    if fits {
        return Ok(out);
    }
    let found = match out {
        Scalar::Value(Value::Bool(_)) => "bool",
        Scalar::Value(Value::Null) => "null",
        Scalar::Value(Value::Number(n)) if !n.is_f64() => "int",
        Scalar::Value(Value::Number(_)) | Scalar::Unwritable(_) => "float",
        Scalar::Value(_) => "str",
    };
    Err(DecodeError(format!("yaml: cannot decode !!{found} `{s}` as a !!{suffix}")))
}

/// A plain scalar without a tag.
fn plain(s: &str) -> Scalar {
    let string = || Scalar::Value(Value::String(s.to_owned()));
    match s {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Value(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Value(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Value(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Unwritable("NaN".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Unwritable("+Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Unwritable("-Inf".into()),
        _ => {}
    }
    let number = |n: Option<Number>| n.map_or_else(string, |n| Scalar::Value(Value::Number(n)));
    match s.as_bytes()[0] {
        b'.' if looks_float(s) => number(s.parse().ok().and_then(to_number)),
        b'0'..=b'9' | b'+' | b'-' => {
            let bare = s.replace('_', "");
            if let Some(n) = int(&bare) {
                return number(Some(n));
            }
            if looks_float(&bare) { number(bare.parse().ok().and_then(to_number)) } else { string() }
        }
        _ => string(),
    }
}

/// Go's ParseInt and ParseUint with base 0: `0x`, `0o`, `0b` and a leading zero for octal.
fn int(s: &str) -> Option<Number> {
    let (negative, digits) = match s.as_bytes().first()? {
        b'-' => (true, &s[1..]),
        b'+' => (false, &s[1..]),
        _ => (false, s),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let v = i128::from_str_radix(digits, radix).ok()?;
    let v = if negative { -v } else { v };
    // ParseUint takes no sign.
    match i64::try_from(v) {
        Ok(i) => Some(i.into()),
        Err(_) if s.starts_with('+') => None,
        Err(_) => u64::try_from(v).ok().map(Number::from),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn looks_float(s: &str) -> bool {
    let s = s.strip_prefix(['-', '+']).unwrap_or(s);
    let (mantissa, exp) = match s.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['-', '+']).unwrap_or(e))),
        None => (s, None),
    };
    let digits = |d: &str| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit());
    let ok = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", f)) => digits(f),
        Some((i, f)) => digits(i) && (f.is_empty() || digits(f)),
    };
    ok && exp.is_none_or(digits)
}

/// Whether a string must be quoted because it would be read as something else.
pub(super) fn reads_as_other(s: &str) -> bool {
    !matches!(plain(s), Scalar::Value(Value::String(_))) || is_timestamp(s)
}

/// Roughly YAML 1.1's timestamps: the forms that go-yaml tries.
fn is_timestamp(s: &str) -> bool {
    let b = s.as_bytes();
    if b.len() < 8 || !b[..4].iter().all(u8::is_ascii_digit) || b[4] != b'-' {
        return false;
    }
    let (date, time) = match s.find(['T', 't', ' ']) {
        Some(i) => (&s[..i], Some(&s[i..])),
        None => (s, None),
    };
    let number = |p: &str, lo: i64, hi: i64| -> Option<i64> {
        let ok = (1..=2).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
        p.parse::<i64>().ok().filter(|v| ok && (lo..=hi).contains(v))
    };
    let parts: Vec<&str> = date.split('-').collect();
    let [y, m, d] = parts.as_slice() else { return false };
    let (Some(m), Some(d)) = (number(m, 1, 12), number(d, 1, 31)) else { return false };
    let y: i64 = y.parse().unwrap_or_default();
    if meta::time::civil(meta::time::days_of(y, m, d)) != (y, m, d) {
        return false;
    }
    let Some(time) = time else { return true };
    let (clock, zone_wanted) = (&time[1..], !time.starts_with(' '));
    let (clock, zone) = match clock.find(['Z', '+', '-']) {
        Some(i) => (&clock[..i], &clock[i..]),
        None => (clock, ""),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let hms: Vec<&str> = clock.split(':').collect();
    let [h, mi, sec] = hms.as_slice() else { return false };
    let zone_ok = match zone.as_bytes() {
        [] => !zone_wanted,
        [b'Z'] => zone_wanted,
        [_, a, b, b':', c, d] => zone_wanted && [a, b, c, d].iter().all(|x| x.is_ascii_digit()),
        _ => false,
    };
    number(h, 0, 23).is_some()
        && number(mi, 0, 59).is_some()
        && number(sec, 0, 59).is_some()
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && zone_ok
}
