//! Macros: calls that the parser replaces by loops and names (cel-go `parser/macro.go`, `ext/comprehensions.go`,
//! `cel/library.go`, `ext/bindings.go`).

use crate::Value;
use crate::ast::{ACCU, Call, Entry, Expr, Fold, Id, Kind};
use crate::parse::Parser;

/// The name under which older macros gathered; it stays forbidden as a variable.
const OLD_ACCU: &str = "__result__";
const UNUSED: &str = "#unused";
const SORT_INPUT: &str = "@__sortBy_input__";

/// Makes the nodes of one expansion: all stand where the macro stands.
struct Make<'a> {
    p: &'a mut Parser,
    at: Option<u32>,
}

impl Make<'_> {
    fn node(&mut self, kind: Kind) -> Expr {
        self.p.expr_at(self.at, kind)
    }
    fn lit(&mut self, v: impl Into<Value>) -> Expr {
        self.node(Kind::Literal(v.into()))
    }
    fn ident(&mut self, name: &str) -> Expr {
        self.node(Kind::Ident(name.to_owned()))
    }
    fn accu(&mut self) -> Expr {
        self.ident(ACCU)
    }
    fn call(&mut self, function: &str, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { target: None, function: function.to_owned(), args })))
    }
    fn member(&mut self, function: &str, target: Expr, args: Vec<Expr>) -> Expr {
        self.node(Kind::Call(Box::new(Call { target: Some(target), function: function.to_owned(), args })))
    }
    fn list(&mut self, items: Vec<Expr>) -> Expr {
        self.node(Kind::List { items, optional: Vec::new() })
    }
    /// The same expression again, with nodes of its own.
    fn copy(&mut self, e: &Expr) -> Expr {
        let at = self.p.at.get(e.id).copied().flatten();
        let id = self.p.id(at);
        let kind = match &e.kind {
            Kind::Literal(_) | Kind::Ident(_) => e.kind.clone(),
            Kind::Select { operand, field, test } => {
                Kind::Select { operand: Box::new(self.copy(operand)), field: field.clone(), test: *test }
            }
            Kind::Call(c) => Kind::Call(Box::new(Call {
                target: c.target.as_ref().map(|t| self.copy(t)),
                function: c.function.clone(),
                args: c.args.iter().map(|a| self.copy(a)).collect(),
            })),
            Kind::List { items, optional } => {
                Kind::List { items: items.iter().map(|i| self.copy(i)).collect(), optional: optional.clone() }
            }
            Kind::Map(entries) => Kind::Map(
                entries
                    .iter()
                    .map(|e| Entry {
                        key: self.copy(&e.key),
                        value: self.copy(&e.value),
                        optional: e.optional,
                    })
                    .collect(),
            ),
            Kind::Struct { name, fields } => {
                let mut fields = fields.clone();
                for f in &mut fields {
                    f.id = self.p.id(self.p.at.get(f.id).copied().flatten());
                    f.value = self.copy(&f.value);
                }
                Kind::Struct { name: name.clone(), fields }
            }
            Kind::Fold(f) => Kind::Fold(Box::new(Fold {
                range: self.copy(&f.range),
                var: f.var.clone(),
                var2: f.var2.clone(),
                accu: f.accu.clone(),
                init: self.copy(&f.init),
                condition: self.copy(&f.condition),
                step: self.copy(&f.step),
                result: self.copy(&f.result),
            })),
        };
        Expr { id, kind }
    }
    /// A name for a value within an expression.
    fn bind(&mut self, name: &str, value: Expr, body: Expr) -> Expr {
        let (range, condition, step) = (self.list(Vec::new()), self.lit(false), self.ident(name));
        let fold = Fold {
            range,
            var: UNUSED.to_owned(),
            var2: None,
            accu: name.to_owned(),
            init: value,
            condition,
            step,
            result: body,
        };
        self.node(Kind::Fold(Box::new(fold)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformList,
    TransformMap,
    TransformMapEntry,
}

type Kept = (Option<Expr>, Vec<Expr>);

/// Expands a call if it is a macro; otherwise gives target and arguments back.
pub(crate) fn expand(
    p: &mut Parser,
    id: Id,
    target: Option<Expr>,
    function: &str,
    mut args: Vec<Expr>,
    binds: bool,
) -> Result<Expr, Kept> {
    let at = p.at.get(id).copied().flatten();
    let mut m = Make { p, at };
    let fail = |m: &mut Make, e: &Expr, message: &str| {
        let at = m.p.at.get(e.id).copied().flatten();
        Ok(m.p.report(at, message))
    };
    let Some(target) = target else {
        if function == "has" && args.len() == 1 {
            return match args.remove(0) {
                Expr { kind: Kind::Select { operand, field, test: false }, .. } => {
                    Ok(m.node(Kind::Select { operand, field, test: true }))
                }
                other => fail(&mut m, &other, "invalid argument to has() macro"),
            };
        }
        return Err((None, args));
    };
    let form = match (function, args.len()) {
        ("all", 2 | 3) => Form::All,
        ("exists", 2 | 3) => Form::Exists,
        ("exists_one", 2 | 3) | ("existsOne", 3) => Form::ExistsOne,
        ("map", 2 | 3) => Form::Map,
        ("filter", 2) => Form::Filter,
        ("transformList", 3 | 4) => Form::TransformList,
        ("transformMap", 3 | 4) => Form::TransformMap,
        ("transformMapEntry", 3 | 4) => Form::TransformMapEntry,
        ("optMap" | "optFlatMap", 2) => {
            let (Some(body), Some(var)) = (args.pop(), args.pop()) else { return Err((Some(target), args)) };
            let Kind::Ident(name) = &var.kind else {
                return fail(
                    &mut m,
                    &var,
                    &format!("{function}() variable name must be a simple identifier"),
                );
            };
            let again = m.copy(&target);
            let has = m.member("hasValue", target, Vec::new());
            let value = m.member("value", again, Vec::new());
            let mut some = m.bind(name, value, body);
            if function == "optMap" {
                some = m.call("optional.of", vec![some]);
            }
            let none = m.call("optional.none", Vec::new());
            return Ok(m.call("_?_:_", vec![has, some, none]));
        }
        ("sortBy", 2) => {
            if matches!(target.kind, Kind::Literal(_) | Kind::Map(_) | Kind::Struct { .. }) {
                let why = "sortBy can only be applied to a list, identifier, comprehension, call or select expression";
                return fail(&mut m, &target, why);
            }
            let input = m.ident(SORT_INPUT);
            let keys = match looped(&mut m, Form::Map, input, args) {
                Ok(e) => e,
                Err(e) => return Ok(e),
            };
            let input = m.ident(SORT_INPUT);
            let sorted = m.member("@sortByAssociatedKeys", input, vec![keys]);
            return Ok(m.bind(SORT_INPUT, target, sorted));
        }
        ("bind", 3) if binds && matches!(&target.kind, Kind::Ident(n) if n == "cel") => {
            let (Some(body), Some(value), Some(var)) = (args.pop(), args.pop(), args.pop()) else {
                return Err((Some(target), args));
            };
            return match &var.kind {
                Kind::Ident(name) => Ok(m.bind(name, value, body)),
                _ => fail(&mut m, &var, "cel.bind() variable names must be simple identifiers"),
            };
        }
        _ => return Err((Some(target), args)),
    };
    Ok(looped(&mut m, form, target, args).unwrap_or_else(|e| e))
}

/// `Err` holds the node that stands for a macro with wrong arguments.
fn looped(m: &mut Make, form: Form, target: Expr, mut args: Vec<Expr>) -> Result<Expr, Expr> {
    let two = match form {
        Form::All | Form::Exists | Form::ExistsOne => args.len() == 3,
        Form::Map | Form::Filter => false,
        _ => true,
    };
    let what = match form {
        Form::Map | Form::Filter => "argument is not an identifier",
        _ => "argument must be a simple name",
    };
    let mut names = Vec::new();
    for a in &args[..if two { 2 } else { 1 }] {
        let at = m.p.at.get(a.id).copied().flatten();
        let Kind::Ident(name) = &a.kind else { return Err(m.p.report(at, what)) };
        if names.contains(name) {
            return Err(m.p.report(at, format!("duplicate variable name: {name}")));
        }
        if name == ACCU || name == OLD_ACCU {
            return Err(m.p.report(at, "iteration variable overwrites accumulator variable"));
        }
        names.push(name.clone());
    }
    let first = args[0].clone();
    let mut rest = args.split_off(names.len());
    let body = rest.pop();
    let Some(body) = body else { return Err(m.lit(false)) };
    let filter = rest.pop();
    let gather = |m: &mut Make, step: Expr, filter: Option<Expr>| match filter {
        Some(f) => {
            let keep = m.accu();
            m.call("_?_:_", vec![f, step, keep])
        }
        None => step,
    };
    let (init, condition, step, result);
    match form {
        Form::All => {
            init = m.lit(true);
            let a = m.accu();
            condition = m.call("@not_strictly_false", vec![a]);
            let a = m.accu();
            step = m.call("_&&_", vec![a, body]);
            result = m.accu();
        }
        Form::Exists => {
            init = m.lit(false);
            let a = m.accu();
            let not = m.call("!_", vec![a]);
            condition = m.call("@not_strictly_false", vec![not]);
            let a = m.accu();
            step = m.call("_||_", vec![a, body]);
            result = m.accu();
        }
        Form::ExistsOne => {
            init = m.lit(0i64);
            condition = m.lit(true);
            let (a, one) = (m.accu(), m.lit(1i64));
            let plus = m.call("_+_", vec![a, one]);
            let keep = m.accu();
            step = m.call("_?_:_", vec![body, plus, keep]);
            let (a, one) = (m.accu(), m.lit(1i64));
            result = m.call("_==_", vec![a, one]);
        }
        Form::Map | Form::TransformList => {
            init = m.list(Vec::new());
            condition = m.lit(true);
            let a = m.accu();
            let item = m.list(vec![body]);
            let plus = m.call("_+_", vec![a, item]);
            step = gather(m, plus, filter);
            result = m.accu();
        }
        Form::Filter => {
            init = m.list(Vec::new());
            condition = m.lit(true);
            let a = m.accu();
            let item = m.list(vec![first]);
            let plus = m.call("_+_", vec![a, item]);
            step = gather(m, plus, Some(body));
            result = m.accu();
        }
        Form::TransformMap | Form::TransformMapEntry => {
            init = m.node(Kind::Map(Vec::new()));
            condition = m.lit(true);
            let mut args = vec![m.accu()];
            if form == Form::TransformMap {
                args.push(m.ident(&names[0]));
            }
            args.push(body);
            let insert = m.call("cel.@mapInsert", args);
            step = gather(m, insert, filter);
            result = m.accu();
        }
    }
    let mut names = names.into_iter();
    let var = names.next().unwrap_or_default();
    let fold =
        Fold { range: target, var, var2: names.next(), accu: ACCU.to_owned(), init, condition, step, result };
    Ok(m.node(Kind::Fold(Box::new(fold))))
}
