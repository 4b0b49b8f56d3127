//! Functions of lists (cel-go `ext/lists.go` version 3, `ext/sets.go`; apiserver `pkg/cel/library/lists.go`).

use crate::call::int;
use crate::eval::{Eval, EvalError};
use crate::value::List;
use crate::{Value, math};
use std::cmp::Ordering;

/// The longest list that `lists.range` makes.
const MAX_RANGE: i64 = 10_000_000;
/// Levels that `flatten` goes down.
const MAX_FLAT: i64 = 1000;

fn none<T>() -> Eval<T> {
    Err(EvalError::no_overload())
}

pub fn range(n: i64) -> Eval {
    if n < 0 {
        return Err(EvalError::new(format!("lists.range: size must be non-negative, got {n}")));
    }
    if n > MAX_RANGE {
        let why = format!("lists.range: size {n} exceeds maximum allowed ({MAX_RANGE})");
        return Err(EvalError::new(why));
    }
    Ok((0..n).map(Value::Int).collect::<Vec<_>>().into())
}

pub fn one(f: &str, l: &List) -> Option<Eval> {
    let items = &l.items;
    Some(match f {
        "first" | "last" => {
            let x = if f == "first" { items.first() } else { items.last() };
            Ok(x.cloned().map_or(Value::NONE, Value::some))
        }
        "optional.unwrap" | "unwrapOpt" => items
            .iter()
            .filter_map(|x| match x {
                Value::Optional(None) => None,
                Value::Optional(Some(v)) => Some(Ok(v.as_ref().clone())),
                x => Some(Err(EvalError::new(format!("value {} is not optional", x.show())))),
            })
            .collect::<Eval<Vec<_>>>()
            .map(Value::from),
        "join" => join(items, ""),
        "flatten" => flatten(items, 1),
        "sort" => sort_by(items, items),
        "reverse" => Ok(items.iter().rev().cloned().collect::<Vec<_>>().into()),
        "distinct" => {
            let mut out: Vec<Value> = Vec::new();
            for x in items {
                if !out.contains(x) {
                    out.push(x.clone());
                }
            }
            Ok(out.into())
        }
        "isSorted" => is_sorted(items),
        "sum" => sum(items),
        "min" | "max" => best(f, items),
        _ => return None,
    })
}

pub fn two(f: &str, l: &List, b: &Value) -> Option<Eval> {
    let items = &l.items;
    let place = |i: Option<usize>| Ok(Value::Int(i.map_or(-1, |i| i64::try_from(i).unwrap_or(i64::MAX))));
    Some(match (f, b) {
        ("join", Value::String(s)) => join(items, s),
        ("flatten", n) => flatten(items, int(n)?),
        ("@sortByAssociatedKeys", Value::List(keys)) => sort_by(items, &keys.items),
        ("indexOf", x) => place(items.iter().position(|y| y == x)),
        ("lastIndexOf", x) => place(items.iter().rposition(|y| y == x)),
        ("sets.contains", Value::List(o)) => Ok(Value::Bool(covers(items, &o.items))),
        ("sets.equivalent", Value::List(o)) => {
            Ok(Value::Bool(covers(items, &o.items) && covers(&o.items, items)))
        }
        ("sets.intersects", Value::List(o)) => Ok(Value::Bool(items.iter().any(|x| o.items.contains(x)))),
        _ => return None,
    })
}

pub fn more(f: &str, args: &[Value]) -> Option<Eval> {
    let ("slice", [Value::List(l), from, to]) = (f, args) else { return None };
    Some(slice(&l.items, int(from)?, int(to)?))
}

fn covers(a: &[Value], b: &[Value]) -> bool {
    b.iter().all(|x| a.contains(x))
}

fn slice(items: &[Value], from: i64, to: i64) -> Eval {
    let fail = |why: &str| Err(EvalError::new(format!("cannot slice({from}, {to}), {why}")));
    if from < 0 || to < 0 {
        return fail("negative indexes not supported");
    }
    if from > to {
        return fail("start index must be less than or equal to end index");
    }
    let at = |i: i64| usize::try_from(i).unwrap_or(usize::MAX);
    match items.get(at(from)..at(to)) {
        Some(part) => Ok(part.to_vec().into()),
        None => fail(&format!("list is length {}", items.len())),
    }
}

fn join(items: &[Value], sep: &str) -> Eval {
    let mut out = String::new();
    for (i, x) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(sep);
        }
        match x {
            Value::String(s) => out.push_str(s),
            x => return Err(EvalError::new(format!("join: invalid input: {}", x.show()))),
        }
    }
    Ok(out.into())
}

fn flatten(items: &[Value], depth: i64) -> Eval {
    fn into(items: &[Value], depth: i64, out: &mut Vec<Value>) {
        for x in items {
            match x {
                Value::List(l) if depth > 0 => into(&l.items, depth - 1, out),
                x => out.push(x.clone()),
            }
        }
    }
    if depth < 0 {
        return Err(EvalError::new("level must be non-negative"));
    }
    let mut out = Vec::new();
    into(items, depth.min(MAX_FLAT), &mut out);
    Ok(out.into())
}

fn sort_by(items: &[Value], keys: &[Value]) -> Eval {
    if items.len() != keys.len() {
        return Err(EvalError::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got {} and {} elements respectively",
            items.len(),
            keys.len()
        )));
    }
    let Some(first) = keys.first() else { return Ok(items.to_vec().into()) };
    if first.compare(first).is_none() {
        return Err(EvalError::new("list elements must be comparable"));
    }
    let same = |k: &Value| std::mem::discriminant(k) == std::mem::discriminant(first);
    if keys.len() > 1 && !keys.iter().all(same) {
        return Err(EvalError::new("list elements must have the same type"));
    }
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by(|a, b| match keys[*a].compare(&keys[*b]) {
        Some(Ok(o)) => o,
        _ => Ordering::Equal,
    });
    Ok(order.into_iter().map(|i| items[i].clone()).collect::<Vec<_>>().into())
}

fn is_sorted(items: &[Value]) -> Eval {
    for w in items.windows(2) {
        match w[0].compare(&w[1]) {
            None => return none(),
            Some(Ok(Ordering::Greater)) => return Ok(Value::Bool(false)),
            Some(_) => {}
        }
    }
    Ok(Value::Bool(true))
}

fn sum(items: &[Value]) -> Eval {
    let mut all = items.iter();
    // Of an empty list only its type would tell the zero; numbers of all kinds are equal.
    let Some(first) = all.next() else { return Ok(Value::Int(0)) };
    all.try_fold(first.clone(), |a, b| math::plus(a, b.clone()))
}

fn best(f: &str, items: &[Value]) -> Eval {
    let want = if f == "min" { Ordering::Greater } else { Ordering::Less };
    let mut all = items.iter();
    let Some(first) = all.next() else { return Err(EvalError::new(format!("{f} called on empty list"))) };
    let mut best = first;
    for x in all {
        match best.compare(x) {
            None => return none(),
            Some(Ok(o)) if o == want => best = x,
            Some(_) => {}
        }
    }
    Ok(best.clone())
}
