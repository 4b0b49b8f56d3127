//! The evaluator, with the cost that upstream's would count (cel-go `interpreter/planner.go`, `runtimecost.go`).

use crate::ast::{ACCU, Call, Entry, Expr, Field, Fold, Kind};
use crate::env::Program;
use crate::types::Type;
use crate::value::{Key, Map};
use crate::{Value, call, decls, regexes, runcost};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why an evaluation ended without a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    pub message: String,
    pub kind: ErrorKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The expression failed; `||` and `&&` may look over it.
    Failed,
    /// It cost more than it may.
    Cost,
    /// The caller wants no answer any more.
    Interrupted,
}

impl EvalError {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: ErrorKind::Failed }
    }
    pub fn no_overload() -> Self {
        Self::new("no such overload")
    }
    fn fatal(&self) -> bool {
        self.kind != ErrorKind::Failed
    }
}

pub type Eval<T = Value> = Result<T, EvalError>;

/// What one evaluation may use.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub cost: u64,
    /// Asked in every turn of a loop: whether to give up.
    pub interrupt: Option<&'a dyn Fn() -> bool>,
}

/// Cost of one evaluation, at most (apiserver `apis/cel/config.go`).
pub const PER_CALL_LIMIT: u64 = 1_000_000;

impl Default for Limits<'_> {
    fn default() -> Self {
        Self { cost: PER_CALL_LIMIT, interrupt: None }
    }
}

enum Slot<'a> {
    Known(&'a str, Eval),
    /// A name for a value that nobody has asked for; it sees the names before it.
    Lazy(&'a str, &'a Expr),
}

struct Run<'a> {
    p: &'a Program,
    variables: &'a dyn Fn(&str) -> Option<Eval>,
    limits: &'a Limits<'a>,
    cost: u64,
    slots: Vec<Slot<'a>>,
}

pub fn run(p: &Program, variables: &dyn Fn(&str) -> Option<Eval>, limits: &Limits) -> (Eval, u64) {
    let mut r = Run { p, variables, limits, cost: 0, slots: Vec::new() };
    let out = r.eval(&p.ast.root);
    (out, r.cost)
}

/// Values of the parts of an expression that no variable can change.
pub fn constants(p: &mut Program) {
    let mut out = vec![None; p.ast.at.len()];
    let mut broken = None;
    fold_constants(p, &p.ast.root, &mut out, &mut broken);
    p.ast.root.walk(&mut |e| {
        if let Kind::Call(c) = &e.kind
            && let ("find" | "findAll", Some(Kind::Literal(Value::String(re)))) =
                (c.function.as_str(), c.args.first().map(|a| &a.kind))
            && let Err(why) = regexes::compile(re)
        {
            broken.get_or_insert(regexes::go_error(re, &why));
        }
    });
    p.constants = out;
    p.broken = broken;
}

fn fold_constants(p: &Program, e: &Expr, out: &mut Vec<Option<Value>>, broken: &mut Option<String>) -> bool {
    let constant = match &e.kind {
        Kind::Literal(_) => return true,
        Kind::Ident(_) => false,
        Kind::Select { operand, .. } => {
            fold_constants(p, operand, out, broken);
            false
        }
        Kind::List { items, optional } => {
            items.iter().fold(optional.is_empty(), |all, i| fold_constants(p, i, out, broken) && all)
        }
        Kind::Map(entries) => entries.iter().fold(true, |all, x| {
            let (k, v) = (fold_constants(p, &x.key, out, broken), fold_constants(p, &x.value, out, broken));
            all && k && v && !x.optional
        }),
        Kind::Struct { fields, .. } => {
            fields.iter().for_each(|f| {
                fold_constants(p, &f.value, out, broken);
            });
            false
        }
        Kind::Call(c) => {
            let mut all = true;
            for a in c.target.iter().chain(&c.args) {
                all &= fold_constants(p, a, out, broken);
            }
            all && c.target.is_none()
                && c.args.len() == 1
                && matches!(
                    c.function.as_str(),
                    "bool"
                        | "bytes"
                        | "double"
                        | "dyn"
                        | "duration"
                        | "int"
                        | "string"
                        | "timestamp"
                        | "type"
                        | "uint"
                )
        }
        Kind::Fold(f) => {
            for x in [&f.range, &f.init, &f.condition, &f.step, &f.result] {
                fold_constants(p, x, out, broken);
            }
            false
        }
    };
    if !constant {
        return false;
    }
    let limits = Limits { cost: u64::MAX, interrupt: None };
    let mut r = Run { p, variables: &|_| None, limits: &limits, cost: 0, slots: Vec::new() };
    match r.compute(e, false) {
        Ok(v) => {
            out[e.id] = Some(v);
            true
        }
        Err(e) => {
            broken.get_or_insert(e.message);
            false
        }
    }
}

impl<'a> Run<'a> {
    fn charge(&mut self, n: u64) -> Eval<()> {
        self.cost = self.cost.saturating_add(n);
        if self.cost > self.limits.cost {
            return Err(EvalError {
                message: "operation cancelled: actual cost limit exceeded".to_owned(),
                kind: ErrorKind::Cost,
            });
        }
        Ok(())
    }

    fn eval(&mut self, e: &'a Expr) -> Eval {
        self.step(e, false)
    }

    /// Evaluates; `free`: the variable at the root costs nothing, as where a path goes on or a branch is taken.
    fn step(&mut self, e: &'a Expr, free: bool) -> Eval {
        if let Some(Some(v)) = self.p.constants.get(e.id) {
            return Ok(v.clone());
        }
        self.compute(e, free)
    }

    fn compute(&mut self, e: &'a Expr, free: bool) -> Eval {
        match &e.kind {
            Kind::Literal(v) => Ok(v.clone()),
            Kind::Ident(name) => self.ident(e, name, free),
            Kind::Select { operand, field, test } => {
                let v = self.root(operand, free || *test)?;
                if matches!(v, Value::Optional(None)) {
                    return Ok(if *test { Value::Bool(false) } else { v });
                }
                let out = if *test { present(&v, field) } else { select(&v, field) };
                if *test || !matches!(out, Ok(Value::Optional(None))) {
                    self.charge(1)?;
                }
                out
            }
            Kind::Call(c) => self.call(e, c, free),
            Kind::List { items, optional } => {
                let mut out = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let v = self.eval(item)?;
                    if !optional.contains(&i) {
                        out.push(v);
                        continue;
                    }
                    match v {
                        Value::Optional(Some(v)) => out.push(v.as_ref().clone()),
                        Value::Optional(None) => {}
                        v => {
                            let what = "cannot initialize optional list element from non-optional value";
                            return Err(EvalError::new(format!("{what} {}", v.show())));
                        }
                    }
                }
                self.charge(10)?;
                Ok(out.into())
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Struct { name, fields } => self.message(name, fields),
            Kind::Fold(f) => self.fold(f),
        }
    }

    /// Whether upstream would plan the expression as a path from a variable.
    fn is_path(e: &Expr) -> bool {
        match &e.kind {
            Kind::Ident(_) | Kind::Select { .. } => true,
            Kind::Call(c) => matches!(c.function.as_str(), "_[_]" | "_[?_]" | "_?._" | "_?_:_"),
            _ => false,
        }
    }

    /// What a path goes on from.
    fn root(&mut self, e: &'a Expr, free: bool) -> Eval {
        if Self::is_path(e) {
            return self.step(e, free);
        }
        let v = self.eval(e)?;
        self.charge(u64::from(!free))?;
        Ok(v)
    }

    fn ident(&mut self, e: &'a Expr, name: &'a str, free: bool) -> Eval {
        if let Some(Some(full)) = self.p.checked.names.get(e.id) {
            if matches!(self.p.checked.types[e.id], Type::Type(_))
                && let Some(t) = decls::named_type(full)
            {
                return Ok(Value::Type(t));
            }
            self.charge(u64::from(!free))?;
            return match (self.variables)(full) {
                Some(v) => v,
                None if matches!(self.p.checked.types[e.id], Type::Type(_)) => {
                    Ok(Value::Type(Type::object(full)))
                }
                None => Err(EvalError::new(format!("no such attribute(s): {full}"))),
            };
        }
        self.charge(u64::from(!free))?;
        let at = self.slots.iter().rposition(|s| match s {
            Slot::Known(n, _) | Slot::Lazy(n, _) => *n == name,
        });
        let Some(at) = at else { return Err(EvalError::new(format!("no such attribute(s): {name}"))) };
        match &self.slots[at] {
            Slot::Known(_, v) => v.clone(),
            Slot::Lazy(name, init) => {
                let (name, init) = (*name, *init);
                let later = self.slots.split_off(at);
                let v = self.eval(init);
                self.slots.extend(later);
                if v.as_ref().is_err_and(EvalError::fatal) {
                    return v;
                }
                self.slots[at] = Slot::Known(name, v.clone());
                v
            }
        }
    }

    /// The accumulator, taken out so that it can grow in place.
    fn take_accu(&mut self, e: &Expr) -> Option<Eval> {
        if !matches!(&e.kind, Kind::Ident(n) if n == ACCU) {
            return None;
        }
        let slot = self.slots.iter_mut().rev().find_map(|s| match s {
            Slot::Known(n, v) if *n == ACCU => Some(v),
            _ => None,
        })?;
        Some(std::mem::replace(slot, Err(EvalError::no_overload())))
    }

    fn call(&mut self, e: &'a Expr, c: &'a Call, free: bool) -> Eval {
        let f = c.function.as_str();
        match (f, c.args.as_slice()) {
            ("_&&_" | "_||_", [a, b]) => return self.logic(f == "_||_", a, b),
            ("_?_:_", [cond, yes, no]) => {
                let branch = match self.eval(cond)? {
                    Value::Bool(true) => yes,
                    Value::Bool(false) => no,
                    _ => return Err(EvalError::no_overload()),
                };
                let _ = free;
                return self.step(branch, true);
            }
            ("_[_]" | "_[?_]" | "_?._", [operand, index]) => {
                let v = self.root(operand, free)?;
                let k = self.step(index, true)?;
                let optional = f != "_[_]";
                let (v, optional) = match v {
                    Value::Optional(None) => return Ok(Value::NONE),
                    Value::Optional(Some(v)) => (v.as_ref().clone(), true),
                    v => (v, optional),
                };
                if !optional {
                    self.charge(1)?;
                    return index_of(&v, &k);
                }
                return match find(&v, &k)? {
                    Some(x) => {
                        self.charge(1)?;
                        Ok(Value::some(x))
                    }
                    None => Ok(Value::NONE),
                };
            }
            ("@not_strictly_false", [a]) => {
                let v = match self.eval(a) {
                    Err(e) if e.fatal() => return Err(e),
                    Ok(Value::Bool(b)) => b,
                    _ => true,
                };
                self.charge(1)?;
                return Ok(Value::Bool(v));
            }
            ("or" | "orValue", [other]) if c.target.is_some() => {
                let Some(target) = &c.target else { return Err(EvalError::no_overload()) };
                return match self.eval(target)? {
                    Value::Optional(Some(v)) if f == "orValue" => Ok(v.as_ref().clone()),
                    v @ Value::Optional(Some(_)) => Ok(v),
                    Value::Optional(None) => self.eval(other),
                    _ => Err(EvalError::no_overload()),
                };
            }
            ("@in", [item, list]) if self.is_set(list) => {
                let item = self.eval(item)?;
                let list = self.eval(list)?;
                return Ok(Value::Bool(list.as_list().is_some_and(|l| l.contains(&item))));
            }
            _ => {}
        }
        let mut args = Vec::with_capacity(c.args.len() + 1);
        if let Some(t) = &c.target {
            args.push(self.eval(t)?);
        }
        for (i, a) in c.args.iter().enumerate() {
            if i == 0
                && matches!(f, "_+_" | "cel.@mapInsert")
                && let Some(v) = self.take_accu(a)
            {
                self.charge(1)?;
                args.push(v?);
                continue;
            }
            match self.eval(a) {
                Ok(v) => args.push(v),
                Err(e) if e.fatal() => return Err(e),
                Err(e) => {
                    // Upstream counts the call although it never happens.
                    self.charge(1)?;
                    return Err(e);
                }
            }
        }
        let overload = match self.p.checked.overloads[e.id].as_slice() {
            [one] => one,
            _ => "",
        };
        // Costs that the arguments decide are counted before the work is done.
        let before = runcost::before(f, overload, &args);
        if let Some(n) = before {
            self.charge(n)?;
        }
        let kept: Option<Vec<Value>> = before.is_none().then(|| args.clone());
        let out = call::call(f, args);
        if let (Some(args), Ok(v)) = (&kept, &out) {
            self.charge(runcost::after(f, overload, args, v))?;
        }
        out
    }

    /// Whether a list is constant and made of values that hash: upstream looks those up at no cost.
    fn is_set(&self, list: &Expr) -> bool {
        let Some(Some(Value::List(l))) = self.p.constants.get(list.id) else { return false };
        l.items.iter().all(|v| {
            matches!(
                v,
                Value::Null
                    | Value::Bool(_)
                    | Value::Int(_)
                    | Value::Uint(_)
                    | Value::Double(_)
                    | Value::String(_)
            )
        })
    }

    fn logic(&mut self, or: bool, a: &'a Expr, b: &'a Expr) -> Eval {
        let mut failed: Option<EvalError> = None;
        for e in [a, b] {
            match self.eval(e) {
                Ok(Value::Bool(v)) if v == or => return Ok(Value::Bool(or)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => {
                    failed.get_or_insert_with(EvalError::no_overload);
                }
                Err(e) if e.fatal() => return Err(e),
                Err(e) => {
                    failed.get_or_insert(e);
                }
            }
        }
        failed.map_or(Ok(Value::Bool(!or)), Err)
    }

    fn map(&mut self, entries: &'a [Entry]) -> Eval {
        let mut out = BTreeMap::new();
        for x in entries {
            let k = self.eval(&x.key)?;
            let mut v = self.eval(&x.value)?;
            if x.optional {
                v = match v {
                    Value::Optional(Some(v)) => v.as_ref().clone(),
                    Value::Optional(None) => continue,
                    v => {
                        return Err(EvalError::new(format!(
                            "cannot initialize optional entry '{}' from non-optional value {}",
                            k.show(),
                            v.show()
                        )));
                    }
                };
            }
            let key = Key::of(&k).ok_or_else(EvalError::no_overload)?;
            if out.insert(key, v).is_some() {
                return Err(EvalError::new(format!("Failed with repeated key: {}", k.show())));
            }
        }
        self.charge(30)?;
        Ok(out.into())
    }

    fn message(&mut self, name: &str, fields: &'a [Field]) -> Eval {
        let mut entries = BTreeMap::new();
        for f in fields {
            let v = match (self.eval(&f.value)?, f.optional) {
                (Value::Optional(Some(v)), true) => v.as_ref().clone(),
                (Value::Optional(None), true) => continue,
                (v, true) => {
                    return Err(EvalError::new(format!(
                        "cannot initialize optional entry '{}' from non-optional value {}",
                        f.name,
                        v.show()
                    )));
                }
                (v, false) => v,
            };
            entries.insert(Key::String(f.name.as_str().into()), v);
        }
        self.charge(40)?;
        Ok(Value::Map(Arc::new(Map { entries, object: Some(name.into()) })))
    }

    fn fold(&mut self, f: &'a Fold) -> Eval {
        let depth = self.slots.len();
        let out = self.fold_in(f, depth);
        self.slots.truncate(depth);
        out
    }

    fn fold_in(&mut self, f: &'a Fold, depth: usize) -> Eval {
        if f.is_bind() {
            self.slots.push(Slot::Lazy(&f.accu, &f.init));
            return self.eval(&f.result);
        }
        let range = self.eval(&f.range)?;
        let init = self.eval(&f.init)?;
        self.slots.push(Slot::Known(&f.accu, Ok(init)));
        let two = f.var2.as_deref();
        match &range {
            Value::List(l) => {
                for (i, x) in l.items.iter().enumerate() {
                    let go = match two {
                        Some(second) => {
                            let i = Value::Int(i64::try_from(i).unwrap_or(i64::MAX));
                            self.turn(f, depth, i, Some((second, x)))?
                        }
                        None => self.turn(f, depth, x.clone(), None)?,
                    };
                    if !go {
                        break;
                    }
                }
            }
            Value::Map(m) => {
                for (k, v) in &m.entries {
                    if !self.turn(f, depth, k.value(), two.map(|t| (t, v)))? {
                        break;
                    }
                }
            }
            _ => return Err(EvalError::no_overload()),
        }
        self.slots.truncate(depth + 1);
        self.eval(&f.result)
    }

    /// One turn of a loop; whether another may follow.
    fn turn(&mut self, f: &'a Fold, depth: usize, v: Value, second: Option<(&'a str, &Value)>) -> Eval<bool> {
        if self.limits.interrupt.is_some_and(|stop| stop()) {
            return Err(EvalError {
                message: "operation interrupted".to_owned(),
                kind: ErrorKind::Interrupted,
            });
        }
        self.slots.truncate(depth + 1);
        self.slots.push(Slot::Known(&f.var, Ok(v)));
        if let Some((name, v)) = second {
            self.slots.push(Slot::Known(name, Ok(v.clone())));
        }
        let always = matches!(f.condition.kind, Kind::Literal(Value::Bool(true)));
        if !always && let Value::Bool(false) = self.eval(&f.condition)? {
            return Ok(false);
        }
        let step = self.eval(&f.step);
        match step {
            Err(e) if e.fatal() || always => Err(e),
            step => {
                if let Slot::Known(_, accu) = &mut self.slots[depth] {
                    *accu = step;
                }
                Ok(true)
            }
        }
    }
}

/// `v.field`
fn select(v: &Value, field: &str) -> Eval {
    let missing = || EvalError::new(format!("no such key: {field}"));
    match v {
        Value::Map(m) => m.member(field).cloned().ok_or_else(missing),
        Value::Optional(None) => Ok(Value::NONE),
        Value::Optional(Some(v)) => Ok(match v.as_ref() {
            Value::Map(m) => m.member(field).cloned().map_or(Value::NONE, Value::some),
            _ => Value::NONE,
        }),
        _ => Err(missing()),
    }
}

/// `has(v.field)`
fn present(v: &Value, field: &str) -> Eval {
    let v = match v {
        Value::Optional(None) => return Ok(Value::Bool(false)),
        Value::Optional(Some(v)) => v,
        v => v,
    };
    Ok(Value::Bool(matches!(v, Value::Map(m) if m.member(field).is_some())))
}

/// An index into a list: a whole number of any kind.
pub fn list_index(k: &Value) -> Option<i128> {
    match k {
        Value::Int(i) => Some(i128::from(*i)),
        Value::Uint(u) => Some(i128::from(*u)),
        Value::Double(d) => crate::value::whole(*d),
        _ => None,
    }
}

/// `v[k]`
fn index_of(v: &Value, k: &Value) -> Eval {
    match v {
        Value::List(l) => {
            let i = list_index(k).ok_or_else(|| {
                EvalError::new(format!("unsupported index type '{}' in list", k.type_of().name()))
            })?;
            let x = usize::try_from(i).ok().and_then(|i| l.items.get(i));
            x.cloned().ok_or_else(|| EvalError::new(format!("index out of bounds: {i}")))
        }
        Value::Map(m) => {
            if !matches!(
                k,
                Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::String(_)
            ) {
                return Err(EvalError::no_overload());
            }
            m.get(k).cloned().ok_or_else(|| EvalError::new(format!("no such key: {}", k.show())))
        }
        _ => Err(EvalError::no_overload()),
    }
}

/// `v[?k]`
fn find(v: &Value, k: &Value) -> Eval<Option<Value>> {
    Ok(match v {
        Value::List(l) => {
            list_index(k).and_then(|i| usize::try_from(i).ok()).and_then(|i| l.items.get(i)).cloned()
        }
        Value::Map(m) => m.get(k).cloned(),
        _ => None,
    })
}
