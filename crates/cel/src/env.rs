//! What an expression may use, and a compiled expression.

use crate::Value;
use crate::ast::Ast;
use crate::check::{self, Checked};
use crate::cost::{self, Sizes};
use crate::decls::FUNCTIONS;
use crate::eval::{self, EvalError, Limits};
use crate::parse;
use crate::source::Issues;
use crate::types::{Provider, Type};
use crate::validate;
use std::sync::Arc;

/// Variables, types and functions an expression may use.
#[derive(Clone, Debug, Default)]
pub struct Env {
    variables: Vec<(String, Type)>,
    providers: Vec<Arc<dyn Provider>>,
    binds: bool,
    patches: bool,
}

impl Env {
    pub fn new() -> Self {
        Self::default()
    }
    /// Declares a variable, in place of an earlier one of the name.
    pub fn var(mut self, name: &str, t: Type) -> Self {
        self.declare(name, t);
        self
    }
    pub fn declare(&mut self, name: &str, t: Type) {
        self.variables.retain(|(n, _)| n != name);
        self.variables.push((name.to_owned(), t));
    }
    pub fn provider(mut self, p: Arc<dyn Provider>) -> Self {
        self.providers.push(p);
        self
    }
    /// Makes `cel.bind` known (device selectors have it).
    pub fn binds(mut self) -> Self {
        self.binds = true;
        self
    }
    /// Makes `jsonpatch.escapeKey` known (mutating policies have it).
    pub fn patches(mut self) -> Self {
        self.patches = true;
        self
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
    pub(crate) fn provides(&self, name: &str) -> bool {
        OPAQUE.contains(&name) || self.providers.iter().any(|p| p.has(name))
    }
    pub(crate) fn field(&self, name: &str, field: &str) -> Option<Type> {
        self.providers.iter().find_map(|p| p.field(name, field))
    }
    pub(crate) fn knows(&self, function: &str) -> bool {
        (self.patches || !function.starts_with("jsonpatch.")) && FUNCTIONS.contains_key(function)
    }

    /// Parses and checks an expression.
    pub fn compile(&self, source: &str) -> Result<Program, Issues> {
        let mut ast = parse::parse(source, self.binds)?;
        let checked = check::check(&mut ast, self)?;
        validate::literals(&ast, &checked)?;
        let mut p = Program { ast, checked, constants: Vec::new(), broken: None };
        eval::constants(&mut p);
        Ok(p)
    }
}

/// Types without fields that are there in any environment.
const OPAQUE: [&str; 9] = [
    "kubernetes.URL",
    "kubernetes.Quantity",
    "kubernetes.Semver",
    "kubernetes.NamedFormat",
    "kubernetes.authorization.Authorizer",
    "kubernetes.authorization.PathCheck",
    "kubernetes.authorization.GroupCheck",
    "kubernetes.authorization.ResourceCheck",
    "kubernetes.authorization.Decision",
];

/// A checked expression, ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Program {
    pub ast: Ast,
    pub checked: Checked,
    /// Values of what no variable can change, by node.
    pub(crate) constants: Vec<Option<Value>>,
    /// A part that no variable can change, and that fails: the program can be checked but not made.
    pub broken: Option<String>,
}

/// Gives variables their values. A value may be made when it is first asked for.
pub trait Variables {
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>>;
}

impl Variables for [(&str, Value)] {
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| Ok(v.clone()))
    }
}

impl<const N: usize> Variables for [(&str, Value); N] {
    fn get(&self, name: &str) -> Option<Result<Value, EvalError>> {
        Variables::get(self.as_slice(), name)
    }
}

impl Program {
    /// The type of its result.
    pub fn result_type(&self) -> Type {
        self.checked.result.clone().unwrap_or(Type::Dyn)
    }

    /// Evaluates; says what it cost, too.
    pub fn run(
        &self,
        variables: &(impl Variables + ?Sized),
        limits: &Limits,
    ) -> (Result<Value, EvalError>, u64) {
        eval::run(self, &|n| variables.get(n), limits)
    }

    /// What it may cost at least and at most.
    pub fn estimate(&self, sizes: &dyn Sizes) -> cost::Range {
        cost::estimate(&self.ast, &self.checked, sizes)
    }

    /// Whether it names a variable.
    pub fn uses(&self, variable: &str) -> bool {
        let mut found = false;
        self.ast.root.walk(&mut |e| {
            found |= self.checked.names.get(e.id).is_some_and(|n| n.as_deref() == Some(variable));
        });
        found
    }
}
