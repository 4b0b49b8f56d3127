//! Types, and which fits where (cel-go `checker/types.go`, `checker/format.go`).

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Of an expression that has an error: fits anywhere.
    Error,
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Self>),
    Map(Arc<(Self, Self)>),
    /// An object whose fields a [`Provider`] knows.
    Struct(Arc<str>),
    /// A type that stands for another yet to be found.
    Param(Arc<str>),
    /// The type of a type.
    Type(Option<Arc<Self>>),
    Opaque(Arc<str>, Arc<[Self]>),
}

/// Knows objects and their fields.
pub trait Provider: Send + Sync + fmt::Debug {
    fn has(&self, name: &str) -> bool;
    fn field(&self, name: &str, field: &str) -> Option<Type>;
}

impl Type {
    pub fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }
    pub fn map(k: Self, v: Self) -> Self {
        Self::Map(Arc::new((k, v)))
    }
    pub fn object(name: &str) -> Self {
        Self::Struct(name.into())
    }
    pub fn param(name: &str) -> Self {
        Self::Param(name.into())
    }
    pub fn optional(of: Self) -> Self {
        Self::Opaque("optional_type".into(), Arc::new([of]))
    }
    pub fn kind(of: Self) -> Self {
        Self::Type(Some(Arc::new(of)))
    }

    /// What an optional type is of.
    pub fn unwrapped(&self) -> Option<&Self> {
        match self {
            Self::Opaque(n, p) if n.as_ref() == "optional_type" => p.first(),
            _ => None,
        }
    }

    pub fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn)
    }

    fn loose(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }

    /// The name a type has where values tell theirs (`type(x)`, messages at run time).
    pub fn name(&self) -> &str {
        match self {
            Self::Error => "error",
            Self::Dyn => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "google.protobuf.Duration",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Struct(n) | Self::Param(n) | Self::Opaque(n, _) => n,
            Self::Type(_) => "type",
        }
    }

    pub fn params(&self) -> Vec<&Self> {
        match self {
            Self::List(t) => vec![t],
            Self::Map(m) => vec![&m.0, &m.1],
            Self::Type(Some(t)) => vec![t],
            Self::Opaque(_, p) => p.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether a value of it always has the same size.
    pub fn is_scalar(&self) -> bool {
        match self {
            Self::Bool | Self::Double | Self::Duration | Self::Int | Self::Timestamp | Self::Uint => true,
            t => t.unwrapped().is_some_and(Self::is_scalar),
        }
    }

    /// Rebuilds the type with its parts changed.
    fn map_parts(&self, f: &mut dyn FnMut(&Self) -> Self) -> Self {
        match self {
            Self::List(t) => Self::list(f(t)),
            Self::Map(m) => Self::map(f(&m.0), f(&m.1)),
            Self::Type(Some(t)) => Self::kind(f(t)),
            Self::Opaque(n, p) => Self::Opaque(n.clone(), p.iter().map(f).collect()),
            t => t.clone(),
        }
    }

    fn nullable(&self) -> bool {
        matches!(self, Self::Null | Self::Opaque(..) | Self::Struct(_) | Self::Duration | Self::Timestamp)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => return f.write_str("!error!"),
            Self::Null => return f.write_str("null"),
            Self::Duration => return f.write_str("duration"),
            Self::Timestamp => return f.write_str("timestamp"),
            _ => f.write_str(self.name())?,
        }
        let params = self.params();
        if params.is_empty() {
            return Ok(());
        }
        f.write_str("(")?;
        for (i, p) in params.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{p}")?;
        }
        f.write_str(")")
    }
}

/// What stands for each parameter.
#[derive(Clone, Debug, Default)]
pub struct Mapping(HashMap<Arc<str>, Type>);

impl Mapping {
    fn find(&self, t: &Type) -> Option<&Type> {
        match t {
            Type::Param(n) => self.0.get(n),
            _ => None,
        }
    }

    pub fn add(&mut self, name: &Arc<str>, t: Type) {
        self.0.insert(name.clone(), t);
    }

    /// The type with parameters replaced; those without replacement by `dyn`, if asked for.
    pub fn substitute(&self, t: &Type, to_dyn: bool) -> Type {
        if let Some(s) = self.find(t) {
            return self.substitute(s, to_dyn);
        }
        if to_dyn && matches!(t, Type::Param(_)) {
            return Type::Dyn;
        }
        t.map_parts(&mut |p| self.substitute(p, to_dyn))
    }

    /// Whether all of `b` fit `a`; what was learnt about parameters is kept only if so.
    pub fn assignable(&mut self, a: &[Type], b: &[Type]) -> bool {
        let mut m = self.clone();
        let ok = a.len() == b.len() && a.iter().zip(b).all(|(a, b)| m.fits(a, b));
        if ok {
            *self = m;
        }
        ok
    }

    fn fits(&mut self, t1: &Type, t2: &Type) -> bool {
        if let Type::Param(n) = t2 {
            let (valid, known) = self.stands_for(t1, t2, n);
            if valid {
                return true;
            }
            if known {
                return false;
            }
        }
        if let Type::Param(n) = t1 {
            return self.stands_for(t2, t1, n).0;
        }
        if t1.loose() || t2.loose() {
            return true;
        }
        match (t1, t2) {
            (Type::Null, t) | (t, Type::Null) => t.nullable(),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) => self.fits(a, b),
            (Type::Map(a), Type::Map(b)) => self.fits(&a.0, &b.0) && self.fits(&a.1, &b.1),
            (Type::Opaque(n, a), Type::Opaque(m, b)) => {
                n == m && a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| self.fits(a, b))
            }
            (a, b) => a == b,
        }
    }

    /// Whether `t1` may stand for the parameter, and whether something stood for it already.
    fn stands_for(&mut self, t1: &Type, param: &Type, name: &Arc<str>) -> (bool, bool) {
        if t1 == param {
            return (true, true);
        }
        if let Some(sub) = self.0.get(name).cloned() {
            if *t1 == sub {
                return (true, true);
            }
            if self.fits(t1, &sub) {
                let general = most_general(t1, &sub).clone();
                if self.not_within(param, &general) {
                    self.add(name, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.not_within(param, t1) {
            self.add(name, t1.clone());
            return (true, false);
        }
        (false, false)
    }

    fn not_within(&self, t: &Type, within: &Type) -> bool {
        if t == within {
            return false;
        }
        match within {
            Type::Param(_) => self.find(within).is_none_or(|s| self.not_within(t, s)),
            w => w.params().into_iter().all(|p| self.not_within(t, p)),
        }
    }
}

/// The less specific of two types.
pub fn most_general<'t>(a: &'t Type, b: &'t Type) -> &'t Type {
    if no_more_specific(a, b) { a } else { b }
}

fn no_more_specific(a: &Type, b: &Type) -> bool {
    if matches!(a, Type::Dyn | Type::Param(_)) {
        return true;
    }
    match (a, b) {
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) => no_more_specific(a, b),
        (Type::Map(a), Type::Map(b)) => no_more_specific(&a.0, &b.0) && no_more_specific(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        (Type::Opaque(n, a), Type::Opaque(m, b)) => {
            n == m && a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| no_more_specific(a, b))
        }
        (a, b) => a == b,
    }
}
