//! Arithmetic: nothing wraps around (cel-go `common/types/overflow.go`).

use crate::eval::{Eval, EvalError};
use crate::value::Time;
use crate::{Value, time};

fn none<T>() -> Eval<T> {
    Err(EvalError::no_overload())
}

fn or<T>(v: Option<T>, f: impl Fn(T) -> Value, what: &str) -> Eval {
    v.map(f).ok_or_else(|| EvalError::new(what))
}

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";
const DURATION: &str = "duration overflow";
const TIMESTAMP: &str = "timestamp overflow";

pub fn plus(a: Value, b: Value) -> Eval {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => or(a.checked_add(b), Value::Int, INT),
        (Value::Uint(a), Value::Uint(b)) => or(a.checked_add(b), Value::Uint, UINT),
        (Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Value::String(a), Value::String(b)) => Ok(Value::from(format!("{a}{b}"))),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([a.as_ref(), b.as_ref()].concat().into())),
        (Value::List(a), Value::List(b)) => Ok(Value::List(a.plus(&b))),
        (Value::Duration(a), Value::Duration(b)) => or(a.checked_add(b), Value::Duration, DURATION),
        (Value::Duration(d), Value::Timestamp(t)) | (Value::Timestamp(t), Value::Duration(d)) => {
            shifted(t, i128::from(d))
        }
        _ => none(),
    }
}

fn shifted(t: Time, by: i128) -> Eval {
    or(time::plus(t, by), Value::Timestamp, TIMESTAMP)
}

pub fn negate(a: &Value) -> Eval {
    match a {
        Value::Int(a) => or(a.checked_neg(), Value::Int, INT),
        Value::Double(a) => Ok(Value::Double(-a)),
        Value::Duration(a) => or(a.checked_neg(), Value::Duration, DURATION),
        _ => none(),
    }
}

pub fn arithmetic(f: &str, a: &Value, b: &Value) -> Eval {
    let zero = |what: &str| Err(EvalError::new(what));
    match (f, a, b) {
        ("_-_", Value::Int(a), Value::Int(b)) => or(a.checked_sub(*b), Value::Int, INT),
        ("_-_", Value::Uint(a), Value::Uint(b)) => or(a.checked_sub(*b), Value::Uint, UINT),
        ("_-_", Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        ("_-_", Value::Duration(a), Value::Duration(b)) => or(a.checked_sub(*b), Value::Duration, DURATION),
        ("_-_", Value::Timestamp(a), Value::Timestamp(b)) => {
            or(time::minus(*a, *b), Value::Duration, DURATION)
        }
        ("_-_", Value::Timestamp(t), Value::Duration(d)) => shifted(*t, -i128::from(*d)),
        ("_*_", Value::Int(a), Value::Int(b)) => or(a.checked_mul(*b), Value::Int, INT),
        ("_*_", Value::Uint(a), Value::Uint(b)) => or(a.checked_mul(*b), Value::Uint, UINT),
        ("_*_", Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        ("_/_", Value::Int(_), Value::Int(0)) | ("_/_", Value::Uint(_), Value::Uint(0)) => {
            zero("division by zero")
        }
        ("_/_", Value::Int(a), Value::Int(b)) => or(a.checked_div(*b), Value::Int, INT),
        ("_/_", Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(a / b)),
        ("_/_", Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        ("_%_", Value::Int(_), Value::Int(0)) | ("_%_", Value::Uint(_), Value::Uint(0)) => {
            zero("modulus by zero")
        }
        ("_%_", Value::Int(a), Value::Int(b)) => or(a.checked_rem(*b), Value::Int, INT),
        ("_%_", Value::Uint(a), Value::Uint(b)) => Ok(Value::Uint(a % b)),
        _ => none(),
    }
}
