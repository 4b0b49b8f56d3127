//! CEL as Kubernetes uses it: parser, macros, type checker, static and run-time cost, evaluator, and the libraries of
//! Kubernetes 1.37. Nothing here knows what an expression is for, but for [`crd`] and [`policy`].

mod ast;
pub mod authorizer;
pub mod builtin;
mod call;
mod check;
mod convert;
pub mod cost;
pub mod crd;
mod decls;
mod env;
pub mod escape;
mod eval;
pub mod formats;
pub mod json;
mod lex;
mod lists;
mod macros;
mod math;
mod net;
mod parse;
pub mod policy;
mod regexes;
mod runcost;
mod semver;
mod source;
mod text;
mod time;
mod types;
mod url;
mod validate;
pub mod value;

pub use ast::{Ast, Expr, Kind};
pub use check::Checked;
pub use env::{Env, Program, Variables};
pub use eval::{ErrorKind, Eval, EvalError, Limits, PER_CALL_LIMIT};
pub use source::{Issue, Issues};
pub use types::{Provider, Type};
pub use value::Value;

#[cfg(test)]
mod tests;
