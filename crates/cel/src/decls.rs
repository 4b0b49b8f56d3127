//! The functions there are, and their forms: `name id (arguments) result`; a dot before the name makes it a method.

use crate::types::Type;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

#[derive(Debug)]
pub struct Overload {
    pub id: &'static str,
    pub member: bool,
    pub args: Vec<Type>,
    pub result: Type,
    /// Parameters that stand in arguments or result.
    pub params: Vec<Arc<str>>,
}

/// Functions by name.
pub type Functions = HashMap<&'static str, Vec<Overload>>;

/// Everything an expression in Kubernetes may call.
pub static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| read(STANDARD));

const STANDARD: &str = include_str!("functions.txt");

fn read(text: &'static str) -> Functions {
    let mut out = Functions::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let Some((head, rest)) = line.split_once(" (") else { continue };
        let Some((name, id)) = head.split_once(' ') else { continue };
        let Some((args, result)) = rest.rsplit_once(") ") else { continue };
        let (member, name) = match name.strip_prefix('.') {
            Some(n) => (true, n),
            None => (false, name),
        };
        // `$` in the name of an overload: one overload for each type it can be.
        let kinds: &[&str] = match id.split_once('$') {
            Some((_, _)) if name == "sum" => &["int", "uint", "double", "duration"],
            Some((_, _)) => &["int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes"],
            None => &[""],
        };
        for k in kinds {
            let sorts = id.contains("_sort") && !id.contains("is_sorted");
            let long = match *k {
                "duration" if sorts => "google.protobuf.Duration",
                "timestamp" if sorts => "google.protobuf.Timestamp",
                other => other,
            };
            let id: &'static str =
                if k.is_empty() { id } else { Box::leak(id.replace('$', long).into_boxed_str()) };
            let args: Vec<Type> = split(&args.replace('$', k)).iter().map(|a| parse(a)).collect();
            let result = parse(&result.replace('$', k));
            let mut params = Vec::new();
            for t in args.iter().chain([&result]) {
                gather(t, &mut params);
            }
            out.entry(name).or_default().push(Overload { id, member, args, result, params });
        }
    }
    out
}

fn gather(t: &Type, out: &mut Vec<Arc<str>>) {
    if let Type::Param(n) = t
        && !out.contains(n)
    {
        out.push(n.clone());
    }
    t.params().into_iter().for_each(|p| gather(p, out));
}

/// Splits at commas that stand in no bracket.
fn split(s: &str) -> Vec<String> {
    let (mut out, mut depth, mut now) = (Vec::new(), 0, String::new());
    for c in s.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(std::mem::take(&mut now).trim().to_owned());
                continue;
            }
            _ => {}
        }
        now.push(c);
    }
    if !now.trim().is_empty() {
        out.push(now.trim().to_owned());
    }
    out
}

fn parse(s: &str) -> Type {
    let inner = |p: &str| s.strip_prefix(p).and_then(|r| r.strip_suffix(')')).map(split);
    if let Some(p) = inner("list(").filter(|p| p.len() == 1) {
        return Type::list(parse(&p[0]));
    }
    if let Some(p) = inner("map(").filter(|p| p.len() == 2) {
        return Type::map(parse(&p[0]), parse(&p[1]));
    }
    if let Some(p) = inner("optional(").filter(|p| p.len() == 1) {
        return Type::optional(parse(&p[0]));
    }
    if let Some(p) = inner("type(").filter(|p| p.len() == 1) {
        return Type::kind(parse(&p[0]));
    }
    match s {
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "ip" => ip(),
        "cidr" => cidr(),
        "url" => Type::object("kubernetes.URL"),
        "quantity" => Type::object("kubernetes.Quantity"),
        "semver" => Type::object("kubernetes.Semver"),
        "format" => Type::object("kubernetes.NamedFormat"),
        "authorizer" => Type::object("kubernetes.authorization.Authorizer"),
        "pathcheck" => Type::object("kubernetes.authorization.PathCheck"),
        "groupcheck" => Type::object("kubernetes.authorization.GroupCheck"),
        "resourcecheck" => Type::object("kubernetes.authorization.ResourceCheck"),
        "decision" => Type::object("kubernetes.authorization.Decision"),
        param => Type::param(param),
    }
}

pub fn ip() -> Type {
    Type::Opaque("net.IP".into(), Arc::new([]))
}

pub fn cidr() -> Type {
    Type::Opaque("net.CIDR".into(), Arc::new([]))
}

/// The types an expression may name.
pub fn named_type(name: &str) -> Option<Type> {
    Some(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "google.protobuf.Duration" => Type::Duration,
        "google.protobuf.Timestamp" => Type::Timestamp,
        "int" => Type::Int,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "null_type" => Type::Null,
        "optional_type" => Type::optional(Type::Dyn),
        "string" => Type::String,
        "type" => Type::Type(None),
        "uint" => Type::Uint,
        "net.IP" => ip(),
        "net.CIDR" => cidr(),
        _ => return None,
    })
}
