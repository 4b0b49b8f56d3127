//! Markers, read once.

use crate::kit::*;
use schema::TypeId;
use schema::facts::{self, Field, Wire};
use std::sync::OnceLock;

#[derive(Debug)]
pub(super) enum Rule {
    Required,
    Optional,
    Forbidden,
    Immutable,
    MaxItems(usize),
    Minimum(i64),
    Maximum(i64),
    MaxLength(usize),
    MaxBytes(usize),
    Format(&'static str),
    Unique,
    Monotonic,
    Update(Constraint),
    EachVal(Box<Rule>),
    EachKey(Box<Rule>),
    Subfield(&'static str, Box<Rule>),
    /// If an option is on (or off).
    If(&'static str, bool, Box<Rule>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constraint {
    NoSet,
    NoUnset,
    NoModify,
    NoAddItem,
    NoRemoveItem,
}

impl Rule {
    /// Whether its failure ends the checks of the field.
    pub(super) fn stops(&self) -> bool {
        match self {
            Self::Required
            | Self::Optional
            | Self::Forbidden
            | Self::Immutable
            | Self::MaxItems(_)
            | Self::Update(_) => true,
            Self::If(_, _, inner) | Self::Subfield(_, inner) => inner.stops(),
            _ => false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Marked {
    pub rule: Rule,
    /// Not alpha.
    pub binding: bool,
}

#[derive(Debug)]
pub(super) struct FieldRules {
    pub field: &'static Field,
    pub rules: Vec<Marked>,
    /// What holds for which value of the type's mode.
    pub by_mode: Vec<(&'static str, Rule)>,
    /// Elements of a list are told apart by these keys, or, in a set, by themselves.
    keys: Vec<&'static str>,
    pub set: bool,
    /// Values of an enumeration that is checked.
    pub values: Option<&'static [&'static str]>,
    /// The type of its structs, where that has rules.
    pub child: Option<TypeId>,
}

impl FieldRules {
    /// Whether two elements of the list are the same one.
    pub(super) fn matches(&self, a: &Value, b: &Value) -> bool {
        if self.set {
            return a == b;
        }
        !self.keys.is_empty() && self.keys.iter().all(|k| opt_same(a.set(k), b.set(k)))
    }
}

#[derive(Debug, Default)]
pub(super) struct TypeRules {
    pub fields: Vec<FieldRules>,
    /// Fields of which exactly one is set.
    pub union: Vec<&'static str>,
    /// The field whose value decides over others.
    pub mode: Option<&'static str>,
}

/// Enumerations that upstream checks by declaration; the others it checks by hand, or not at all.
const ENUMS: &[&str] = &[
    "AddressType",
    "AllocationConfigSource",
    "DeviceAllocationMode",
    "DeviceTaintEffect",
    "DeviceTolerationOperator",
    "EvictionRequestIntent",
    "RequesterIntent",
    "ResponderStateType",
    "SkipNodeOperation",
    "VolumeHealthStatusType",
];

/// The rules of a type; `None` where neither it nor what is in it has any.
pub(super) fn of(ty: TypeId) -> Option<&'static TypeRules> {
    static ALL: OnceLock<Vec<Option<TypeRules>>> = OnceLock::new();
    ALL.get_or_init(all).get(usize::from(ty.0))?.as_ref()
}

fn all() -> Vec<Option<TypeRules>> {
    let types: Vec<TypeId> = facts::types().collect();
    let size = types.iter().map(|t| usize::from(t.0) + 1).max().unwrap_or(0);
    let mut all: Vec<TypeRules> = (0..size).map(|_| TypeRules::default()).collect();
    for t in &types {
        all[usize::from(t.0)] = read(*t);
    }
    // Whether a type has rules, itself or further down.
    let own = |r: &TypeRules| {
        let has = |f: &FieldRules| !f.rules.is_empty() || !f.by_mode.is_empty() || f.values.is_some();
        !r.union.is_empty() || r.fields.iter().any(has)
    };
    let mut live: Vec<bool> = all.iter().map(own).collect();
    loop {
        let mut grown = false;
        for (i, r) in all.iter().enumerate() {
            let child = |f: &FieldRules| f.child.is_some_and(|c| live[usize::from(c.0)]);
            if !live[i] && r.fields.iter().any(child) {
                live[i] = true;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    let keep = |(i, mut r): (usize, TypeRules)| {
        for f in &mut r.fields {
            f.child = f.child.filter(|c| live[usize::from(c.0)]);
        }
        r.fields.retain(|f| {
            f.child.is_some() || !f.rules.is_empty() || !f.by_mode.is_empty() || f.values.is_some()
        });
        live[i].then_some(r)
    };
    all.into_iter().enumerate().map(keep).collect()
}

fn read(ty: TypeId) -> TypeRules {
    let mut out = TypeRules::default();
    for field in facts::fields(ty) {
        let enumeration = field.meta.enumeration;
        let short = enumeration.rsplit('.').next().unwrap_or("");
        let checked =
            ENUMS.contains(&short) || (short == "PreemptionPolicy" && enumeration.starts_with("scheduling."));
        let child = match field.wire {
            Wire::Struct(t) => Some(t),
            _ => None,
        };
        let mut f = FieldRules {
            field,
            rules: Vec::new(),
            by_mode: Vec::new(),
            keys: Vec::new(),
            set: false,
            values: checked.then(|| facts::enum_values(enumeration)),
            child,
        };
        for marker in field.meta.markers {
            marker_of(marker, &mut f, &mut out);
        }
        out.fields.push(f);
    }
    out
}

/// Reads one marker: `beta(since: "1.37")=maxItems=4`.
fn marker_of(marker: &'static str, f: &mut FieldRules, ty: &mut TypeRules) {
    let (head, tail) = split(marker);
    let (binding, text) = match head {
        h if h.starts_with("alpha(") => (false, tail),
        h if h.starts_with("beta(") => (true, tail),
        _ => (true, marker),
    };
    let (head, tail) = split(text);
    match head {
        "opaqueType" => f.child = None,
        "eachVal" if tail == "opaqueType" => f.child = None,
        "listMapKey" => f.keys.push(tail),
        "listType" | "unique" if matches!(tail, "set" | "map") => {
            f.set |= tail == "set";
            f.rules.push(Marked { rule: Rule::Unique, binding });
        }
        // Checked by hand.
        "customUnique" => f.rules.retain(|m| !matches!(m.rule, Rule::Unique)),
        "unionMember" if binding => ty.union.push(f.field.name),
        "modeDiscriminator" => ty.mode = Some(f.field.name),
        h if h.starts_with("ifMode(") => {
            if let Some(r) = rule(tail) {
                f.by_mode.push((argument(h), r));
            }
        }
        _ => f.rules.extend(rule(text).map(|rule| Marked { rule, binding })),
    }
}

/// Head and tail of `head=tail`, where the head may have parentheses.
fn split(s: &'static str) -> (&'static str, &'static str) {
    let mut depth = 0;
    for (i, c) in s.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '=' if depth == 0 => return (&s[..i], &s[i + 1..]),
            _ => {}
        }
    }
    (s, "")
}

/// `x` of `name(x)` or `name("x")`.
fn argument(head: &'static str) -> &'static str {
    let inner = head.split_once('(').map_or("", |(_, a)| a.trim_end_matches(')'));
    inner.trim_matches('"')
}

fn rule(text: &'static str) -> Option<Rule> {
    let (head, tail) = split(text);
    let tail = tail.split(" #").next().unwrap_or(tail);
    let nested = || rule(tail).map(Box::new);
    Some(match head {
        "required" => Rule::Required,
        "optional" => Rule::Optional,
        "forbidden" => Rule::Forbidden,
        "immutable" => Rule::Immutable,
        "monotonic" => Rule::Monotonic,
        "maxItems" => Rule::MaxItems(tail.parse().ok()?),
        "minimum" => Rule::Minimum(tail.parse().ok()?),
        "maximum" => Rule::Maximum(tail.parse().ok()?),
        "maxLength" => Rule::MaxLength(tail.parse().ok()?),
        "maxBytes" => Rule::MaxBytes(tail.parse().ok()?),
        "format" => Rule::Format(tail.trim_matches('"')),
        "update" => Rule::Update(match tail {
            "NoSet" => Constraint::NoSet,
            "NoUnset" => Constraint::NoUnset,
            "NoModify" => Constraint::NoModify,
            "NoAddItem" => Constraint::NoAddItem,
            "NoRemoveItem" => Constraint::NoRemoveItem,
            _ => return None,
        }),
        "eachVal" => Rule::EachVal(nested()?),
        "eachKey" => Rule::EachKey(nested()?),
        h if h.starts_with("ifEnabled(") => Rule::If(argument(h), true, nested()?),
        h if h.starts_with("ifDisabled(") => Rule::If(argument(h), false, nested()?),
        h if h.starts_with("subfield(") => Rule::Subfield(argument(h), nested()?),
        _ => return None,
    })
}
