//! What a call costs when it runs (cel-go `interpreter/runtimecost.go`, `ext/lists.go`; apiserver
//! `pkg/cel/library/cost.go`).

use crate::Value;
use crate::cost::{REGEX, STRING, ceil_mul, selector_cost};
use crate::value::Opaque;

/// Cost of making a list.
const LIST: u64 = 10;

fn size(v: Option<&Value>) -> u64 {
    match v {
        Some(Value::Optional(Some(v))) => size(Some(v)),
        v => v.and_then(Value::size).unwrap_or(1),
    }
}

/// A factor of a size, as the list functions count it.
fn floor_mul(n: u64, f: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let n = (n as f64 * f) as u64;
    n
}

fn listed(factor: f64, n: u64) -> u64 {
    floor_mul(n, if factor < 0.0 { 1.0 } else { factor }).saturating_add(1 + LIST)
}

/// What it costs to go through a value and all below.
fn traversal(v: &Value) -> u64 {
    match v {
        Value::String(s) => floor_mul(s.len() as u64, STRING),
        Value::Bytes(b) => floor_mul(b.len() as u64, STRING),
        Value::List(l) => l.items.iter().map(traversal).sum(),
        Value::Map(m) => m.entries.iter().map(|(k, v)| traversal(&k.value()) + traversal(v)).sum(),
        _ => 1,
    }
}

fn compare_all(list: Option<&Value>) -> u64 {
    let n = size(list);
    let texts = matches!(
        list.and_then(Value::as_list).and_then(<[Value]>::first),
        Some(Value::String(_) | Value::Bytes(_))
    );
    listed(if n > 0 && texts { 2.0 + STRING } else { 2.0 }, n.saturating_mul(n))
}

/// The cost, where the arguments tell it; `None` if the result has to be known.
pub fn before(f: &str, overload: &str, args: &[Value]) -> Option<u64> {
    let a = args.first();
    let n = || size(a);
    let scan = |k: f64| ceil_mul(n(), k * STRING);
    if overload.starts_with("list_sets_") {
        let times = if overload == "list_sets_equivalent_list" { 2 } else { 1 };
        return Some(n().saturating_mul(size(args.get(1))).saturating_mul(times).saturating_add(1));
    }
    if overload.starts_with("list_") {
        if overload == "list_flatten" || overload == "list_flatten_int" {
            #[allow(clippy::cast_precision_loss)]
            let depth = match args.get(1) {
                Some(Value::Int(d)) => *d as f64,
                _ => 1.0,
            };
            return Some(listed(depth, n()));
        }
        if overload == "list_distinct" || (overload.ends_with("_sort") && f == "sort") {
            return Some(compare_all(a));
        }
        if f == "@sortByAssociatedKeys" {
            return Some(compare_all(args.get(1)));
        }
        if matches!(overload, "list_slice" | "list_reverse") {
            return None;
        }
    }
    Some(match f {
        "lists.range" => match a {
            Some(Value::Int(n)) => listed(1.0, u64::try_from(*n).unwrap_or(0)),
            _ => 1,
        },
        "join" => return None,
        "check" => 350_000,
        "serviceAccount" | "path" | "group" | "resource" | "subresource" | "namespace" | "name"
        | "allowed" | "reason" | "error" | "errored" => 1,
        "fieldSelector" | "labelSelector" => selector_cost(size(args.get(1))),
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => a.map_or(0, traversal),
        "url"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "jsonpatch.escapeKey"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver" => scan(1.0),
        "replace" | "split" | "ip.isCanonical" => scan(2.0),
        "find" | "findAll" => ceil_mul(n() + 1, STRING).saturating_mul(ceil_mul(size(args.get(1)), REGEX)),
        "ip" => {
            if overload == "cidr_ip" {
                1
            } else {
                scan(1.0)
            }
        }
        "containsIP" | "containsCIDR" => {
            let mut c = ceil_mul(2 * n(), STRING);
            if f == "containsCIDR" {
                c += scan(1.0) + 1;
            }
            if overload.ends_with("_string") {
                c += ceil_mul(size(args.get(1)), STRING);
            }
            c
        }
        "validate" => match a {
            Some(Value::Opaque(o)) => match o.as_ref() {
                Opaque::Format(fmt) => {
                    ceil_mul(size(args.get(1)) + 1, STRING).saturating_mul(ceil_mul(fmt.max_regex, REGEX))
                }
                _ => 1,
            },
            _ => 1,
        },
        "_==_" if matches!(a, Some(Value::Opaque(_))) => 1,
        "_==_" | "_!=_" => ceil_mul(n().min(size(args.get(1))), STRING),
        _ => match overload {
            "starts_with_string" | "ends_with_string" => ceil_mul(size(args.get(1)), STRING),
            "string_to_bytes" | "bytes_to_string" | "strings_quote" | "string_format" => scan(1.0),
            "in_list" => size(args.get(1)),
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes" => ceil_mul(n().min(size(args.get(1))), STRING),
            "add_string" | "add_bytes" => ceil_mul(n() + size(args.get(1)), STRING),
            "matches" | "matches_string" => {
                ceil_mul(n() + 1, STRING).saturating_mul(ceil_mul(size(args.get(1)), REGEX))
            }
            "contains_string" => scan(1.0).saturating_mul(ceil_mul(size(args.get(1)), STRING)),
            _ => 1,
        },
    })
}

/// The cost, where the result tells it.
pub fn after(f: &str, _overload: &str, _args: &[Value], result: &Value) -> u64 {
    match f {
        "join" => ceil_mul(size(Some(result)), 2.0 * STRING),
        _ => listed(1.0, size(Some(result))),
    }
}
