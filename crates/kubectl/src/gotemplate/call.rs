//! The functions of templates: Go's built-in ones, and kubectl's own.

use super::{shown, truth};
use crate::print::go;
use serde_json::Value;

pub(super) fn call(f: &str, a: &[Value]) -> Result<Value, String> {
    let arg = |i: usize| a.get(i).ok_or(format!("wrong number of args for {f}: want more, got {}", a.len()));
    let text = |i: usize| arg(i).map(|v| v.as_str().map_or_else(|| go(v), str::to_owned));
    let order = |x: &Value, y: &Value| match (x, y) {
        (Value::Number(x), Value::Number(y)) => x.as_f64().partial_cmp(&y.as_f64()),
        (Value::String(x), Value::String(y)) => Some(x.cmp(y)),
        _ => None,
    };
    let compared = |ok: fn(std::cmp::Ordering) -> bool| -> Result<Value, String> {
        let o = order(arg(0)?, arg(1)?).ok_or("incompatible types for comparison")?;
        Ok(ok(o).into())
    };
    let same = |x: &Value, y: &Value| x == y || (x.is_number() && y.is_number() && x.as_f64() == y.as_f64());
    Ok(match f {
        "not" => (!truth(arg(0)?)).into(),
        "eq" => a.iter().skip(1).any(|v| same(&a[0], v)).into(),
        "ne" => (!same(arg(0)?, arg(1)?)).into(),
        "lt" => compared(std::cmp::Ordering::is_lt)?,
        "le" => compared(std::cmp::Ordering::is_le)?,
        "gt" => compared(std::cmp::Ordering::is_gt)?,
        "ge" => compared(std::cmp::Ordering::is_ge)?,
        "len" => match arg(0)? {
            Value::Array(l) => l.len().into(),
            Value::Object(o) => o.len().into(),
            Value::String(s) => s.len().into(),
            v => return Err(format!("error calling len: len of type {}", go(v))),
        },
        "index" => {
            let mut v = arg(0)?.clone();
            for i in &a[1..] {
                v = match (&v, i) {
                    (Value::Array(l), i) => {
                        let n = i.as_u64().and_then(|n| usize::try_from(n).ok());
                        let hit = n.and_then(|n| l.get(n));
                        hit.ok_or(format!("error calling index: index out of range: {}", go(i)))?.clone()
                    }
                    (v, Value::String(k)) => v[k].clone(),
                    (Value::Null, _) => return Err("error calling index: index of untyped nil".into()),
                    _ => return Err("error calling index: cannot index".into()),
                };
            }
            v
        }
        "slice" => {
            let n = |i: usize| a.get(i).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
            match arg(0)? {
                Value::String(s) => s
                    .get(n(1).unwrap_or(0)..n(2).unwrap_or(s.len()))
                    .ok_or("error calling slice: index out of range")?
                    .into(),
                Value::Array(l) => l
                    .get(n(1).unwrap_or(0)..n(2).unwrap_or(l.len()))
                    .ok_or("error calling slice: index out of range")?
                    .into(),
                v => return Err(format!("error calling slice: can't slice {}", go(v))),
            }
        }
        "print" => a.iter().map(shown).collect::<String>().into(),
        "println" => format!("{}\n", a.iter().map(shown).collect::<Vec<_>>().join(" ")).into(),
        "printf" => printf(&text(0)?, &a[1..]).into(),
        "html" => {
            let s = text(0)?;
            s.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&#34;")
                .replace('\'', "&#39;")
                .into()
        }
        "js" => text(0)?
            .replace('\\', "\\\\")
            .replace('\'', "\\'")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
            .into(),
        "urlquery" => client::url::escape_query(&text(0)?).into(),
        "base64decode" => {
            let b = client::config::kubeconfig::base64_data(&text(0)?)
                .map_err(|e| format!("error calling base64decode: {e}"))?;
            String::from_utf8_lossy(&b).into_owned().into()
        }
        "exists" => {
            let hit = a.iter().skip(1).try_fold(arg(0)?, |v, k| match k {
                Value::String(k) => v.get(k),
                k => v.get(usize::try_from(k.as_u64()?).ok()?),
            });
            hit.is_some().into()
        }
        _ => return Err(format!("function {f:?} not defined")),
    })
}

/// Go's `Printf` with the verbs that people use.
fn printf(form: &str, args: &[Value]) -> String {
    let (mut out, mut it, mut n) = (String::new(), form.chars().peekable(), 0);
    while let Some(c) = it.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = String::new();
        while let Some(d) =
            it.peek().filter(|d| d.is_ascii_digit() || matches!(d, '-' | '.' | '+' | '0' | '#' | ' '))
        {
            spec.push(*d);
            it.next();
        }
        let verb = it.next().unwrap_or('%');
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(v) = args.get(n) else {
            out.push_str(&format!("%!{verb}(MISSING)"));
            continue;
        };
        n += 1;
        let (width, precision) = spec.split_once('.').unwrap_or((&spec, ""));
        let s = match verb {
            'd' if v.is_i64() || v.is_u64() => v.to_string(),
            'f' => format!("{:.*}", precision.parse().unwrap_or(6), v.as_f64().unwrap_or_default()),
            'q' => format!("{:?}", go(v)),
            'x' if v.is_u64() => format!("{:x}", v.as_u64().unwrap_or_default()),
            'T' => match v {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Number(_) => "float64",
                Value::Array(_) => "[]interface {}",
                Value::Object(_) => "map[string]interface {}",
                Value::Null => "<nil>",
            }
            .into(),
            's' | 'v' | 't' => go(v),
            verb => format!("%!{verb}({})", go(v)),
        };
        let size: usize = width.trim_start_matches(['-', '+', '0', '#', ' ']).parse().unwrap_or(0);
        let pad = " ".repeat(size.saturating_sub(s.chars().count()));
        match (width.starts_with('-'), width.starts_with('0')) {
            (true, _) => out.push_str(&format!("{s}{pad}")),
            (_, true) => out.push_str(&format!("{}{s}", pad.replace(' ', "0"))),
            _ => out.push_str(&format!("{pad}{s}")),
        }
    }
    out
}
