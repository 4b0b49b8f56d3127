//! Conversions between types, and the texts of numbers.

use crate::eval::{Eval, EvalError};
use crate::value::{Opaque, Time};
use crate::{Value, time};

const TWO_63: f64 = 9_223_372_036_854_775_808.0;
const TWO_64: f64 = 18_446_744_073_709_551_616.0;

/// `bool(v)`, `int(v)` and so on.
pub fn to(f: &str, v: &Value) -> Eval {
    let overflow = |what: &str| EvalError::new(what);
    let refused = || {
        let to = match f {
            "duration" => "google.protobuf.Duration",
            "timestamp" => "google.protobuf.Timestamp",
            f => f,
        };
        EvalError::new(format!("type conversion error from '{}' to '{to}'", v.type_of().name()))
    };
    match (f, v) {
        ("int", Value::Int(_))
        | ("uint", Value::Uint(_))
        | ("double", Value::Double(_))
        | ("bool", Value::Bool(_))
        | ("string", Value::String(_))
        | ("bytes", Value::Bytes(_))
        | ("duration", Value::Duration(_))
        | ("timestamp", Value::Timestamp(_)) => Ok(v.clone()),
        ("int", Value::Uint(u)) => {
            i64::try_from(*u).map(Value::Int).map_err(|_| overflow("integer overflow"))
        }
        ("int", Value::Double(d)) => {
            if d.is_nan() || d.is_infinite() || *d <= -TWO_63 || *d >= TWO_63 {
                return Err(overflow("integer overflow"));
            }
            #[allow(clippy::cast_possible_truncation)]
            Ok(Value::Int(*d as i64))
        }
        ("int", Value::String(s)) => {
            go_integer(s).and_then(|s| s.parse().ok()).map(Value::Int).ok_or_else(refused)
        }
        ("int", Value::Timestamp(t)) => Ok(Value::Int(t.secs)),
        ("int", Value::Duration(d)) => Ok(Value::Int(*d)),
        ("uint", Value::Int(i)) => {
            u64::try_from(*i).map(Value::Uint).map_err(|_| overflow("unsigned integer overflow"))
        }
        ("uint", Value::Double(d)) => {
            if d.is_nan() || d.is_infinite() || *d < 0.0 || *d >= TWO_64 {
                return Err(overflow("unsigned integer overflow"));
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Ok(Value::Uint(*d as u64))
        }
        ("uint", Value::String(s)) => {
            let s = Some(s).filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()));
            s.and_then(|s| s.parse().ok()).map(Value::Uint).ok_or_else(refused)
        }
        #[allow(clippy::cast_precision_loss)]
        ("double", Value::Int(i)) => Ok(Value::Double(*i as f64)),
        #[allow(clippy::cast_precision_loss)]
        ("double", Value::Uint(u)) => Ok(Value::Double(*u as f64)),
        ("double", Value::String(s)) => go_double(s).map(Value::Double).ok_or_else(refused),
        ("bool", Value::String(s)) => match s.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(refused()),
        },
        ("bytes", Value::String(s)) => Ok(Value::Bytes(s.as_bytes().into())),
        ("duration", Value::String(s)) => time::parse_duration(s).map(Value::Duration).map_err(|_| refused()),
        ("timestamp", Value::String(s)) => {
            let t = time::parse_timestamp(s).ok_or_else(refused)?;
            in_range(t)
        }
        ("timestamp", Value::Int(i)) => in_range(Time { secs: *i, nanos: 0 }),
        ("string", Value::Bytes(b)) => match std::str::from_utf8(b) {
            Ok(s) => Ok(Value::from(s)),
            Err(_) => Err(EvalError::new("invalid UTF-8 in bytes, cannot convert to string")),
        },
        ("string", Value::Opaque(o)) => match o.as_ref() {
            Opaque::Ip(ip) => Ok(Value::from(ip.to_string())),
            Opaque::Cidr(c) => Ok(Value::from(c.to_string())),
            _ => Err(EvalError::no_overload()),
        },
        (
            "string",
            Value::Int(_)
            | Value::Uint(_)
            | Value::Double(_)
            | Value::Bool(_)
            | Value::Duration(_)
            | Value::Timestamp(_)
            | Value::Type(_),
        ) => Ok(Value::from(v.show())),
        _ => Err(EvalError::no_overload()),
    }
}

fn in_range(t: Time) -> Eval {
    if time::in_range(t) { Ok(Value::Timestamp(t)) } else { Err(EvalError::new("timestamp overflow")) }
}

/// Go's integers: an optional sign and digits.
fn go_integer(s: &str) -> Option<&str> {
    let digits = s.strip_prefix(['+', '-']).unwrap_or(s);
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(s)
}

fn go_double(s: &str) -> Option<f64> {
    let low = s.to_ascii_lowercase();
    let bare = low.strip_prefix(['+', '-']).unwrap_or(&low);
    match bare {
        "inf" | "infinity" => {
            return Some(if low.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        "nan" => return Some(f64::NAN),
        _ => {}
    }
    let v: f64 = low.parse().ok()?;
    v.is_finite().then_some(v)
}

/// Shortest digits and the exponent of the first: `d.ddd × 10^e`.
fn digits(d: f64) -> (bool, String, i32) {
    let s = format!("{:e}", d.abs());
    let (m, e) = s.split_once('e').unwrap_or((&s, "0"));
    (d.is_sign_negative(), m.replace('.', ""), e.parse().unwrap_or(0))
}

fn special(d: f64) -> Option<&'static str> {
    if d.is_nan() {
        Some("NaN")
    } else if d.is_infinite() {
        Some(if d > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// As Go's `%g`.
pub fn double_text(d: f64) -> String {
    if let Some(s) = special(d) {
        return s.to_owned();
    }
    let (negative, ds, e) = digits(d);
    if (-4..6).contains(&e) {
        return plain_double(d);
    }
    let mut out = String::from(if negative { "-" } else { "" });
    out.push_str(&ds[..1]);
    if ds.len() > 1 {
        out.push('.');
        out.push_str(&ds[1..]);
    }
    out.push_str(&format!("e{}{:02}", if e < 0 { '-' } else { '+' }, e.abs()));
    out
}

/// As Go's `%f` with as few digits as tell the number.
pub fn plain_double(d: f64) -> String {
    if let Some(s) = special(d) {
        return s.to_owned();
    }
    format!("{d}")
}
