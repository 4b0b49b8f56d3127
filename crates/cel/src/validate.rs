//! Literals that functions will refuse are refused when the expression is compiled (cel-go `cel/validator.go`,
//! `ext/formatting.go`).

use crate::ast::{Ast, Expr, Kind};
use crate::check::Checked;
use crate::source::{Issue, Issues};
use crate::text::format::{self, Clause};
use crate::types::Type;
use crate::value::Time;
use crate::{Value, regexes, time};

pub fn literals(ast: &Ast, checked: &Checked) -> Result<(), Issues> {
    let mut issues = Vec::new();
    ast.root.walk(&mut |e| {
        let Kind::Call(c) = &e.kind else { return };
        let mut say = |at: &Expr, message: String| {
            issues.push(Issue { at: ast.at.get(at.id).copied().flatten(), message });
        };
        let literal = |e: Option<&Expr>| match e.map(|e| &e.kind) {
            Some(Kind::Literal(Value::String(s))) => Some(s.clone()),
            _ => None,
        };
        match (c.function.as_str(), &c.target) {
            ("timestamp", None)
                if matches!(c.args.first().map(|a| &a.kind), Some(Kind::Literal(Value::Int(_)))) =>
            {
                if let [a] = c.args.as_slice()
                    && let Kind::Literal(Value::Int(secs)) = a.kind
                    && !time::in_range(Time { secs, nanos: 0 })
                {
                    say(a, "invalid timestamp argument".to_owned());
                }
            }
            ("duration", None) => {
                if let (Some(s), Some(a)) = (literal(c.args.first()), c.args.first())
                    && time::parse_duration(&s).is_err()
                {
                    say(a, "invalid duration argument".to_owned());
                }
            }
            ("timestamp", None) => {
                if let (Some(s), Some(a)) = (literal(c.args.first()), c.args.first())
                    && !time::parse_timestamp(&s).is_some_and(time::in_range)
                {
                    say(a, "invalid timestamp argument".to_owned());
                }
            }
            ("matches", _) => {
                if let (Some(s), Some(a)) = (literal(c.args.last()), c.args.last())
                    && regexes::compile(&s).is_err()
                {
                    say(a, "invalid matches argument".to_owned());
                }
            }
            ("format", Some(t)) => {
                if let (Some(s), Some(Kind::List { items, .. })) =
                    (literal(Some(t)), c.args.first().map(|a| &a.kind))
                {
                    check_format(checked, e, &s, items, &mut say);
                }
            }
            _ => {}
        }
    });
    alike(ast, checked, &ast.root, false, &mut issues);
    if issues.is_empty() { Ok(()) } else { Err(Issues { text: ast.source.clone(), list: issues }) }
}

/// Items of a list, keys and values of a map are of one type each; only `format` takes what comes.
fn alike(ast: &Ast, checked: &Checked, e: &Expr, exempt: bool, issues: &mut Vec<Issue>) {
    let ty = |e: &Expr, optional: bool| {
        let t = &checked.types[e.id];
        if optional { t.unwrapped().unwrap_or(t).clone() } else { t.clone() }
    };
    let mut say = |e: &Expr, want: &Type, got: &Type| {
        issues.push(Issue {
            at: ast.at.get(e.id).copied().flatten(),
            message: format!("expected type '{want}' but found '{got}'"),
        });
    };
    match &e.kind {
        Kind::List { items, optional } if !exempt => {
            let mut first: Option<Type> = None;
            for (i, x) in items.iter().enumerate() {
                let t = ty(x, optional.contains(&i));
                match &first {
                    None => first = Some(t),
                    Some(f) if *f == t => {}
                    Some(f) => {
                        say(x, f, &t);
                        break;
                    }
                }
            }
        }
        Kind::Map(entries) if !exempt => {
            let mut first: Option<(Type, Type)> = None;
            for x in entries {
                let (k, v) = (ty(&x.key, false), ty(&x.value, x.optional));
                match &first {
                    None => first = Some((k, v)),
                    Some((fk, fv)) => {
                        if *fk != k {
                            say(&x.key, fk, &k);
                        }
                        if *fv != v {
                            say(&x.value, fv, &v);
                        }
                    }
                }
            }
        }
        _ => {}
    }
    let exempt = exempt || matches!(&e.kind, Kind::Call(c) if c.function == "format");
    e.children(&mut |c| alike(ast, checked, c, exempt, issues));
}

fn check_format(
    checked: &Checked,
    call: &Expr,
    text: &str,
    args: &[Expr],
    say: &mut dyn FnMut(&Expr, String),
) {
    let mut used = 0;
    let out = format::run(text, args.len(), &mut |i, clause| {
        used = used.max(i + 1);
        let arg = &args[i];
        match misfit(checked, arg, clause) {
            Some(bad) => Err(clause.refuses(checked.types[bad.id].name())),
            None => Ok(String::new()),
        }
    });
    if let Err(m) = out {
        say(if used > 0 && m.starts_with("error during") { &args[used - 1] } else { call }, m);
        return;
    }
    if args.len() > used {
        let m = format!("too many arguments supplied to string.format (expected {used}, got {})", args.len());
        say(call, m);
    }
}

/// The expression that a clause cannot show.
fn misfit<'e>(checked: &Checked, e: &'e Expr, clause: &Clause) -> Option<&'e Expr> {
    let t = &checked.types[e.id];
    if t.is_dyn() {
        return None;
    }
    let ok = match clause {
        Clause::String => !matches!(t, Type::Struct(_) | Type::Opaque(..) | Type::Error),
        Clause::Decimal | Clause::Octal => matches!(t, Type::Int | Type::Uint),
        Clause::Fixed(_) | Clause::Scientific(_) => matches!(t, Type::Double | Type::String),
        Clause::Binary => matches!(t, Type::Int | Type::Uint | Type::Bool),
        Clause::Hex(_) => matches!(t, Type::Int | Type::Uint | Type::String | Type::Bytes),
    };
    if !ok {
        return Some(e);
    }
    if !matches!(clause, Clause::String) {
        return None;
    }
    match &e.kind {
        Kind::List { items, .. } => items.iter().find_map(|i| misfit(checked, i, clause)),
        Kind::Map(entries) => entries
            .iter()
            .find_map(|e| misfit(checked, &e.key, clause).or_else(|| misfit(checked, &e.value, clause))),
        _ => None,
    }
}
