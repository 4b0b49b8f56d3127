//! Entries of `managedFields`, parsed as far as needed: most writes touch the fields of one or two managers, and the
//! others' sets pass through as they are.

use crate::fieldset::{FieldSet, ParseError, PathElement};
use meta::time::Timestamp;
use schema::Node;
use serde_json::{Map, Value};

/// Why managedFields are not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    ApiVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    #[error("error decoding versioned set from managed fields entry {0}: error decoding set: {1}")]
    Fields(usize, ParseError),
    #[error("managed fields entry {0} is not an object")]
    Shape(usize),
}

/// Checks managedFields as clients or webhooks send them.
pub fn validate(managed_fields: &Value) -> Result<(), EntryError> {
    decode(managed_fields, true).map(|_| ())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One manager's fields in one version.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub manager: String,
    pub operation: Operation,
    pub api_version: String,
    pub subresource: String,
    pub time: Option<String>,
    pub set: Set,
}

/// A set as it came, or parsed.
#[derive(Clone, Debug)]
pub(super) enum Set {
    Raw(Value),
    Parsed(FieldSet),
}

impl Set {
    /// The set; what was never checked and is broken counts as empty.
    pub fn parsed(&self) -> FieldSet {
        match self {
            Self::Raw(v) => FieldSet::from_value(v).unwrap_or_default(),
            Self::Parsed(s) => s.clone(),
        }
    }
    /// The set, to be changed in place.
    pub fn parsed_mut(&mut self) -> &mut FieldSet {
        if let Self::Raw(v) = self {
            *self = Self::Parsed(FieldSet::from_value(v).unwrap_or_default());
        }
        match self {
            Self::Parsed(s) => s,
            Self::Raw(_) => unreachable!("just parsed"),
        }
    }
    /// Whether any member of the other set is a member of this one; does not parse.
    pub fn meets(&self, other: &FieldSet) -> bool {
        match self {
            Self::Raw(v) => raw_meets(v, other, &mut String::new()),
            Self::Parsed(s) => !s.intersection(other).is_empty(),
        }
    }
    /// Whether all members of the other set are members of this one; does not parse.
    pub fn holds(&self, other: &FieldSet) -> bool {
        match self {
            Self::Raw(v) => raw_holds(v, other, &mut String::new()),
            Self::Parsed(s) => s.intersection(other).len() == other.len(),
        }
    }
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Raw(v) => v.as_object().is_none_or(|m| m.keys().all(|k| k == ".")),
            Self::Parsed(s) => s.is_empty(),
        }
    }
    fn into_value(self) -> Value {
        match self {
            Self::Raw(v) => v,
            Self::Parsed(s) => s.to_value(),
        }
    }
}

/// The value below an element and whether the element is a member.
fn raw_get<'v>(v: &'v Value, e: &PathElement, key: &mut String) -> Option<(&'v Value, bool)> {
    let m = v.as_object()?;
    key.clear();
    e.serialize(key);
    let below = match m.get(key.as_str()) {
        Some(b) => b,
        // Not written as we write it: another order of keys, other escapes.
        None if matches!(e, PathElement::Key(_) | PathElement::Value(_)) => m.iter().find_map(|(k, b)| {
            (k.as_bytes().first() == key.as_bytes().first()
                && PathElement::parse(k).ok().flatten().is_some_and(|x| x == *e))
            .then_some(b)
        })?,
        None => return None,
    };
    let member = below.as_object().is_none_or(|b| b.is_empty() || b.contains_key("."));
    Some((below, member))
}

fn raw_meets(v: &Value, other: &FieldSet, key: &mut String) -> bool {
    other.nodes.iter().any(|n| match raw_get(v, &n.element, key) {
        Some((below, member)) => (member && n.member) || raw_meets(below, &n.children, key),
        None => false,
    })
}

fn raw_holds(v: &Value, other: &FieldSet, key: &mut String) -> bool {
    other.nodes.iter().all(|n| match raw_get(v, &n.element, key) {
        Some((below, member)) => (member || !n.member) && raw_holds(below, &n.children, key),
        None => false,
    })
}

impl Entry {
    pub fn applied(&self) -> bool {
        self.operation == Operation::Apply
    }
    /// Whether two entries are of one manager, which has but one: appliers in whatever version, others in this one.
    pub fn is(&self, o: &Identity<'_>) -> bool {
        self.manager == o.manager
            && self.operation == o.operation
            && self.subresource == o.subresource
            && (self.applied() || self.api_version == o.api_version)
    }
    pub fn identity(&self) -> Identity<'_> {
        Identity {
            manager: &self.manager,
            operation: self.operation,
            api_version: &self.api_version,
            subresource: &self.subresource,
        }
    }
    pub fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(Timestamp::parse).map_or(0, |t| t.seconds)
    }
    pub fn reconcile(&mut self, node: Node<'_>) {
        let needed = match &self.set {
            Set::Raw(v) => crate::typed::needs_reconcile(v, node),
            Set::Parsed(_) => true,
        };
        if needed {
            crate::typed::reconcile(self.set.parsed_mut(), node);
        }
    }
}

/// Who made an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity<'a> {
    pub manager: &'a str,
    pub operation: Operation,
    pub api_version: &'a str,
    pub subresource: &'a str,
}

impl Identity<'_> {
    /// Upstream's identifier, by which it sorts.
    pub fn text(&self) -> String {
        let q = |s: &str| Value::from(s).to_string();
        let mut out = format!("{{\"manager\":{}", q(self.manager));
        match self.operation {
            Operation::Apply => out.push_str(",\"operation\":\"Apply\""),
            Operation::Update => {
                out.push_str(",\"operation\":\"Update\",\"apiVersion\":");
                out.push_str(&q(self.api_version));
            }
        }
        if !self.subresource.is_empty() {
            out.push_str(",\"subresource\":");
            out.push_str(&q(self.subresource));
        }
        out.push('}');
        out
    }
}

/// The entries a write starts from; `None` if the object has no place for any.
pub(super) fn live_or_sent(
    live: Option<&Value>,
    sent: Option<Value>,
    subresource: bool,
) -> Option<Vec<Entry>> {
    let of_live = || live.and_then(|v| decode(v, false).ok()).unwrap_or_default();
    let Some(sent) = sent else { return Some(of_live()) };
    if live == Some(&sent) {
        return Some(take(sent, false).unwrap_or_default());
    }
    if subresource {
        return Some(of_live());
    }
    match &sent {
        Value::Array(a) if a.is_empty() => return Some(Vec::new()),
        Value::Array(a) if a.len() == 1 && is_blank(&a[0]) => return Some(Vec::new()),
        _ => {}
    }
    match take(sent, true) {
        Ok(e) if !e.is_empty() => Some(e),
        _ => Some(of_live()),
    }
}

fn is_blank(v: &Value) -> bool {
    v.as_object().is_some_and(|m| m.values().all(|v| v.is_null() || v.as_str() == Some("")))
}

pub(super) fn decode(v: &Value, check_sets: bool) -> Result<Vec<Entry>, EntryError> {
    take(v.clone(), check_sets)
}

/// Takes entries apart. Of two of the same manager the later counts.
fn take(v: Value, check_sets: bool) -> Result<Vec<Entry>, EntryError> {
    let list = match v {
        Value::Array(a) => a,
        Value::Null => return Ok(Vec::new()),
        _ => return Err(EntryError::Shape(0)),
    };
    let mut out: Vec<Entry> = Vec::with_capacity(list.len() + 1);
    for (i, v) in list.into_iter().enumerate() {
        let Value::Object(mut m) = v else { return Err(EntryError::Shape(i)) };
        let mut text = |k: &str| match m.get_mut(k).map(Value::take) {
            Some(Value::String(s)) => s,
            _ => String::new(),
        };
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(EntryError::Operation),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err(EntryError::ApiVersion);
        }
        match text("fieldsType").as_str() {
            "FieldsV1" => {}
            "" => return Err(EntryError::NoFieldsType(i)),
            t => return Err(EntryError::FieldsType(i, t.to_owned())),
        }
        let (manager, subresource, time) = (text("manager"), text("subresource"), text("time"));
        let fields = m.remove("fieldsV1").unwrap_or_else(|| Value::Object(Map::new()));
        let set = if check_sets {
            Set::Parsed(FieldSet::from_value(&fields).map_err(|e| EntryError::Fields(i, e))?)
        } else {
            Set::Raw(fields)
        };
        let time = (!time.is_empty()).then_some(time);
        let entry = Entry { manager, operation, api_version, subresource, time, set };
        match out.iter().position(|e| e.is(&entry.identity())) {
            Some(at) => out[at] = entry,
            None => out.push(entry),
        }
    }
    Ok(out)
}

/// The entries as JSON, in upstream's order; none are no field.
pub(super) fn encode(mut entries: Vec<Entry>) -> Option<Value> {
    if entries.is_empty() {
        return None;
    }
    entries.sort_by(|a, b| {
        a.operation
            .cmp(&b.operation)
            .then_with(|| a.seconds().cmp(&b.seconds()))
            .then_with(|| a.manager.cmp(&b.manager))
            .then_with(|| a.api_version.cmp(&b.api_version))
            .then_with(|| a.subresource.cmp(&b.subresource))
    });
    let list = entries.into_iter().map(|e| {
        let mut m = Map::new();
        m.insert("apiVersion".into(), e.api_version.into());
        m.insert("fieldsType".into(), "FieldsV1".into());
        m.insert("fieldsV1".into(), e.set.into_value());
        if !e.manager.is_empty() {
            m.insert("manager".into(), e.manager.into());
        }
        m.insert("operation".into(), if e.operation == Operation::Apply { "Apply" } else { "Update" }.into());
        if !e.subresource.is_empty() {
            m.insert("subresource".into(), e.subresource.into());
        }
        if let Some(t) = e.time {
            m.insert("time".into(), t.into());
        }
        Value::Object(m)
    });
    Some(Value::Array(list.collect()))
}
