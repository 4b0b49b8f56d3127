//! The type checker (cel-go `checker/checker.go`).

use crate::Value;
use crate::ast::{Ast, Expr, Fold, Id, Kind};
use crate::decls::{FUNCTIONS, Overload, named_type};
use crate::env::Env;
use crate::source::{Issue, Issues};
use crate::types::{Mapping, Type, most_general};

/// What the checker found about each node.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    pub types: Vec<Type>,
    /// Forms a call may take.
    pub overloads: Vec<Vec<&'static str>>,
    /// The variable, type or function that a node names.
    pub names: Vec<Option<String>>,
    pub result: Option<Type>,
}

struct Checker<'a> {
    env: &'a Env,
    at: &'a [Option<u32>],
    out: Checked,
    known: Vec<bool>,
    mapping: Mapping,
    vars: usize,
    scopes: Vec<(String, Type)>,
    issues: Vec<Issue>,
}

/// Checks an expression, and rewrites names that turn out to be qualified.
pub fn check(ast: &mut Ast, env: &Env) -> Result<Checked, Issues> {
    let n = ast.at.len();
    let mut root = std::mem::replace(&mut ast.root, Expr { id: 0, kind: Kind::Literal(Value::Null) });
    let mut c = Checker {
        env,
        at: &ast.at,
        out: Checked {
            types: vec![Type::Error; n],
            overloads: vec![Vec::new(); n],
            names: vec![None; n],
            result: None,
        },
        known: vec![false; n],
        mapping: Mapping::default(),
        vars: 0,
        scopes: Vec::new(),
        issues: Vec::new(),
    };
    c.check(&mut root);
    let mapping = std::mem::take(&mut c.mapping);
    for t in &mut c.out.types {
        *t = mapping.substitute(t, true);
    }
    c.out.result = Some(c.out.types[root.id].clone());
    let (out, issues) = (c.out, c.issues);
    ast.root = root;
    if issues.is_empty() { Ok(out) } else { Err(Issues { text: ast.source.clone(), list: issues }) }
}

impl Checker<'_> {
    fn report(&mut self, id: Id, message: String) {
        self.issues.push(Issue { at: self.at.get(id).copied().flatten(), message });
    }

    fn undeclared(&mut self, id: Id, name: &str) {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
        self.set(id, Type::Error);
    }

    fn mismatch(&mut self, id: Id, want: &Type, got: &Type) {
        self.report(id, format!("expected type '{want}' but found '{got}'"));
    }

    fn set(&mut self, id: Id, t: Type) {
        // A node that macros use twice keeps the type it got first.
        if !self.known[id] {
            self.known[id] = true;
            self.out.types[id] = t;
        }
    }

    fn ty(&self, e: &Expr) -> Type {
        self.out.types[e.id].clone()
    }

    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        self.mapping.assignable(std::slice::from_ref(a), std::slice::from_ref(b))
    }

    fn fresh(&mut self) -> Type {
        self.vars += 1;
        Type::param(&format!("_var{}", self.vars - 1))
    }

    fn local(&self, name: &str) -> Option<&Type> {
        self.scopes.iter().rev().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// A variable of the environment, or a type.
    fn global(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(t) = self.env.variable(name) {
            return Some(t.clone());
        }
        if let Some(t) = named_type(name) {
            return Some(Type::kind(t));
        }
        self.env.provides(name).then(|| Type::kind(Type::object(name)))
    }

    fn check(&mut self, e: &mut Expr) {
        let id = e.id;
        match &mut e.kind {
            Kind::Literal(v) => {
                let t = v.type_of();
                self.set(id, t);
            }
            Kind::Ident(name) => {
                if let Some(t) = self.local(name).cloned() {
                    self.set(id, t);
                    return;
                }
                match self.global(name) {
                    Some(t) => {
                        let full = name.strip_prefix('.').unwrap_or(name).to_owned();
                        self.set(id, t);
                        self.out.names[id] = Some(full);
                    }
                    None => {
                        let name = name.clone();
                        self.undeclared(id, &name);
                    }
                }
            }
            Kind::Select { .. } => self.select(e),
            Kind::Call(_) => self.call(e),
            Kind::List { items, optional } => {
                let mut of: Option<Type> = None;
                for (i, item) in items.iter_mut().enumerate() {
                    self.check(item);
                    let mut t = self.out.types[item.id].clone();
                    if optional.contains(&i) {
                        t = self.unwrap(item.id, t);
                    }
                    of = Some(self.join(item.id, of, t));
                }
                let of = of.unwrap_or_else(|| self.fresh());
                self.set(id, Type::list(of));
            }
            Kind::Map(entries) => {
                let (mut key, mut value) = (None, None);
                for e in entries {
                    self.check(&mut e.key);
                    let t = self.ty(&e.key);
                    key = Some(self.join(e.key.id, key, t));
                    self.check(&mut e.value);
                    let mut t = self.ty(&e.value);
                    if e.optional {
                        t = self.unwrap(e.value.id, t);
                    }
                    value = Some(self.join(e.value.id, value, t));
                }
                let key = key.unwrap_or_else(|| self.fresh());
                let value = value.unwrap_or_else(|| self.fresh());
                self.set(id, Type::map(key, value));
            }
            Kind::Struct { .. } => self.message(e),
            Kind::Fold(f) => self.fold(id, f),
        }
    }

    /// The type within an optional one; anything else is a mistake.
    fn unwrap(&mut self, id: Id, t: Type) -> Type {
        match t.unwrapped() {
            Some(inner) => inner.clone(),
            None => {
                if !t.is_dyn() {
                    self.mismatch(id, &Type::optional(t.clone()), &t);
                }
                t
            }
        }
    }

    fn join(&mut self, id: Id, before: Option<Type>, now: Type) -> Type {
        let Some(before) = before else { return now };
        if self.fits(&before, &now) {
            return most_general(&before, &now).clone();
        }
        // Whether such a literal may be is a question for `validate`.
        let _ = id;
        Type::Dyn
    }

    fn select(&mut self, e: &mut Expr) {
        let id = e.id;
        if let Some(name) = e.qualified_name() {
            let first = name.split('.').find(|p| !p.is_empty()).unwrap_or_default();
            if (name.starts_with('.') || self.local(first).is_none())
                && let Some(t) = self.global(&name)
            {
                let full = name.strip_prefix('.').unwrap_or(&name).to_owned();
                self.set(id, t);
                self.out.names[id] = Some(full.clone());
                e.kind = Kind::Ident(full);
                return;
            }
        }
        let Kind::Select { operand, field, test } = &mut e.kind else { return };
        let (field, test) = (field.clone(), *test);
        let t = self.field(id, operand, &field, false);
        let t = if test { Type::Bool } else { self.mapping.substitute(&t, false) };
        self.set(id, t);
    }

    fn field(&mut self, id: Id, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let whole = self.mapping.substitute(&self.ty(operand), false);
        let (target, was) = match whole.unwrapped() {
            Some(t) => (t.clone(), true),
            None => (whole, false),
        };
        let result = match &target {
            Type::Map(m) => m.1.clone(),
            Type::Struct(name) => match self.env.field(name, field) {
                Some(t) => t,
                None => {
                    if self.env.provides(name) {
                        self.report(id, format!("undefined field '{field}'"));
                    } else {
                        self.report(id, format!("unexpected failed resolution of '{name}'"));
                    }
                    Type::Error
                }
            },
            Type::Param(_) => {
                self.fits(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            t => {
                self.report(id, format!("type '{t}' does not support field selection"));
                Type::Dyn
            }
        };
        if was || optional { Type::optional(result) } else { result }
    }

    fn call(&mut self, e: &mut Expr) {
        let id = e.id;
        let Kind::Call(call) = &mut e.kind else { return };
        if call.function == "_?._" {
            let [operand, field] = call.args.as_mut_slice() else { return };
            let Kind::Literal(Value::String(name)) = &field.kind else { return };
            let name = name.to_string();
            self.set(field.id, Type::String);
            let t = self.field(id, operand, &name, true);
            let t = self.mapping.substitute(&t, false);
            self.set(id, t);
            self.out.overloads[id] = vec!["select_optional_field"];
            return;
        }
        for a in &mut call.args {
            self.check(a);
        }
        let mut function = call.function.strip_prefix('.').unwrap_or(&call.function).to_owned();
        let mut member = false;
        if let Some(t) = &mut call.target {
            let qualified = t.qualified_name().map(|q| format!("{}.{function}", q.trim_start_matches('.')));
            match qualified.filter(|q| self.env.knows(q)) {
                Some(q) => {
                    function = q;
                    call.target = None;
                }
                None => {
                    member = true;
                    self.check(t);
                }
            }
        }
        call.function.clone_from(&function);
        let known = if self.env.knows(&function) { FUNCTIONS.get(function.as_str()) } else { None };
        let Some(known) = known else {
            self.undeclared(id, &function);
            return;
        };
        let mut types: Vec<Type> = Vec::new();
        if let Some(t) = call.target.as_ref().filter(|_| member) {
            types.push(self.out.types[t.id].clone());
        }
        types.extend(call.args.iter().map(|a| self.out.types[a.id].clone()));
        if matches!(function.as_str(), "_&&_" | "_||_") {
            let mut bad = false;
            for (a, t) in call.args.iter().zip(&types) {
                if !self.mapping.assignable(std::slice::from_ref(t), &[Type::Bool]) {
                    let shown = self.mapping.substitute(t, false);
                    self.issues.push(Issue {
                        at: self.at.get(a.id).copied().flatten(),
                        message: format!("expected type 'bool' but found '{shown}'"),
                    });
                    bad = true;
                }
            }
            self.out.overloads[id] = vec![known[0].id];
            self.set(id, if bad { Type::Error } else { Type::Bool });
            return;
        }
        self.resolve(id, &function, known, member, &types);
    }

    fn resolve(&mut self, id: Id, function: &str, known: &'static [Overload], member: bool, types: &[Type]) {
        let mut result: Option<Type> = None;
        let mut ids = Vec::new();
        for o in known.iter().filter(|o| o.member == member && o.args.len() == types.len()) {
            let mut fresh = Mapping::default();
            for p in &o.params {
                let v = self.fresh();
                fresh.add(p, v);
            }
            let args: Vec<Type> = o.args.iter().map(|a| fresh.substitute(a, false)).collect();
            if !self.mapping.assignable(types, &args) {
                continue;
            }
            ids.push(o.id);
            let r = self.mapping.substitute(&fresh.substitute(&o.result, false), false);
            result = Some(match result {
                None => r,
                Some(before) if !before.is_dyn() && before != r => Type::Dyn,
                Some(before) => before,
            });
        }
        let Some(result) = result else {
            let shown: Vec<String> =
                types.iter().map(|t| self.mapping.substitute(t, true).to_string()).collect();
            let (target, args) = if member { shown.split_at(1) } else { shown.split_at(0) };
            let target = target.first().map_or(String::new(), |t| format!("{t}."));
            let m = format!(
                "found no matching overload for '{function}' applied to '{target}({})'",
                args.join(", ")
            );
            self.report(id, m);
            self.set(id, Type::Error);
            return;
        };
        self.set(id, result);
        if self.out.overloads[id].is_empty() {
            self.out.overloads[id] = ids;
        }
    }

    fn message(&mut self, e: &mut Expr) {
        let id = e.id;
        let Kind::Struct { name, fields } = &mut e.kind else { return };
        let full = name.strip_prefix('.').unwrap_or(name).to_owned();
        if !self.env.provides(&full) {
            match named_type(&full) {
                Some(t) => {
                    self.report(id, format!("'{}' is not a message type", t.name()));
                    self.set(id, Type::Error);
                    for f in fields {
                        self.check(&mut f.value);
                    }
                }
                None => {
                    let name = name.clone();
                    self.undeclared(id, &name);
                }
            }
            return;
        }
        name.clone_from(&full);
        self.set(id, Type::object(&full));
        for f in fields {
            self.check(&mut f.value);
            let want = match self.env.field(&full, &f.name) {
                Some(t) => t,
                None => {
                    self.report(f.id, format!("undefined field '{}'", f.name));
                    Type::Error
                }
            };
            let mut got = self.out.types[f.value.id].clone();
            if f.optional {
                got = self.unwrap(f.value.id, got);
            }
            if !self.fits(&want, &got) {
                let got = self.mapping.substitute(&got, false);
                self.report(
                    f.id,
                    format!("expected type of field '{}' is '{want}' but provided type is '{got}'", f.name),
                );
            }
        }
    }

    fn fold(&mut self, id: Id, f: &mut Fold) {
        self.check(&mut f.range);
        self.check(&mut f.init);
        let range = self.mapping.substitute(&self.ty(&f.range), false);
        let accu = self.ty(&f.init);
        let depth = self.scopes.len();
        self.scopes.push((f.accu.clone(), accu.clone()));
        let two = f.var2.is_some();
        let (first, second) = match &range {
            Type::List(t) if two => (Type::Int, t.as_ref().clone()),
            Type::List(t) => (t.as_ref().clone(), Type::Dyn),
            Type::Map(m) => (m.0.clone(), m.1.clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.fits(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            t => {
                let m = format!(
                    "expression of type '{t}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(f.range.id, m);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((f.var.clone(), first));
        if let Some(v) = &f.var2 {
            self.scopes.push((v.clone(), second));
        }
        self.check(&mut f.condition);
        self.must_be(&f.condition, &Type::Bool);
        self.check(&mut f.step);
        self.must_be(&f.step, &accu);
        self.scopes.truncate(depth + 1);
        self.check(&mut f.result);
        self.scopes.truncate(depth);
        let t = self.mapping.substitute(&self.ty(&f.result), false);
        self.set(id, t);
    }

    fn must_be(&mut self, e: &Expr, t: &Type) {
        let got = self.ty(e);
        if !self.fits(t, &got) {
            self.mismatch(e.id, t, &got);
        }
    }
}
