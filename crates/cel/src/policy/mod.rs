//! Admission in CEL: match conditions, validating and mutating policies (apiserver
//! `pkg/admission/plugin/{cel,policy,webhook/matchconditions}`). The caller finds the policies that match a request and
//! carries out what they say.

mod env;
#[cfg(test)]
mod tests;

pub use env::{Composed, May, env};

use crate::eval::{ErrorKind, EvalError, Limits};
use crate::value::Key;
use crate::{Program, Type, Value, escape, json};
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// What the expressions of one policy may cost for one request (and parameter).
pub const BUDGET: u64 = 10_000_000;
/// What match conditions may cost.
pub const MATCH_BUDGET: u64 = 2_500_000;
/// Bytes of a message that an expression made.
const MAX_MESSAGE: usize = 5 * 1024;
const OUT: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What a request is judged by.
#[derive(Clone, Debug)]
pub struct Input {
    pub object: Value,
    pub old_object: Value,
    /// Null where a policy has none.
    pub params: Value,
    pub request: Value,
    pub namespace: Value,
    /// The authorizer, and its question about the request's own resource.
    pub authorizer: Option<(Value, Value)>,
}

impl Input {
    fn get(&self, name: &str) -> Option<Value> {
        Some(match name {
            "object" => self.object.clone(),
            "oldObject" => self.old_object.clone(),
            "params" => self.params.clone(),
            "request" => self.request.clone(),
            "namespaceObject" => self.namespace.clone(),
            "authorizer" => self.authorizer.as_ref()?.0.clone(),
            "authorizer.requestResource" => self.authorizer.as_ref()?.1.clone(),
            _ => return None,
        })
    }
}

/// An expression, as far as it could be compiled.
#[derive(Clone, Debug)]
pub struct Expression {
    pub source: String,
    pub program: Result<Arc<Program>, String>,
}

impl Expression {
    /// Compiles; the result must be of one of the types, if any are given.
    pub fn compile(env: &crate::Env, source: &str, types: &[Type]) -> Self {
        let program = (|| {
            let p = env.compile(source).map_err(|e| format!("compilation failed: {}", e.display()))?;
            let got = p.result_type();
            if !types.is_empty() && !types.contains(&got) {
                let names: Vec<String> = types.iter().map(ToString::to_string).collect();
                return Err(match names.as_slice() {
                    [one] => format!("must evaluate to {one} but got {got}"),
                    all => format!("must evaluate to one of [{}] but got {got}", all.join(" ")),
                });
            }
            match &p.broken {
                Some(e) => Err(format!("program instantiation failed: {e}")),
                None => Ok(Arc::new(p)),
            }
        })();
        Self { source: source.to_owned(), program }
    }
}

/// Named expressions that others can use as `variables.name`; evaluated when first used.
#[derive(Clone, Debug, Default)]
struct Variables {
    composed: Arc<Composed>,
    list: Vec<(String, Expression)>,
}

impl Variables {
    fn compile(spec: &Json, may: May) -> Self {
        let mut out = Self::default();
        for v in items(spec, "variables") {
            let name = text(v, "name");
            let e = out.env(may);
            let x = Expression::compile(&e, text(v, "expression"), &[]);
            out.composed.add(name, x.program.as_ref().map_or(Type::Dyn, |p| p.result_type()));
            out.list.push((name.to_owned(), x));
        }
        out
    }

    fn env(&self, may: May) -> crate::Env {
        let mut e = env(may, &Type::Dyn, &Type::Dyn, Some(&self.composed));
        for (n, x) in &self.list {
            // The checker takes the whole of `variables.name` for a name; so nothing is evaluated that is not used.
            let t = x.program.as_ref().map_or(Type::Dyn, |p| p.result_type());
            e.declare(&format!("variables.{n}"), t);
        }
        e
    }
}

/// One policy at work on one request.
struct Session<'a> {
    input: &'a Input,
    variables: &'a Variables,
    known: RefCell<HashMap<String, Result<Value, EvalError>>>,
    left: Cell<u64>,
}

enum Outcome {
    Value(Value),
    /// The expression has no value; the text says why.
    Failed(String),
}

/// Nothing more shall be evaluated.
struct Spent;

impl crate::Variables for Session<'_> {
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>> {
        if let Some(v) = self.input.get(name) {
            return Some(Ok(v));
        }
        if name == "variables" {
            let all = self.variables.list.iter().filter_map(|(n, _)| {
                let v = crate::Variables::get(self, &format!("variables.{n}"))?.ok()?;
                Some((n.as_str(), v))
            });
            return Some(Ok(json::object(all.collect::<Vec<_>>())));
        }
        let short = name.strip_prefix("variables.")?;
        if let Some(v) = self.known.borrow().get(short) {
            return Some(v.clone());
        }
        let (_, x) = self.variables.list.iter().find(|(n, _)| n == short)?;
        let v = match &x.program {
            Err(e) => Err(EvalError::new(format!("composited variable \"{short}\" fails to compile: {e}"))),
            Ok(p) => {
                let limits = Limits { cost: self.left.get().min(crate::PER_CALL_LIMIT), interrupt: None };
                let (v, cost) = p.run(self, &limits);
                self.left.set(self.left.get().saturating_sub(cost));
                v.map_err(|e| {
                    EvalError::new(format!("composited variable \"{short}\" fails to evaluate: {e}"))
                })
            }
        };
        self.known.borrow_mut().insert(short.to_owned(), v.clone());
        Some(v)
    }
}

impl<'a> Session<'a> {
    fn new(input: &'a Input, variables: &'a Variables, budget: u64) -> Self {
        Self { input, variables, known: RefCell::default(), left: Cell::new(budget) }
    }

    fn eval(&self, x: &Expression) -> Result<Outcome, Spent> {
        let p = match &x.program {
            Ok(p) => p,
            Err(e) => return Ok(Outcome::Failed(format!("compilation error: {e}"))),
        };
        let (v, cost) = p.run(self, &Limits::default());
        let left = self.left.get();
        if cost > left || left == 0 {
            return Err(Spent);
        }
        self.left.set(left - cost);
        Ok(match v {
            Ok(v) => Outcome::Value(v),
            Err(e) => {
                debug_assert!(e.kind != ErrorKind::Interrupted);
                Outcome::Failed(format!("expression '{}' resulted in error: {e}", x.source))
            }
        })
    }
}

/// Compiles a validating policy's expressions against the types of what it is about, and tells what is wrong: the
/// expression's place in the policy, and the message.
pub fn type_check(
    spec: &Json,
    object: &Type,
    params: &Type,
    providers: &[Arc<dyn crate::Provider>],
) -> Vec<(String, String)> {
    let has = spec.get("paramKind").is_some_and(|p| !p.is_null());
    let may = May { params: has, authorizer: true, patch: false };
    let composed = Arc::new(Composed::default());
    let mut e = env(may, object, params, Some(&composed));
    for p in providers {
        e = e.provider(p.clone());
    }
    for v in items(spec, "variables") {
        let name = text(v, "name");
        let x = Expression::compile(&e, text(v, "expression"), &[]);
        let t = x.program.as_ref().map_or(Type::Dyn, |p| p.result_type());
        composed.add(name, t.clone());
        e.declare(&format!("variables.{name}"), t);
    }
    let mut out = Vec::new();
    for (i, v) in items(spec, "validations").enumerate() {
        for k in ["expression", "messageExpression"] {
            let source = text(v, k);
            if source.is_empty() {
                continue;
            }
            if let Err(why) = Expression::compile(&e, source, &[]).program {
                out.push((format!("spec.validations[{i}].{k}"), why));
            }
        }
    }
    out
}

fn items<'j>(v: &'j Json, k: &str) -> impl Iterator<Item = &'j Json> {
    v.get(k).and_then(Json::as_array).into_iter().flatten()
}

fn text<'j>(v: &'j Json, k: &str) -> &'j str {
    v.get(k).and_then(Json::as_str).unwrap_or_default()
}

/// Conditions that a request must meet before a policy or webhook looks at it.
#[derive(Clone, Debug, Default)]
pub struct MatchConditions {
    list: Vec<Expression>,
    variables: Variables,
}

impl MatchConditions {
    /// Compiles `matchConditions` of a webhook.
    pub fn compile(conditions: &[Json]) -> Self {
        let may = May { params: false, authorizer: true, patch: false };
        let e = env(may, &Type::Dyn, &Type::Dyn, None);
        let list = conditions.iter().map(|c| Expression::compile(&e, text(c, "expression"), &[Type::Bool]));
        Self { list: list.collect(), variables: Variables::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether all conditions hold. An error is what goes to the failure policy `Fail`; with `Ignore` (`fail` is false)
    /// a request that cannot be judged does not match.
    pub fn matches(&self, input: &Input, fail: bool) -> Result<bool, String> {
        // Conditions see no namespace.
        let input = Input { namespace: Value::Null, ..input.clone() };
        let s = Session::new(&input, &self.variables, MATCH_BUDGET);
        let mut errors = Vec::new();
        let mut out = Vec::new();
        for x in &self.list {
            match s.eval(x) {
                Ok(o) => out.push(o),
                Err(Spent) if fail => return Err(OUT.to_owned()),
                Err(Spent) => return Ok(false),
            }
        }
        for o in out {
            match o {
                Outcome::Value(Value::Bool(false)) => return Ok(false),
                Outcome::Value(_) => {}
                Outcome::Failed(e) => errors.push(e),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            _ if !fail => Ok(false),
            [one] => Err(one.clone()),
            all => Err(format!("[{}]", all.join(", "))),
        }
    }
}

/// What validating or mutating policies have in common.
#[derive(Clone, Debug)]
struct Common {
    variables: Variables,
    conditions: MatchConditions,
    may: May,
    /// Whether an error refuses the request.
    fail: bool,
}

impl Common {
    fn compile(spec: &Json) -> Self {
        let params = spec.get("paramKind").is_some_and(|p| !p.is_null());
        let may = May { params, authorizer: true, patch: false };
        let variables = Variables::compile(spec, may);
        let e = variables.env(may);
        let list = items(spec, "matchConditions")
            .map(|c| Expression::compile(&e, text(c, "expression"), &[Type::Bool]))
            .collect();
        let conditions = MatchConditions { list, variables: variables.clone() };
        Self { variables, conditions, may, fail: text(spec, "failurePolicy") != "Ignore" }
    }
}

struct Validation {
    expression: Expression,
    message: String,
    made: Option<Expression>,
    reason: String,
}

/// A ValidatingAdmissionPolicy, compiled.
pub struct Validating {
    common: Common,
    validations: Vec<Validation>,
    audits: Vec<(String, Expression)>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Which of the validations.
    pub index: usize,
    pub message: String,
    /// Of the answer; empty where the policy failed to judge.
    pub reason: String,
}

/// What a policy says about a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub denials: Vec<Denial>,
    /// Audit annotations, and what went wrong with them (which refuses the request whatever a binding's actions are).
    pub annotations: Vec<(String, String)>,
    pub annotation_errors: Vec<String>,
}

impl Validating {
    pub fn compile(spec: &Json) -> Self {
        let common = Common::compile(spec);
        let e = common.variables.env(common.may);
        let plain = common.variables.env(May { authorizer: false, ..common.may });
        let validations = items(spec, "validations").map(|v| Validation {
            expression: Expression::compile(&e, text(v, "expression"), &[Type::Bool]),
            message: text(v, "message").trim().to_owned(),
            made: Some(text(v, "messageExpression"))
                .filter(|m| !m.is_empty())
                .map(|m| Expression::compile(&plain, m, &[Type::String])),
            reason: Some(text(v, "reason")).filter(|r| !r.is_empty()).unwrap_or("Invalid").to_owned(),
        });
        let validations = validations.collect();
        let audits = items(spec, "auditAnnotations").map(|a| {
            let x = Expression::compile(&e, text(a, "valueExpression"), &[Type::String, Type::Null]);
            (text(a, "key").to_owned(), x)
        });
        let audits = audits.collect();
        Self { common, validations, audits }
    }

    /// Whether an error in the policy's configuration refuses the request.
    pub fn fails(&self) -> bool {
        self.common.fail
    }

    pub fn judge(&self, input: &Input) -> Verdict {
        let mut out = Verdict::default();
        let error = |out: &mut Verdict, index: usize, message: String| {
            if self.common.fail {
                out.denials.push(Denial { index, message, reason: String::new() });
            }
        };
        match self.common.conditions.matches(input, self.common.fail) {
            Ok(true) => {}
            Ok(false) => return out,
            Err(e) => {
                error(&mut out, 0, e);
                return out;
            }
        }
        let s = Session::new(input, &self.common.variables, BUDGET);
        let mut results = Vec::new();
        for v in &self.validations {
            match s.eval(&v.expression) {
                Ok(o) => results.push(o),
                Err(Spent) => {
                    error(&mut out, 0, OUT.to_owned());
                    return out;
                }
            }
        }
        for (i, (v, o)) in self.validations.iter().zip(results).enumerate() {
            match o {
                Outcome::Failed(e) => error(&mut out, i, e),
                Outcome::Value(Value::Bool(true)) => {}
                Outcome::Value(_) => {
                    let made = match &v.made {
                        None => None,
                        Some(m) => match s.eval(m) {
                            Ok(Outcome::Value(m)) => usable(&m),
                            Ok(Outcome::Failed(_)) => None,
                            Err(Spent) => {
                                error(&mut out, i, format!("failed messageExpression: {OUT}"));
                                continue;
                            }
                        },
                    };
                    let message = made.unwrap_or_else(|| {
                        if v.message.is_empty() {
                            format!("failed expression: {}", v.expression.source.trim())
                        } else {
                            v.message.clone()
                        }
                    });
                    out.denials.push(Denial { index: i, message, reason: v.reason.clone() });
                }
            }
        }
        self.annotate(input, &mut out);
        out
    }

    fn annotate(&self, input: &Input, out: &mut Verdict) {
        let s = Session::new(input, &self.common.variables, BUDGET);
        for (key, x) in &self.audits {
            match s.eval(x) {
                Err(Spent) => {
                    if self.common.fail {
                        out.denials.push(Denial { index: 0, message: OUT.to_owned(), reason: String::new() });
                    }
                    return;
                }
                Ok(Outcome::Failed(e)) if self.common.fail => out.annotation_errors.push(e),
                Ok(Outcome::Value(Value::String(v))) if !v.trim().is_empty() => {
                    out.annotations.push((key.clone(), v.trim().to_owned()));
                }
                Ok(_) => {}
            }
        }
    }
}

fn usable(m: &Value) -> Option<String> {
    let m = m.as_str()?.trim();
    (!m.is_empty() && m.len() <= MAX_MESSAGE && !m.contains('\n')).then(|| m.to_owned())
}

/// A MutatingAdmissionPolicy, compiled.
pub struct Mutating {
    common: Common,
    mutations: Vec<(bool, Expression)>,
    /// May run again after others changed the object.
    pub reinvoke: bool,
}

/// A change that a policy makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Fields to be merged into the object as an apply would.
    Apply(Json),
    /// Operations of a JSON patch.
    Patch(Json),
}

impl Mutating {
    pub fn compile(spec: &Json) -> Self {
        let common = Common::compile(spec);
        let e = common.variables.env(May { patch: true, ..common.may });
        let mutations = items(spec, "mutations").map(|m| {
            let patch = text(m, "patchType") == "JSONPatch";
            let (part, ty) = if patch {
                ("jsonPatch", Type::list(Type::object("JSONPatch")))
            } else {
                ("applyConfiguration", Type::object("Object"))
            };
            let source = m.get(part).map(|p| text(p, "expression")).unwrap_or_default();
            (patch, Expression::compile(&e, source, &[ty]))
        });
        let mutations = mutations.collect();
        Self { common, mutations, reinvoke: text(spec, "reinvocationPolicy") == "IfNeeded" }
    }

    pub fn fails(&self) -> bool {
        self.common.fail
    }
    pub fn len(&self) -> usize {
        self.mutations.len()
    }
    pub fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }

    /// Whether the policy's conditions hold.
    pub fn matches(&self, input: &Input) -> Result<bool, String> {
        self.common.conditions.matches(input, self.common.fail)
    }

    /// What mutation number `i` wants changed; each sees the object as the one before left it.
    pub fn change(&self, i: usize, input: &Input) -> Result<Change, String> {
        let Some((patch, x)) = self.mutations.get(i) else { return Err("no such mutation".to_owned()) };
        if let Err(e) = &x.program {
            return Err(e.clone());
        }
        let s = Session::new(input, &self.common.variables, BUDGET);
        let v = match s.eval(x) {
            Err(Spent) => return Err(OUT.to_owned()),
            Ok(Outcome::Failed(e)) => return Err(e),
            Ok(Outcome::Value(v)) => v,
        };
        if !patch {
            named(&v, "Object").map_err(|e| format!("type mismatch: {e}"))?;
            return made(&v).map(Change::Apply);
        }
        let mut ops = Vec::new();
        for op in v.as_list().unwrap_or_default() {
            let Value::Map(m) = op else {
                return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch"
                    .to_owned());
            };
            let mut out = serde_json::Map::new();
            for k in ["op", "path", "from"] {
                if let Some(v) = m.member(k).and_then(Value::as_str).filter(|v| k != "from" || !v.is_empty())
                {
                    out.insert(k.to_owned(), v.into());
                }
            }
            if let Some(v) = m.member("value") {
                if let Value::Map(o) = v
                    && let Some(n) = &o.object
                {
                    named(v, n).map_err(|e| format!("type mismatch: {e}"))?;
                }
                out.insert(
                    "value".to_owned(),
                    made(v).map_err(|e| {
                        format!(
                            "JSONPath valueExpression evaluated to a type that could not marshal to JSON: {e}"
                        )
                    })?,
                );
            }
            ops.push(Json::Object(out));
        }
        Ok(Change::Patch(Json::Array(ops)))
    }
}

/// Objects must be named after the fields they stand in.
fn named(v: &Value, path: &str) -> Result<(), String> {
    match v {
        Value::Map(m) => {
            match &m.object {
                Some(n) if n.as_ref() != path => {
                    return Err(format!(
                        "unexpected type name \"{n}\", expected \"{path}\", which matches field name path from root Object type"
                    ));
                }
                _ => {}
            }
            for (k, x) in &m.entries {
                match (k, &m.object) {
                    (Key::String(k), Some(_)) => named(x, &format!("{path}.{k}"))?,
                    _ => named(x, path)?,
                }
            }
            Ok(())
        }
        Value::List(l) => l.items.iter().try_for_each(|x| named(x, path)),
        _ => Ok(()),
    }
}

/// The JSON of a value, with the names of fields as they are in objects.
fn made(v: &Value) -> Result<Json, String> {
    match v {
        Value::Map(m) => {
            let mut out = serde_json::Map::new();
            for (k, x) in &m.entries {
                let Key::String(k) = k else { return Err(format!("key {} is no string", k.value().show())) };
                let k = if m.object.is_some() { escape::unescape(k) } else { k.to_string() };
                out.insert(k, made(x)?);
            }
            Ok(Json::Object(out))
        }
        Value::List(l) => l.items.iter().map(made).collect::<Result<_, _>>().map(Json::Array),
        v => json::to_json(v),
    }
}
