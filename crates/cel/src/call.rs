//! Calls: from a function's name to the code that does it.

use crate::eval::{Eval, EvalError, list_index};
use crate::value::{Key, Map, Opaque};
use crate::{Value, authorizer, convert, formats, lists, math, net, regexes, semver, text, time, url};
use std::cmp::Ordering;
use std::sync::Arc;

/// Calls a function with the target, if any, as first argument.
pub fn call(f: &str, mut args: Vec<Value>) -> Eval {
    if f == "_+_" && args.len() == 2 {
        let b = args.pop().unwrap_or(Value::Null);
        let a = args.pop().unwrap_or(Value::Null);
        return math::plus(a, b);
    }
    if f == "cel.@mapInsert" {
        return map_insert(args);
    }
    match args.as_slice() {
        [] => zero(f),
        [a] => one(f, a),
        [a, b] => two(f, a, b),
        _ => text::more(f, &args)
            .or_else(|| lists::more(f, &args))
            .or_else(|| authorizer::more(f, &args))
            .unwrap_or_else(none),
    }
}

fn none<T>() -> Eval<T> {
    Err(EvalError::no_overload())
}

fn zero(f: &str) -> Eval {
    if f == "optional.none" {
        return Ok(Value::NONE);
    }
    match f.strip_prefix("format.").and_then(formats::named) {
        Some(x) => Ok(Opaque::Format(x).into()),
        None => none(),
    }
}

fn one(f: &str, a: &Value) -> Eval {
    match f {
        "!_" => a.as_bool().map_or_else(none, |b| Ok(Value::Bool(!b))),
        "-_" => math::negate(a),
        "size" => match a {
            Value::Opaque(_) => none(),
            a => a.size().map_or_else(none, |n| Ok(Value::Int(i64::try_from(n).unwrap_or(i64::MAX)))),
        },
        "type" => Ok(Value::Type(a.type_of())),
        "dyn" => Ok(a.clone()),
        "bool" | "bytes" | "double" | "duration" | "int" | "string" | "timestamp" | "uint" => {
            convert::to(f, a)
        }
        "optional.of" => Ok(Value::some(a.clone())),
        "optional.ofNonZeroValue" => Ok(if a.is_zero() { Value::NONE } else { Value::some(a.clone()) }),
        "value" => match a {
            Value::Optional(Some(v)) => Ok(v.as_ref().clone()),
            Value::Optional(None) => Err(EvalError::new("optional.none() dereference")),
            _ => none(),
        },
        "hasValue" => match a {
            Value::Optional(o) => Ok(Value::Bool(o.is_some())),
            _ => none(),
        },
        _ if f.starts_with("get") => part(f, a, None),
        _ => match a {
            Value::String(s) => text::one(f, s)
                .or_else(|| net::parse(f, s))
                .or_else(|| url::parse_call(f, s))
                .or_else(|| semver::parse_call(f, s, false))
                .or_else(|| quantity_call(f, s))
                .or_else(|| {
                    (f == "format.named").then(|| {
                        Ok(formats::named(s).map_or(Value::NONE, |x| Value::some(Opaque::Format(x).into())))
                    })
                }),
            Value::List(l) => lists::one(f, l),
            Value::Int(n) if f == "lists.range" => Some(lists::range(*n)),
            Value::Opaque(o) => opaque(f, o),
            _ => None,
        }
        .unwrap_or_else(none),
    }
}

fn part(f: &str, a: &Value, zone: Option<&str>) -> Eval {
    match a {
        Value::Timestamp(t) => time::part(*t, f, zone).map(Value::Int).map_err(EvalError::new),
        Value::Duration(d) if zone.is_none() => Ok(Value::Int(time::duration_part(*d, f))),
        Value::Opaque(o) if zone.is_none() => match o.as_ref() {
            Opaque::Url(u) => u.part(f).map_or_else(none, Ok),
            _ => none(),
        },
        _ => none(),
    }
}

fn opaque(f: &str, o: &Opaque) -> Option<Eval> {
    match o {
        Opaque::Ip(ip) => net::of_ip(f, ip),
        Opaque::Cidr(c) => net::of_cidr(f, c),
        Opaque::Quantity(q) => Some(Ok(match f {
            "sign" => Value::Int(i64::try_from(q.nanos.signum()).unwrap_or(0)),
            "asApproximateFloat" => Value::Double(q.as_f64()),
            "isInteger" => Value::Bool(as_integer(q).is_some()),
            "asInteger" => match as_integer(q) {
                Some(v) => Value::Int(v),
                None => return Some(Err(EvalError::new("cannot convert value to integer"))),
            },
            _ => return None,
        })),
        Opaque::Semver(v) => v.part(f).map(|n| Ok(Value::Int(n))),
        Opaque::Decision(d) => d.part(f).map(Ok),
        _ => None,
    }
}

fn as_integer(q: &meta::quantity::Quantity) -> Option<i64> {
    if q.is_whole() { i64::try_from(q.nanos / 1_000_000_000).ok() } else { None }
}

fn quantity_call(f: &str, s: &str) -> Option<Eval> {
    let q = || meta::quantity::Quantity::parse(s);
    match f {
        "quantity" => Some(q().map(|q| Opaque::Quantity(q).into()).map_err(EvalError::new)),
        "isQuantity" => Some(Ok(Value::Bool(q().is_ok()))),
        _ => None,
    }
}

fn two(f: &str, a: &Value, b: &Value) -> Eval {
    match f {
        "_==_" => return Ok(Value::Bool(a == b)),
        "_!=_" => return Ok(Value::Bool(a != b)),
        "_-_" | "_*_" | "_/_" | "_%_" => return math::arithmetic(f, a, b),
        "_<_" | "_<=_" | "_>_" | "_>=_" => {
            let o = match a.compare(b) {
                Some(Ok(o)) => o,
                Some(Err(())) => return Err(EvalError::new("NaN values cannot be ordered")),
                None => return none(),
            };
            return Ok(Value::Bool(match f {
                "_<_" => o == Ordering::Less,
                "_<=_" => o != Ordering::Greater,
                "_>_" => o == Ordering::Greater,
                _ => o != Ordering::Less,
            }));
        }
        "@in" => {
            return match b {
                Value::List(l) => Ok(Value::Bool(l.items.contains(a))),
                Value::Map(m) => Ok(Value::Bool(m.get(a).is_some())),
                _ => none(),
            };
        }
        "includes" => {
            return Ok(Value::Bool(match a {
                Value::List(l) => l.items.contains(b),
                a => a == b,
            }));
        }
        "matches" => {
            let (Some(s), Some(p)) = (a.as_str(), b.as_str()) else { return none() };
            return regexes::matches(s, p).map(Value::Bool);
        }
        _ => {}
    }
    if let (true, Some(zone)) = (f.starts_with("get"), b.as_str()) {
        return part(f, a, Some(zone));
    }
    let out = match (a, b) {
        (Value::String(s), Value::Bool(normalize)) => semver::parse_call(f, s, *normalize),
        (Value::String(s), b) => text::two(f, s, b),
        (Value::List(l), b) => lists::two(f, l, b),
        (Value::Opaque(o), b) => opaque_two(f, o, b),
        _ => None,
    };
    out.unwrap_or_else(none)
}

fn ordered(f: &str, o: Ordering) -> Option<Eval> {
    Some(Ok(match f {
        "isGreaterThan" => Value::Bool(o == Ordering::Greater),
        "isLessThan" => Value::Bool(o == Ordering::Less),
        "compareTo" => Value::Int(o as i64),
        _ => return None,
    }))
}

fn opaque_two(f: &str, o: &Opaque, b: &Value) -> Option<Eval> {
    let other = match b {
        Value::Opaque(o) => Some(o.as_ref()),
        _ => None,
    };
    match (o, other) {
        (Opaque::Quantity(x), Some(Opaque::Quantity(y))) => ordered(f, x.cmp(y)).or_else(|| {
            Some(Ok(Opaque::Quantity(match f {
                "add" => x.plus(y),
                "sub" => x.minus(y),
                _ => return None,
            })
            .into()))
        }),
        (Opaque::Quantity(x), None) => {
            let Value::Int(n) = b else { return None };
            let y = meta::quantity::Quantity::from_units(*n, meta::quantity::Format::DecimalExponent);
            Some(Ok(Opaque::Quantity(match f {
                "add" => x.plus(&y),
                "sub" => x.minus(&y),
                _ => return None,
            })
            .into()))
        }
        (Opaque::Semver(x), Some(Opaque::Semver(y))) => ordered(f, x.cmp(y)),
        (Opaque::Cidr(c), _) => net::contains(f, c, b),
        (Opaque::Format(x), None) if f == "validate" => {
            let s = b.as_str()?;
            let bad = (x.check)(s);
            Some(Ok(if bad.is_empty() { Value::NONE } else { Value::some(Value::strings(bad)) }))
        }
        (Opaque::Authorizer(_) | Opaque::Check(_), None) => authorizer::two(f, o, b.as_str()?),
        _ => None,
    }
}

fn map_insert(mut args: Vec<Value>) -> Eval {
    let insert = |m: &mut Map, k: &Value, v: Value| -> Eval<()> {
        if m.get(k).is_some() {
            return Err(EvalError::new(format!("insert failed: key {} already exists", k.show())));
        }
        let k = Key::of(k).ok_or_else(EvalError::no_overload)?;
        m.entries.insert(k, v);
        Ok(())
    };
    let (last, second) = (args.pop(), if args.len() == 2 { args.pop() } else { None });
    let (Some(Value::Map(mut m)), Some(last)) = (args.pop(), last) else { return none() };
    let into = Arc::make_mut(&mut m);
    match (second, last) {
        (Some(k), v) => insert(into, &k, v)?,
        (None, Value::Map(more)) => {
            for (k, v) in &more.entries {
                insert(into, &k.value(), v.clone())?;
            }
        }
        _ => return none(),
    }
    Ok(Value::Map(m))
}

/// An argument that is a whole number.
pub fn int(v: &Value) -> Option<i64> {
    list_index(v).and_then(|i| i64::try_from(i).ok())
}
