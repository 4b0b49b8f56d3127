//! What an expression may cost, told before it runs (cel-go `checker/cost.go`, `ext/lists.go`; apiserver
//! `pkg/cel/library/cost.go`). A change here changes which rules a cluster accepts.

use crate::ast::{ACCU, Ast, Call, Expr, Fold, Id, Kind};
use crate::check::Checked;
use crate::types::Type;
use crate::{Value, decls};
use std::collections::HashMap;

/// Cost of looking at one character.
pub const STRING: f64 = 0.1;
/// Cost of one character of a regular expression, for each unit of the text.
pub const REGEX: f64 = 0.25;
const LIST: u64 = 10;
const MAP: u64 = 30;
const STRUCT: u64 = 40;
const CHECK: u64 = 350_000;
/// The longest name of a format's expression.
const FORMAT_REGEX: f64 = 128.0;
const FORMAT_SIZE: u64 = 64;

/// From `min` to `max`: a size or a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Range {
    pub min: u64,
    pub max: u64,
}

/// Knows how large data can be.
pub trait Sizes {
    /// The size of what stands at a path: a variable, then fields, `@items`, `@keys`, `@values`.
    fn size(&self, path: Option<&[String]>, ty: &Type) -> Option<Range>;
}

/// Knows nothing of sizes.
pub struct Unknown;

impl Sizes for Unknown {
    fn size(&self, _: Option<&[String]>, _: &Type) -> Option<Range> {
        None
    }
}

/// `ceil(n * f)`, without overflow.
pub fn ceil_mul(n: u64, f: f64) -> u64 {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let out = (n as f64 * f).ceil() as u64;
    out
}

pub fn selector_cost(len: u64) -> u64 {
    #[allow(clippy::cast_precision_loss)]
    let requirement = (LIST + STRUCT) as f64;
    LIST.saturating_add(ceil_mul(len, STRING)).saturating_add(ceil_mul(ceil_mul(len, 0.5), requirement))
}

impl Range {
    pub const UNKNOWN: Self = Self { min: 0, max: u64::MAX };
    pub const fn fixed(n: u64) -> Self {
        Self { min: n, max: n }
    }
    fn plus(self, o: Self) -> Self {
        Self { min: self.min.saturating_add(o.min), max: self.max.saturating_add(o.max) }
    }
    fn times(self, o: Self) -> Self {
        Self { min: self.min.saturating_mul(o.min), max: self.max.saturating_mul(o.max) }
    }
    fn factor(self, f: f64) -> Self {
        Self { min: ceil_mul(self.min, f), max: ceil_mul(self.max, f) }
    }
    fn union(self, o: Self) -> Self {
        Self { min: self.min.min(o.min), max: self.max.max(o.max) }
    }
}

/// Sizes of keys (or indexes) and values of a list or map.
#[derive(Clone, Copy)]
struct Entry {
    list: bool,
    key: Range,
    value: Range,
}

impl Entry {
    fn union(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let (a, b) = (a?, b?);
        Some(Self { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) })
    }
}

type Path = Option<Vec<String>>;

struct Local {
    path: Path,
    size: Option<Range>,
    entry: Option<Entry>,
}

struct Coster<'a> {
    checked: &'a Checked,
    sizes: &'a dyn Sizes,
    paths: HashMap<Id, Vec<String>>,
    locals: HashMap<String, Vec<Local>>,
    computed: HashMap<Id, Range>,
    entries: HashMap<Id, Entry>,
}

/// What a call's costs depend on.
struct Node<'a> {
    e: &'a Expr,
    path: Path,
    ty: Type,
    size: Option<Range>,
}

struct Estimate {
    cost: Range,
    size: Option<Range>,
}

pub fn estimate(ast: &Ast, checked: &Checked, sizes: &dyn Sizes) -> Range {
    let mut c = Coster {
        checked,
        sizes,
        paths: HashMap::new(),
        locals: HashMap::new(),
        computed: HashMap::new(),
        entries: HashMap::new(),
    };
    c.cost(&ast.root)
}

impl<'a> Coster<'a> {
    fn ty(&self, e: &Expr) -> &'a Type {
        &self.checked.types[e.id]
    }

    fn peek(&self, name: &str) -> Option<&Local> {
        self.locals.get(name).and_then(|v| v.last())
    }

    fn push(&mut self, name: &str, l: Local) {
        self.locals.entry(name.to_owned()).or_default().push(l);
    }

    fn pop(&mut self, name: &str) {
        if let Some(v) = self.locals.get_mut(name) {
            v.pop();
        }
    }

    fn path(&self, e: &Expr) -> Path {
        if let Kind::Ident(n) = &e.kind
            && let Some(l) = self.peek(n)
        {
            return l.path.clone();
        }
        self.paths.get(&e.id).cloned()
    }

    fn below(&self, e: &Expr, step: &str) -> Vec<String> {
        let mut p = self.path(e).unwrap_or_default();
        p.push(step.to_owned());
        p
    }

    fn size(&mut self, e: &Expr) -> Option<Range> {
        if let Some(s) = self.computed.get(&e.id) {
            return Some(*s);
        }
        match &e.kind {
            Kind::Literal(Value::String(s)) => return Some(Range::fixed(s.chars().count() as u64)),
            Kind::Literal(Value::Bytes(b)) => return Some(Range::fixed(b.len() as u64)),
            Kind::Literal(_) => return Some(Range::fixed(1)),
            Kind::List { items, .. } => return Some(Range::fixed(items.len() as u64)),
            Kind::Map(m) => return Some(Range::fixed(m.len() as u64)),
            _ => {}
        }
        if let Some(s) = self.sizes.size(self.path(e).as_deref(), self.ty(e)) {
            self.computed.insert(e.id, s);
            return Some(s);
        }
        if self.ty(e).is_scalar() {
            return Some(Range::fixed(1));
        }
        match &e.kind {
            Kind::Ident(n) => self.peek(n).and_then(|l| l.size),
            _ => None,
        }
    }

    fn size_or(&mut self, e: &Expr) -> Range {
        self.size(e).unwrap_or(Range::UNKNOWN)
    }

    fn entry(&self, e: &Expr) -> Option<Entry> {
        if let Some(s) = self.entries.get(&e.id) {
            return Some(*s);
        }
        match &e.kind {
            Kind::Ident(n) => self.peek(n).and_then(|l| l.entry),
            _ => None,
        }
    }

    fn set_size(&mut self, id: Id, s: Option<Range>) {
        if let Some(s) = s {
            self.computed.insert(id, s);
        }
    }

    fn set_entry(&mut self, id: Id, s: Option<Entry>) {
        if let Some(s) = s {
            self.entries.insert(id, s);
        }
    }

    fn cost(&mut self, e: &'a Expr) -> Range {
        const ONE: Range = Range::fixed(1);
        match &e.kind {
            Kind::Literal(_) => Range::fixed(0),
            Kind::Ident(n) => {
                let path = match self.peek(n) {
                    Some(l) => l.path.clone(),
                    None => Some(vec![n.clone()]),
                };
                if let Some(p) = path {
                    self.paths.insert(e.id, p);
                }
                ONE
            }
            Kind::Select { operand, test: true, .. } => self.cost(operand),
            Kind::Select { operand, field, .. } => {
                let mut sum = self.cost(operand);
                if matches!(self.ty(operand), Type::Map(_) | Type::Struct(_) | Type::Param(_)) {
                    sum = sum.plus(ONE);
                }
                let p = self.below(operand, field);
                self.paths.insert(e.id, p);
                sum
            }
            Kind::Call(c) => self.call(e, c),
            Kind::List { items, .. } => {
                let mut sum = Range::fixed(LIST);
                let mut value = Range { min: if items.is_empty() { 0 } else { u64::MAX }, max: 0 };
                for i in items {
                    sum = sum.plus(self.cost(i));
                    value = value.union(self.size_or(i));
                }
                self.set_entry(e.id, Some(Entry { list: true, key: ONE, value }));
                sum
            }
            Kind::Map(all) => {
                let mut sum = Range::fixed(MAP);
                let none = Range { min: if all.is_empty() { 0 } else { u64::MAX }, max: 0 };
                let (mut key, mut value) = (none, none);
                for x in all {
                    sum = sum.plus(self.cost(&x.key)).plus(self.cost(&x.value));
                    key = key.union(self.size_or(&x.key));
                    value = value.union(self.size_or(&x.value));
                }
                self.set_entry(e.id, Some(Entry { list: false, key, value }));
                sum
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(Range::fixed(STRUCT), |sum, f| sum.plus(self.cost(&f.value)))
            }
            Kind::Fold(f) if f.is_bind() => {
                let sum = self.cost(&f.range).plus(self.cost(&f.init));
                self.push_value(&f.accu, &f.init);
                let sum = sum.plus(self.cost(&f.result));
                self.pop(&f.accu);
                let (s, en) = (self.size(&f.result), self.entry(&f.result));
                self.set_size(e.id, s);
                self.set_entry(e.id, en);
                sum
            }
            Kind::Fold(f) => self.fold(e, f),
        }
    }

    fn push_value(&mut self, name: &str, e: &Expr) {
        let l = Local { path: self.path(e), size: self.size(e), entry: self.entry(e) };
        self.push(name, l);
    }

    fn fold(&mut self, e: &Expr, f: &'a Fold) -> Range {
        let mut sum = self.cost(&f.range).plus(self.cost(&f.init));
        self.push_value(&f.accu, &f.init);
        let entry = self.entry(&f.range);
        let list = entry.map_or_else(|| matches!(self.ty(&f.range), Type::List(_)), |x| x.list);
        let (key, value) = (entry.map(|x| x.key), entry.map(|x| x.value));
        let keys = self.below(&f.range, if list { "@indices" } else { "@keys" });
        let values = self.below(&f.range, if list { "@items" } else { "@values" });
        match &f.var2 {
            Some(second) => {
                self.push(&f.var, Local { path: Some(keys), size: key, entry: None });
                self.push(second, Local { path: Some(values), size: value, entry: None });
            }
            None => {
                let (path, size) = if list { (values, value) } else { (keys, key) };
                self.push(&f.var, Local { path: Some(path), size, entry: None });
            }
        }
        let turn = self.cost(&f.condition);
        let step = self.cost(&f.step);
        self.pop(&f.var);
        if let Some(second) = &f.var2 {
            self.pop(second);
        }
        sum = sum.plus(self.cost(&f.result));
        self.pop(&f.accu);
        let count = self.size_or(&f.range);
        sum = sum.plus(count.times(step.plus(turn)));
        match &f.init.kind {
            Kind::Literal(_) => {
                let s = self.size(&f.init);
                self.set_size(e.id, s);
            }
            Kind::List { .. } | Kind::Map(_) => {
                self.set_size(e.id, Some(count));
                let s = self.entry(&f.step);
                self.set_entry(e.id, s);
            }
            _ => {}
        }
        sum
    }

    fn node(&mut self, e: &'a Expr) -> Node<'a> {
        let path = self.path(e).filter(|p| p.first().is_none_or(|n| n != ACCU && n != "__result__"));
        Node { e, path, ty: self.ty(e).clone(), size: self.size(e) }
    }

    fn call(&mut self, e: &Expr, c: &'a Call) -> Range {
        if c.function == "dyn" {
            let Some(a) = c.args.first() else { return Range::fixed(1) };
            let cost = self.cost(a);
            let (s, en) = (self.size(a), self.entry(a));
            self.set_size(e.id, s);
            self.set_entry(e.id, en);
            return cost.plus(Range::fixed(1));
        }
        let mut args = Vec::new();
        let mut costs = Vec::new();
        for a in &c.args {
            costs.push(self.cost(a));
            args.push(self.node(a));
        }
        let overloads = &self.checked.overloads[e.id];
        if overloads.is_empty() {
            return Range::fixed(0);
        }
        let mut sum = Range::fixed(0);
        let mut target = None;
        if let Some(t) = &c.target {
            sum = self.cost(t);
            target = Some(self.node(t));
        }
        let mut cost = Range { min: u64::MAX, max: 0 };
        let mut size: Option<Range> = None;
        for o in overloads {
            let got = self.function(e, &c.function, o, target.as_ref(), &args, &costs);
            cost = cost.union(got.cost);
            if let Some(s) = got.size {
                size = Some(size.map_or(s, |x| x.union(s)));
            }
            if let ("index_list" | "index_map", Some(a)) = (*o, c.args.first()) {
                size = self.entry(a).map(|x| x.value);
                let p = self.below(a, if *o == "index_list" { "@items" } else { "@values" });
                self.paths.insert(e.id, p);
            }
            if size.is_none() {
                size = self.size(e);
            }
        }
        self.set_size(e.id, size);
        sum.plus(cost)
    }

    fn function(
        &mut self,
        e: &Expr,
        f: &str,
        overload: &str,
        target: Option<&Node>,
        args: &[Node],
        costs: &[Range],
    ) -> Estimate {
        let sum = costs.iter().fold(Range::fixed(0), |a, b| a.plus(*b));
        let own = self.lists(overload, target, args).or_else(|| self.kubernetes(f, overload, target, args));
        if let Some(x) = own {
            return Estimate { cost: x.cost.plus(sum), size: x.size };
        }
        let size = |n: &Node| n.size.unwrap_or(Range::UNKNOWN);
        let done = |cost: Range, size: Option<Range>| Estimate { cost: cost.plus(sum), size };
        match (overload, args) {
            ("string_format", _) => {
                if let Some(t) = target {
                    return done(size(t).factor(STRING), None);
                }
            }
            ("string_to_bytes", [a]) => {
                let s = size(a);
                return done(s.factor(STRING), Some(Range { min: s.min, max: s.max.wrapping_mul(4) }));
            }
            ("bytes_to_string", [a]) => {
                let s = size(a);
                return done(s.factor(STRING), Some(Range { min: s.min / 4, max: s.max }));
            }
            ("strings_quote", [a]) => {
                let s = size(a);
                let r = Range { min: s.min.wrapping_add(2), max: s.max.wrapping_mul(2).wrapping_add(2) };
                return done(s.factor(STRING), Some(r));
            }
            ("starts_with_string" | "ends_with_string", [a]) => return done(size(a).factor(STRING), None),
            ("in_list", [_, l]) => return done(size(l).factor(1.0), None),
            ("matches", [s, r]) => return done(matched(size(s), size(r)), None),
            ("matches_string", [r]) => {
                if let Some(t) = target {
                    return done(matched(size(t), size(r)), None);
                }
            }
            ("contains_string", [a]) => {
                if let Some(t) = target {
                    return done(size(t).factor(STRING).times(size(a).factor(STRING)), None);
                }
            }
            ("logical_or" | "logical_and", _) => {
                if let [l, r] = costs {
                    return Estimate { cost: Range { min: l.min, max: l.plus(*r).max }, size: None };
                }
            }
            ("conditional", [_, a, b]) => {
                let s = size(a).union(size(b));
                let entry = Entry::union(self.entry(a.e), self.entry(b.e));
                self.set_entry(e.id, entry);
                let cost = costs[0].plus(costs[1].union(costs[2]));
                return Estimate { cost, size: Some(s) };
            }
            ("add_string" | "add_bytes" | "add_list", [a, b]) => {
                let s = size(a).plus(size(b));
                let entry = Entry::union(self.entry(a.e), self.entry(b.e));
                self.set_entry(e.id, entry);
                let cost = if overload == "add_list" { Range::fixed(1) } else { s.factor(STRING) };
                return done(cost, Some(s));
            }
            (
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals",
                [a, b],
            ) => {
                let max = size(a).max.min(size(b).max);
                return done(Range { min: u64::from(max > 0), max }.factor(STRING), None);
            }
            _ => {}
        }
        done(Range::fixed(1), None)
    }

    fn of(&self, n: &Node) -> Range {
        n.size.or_else(|| self.sizes.size(n.path.as_deref(), &n.ty)).unwrap_or(Range::UNKNOWN)
    }

    fn lists(&self, overload: &str, target: Option<&Node>, args: &[Node]) -> Option<Estimate> {
        let literal = |n: &Node, default: u64| match n.e.kind {
            Kind::Literal(Value::Int(i)) => u64::try_from(i).unwrap_or(0),
            _ => default,
        };
        let made = |f: f64, s: Range| {
            Some(Estimate { cost: s.factor(f).plus(Range::fixed(1)).plus(Range::fixed(LIST)), size: Some(s) })
        };
        let sorted = |n: &Node, texts: bool| {
            let s = self.of(n);
            made(if texts { 2.0 + STRING } else { 2.0 }, s.times(s))
        };
        let texts = overload.contains("_string_") || overload.contains("_bytes_");
        match (overload, target, args) {
            ("list_slice", Some(t), [a, b]) => {
                let (from, to) = (literal(a, 0), literal(b, self.of(t).max));
                made(1.0, Range::fixed(to.wrapping_sub(from)))
            }
            (o, None, [a, b]) if o.starts_with("list_sets_") => {
                let times = if o == "list_sets_equivalent_list" { 2.0 } else { 1.0 };
                let cost = self.of(a).times(self.of(b)).factor(times).plus(Range::fixed(1));
                Some(Estimate { cost, size: None })
            }
            ("lists_range", None, [n]) => made(1.0, Range::fixed(literal(n, u64::MAX))),
            ("list_reverse", Some(t), []) => made(1.0, self.of(t)),
            ("list_flatten", Some(t), []) => made(1.0, self.of(t)),
            #[allow(clippy::cast_precision_loss)]
            ("list_flatten_int", Some(t), [d]) => made(literal(d, u64::MAX) as f64, self.of(t)),
            ("list_distinct", Some(t), []) => {
                let s = self.of(t);
                made(2.0, s.times(s))
            }
            (o, Some(t), []) if o.starts_with("list_") && o.ends_with("_sort") => sorted(t, texts),
            (o, Some(_), [k]) if o.ends_with("_sortByAssociatedKeys") => sorted(k, texts),
            _ => None,
        }
    }

    /// The node of a list's items.
    fn items(&self, n: &Node) -> Option<(Type, Option<Range>)> {
        let ty = n.ty.params().first().map(|t| (*t).clone())?;
        let path = n.path.as_ref().map(|p| {
            let mut p = p.clone();
            p.push("@items".to_owned());
            p
        });
        let size = self.sizes.size(path.as_deref(), &ty);
        Some((ty, size))
    }

    fn kubernetes(&self, f: &str, overload: &str, target: Option<&Node>, args: &[Node]) -> Option<Estimate> {
        let just = |cost: Range| Some(Estimate { cost, size: None });
        let one = Range::fixed(1);
        let first = || args.first().map(|a| self.of(a));
        Some(match f {
            "check" => return just(Range::fixed(CHECK)),
            "serviceAccount"
            | "path"
            | "group"
            | "resource"
            | "subresource"
            | "namespace"
            | "name"
            | "allowed"
            | "reason"
            | "error"
            | "errored"
            | "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery" => return just(one),
            "fieldSelector" | "labelSelector" => {
                let s = first()?;
                return just(Range { min: selector_cost(s.min), max: selector_cost(s.max) });
            }
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" | "includes" => {
                let t = target?;
                let cost = match self.items(t) {
                    Some((ty, size)) => {
                        let mut each = one;
                        if matches!(ty, Type::String | Type::Bytes) {
                            each = each.plus(size.unwrap_or(Range::UNKNOWN).factor(STRING));
                        }
                        self.of(t).times(each)
                    }
                    None if f == "includes" => self.of(t),
                    None => self.of(t).factor(STRING),
                };
                return just(cost);
            }
            "url" | "jsonpatch.escapeKey" => {
                let s = first()?;
                Estimate { cost: s.factor(STRING), size: Some(s) }
            }
            "lowerAscii" | "upperAscii" | "substring" | "trim" => {
                let s = self.of(target?);
                Estimate { cost: s.factor(STRING), size: Some(s) }
            }
            "replace" => {
                let s = self.of(target?);
                let (a, b) = (self.of(args.first()?), self.of(args.get(1)?));
                Estimate { cost: s.factor(2.0 * STRING), size: Some(replaced(s, a, b)) }
            }
            "split" => {
                let s = self.of(target?);
                let max = match args.get(1).map(|a| &a.e.kind) {
                    #[allow(clippy::cast_sign_loss)]
                    Some(Kind::Literal(Value::Int(i))) => *i as u64,
                    _ => s.max,
                };
                Estimate { cost: s.factor(2.0 * STRING), size: Some(Range { min: 0, max }) }
            }
            "join" => {
                let t = target?;
                let n = self.of(t);
                let mut s = match self.items(t) {
                    Some((_, size)) => n.times(size.unwrap_or(Range::UNKNOWN)),
                    None => Range::default(),
                };
                if let Some(a) = args.first() {
                    let gaps = Range { min: n.min.saturating_sub(1), max: n.max.saturating_sub(1) };
                    s = s.plus(self.of(a).times(gaps));
                }
                Estimate { cost: s.factor(STRING), size: Some(s) }
            }
            "find" | "findAll" => {
                let s = self.of(target?);
                let r = first()?;
                Estimate { cost: matched(s, r), size: Some(Range { min: 0, max: s.max }) }
            }
            "ip" if overload == "cidr_ip" => return just(one),
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                return just(first()?.factor(STRING));
            }
            "ip.isCanonical" => return just(first()?.factor(2.0 * STRING)),
            "containsIP" | "containsCIDR" => {
                let a = first()?;
                let bytes = Range { min: 4, max: 16 };
                let mut c = bytes.plus(bytes).factor(STRING);
                if f == "containsCIDR" {
                    c = c.plus(bytes.factor(STRING)).plus(one);
                }
                if overload.ends_with("_string") {
                    c = c.plus(a.factor(STRING));
                }
                return just(c);
            }
            "validate" => return just(first()?.factor(STRING).factor(FORMAT_REGEX * REGEX)),
            "_==_" => {
                let [l, r] = args else { return None };
                if l.ty != r.ty {
                    return None;
                }
                match &l.ty {
                    t if *t == decls::ip() || *t == decls::cidr() => return just(one),
                    Type::Struct(n) => match n.as_ref() {
                        "kubernetes.Quantity" | "kubernetes.Semver" => return just(one),
                        "kubernetes.NamedFormat" => {
                            return just(Range { min: 1, max: FORMAT_SIZE }.factor(STRING));
                        }
                        "kubernetes.URL" => {
                            let max = r.size.map_or(1, |s| s.max);
                            return just(Range { min: 1, max }.factor(STRING));
                        }
                        n if n.starts_with("kubernetes.authorization.") => return just(one),
                        _ => return None,
                    },
                    _ => return None,
                }
            }
            _ => return None,
        })
    }
}

fn matched(s: Range, r: Range) -> Range {
    s.plus(Range::fixed(1)).factor(STRING).times(r.factor(REGEX))
}

/// The size of a text after each `a` in it became `b`.
fn replaced(s: Range, a: Range, b: Range) -> Range {
    let times = |n: u64, by: u64| if by == 0 { 0 } else { n.div_ceil(by) };
    let (max_count, max_kept) = if a.min == 0 {
        (s.max.saturating_add(1), s.max)
    } else if b.max <= a.min {
        (0, s.max)
    } else {
        (times(s.max, a.min), 0)
    };
    let (min_count, min_kept) = if a.max == 0 {
        (s.min.saturating_add(1), s.min)
    } else if a.max <= b.min {
        (0, s.min)
    } else {
        (times(s.min, a.max), 0)
    };
    Range { min: min_count, max: max_count }.times(b).plus(Range { min: min_kept, max: max_kept })
}
