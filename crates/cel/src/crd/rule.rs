//! One rule of `x-kubernetes-validations`, compiled (apiextensions-apiserver `pkg/apiserver/schema/cel/compilation.go`).

use crate::crd::decl::{Decl, Fields, MAX_REQUEST};
use crate::env::Env;
use crate::{Program, Type};
use meta::Path;
use serde_json::Value as Json;
use std::sync::Arc;
use structural::{Additional, Schema};

/// A rule, as far as it could be compiled.
#[derive(Clone, Debug)]
pub struct Rule {
    pub rule: String,
    pub message: String,
    pub message_source: String,
    pub reason: String,
    /// Where the error shall be shown, below the place of the rule.
    pub field: Option<String>,
    pub optional_old: Option<bool>,
    pub program: Result<Arc<Program>, String>,
    pub message_program: Option<Result<Arc<Program>, String>>,
    pub uses_old: bool,
    pub cost: u64,
    pub message_cost: u64,
    /// How often it can run when nothing bounds the lists around it.
    pub cardinality: u64,
}

/// The environments of the rules of one place.
pub struct Place {
    decl: Decl,
    plain: Env,
    optional: Env,
}

impl Place {
    pub fn new(decl: &Decl) -> Self {
        let env = Env::new().provider(Arc::new(Fields::of(decl))).var("self", decl.ty.clone());
        Self {
            decl: decl.clone(),
            plain: env.clone().var("oldSelf", decl.ty.clone()),
            optional: env.var("oldSelf", Type::optional(decl.ty.clone())),
        }
    }

    pub fn compile(&self, raw: &Json, s: &Schema) -> Rule {
        let text = |k: &str| raw.get(k).and_then(Json::as_str).unwrap_or_default().to_owned();
        let optional_old = raw.get("optionalOldSelf").and_then(Json::as_bool);
        let env = if optional_old == Some(true) { &self.optional } else { &self.plain };
        let mut out = Rule {
            rule: text("rule"),
            message: text("message"),
            message_source: text("messageExpression"),
            reason: text("reason"),
            field: None,
            optional_old,
            program: Err(String::new()),
            message_program: None,
            uses_old: false,
            cost: 0,
            message_cost: 0,
            cardinality: u64::try_from(MAX_REQUEST / (self.decl.min_size + 1)).unwrap_or(1),
        };
        out.program = made(env, &out.rule, &Type::Bool)
            .map_err(|e| match e {
                Unmade::Compile(e) => format!("compilation failed: {e}"),
                Unmade::Type => "cel expression must evaluate to a bool".to_owned(),
                Unmade::Program(e) => format!("program instantiation failed: {e}"),
            })
            .map(Arc::new);
        let Ok(p) = &out.program else { return out };
        out.uses_old = p.uses("oldSelf");
        out.cost = p.estimate(&self.decl).max;
        if !out.message_source.is_empty() {
            let m = made(env, &out.message_source, &Type::String)
                .map_err(|e| match e {
                    Unmade::Compile(e) => format!("messageExpression compilation failed: {e}"),
                    Unmade::Type => "messageExpression must evaluate to a string".to_owned(),
                    Unmade::Program(e) => format!("messageExpression instantiation failed: {e}"),
                })
                .map(Arc::new);
            out.message_cost = m.as_ref().map_or(0, |m| m.estimate(&self.decl).max);
            out.message_program = Some(m);
        }
        let field = text("fieldPath");
        if !field.is_empty() {
            out.field = field_path(&field, s).ok();
        }
        out
    }
}

enum Unmade {
    Compile(String),
    Type,
    Program(String),
}

fn made(env: &Env, source: &str, want: &Type) -> Result<Program, Unmade> {
    let p = env.compile(source).map_err(|e| Unmade::Compile(e.display()))?;
    if p.result_type() != *want {
        return Err(Unmade::Type);
    }
    match &p.broken {
        Some(e) => Err(Unmade::Program(e.clone())),
        None => Ok(p),
    }
}

/// Reads `.a.b['c']`: the path of a field that the schema has, as errors show it.
pub fn field_path(path: &str, schema: &Schema) -> Result<String, String> {
    let mut at = schema;
    let mut out = Path::root();
    let mut rest = path;
    let unknown = || "does not refer to a valid field".to_owned();
    while !rest.is_empty() {
        let name;
        if let Some(r) = rest.strip_prefix("['") {
            let mut end = None;
            let mut before = '\'';
            for (i, c) in r.char_indices() {
                if c == '\'' && before != '\\' {
                    end = Some(i);
                    break;
                }
                before = c;
            }
            let end = end.ok_or("unexpected end of JSON path")?;
            name = unquote(&r[..end])?;
            rest = r[end + 1..]
                .strip_prefix(']')
                .ok_or_else(|| format!("expected ] but got {}", &r[end + 1..]))?;
        } else if let Some(r) = rest.strip_prefix('.') {
            let end = r.find(['.', '[', ']']).unwrap_or(r.len());
            if end == 0 {
                return Err("unexpected end of JSON path".to_owned());
            }
            name = r[..end].to_owned();
            rest = &r[end..];
        } else {
            return Err(format!("expected [ or . but got: {rest}"));
        }
        if !at.properties.is_empty() {
            at = at.properties.get(&name).ok_or_else(unknown)?;
            out = out.child(&name);
        } else if let Additional::Schema(a) = &at.additional {
            at = a;
            out = out.key(&name);
        } else {
            return Err(unknown());
        }
    }
    Ok(out.as_str().to_owned())
}

fn unquote(s: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut chars = s.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('\'') => '\'',
            Some('\\') => '\\',
            c => {
                let c = c.map(String::from).unwrap_or_default();
                return Err(format!("invalid string literal: invalid escape char \\{c}"));
            }
        });
    }
    Ok(out)
}
