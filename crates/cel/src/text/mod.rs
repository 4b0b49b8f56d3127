//! Functions of texts (cel-go `ext/strings.go`, version 2; apiserver `pkg/cel/library/regex.go`).

pub mod format;

use crate::call::int;
use crate::eval::{Eval, EvalError};
use crate::{Value, regexes};

/// The most a text may grow to by one call.
const MAX_TEXT: usize = 64 << 20;

fn out_of_range(i: i64) -> EvalError {
    EvalError::new(format!("index out of range: {i}"))
}

pub fn one(f: &str, s: &str) -> Option<Eval> {
    Some(Ok(match f {
        "lowerAscii" => s.to_ascii_lowercase().into(),
        "upperAscii" => s.to_ascii_uppercase().into(),
        "trim" => s.trim_matches(is_space).into(),
        "strings.quote" => quote(s).into(),
        "jsonpatch.escapeKey" => s.replace('~', "~0").replace('/', "~1").into(),
        _ => return None,
    }))
}

fn is_space(c: char) -> bool {
    c.is_whitespace()
}

fn quote(s: &str) -> String {
    let mut out = String::from("\"");
    for c in s.chars() {
        match c {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub fn two(f: &str, s: &str, b: &Value) -> Option<Eval> {
    Some(match (f, b) {
        ("contains", Value::String(t)) => Ok(Value::Bool(s.contains(t.as_ref()))),
        ("startsWith", Value::String(t)) => Ok(Value::Bool(s.starts_with(t.as_ref()))),
        ("endsWith", Value::String(t)) => Ok(Value::Bool(s.ends_with(t.as_ref()))),
        ("find", Value::String(p)) => regexes::find(s, p).map(Value::from),
        ("findAll", Value::String(p)) => regexes::find_all(s, p, -1).map(Value::strings),
        ("indexOf", Value::String(t)) => index_of(s, t, 0),
        ("lastIndexOf", Value::String(t)) => {
            let n = i64::try_from(s.chars().count()).unwrap_or(i64::MAX);
            if t.is_empty() {
                Ok(Value::Int(n))
            } else if s.len() < t.len() {
                Ok(Value::Int(-1))
            } else {
                last_index_of(s, t, n - 1)
            }
        }
        ("charAt", i) => char_at(s, int(i)?),
        ("substring", i) => substring(s, int(i)?, None),
        ("split", Value::String(t)) => Ok(Value::strings(split(s, t, -1))),
        ("format", Value::List(l)) => format::format(s, &l.items),
        _ => return None,
    })
}

pub fn more(f: &str, args: &[Value]) -> Option<Eval> {
    let s = args.first()?.as_str()?;
    Some(match (f, &args[1..]) {
        ("indexOf", [Value::String(t), i]) => index_of(s, t, int(i)?),
        ("lastIndexOf", [Value::String(t), i]) => last_index_of(s, t, int(i)?),
        ("substring", [a, b]) => substring(s, int(a)?, Some(int(b)?)),
        ("replace", [Value::String(a), Value::String(b)]) => replace(s, a, b, -1),
        ("replace", [Value::String(a), Value::String(b), n]) => replace(s, a, b, int(n)?),
        ("split", [Value::String(t), n]) => Ok(Value::strings(split(s, t, int(n)?))),
        ("findAll", [Value::String(p), n]) => regexes::find_all(s, p, int(n)?).map(Value::strings),
        _ => return None,
    })
}

fn char_at(s: &str, i: i64) -> Eval {
    let n = s.chars().count();
    match usize::try_from(i).ok().filter(|i| *i <= n) {
        None => Err(out_of_range(i)),
        Some(i) => Ok(Value::from(s.chars().nth(i).map_or(String::new(), String::from))),
    }
}

fn index_of(s: &str, t: &str, from: i64) -> Eval {
    let off = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let chars: Vec<char> = s.chars().collect();
    let find: Vec<char> = t.chars().collect();
    let at = if find.is_empty() {
        Some(off.min(chars.len()))
    } else if off >= chars.len() {
        None
    } else {
        chars[off..].windows(find.len()).position(|w| w == find).map(|i| i + off)
    };
    Ok(Value::Int(at.map_or(-1, |i| i64::try_from(i).unwrap_or(i64::MAX))))
}

fn last_index_of(s: &str, t: &str, from: i64) -> Eval {
    let off = usize::try_from(from).map_err(|_| out_of_range(from))?;
    let chars: Vec<char> = s.chars().collect();
    let find: Vec<char> = t.chars().collect();
    let at = if find.is_empty() {
        Some(off.min(chars.len()))
    } else if off >= chars.len() {
        None
    } else {
        let end = (off + find.len()).min(chars.len());
        chars[..end].windows(find.len()).rposition(|w| w == find)
    };
    Ok(Value::Int(at.map_or(-1, |i| i64::try_from(i).unwrap_or(i64::MAX))))
}

fn substring(s: &str, from: i64, to: Option<i64>) -> Eval {
    let n = i64::try_from(s.chars().count()).unwrap_or(i64::MAX);
    if let Some(to) = to.filter(|to| from > *to) {
        return Err(EvalError::new(format!("invalid substring range. start: {from}, end: {to}")));
    }
    for i in [Some(from), to].into_iter().flatten() {
        if i < 0 || i > n {
            return Err(out_of_range(i));
        }
    }
    let (skip, take) = (from, to.unwrap_or(n) - from);
    let at = |i: i64| usize::try_from(i).unwrap_or(0);
    Ok(Value::from(s.chars().skip(at(skip)).take(at(take)).collect::<String>()))
}

fn replace(s: &str, a: &str, b: &str, n: i64) -> Eval {
    let times = if n < 0 { usize::MAX } else { usize::try_from(n).unwrap_or(usize::MAX) };
    let hits = s.matches(a).count().min(times);
    if s.len().saturating_add(hits.saturating_mul(b.len())) > MAX_TEXT {
        return Err(EvalError::new("result is too long"));
    }
    Ok(Value::from(s.replacen(a, b, times)))
}

/// As Go's `strings.SplitN`.
fn split(s: &str, sep: &str, n: i64) -> Vec<String> {
    if n == 0 {
        return Vec::new();
    }
    let limit = if n < 0 { usize::MAX } else { usize::try_from(n).unwrap_or(usize::MAX) };
    if !sep.is_empty() {
        return s.splitn(limit, sep).map(str::to_owned).collect();
    }
    let mut out = Vec::new();
    let mut rest = s;
    while let Some(c) = rest.chars().next() {
        if out.len() + 1 == limit {
            break;
        }
        out.push(c.to_string());
        rest = &rest[c.len_utf8()..];
    }
    if !rest.is_empty() {
        out.push(rest.to_owned());
    }
    out
}
