//! JSON text as Go's encoder writes it: keys sorted, `<`, `>` and `&` escaped, floats in Go's format.

use crate::Value;
use serde_json::Number;

/// A value as compact JSON.
pub fn to_vec(v: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_value(v, &mut out);
    out
}
/// A value as compact JSON.
pub fn to_string(v: &Value) -> String {
    String::from_utf8(to_vec(v)).unwrap_or_default()
}
/// Appends a value.
pub fn write_value(v: &Value, out: &mut Vec<u8>) {
    value(v, true, out);
}
/// Appends a value without escaping HTML: the text that is stored for raw parts.
pub(crate) fn write_raw(v: &Value, out: &mut Vec<u8>) {
    value(v, false, out);
}

fn value(v: &Value, html: bool, out: &mut Vec<u8>) {
    match v {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(n) => number(n, out),
        Value::String(s) => string_as(s, html, out),
        Value::Array(a) => {
            out.push(b'[');
            for (i, x) in a.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                value(x, html, out);
            }
            out.push(b']');
        }
        Value::Object(m) => {
            out.push(b'{');
            for (i, (k, x)) in m.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                string_as(k, html, out);
                out.push(b':');
                value(x, html, out);
            }
            out.push(b'}');
        }
    }
}

/// Compact JSON spread over lines, as Go's `json.Indent` does with an empty prefix.
pub fn indent(compact: &[u8], step: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        (0..depth).for_each(|_| out.extend_from_slice(step.as_bytes()));
    };
    let mut bytes = compact.iter().copied().peekable();
    while let Some(c) = bytes.next() {
        if in_string {
            out.push(c);
            in_string = escaped || c != b'"';
            escaped = !escaped && c == b'\\';
            continue;
        }
        match c {
            b'{' | b'[' => {
                out.push(c);
                if let Some(close) = bytes.next_if(|n| matches!(n, b'}' | b']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            b',' => {
                out.push(c);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

pub fn number(n: &Number, out: &mut Vec<u8>) {
    if let Some(i) = n.as_i64() {
        int(i, out);
    } else if let Some(u) = n.as_u64() {
        out.extend_from_slice(itoa::Buffer::new().format(u).as_bytes());
    } else {
        float(n.as_f64().unwrap_or(0.0), out);
    }
}
#[inline]
pub fn int(i: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(i).as_bytes());
}
/// A float as Go's `encoding/json` prints it: shortest digits, an exponent below 1e-6 and from 1e21 on.
pub fn float(f: f64, out: &mut Vec<u8>) {
    let abs = f.abs();
    if abs != 0.0 && !(1e-6..1e21).contains(&abs) {
        let s = format!("{f:e}");
        let (mantissa, exp) = s.split_once('e').unwrap_or((&s, "0"));
        out.extend_from_slice(mantissa.as_bytes());
        out.push(b'e');
        // Go writes `e-09` as `e-9` and keeps `e+21`.
        if !exp.starts_with('-') {
            out.push(b'+');
        }
        out.extend_from_slice(exp.as_bytes());
    } else {
        out.extend_from_slice(format!("{f}").as_bytes());
    }
}
/// A float as a JSON number: an integer where it is a whole one that fits; `None` when it is not finite.
pub fn to_number(f: f64) -> Option<Number> {
    if f.fract() == 0.0 && f.abs() < 9.2e18 { Some((f as i64).into()) } else { Number::from_f64(f) }
}

/// What a byte needs in a string: 0 nothing, 1 an escape, 2 an escape where HTML is escaped, 3 a look at what follows
/// (the line separators U+2028 and U+2029).
static CLASS: [u8; 256] = {
    let mut t = [0u8; 256];
    let mut i = 0;
    while i < 0x20 {
        t[i] = 1;
        i += 1;
    }
    t[b'"' as usize] = 1;
    t[b'\\' as usize] = 1;
    t[b'<' as usize] = 2;
    t[b'>' as usize] = 2;
    t[b'&' as usize] = 2;
    t[0xe2] = 3;
    t
};

/// Appends a quoted string.
#[inline]
pub fn string(s: &str, out: &mut Vec<u8>) {
    string_as(s, true, out);
}
fn string_as(s: &str, html: bool, out: &mut Vec<u8>) {
    let b = s.as_bytes();
    out.push(b'"');
    let mut start = 0;
    for (i, c) in b.iter().enumerate() {
        let class = CLASS[usize::from(*c)];
        if class == 0 || (class == 2 && !html) {
            continue;
        }
        if class == 3 && !(b[i + 1] == 0x80 && b[i + 2] & 0xfe == 0xa8) {
            continue;
        }
        out.extend_from_slice(&b[start..i]);
        start = i + 1;
        match c {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0xe2 => {
                out.extend_from_slice(if b[i + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = i + 3;
            }
            c => unicode(*c, out),
        }
    }
    out.extend_from_slice(&b[start..]);
    out.push(b'"');
}
fn unicode(c: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.push(HEX[usize::from(c >> 4)]);
    out.push(HEX[usize::from(c & 15)]);
}
/// Appends a literal of JSON text with what HTML needs escaped.
pub(super) fn escape_html(b: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for (i, c) in b.iter().enumerate() {
        match CLASS[usize::from(*c)] {
            2 => {
                out.extend_from_slice(&b[start..i]);
                unicode(*c, out);
                start = i + 1;
            }
            3 if b.len() > i + 2 && b[i + 1] == 0x80 && b[i + 2] & 0xfe == 0xa8 => {
                out.extend_from_slice(&b[start..i]);
                out.extend_from_slice(if b[i + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = i + 3;
            }
            _ => {}
        }
    }
    out.extend_from_slice(&b[start..]);
}
