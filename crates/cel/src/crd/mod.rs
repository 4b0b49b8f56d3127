//! Validation rules of custom resources, `x-kubernetes-validations` (apiextensions-apiserver
//! `pkg/apiserver/schema/cel/validation.go`).

mod check;
pub mod decl;
mod rule;
#[cfg(test)]
mod tests;
mod typed;

pub use check::check;
pub use rule::field_path;
pub use typed::typed;

use crate::eval::{ErrorKind, EvalError, Limits};
use crate::{Program, Value};
use decl::{Decl, decl};
use meta::field::ErrorType;
use meta::{ErrorList, FieldError, Path};
use rule::{Place, Rule};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use structural::{Additional, Schema};

/// What all rules together may cost for one object.
pub const BUDGET: u64 = 10_000_000;
/// Bytes of a message that an expression made.
const MAX_MESSAGE: usize = 5 * 1024;

/// The rules of a schema, compiled.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    own: Vec<Rule>,
    /// The rules stand in the schema of a whole object.
    root: bool,
    items: Option<Box<Self>>,
    additional: Option<Box<Self>>,
    properties: BTreeMap<String, Self>,
    all_of: Vec<Self>,
}

fn any(s: &Schema) -> bool {
    !s.validations.is_empty()
        || s.items.as_ref().is_some_and(|i| any(i))
        || matches!(&s.additional, Additional::Schema(a) if any(a))
        || s.properties.values().any(any)
        || s.all_of.iter().any(any)
}

impl Rules {
    /// Compiles the rules of a version's schema; `None` if it has none.
    pub fn compile(s: &Schema) -> Option<Self> {
        if !any(s) {
            return None;
        }
        let d = decl(s, true, "selfType");
        Self::at(s, s, true, d.as_ref())
    }

    /// `by` holds the rules, `s` the shape: within `allOf` those are two.
    fn at(by: &Schema, s: &Schema, root: bool, d: Option<&Decl>) -> Option<Self> {
        let mut out = Self { root, ..Self::default() };
        if let Some(d) = d.filter(|_| !by.validations.is_empty()) {
            let place = Place::new(d);
            out.own = by.validations.iter().map(|r| place.compile(r, s)).collect();
        }
        let elem = d.and_then(|d| d.elem.as_deref());
        if let (Some(b), Some(i)) = (&by.items, &s.items) {
            out.items = Self::at(b, i, i.embedded, elem).map(Box::new);
        }
        if let (Additional::Schema(b), Additional::Schema(a)) = (&by.additional, &s.additional) {
            out.additional = Self::at(b, a, a.embedded, elem).map(Box::new);
        }
        for (k, b) in &by.properties {
            let Some(p) = s.properties.get(k).filter(|_| any(b)) else { continue };
            let own;
            let field = match crate::escape::escape(k) {
                Some(e) => d.and_then(|d| d.fields.get(&e)),
                None => {
                    own = decl(p, p.embedded, "selfType");
                    own.as_ref()
                }
            };
            if let Some(r) = field.and_then(|f| Self::at(b, p, p.embedded, Some(f))) {
                out.properties.insert(k.clone(), r);
            }
        }
        out.all_of = by.all_of.iter().filter_map(|b| Self::at(b, s, root, d)).collect();
        let empty = out.own.is_empty()
            && out.items.is_none()
            && out.additional.is_none()
            && out.properties.is_empty()
            && out.all_of.is_empty();
        (!empty).then_some(out)
    }

    /// Runs the rules on an object and what it was before. What a rule says about a part that did not change is no
    /// error but goes to `warnings`.
    pub fn validate(
        &self,
        s: &Schema,
        obj: &Json,
        old: Option<&Json>,
        warnings: &mut Vec<String>,
    ) -> ErrorList {
        let mut run = Run { errors: ErrorList::new(), warnings, left: BUDGET };
        let _ = run.at(self, s, &Path::root(), obj, old, Unchanged { now: old, parent: None });
        run.errors
    }
}

/// What a part is compared with to see whether it changed.
#[derive(Clone, Copy)]
struct Unchanged<'a> {
    now: Option<&'a Json>,
    parent: Option<(&'a Json, Option<&'a Json>)>,
}

impl Unchanged<'_> {
    fn holds(&self, v: &Json) -> bool {
        match (self.now, self.parent) {
            (Some(old), _) => old == v,
            (None, Some((new, old))) => old == Some(new),
            _ => false,
        }
    }
}

/// The budget is spent, or nothing more shall run.
struct Spent;

struct Run<'a> {
    errors: ErrorList,
    warnings: &'a mut Vec<String>,
    left: u64,
}

impl Run<'_> {
    fn at<'j>(
        &mut self,
        r: &Rules,
        s: &Schema,
        path: &Path,
        v: &'j Json,
        old: Option<&'j Json>,
        same: Unchanged<'j>,
    ) -> Result<(), Spent> {
        if v.is_null() {
            return Ok(());
        }
        self.rules(r, s, path, v, old.filter(|o| !o.is_null()), same)?;
        for a in &r.all_of {
            self.at(a, s, path, v, old, Unchanged { now: None, parent: same.parent })?;
        }
        let below = |old: Option<&'j Json>| match same.now {
            None => same,
            Some(_) => Unchanged { now: old, parent: Some((v, same.now)) },
        };
        match v {
            Json::Array(a) => {
                let (Some(inner), Some(items)) = (&r.items, &s.items) else { return Ok(()) };
                let before = old.and_then(Json::as_array).filter(|_| s.list_type == "map");
                for (i, x) in a.iter().enumerate() {
                    let was = before
                        .and_then(|b| b.iter().find(|y| s.list_keys.iter().all(|k| x.get(k) == y.get(k))));
                    self.at(inner, items, &path.index(i), x, was, below(was))?;
                }
            }
            Json::Object(o) => {
                for (k, x) in o {
                    let was = old.and_then(|o| o.get(k));
                    if let (Some(inner), Some(p)) = (r.properties.get(k), s.properties.get(k)) {
                        self.at(inner, p, &path.child(k), x, was, below(was))?;
                    } else if let (Some(inner), Additional::Schema(a)) = (&r.additional, &s.additional) {
                        self.at(inner, a, &path.key(k), x, was, below(was))?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn rules(
        &mut self,
        r: &Rules,
        s: &Schema,
        path: &Path,
        v: &Json,
        old: Option<&Json>,
        same: Unchanged<'_>,
    ) -> Result<(), Spent> {
        if r.own.is_empty() {
            return Ok(());
        }
        let invalid = |detail: String| FieldError::invalid(path, s.ty.as_str(), detail);
        const OUT: &str =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        if self.left == 0 {
            self.errors.push(invalid(OUT.to_owned()));
            return Err(Spent);
        }
        let this = typed(v, s, r.root);
        let before = old.map(|o| typed(o, s, r.root));
        for rule in &r.own {
            let shown = if rule.message.is_empty() { rule.rule.trim() } else { rule.message.trim() };
            let p = match &rule.program {
                Ok(p) => p,
                Err(e) if rule.rule.trim().is_empty() && e.is_empty() => continue,
                Err(e) => {
                    self.errors.push(invalid(format!("rule compile error: {e}")));
                    continue;
                }
            };
            let optional = rule.optional_old == Some(true);
            if rule.uses_old && before.is_none() && !optional {
                continue;
            }
            let mut variables = vec![("self", this.clone())];
            match (&before, optional) {
                (b, true) => variables.push(("oldSelf", b.clone().map_or(Value::NONE, Value::some))),
                (Some(b), false) => variables.push(("oldSelf", b.clone())),
                (None, false) => {}
            }
            let (out, cost) = run(p, &variables);
            if cost > self.left {
                self.errors.push(invalid(OUT.to_owned()));
                return Err(Spent);
            }
            self.left -= cost;
            match out {
                Ok(Value::Bool(true)) => continue,
                Ok(_) => {}
                Err(e) if e.kind == ErrorKind::Cost => {
                    self.errors.push(invalid(format!(
                        "'{e}': no further validation rules will be run due to call cost exceeds limit for rule: {shown}"
                    )));
                    return Err(Spent);
                }
                Err(e) if e.message.starts_with("no such overload") => {
                    self.errors.push(invalid(format!(
                        "'{e}': call arguments did not match a supported operator, function or macro signature for rule: {shown}"
                    )));
                    continue;
                }
                Err(e) => {
                    self.errors.push(invalid(format!("{e} evaluating rule: {shown}")));
                    continue;
                }
            }
            let at = match &rule.field {
                Some(f) if path.as_str().is_empty() => Path::new(f.clone()),
                Some(f) if f.starts_with('[') => Path::new(format!("{path}{f}")),
                Some(f) => Path::new(format!("{path}.{f}")),
                None => path.clone(),
            };
            let unchanged = !rule.uses_old && same.holds(v);
            let detail = match self.message(rule, &variables) {
                Ok(Some(m)) => m,
                Ok(None) if rule.message.is_empty() => format!("failed rule: {shown}"),
                Ok(None) => rule.message.trim().to_owned(),
                Err(why) => {
                    self.add(FieldError::invalid(&at, s.ty.as_str(), why), unchanged);
                    return Err(Spent);
                }
            };
            self.add(reasoned(rule, &at, s, v, detail), unchanged);
        }
        Ok(())
    }

    fn add(&mut self, e: FieldError, unchanged: bool) {
        if unchanged {
            self.warnings.push(e.to_string());
        } else {
            self.errors.push(e);
        }
    }

    /// The message that an expression makes; `Ok(None)`: it makes none that can be used.
    fn message(&mut self, rule: &Rule, variables: &[(&str, Value)]) -> Result<Option<String>, String> {
        let Some(Ok(p)) = &rule.message_program else { return Ok(None) };
        let (out, cost) = run(p, variables);
        if cost > self.left {
            return Err("messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run".to_owned());
        }
        let source = meta::field::quote(&rule.message_source);
        self.left -= cost;
        match out {
            Err(e) if e.kind == ErrorKind::Cost => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {source}"
            )),
            Err(_) => Ok(None),
            Ok(v) => {
                let m = v.as_str().unwrap_or_default().trim();
                let usable = !m.is_empty() && m.len() <= MAX_MESSAGE && !m.contains('\n');
                Ok(usable.then(|| m.to_owned()))
            }
        }
    }
}

fn run(p: &Program, variables: &[(&str, Value)]) -> (Result<Value, EvalError>, u64) {
    p.run(variables, &Limits::default())
}

fn reasoned(rule: &Rule, at: &Path, s: &Schema, v: &Json, detail: String) -> FieldError {
    let value = (!matches!(s.ty.as_str(), "object" | "array")).then(|| meta::field::show(v));
    match rule.reason.as_str() {
        "FieldValueForbidden" => FieldError::forbidden(at, detail),
        "FieldValueRequired" => FieldError::required(at, detail),
        "FieldValueDuplicate" => FieldError::new(ErrorType::Duplicate, at, value, ""),
        _ => FieldError::new(ErrorType::Invalid, at, value, detail),
    }
}
