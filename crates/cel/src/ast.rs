//! Parsed expressions.

use crate::Value;

/// Names a node within its expression; an index into [`Ast::at`].
pub type Id = usize;

/// The variable in which macros gather their result.
pub const ACCU: &str = "@result";

#[derive(Clone, Debug)]
pub struct Expr {
    pub id: Id,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Literal(Value),
    Ident(String),
    Select { operand: Box<Expr>, field: String, test: bool },
    Call(Box<Call>),
    List { items: Vec<Expr>, optional: Vec<usize> },
    Map(Vec<Entry>),
    Struct { name: String, fields: Vec<Field> },
    Fold(Box<Fold>),
}

#[derive(Clone, Debug)]
pub struct Call {
    pub target: Option<Expr>,
    pub function: String,
    pub args: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub key: Expr,
    pub value: Expr,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub id: Id,
    pub name: String,
    pub value: Expr,
    pub optional: bool,
}

/// A loop: what the macros turn into.
#[derive(Clone, Debug)]
pub struct Fold {
    pub range: Expr,
    pub var: String,
    pub var2: Option<String>,
    pub accu: String,
    pub init: Expr,
    pub condition: Expr,
    pub step: Expr,
    pub result: Expr,
}

impl Fold {
    /// Whether this is no loop but a name for a value, as `cel.bind` makes it.
    pub fn is_bind(&self) -> bool {
        matches!(&self.range.kind, Kind::List { items, .. } if items.is_empty())
            && matches!(self.condition.kind, Kind::Literal(Value::Bool(false)))
            && self.accu != ACCU
    }
}

/// A whole expression.
#[derive(Clone, Debug)]
pub struct Ast {
    pub source: String,
    pub root: Expr,
    /// Where each node begins, in code points.
    pub at: Vec<Option<u32>>,
}

impl Expr {
    /// `a.b.c`, if the expression is made of names and dots only.
    pub fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(n) => Some(n.clone()),
            Kind::Select { operand, field, test: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }

    /// Calls `f` with this node and all below.
    pub fn walk<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        f(self);
        self.children(&mut |c| c.walk(f));
    }

    /// Calls `f` with the nodes right below.
    pub fn children<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) => {}
            Kind::Select { operand, .. } => f(operand),
            Kind::Call(c) => c.target.iter().chain(&c.args).for_each(f),
            Kind::List { items, .. } => items.iter().for_each(f),
            Kind::Map(entries) => entries.iter().for_each(|e| {
                f(&e.key);
                f(&e.value);
            }),
            Kind::Struct { fields, .. } => fields.iter().for_each(|e| f(&e.value)),
            Kind::Fold(c) => [&c.range, &c.init, &c.condition, &c.step, &c.result].into_iter().for_each(f),
        }
    }
}
