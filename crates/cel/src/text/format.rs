//! `"...".format([...])` (cel-go `ext/formatting.go`).

use crate::eval::{Eval, EvalError};
use crate::value::Key;
use crate::{Value, convert};

/// Digits after the point when none are asked for.
const PRECISION: usize = 6;
/// Digits after the point that may be asked for: more would say nothing.
const MAX_PRECISION: usize = 1000;

pub enum Clause {
    String,
    Decimal,
    Fixed(usize),
    Scientific(usize),
    Binary,
    Hex(bool),
    Octal,
}

impl Clause {
    /// What is said about a value of a type that the clause cannot show.
    pub fn refuses(&self, ty: &str) -> String {
        let what = match self {
            Self::String => {
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps"
            }
            Self::Decimal => "decimal clause can only be used on integers",
            Self::Fixed(_) => "fixed-point clause can only be used on doubles",
            Self::Scientific(_) => "scientific clause can only be used on doubles",
            Self::Binary => "only integers and bools can be formatted as binary",
            Self::Hex(_) => "only integers, byte buffers, and strings can be formatted as hex",
            Self::Octal => "octal clause can only be used on integers",
        };
        format!("{what}, was given {ty}")
    }
}

pub fn format(s: &str, args: &[Value]) -> Eval {
    run(s, args.len(), &mut |i, c| show(&args[i], c)).map(Value::from).map_err(EvalError::new)
}

/// Goes through a format; `arg` shows the argument of a number by a clause.
pub fn run(
    s: &str,
    count: usize,
    arg: &mut dyn FnMut(usize, &Clause) -> Result<String, String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = s.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        if next >= count {
            return Err(format!("index {next} out of range"));
        }
        let bad = |what: String| format!("could not parse formatting clause: {what}");
        let mut precision = None;
        match chars.peek() {
            None => return Err("unexpected end of string".to_owned()),
            Some('.') => {
                chars.next();
                let mut digits = String::new();
                while let Some(d) = chars.peek().filter(|d| d.is_ascii_digit()) {
                    digits.push(*d);
                    chars.next();
                }
                if chars.peek().is_none() {
                    let why = "error while parsing precision: could not find end of precision specifier";
                    return Err(bad(why.to_owned()));
                }
                let n: usize = digits.parse().map_err(|_| {
                    bad(format!(
                        "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing \"{digits}\": invalid syntax"
                    ))
                })?;
                if n > MAX_PRECISION {
                    return Err(bad(format!(
                        "precision {n} exceeds maximum allowed precision {MAX_PRECISION}"
                    )));
                }
                precision = Some(n);
            }
            Some(_) => {}
        }
        let clause = match chars.next() {
            Some('s') => Clause::String,
            Some('d') => Clause::Decimal,
            Some('f') => Clause::Fixed(precision.unwrap_or(PRECISION)),
            Some('e') => Clause::Scientific(precision.unwrap_or(PRECISION)),
            Some('b') => Clause::Binary,
            Some('x') => Clause::Hex(false),
            Some('X') => Clause::Hex(true),
            Some('o') => Clause::Octal,
            Some(c) => return Err(bad(format!("unrecognized formatting clause \"{c}\""))),
            None => return Err("unexpected end of string".to_owned()),
        };
        out.push_str(&arg(next, &clause).map_err(|e| format!("error during formatting: {e}"))?);
        next += 1;
    }
    Ok(out)
}

fn show(v: &Value, c: &Clause) -> Result<String, String> {
    let refused = || c.refuses(v.type_of().name());
    let double = || match v {
        Value::Double(d) => Ok(*d),
        Value::String(s) => match s.as_ref() {
            "NaN" => Ok(f64::NAN),
            "Infinity" => Ok(f64::INFINITY),
            "-Infinity" => Ok(f64::NEG_INFINITY),
            _ => Err(refused()),
        },
        _ => Err(refused()),
    };
    Ok(match (c, v) {
        (Clause::String, v) => string(v, c)?,
        (Clause::Decimal, Value::Int(i)) => i.to_string(),
        (Clause::Decimal, Value::Uint(u)) => u.to_string(),
        (Clause::Binary, Value::Int(i)) => signed(*i, |u| format!("{u:b}")),
        (Clause::Binary, Value::Uint(u)) => format!("{u:b}"),
        (Clause::Binary, Value::Bool(b)) => u8::from(*b).to_string(),
        (Clause::Octal, Value::Int(i)) => signed(*i, |u| format!("{u:o}")),
        (Clause::Octal, Value::Uint(u)) => format!("{u:o}"),
        (Clause::Hex(up), v) => {
            let text = match v {
                Value::Int(i) => signed(*i, |u| format!("{u:x}")),
                Value::Uint(u) => format!("{u:x}"),
                Value::String(s) => s.bytes().map(|b| format!("{b:02x}")).collect(),
                Value::Bytes(s) => s.iter().map(|b| format!("{b:02x}")).collect(),
                _ => return Err(refused()),
            };
            if *up { text.to_uppercase() } else { text }
        }
        (Clause::Fixed(p), _) => {
            let d = double()?;
            if d.is_finite() { grouped(&format!("{d:.p$}")) } else { infinite(d) }
        }
        (Clause::Scientific(p), _) => {
            let d = double()?;
            if !d.is_finite() {
                return Ok(infinite(d));
            }
            // Upstream takes the precision for a width.
            let s = format!("{d:.PRECISION$e}");
            let (m, e) = s.split_once('e').unwrap_or((&s, "0"));
            let e: i32 = e.parse().unwrap_or(0);
            format!("{:>p$}", format!("{m}\u{d7}10{}", superscript(e)))
        }
        _ => return Err(refused()),
    })
}

fn signed(i: i64, f: impl Fn(u64) -> String) -> String {
    let digits = f(i.unsigned_abs());
    if i < 0 { format!("-{digits}") } else { digits }
}

fn infinite(d: f64) -> String {
    if d.is_nan() {
        "NaN".to_owned()
    } else if d > 0.0 {
        "\u{221e}".to_owned()
    } else {
        "-\u{221e}".to_owned()
    }
}

/// Thousands apart, as the American English formatter prints them.
fn grouped(s: &str) -> String {
    let (sign, rest) = match s.strip_prefix('-') {
        Some(r) => ("-", r),
        None => ("", s),
    };
    let (whole, frac) = match rest.split_once('.') {
        Some((w, f)) => (w, format!(".{f}")),
        None => (rest, String::new()),
    };
    let mut out = String::new();
    for (i, c) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    format!("{sign}{out}{frac}")
}

fn superscript(e: i32) -> String {
    format!("{}{:02}", if e < 0 { "-" } else { "" }, e.abs())
        .chars()
        .map(|c| match c {
            '-' => '\u{207b}',
            '1' => '\u{b9}',
            '2' => '\u{b2}',
            '3' => '\u{b3}',
            '0' => '\u{2070}',
            c => char::from_u32(0x2070 + c.to_digit(10).unwrap_or(0)).unwrap_or(c),
        })
        .collect()
}

fn string(v: &Value, c: &Clause) -> Result<String, String> {
    Ok(match v {
        Value::List(l) => {
            let all: Result<Vec<_>, _> = l.items.iter().map(|x| part(x, c)).collect();
            format!("[{}]", all?.join(", "))
        }
        Value::Map(m) if m.object.is_none() => {
            let mut all = Vec::new();
            for (k, v) in &m.entries {
                let k = match k {
                    Key::String(s) => meta::field::quote(s),
                    k => k.value().show(),
                };
                all.push((k, part(v, c)?));
            }
            all.sort_by(|a, b| a.0.cmp(&b.0));
            let all: Vec<String> = all.into_iter().map(|(k, v)| format!("{k}:{v}")).collect();
            format!("{{{}}}", all.join(", "))
        }
        Value::Optional(_) | Value::Opaque(_) | Value::Map(_) => return Err(c.refuses(v.type_of().name())),
        Value::Bytes(b) => {
            std::str::from_utf8(b).map_err(|_| "could not convert argument to string".to_owned())?.to_owned()
        }
        v => v.show(),
    })
}

/// A value within a list or map, as a literal.
fn part(v: &Value, c: &Clause) -> Result<String, String> {
    Ok(match v {
        Value::String(s) => meta::field::quote(s),
        Value::Bytes(_) => format!("b{}", meta::field::quote(&string(v, c)?)),
        Value::Timestamp(_) => format!("timestamp({})", meta::field::quote(&v.show())),
        Value::Duration(_) => format!("duration({})", meta::field::quote(&v.show())),
        Value::Double(d) if d.is_finite() => format!("{d:.PRECISION$}"),
        Value::Double(d) => format!("\"{}\"", convert::double_text(*d)),
        Value::Optional(_) | Value::Opaque(_) => {
            return Err(format!("no formatting function for {}", v.type_of().name()));
        }
        v => string(v, c)?,
    })
}
