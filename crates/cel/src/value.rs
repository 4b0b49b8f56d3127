//! Values: what an expression works on.

use crate::net::{Cidr, Ip};
use crate::types::Type;
use crate::{authorizer, formats, semver, url};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Time),
    List(Arc<List>),
    Map(Arc<Map>),
    Optional(Option<Arc<Self>>),
    Type(Type),
    Opaque(Arc<Opaque>),
}

/// A point in time: seconds since 1970 and nanoseconds after those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub secs: i64,
    pub nanos: u32,
}

/// How the items of a list are told apart (`x-kubernetes-list-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListKind {
    #[default]
    Plain,
    Set,
    /// By these members.
    Keys(Arc<[Arc<str>]>),
}

#[derive(Clone, Debug, Default)]
pub struct List {
    pub items: Vec<Value>,
    pub kind: ListKind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

#[derive(Clone, Debug, Default)]
pub struct Map {
    pub entries: BTreeMap<Key, Value>,
    /// The name of its type, if it was made with one (`Object{...}`).
    pub object: Option<Arc<str>>,
}

/// What only functions can look into.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "always behind an Arc")]
pub enum Opaque {
    Ip(Ip),
    Cidr(Cidr),
    Url(url::Url),
    Quantity(meta::quantity::Quantity),
    Semver(semver::Semver),
    Format(&'static formats::Format),
    Authorizer(authorizer::Subject),
    Check(authorizer::Check),
    Decision(authorizer::Decision),
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::String(v.into())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::String(v.into())
    }
}
impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::List(Arc::new(List { items, kind: ListKind::Plain }))
    }
}
impl From<BTreeMap<Key, Self>> for Value {
    fn from(entries: BTreeMap<Key, Self>) -> Self {
        Self::Map(Arc::new(Map { entries, object: None }))
    }
}
impl From<Opaque> for Value {
    fn from(v: Opaque) -> Self {
        Self::Opaque(Arc::new(v))
    }
}

impl Key {
    /// Only these can be keys.
    pub fn of(v: &Value) -> Option<Self> {
        Some(match v {
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Uint(u) => Self::Uint(*u),
            Value::String(s) => Self::String(s.clone()),
            _ => return None,
        })
    }

    pub fn value(&self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::Int(*i),
            Self::Uint(u) => Value::Uint(*u),
            Self::String(s) => Value::String(s.clone()),
        }
    }
}

/// Doubles that are whole, as integers.
pub fn whole(d: f64) -> Option<i128> {
    #[allow(clippy::cast_possible_truncation)]
    (d.fract() == 0.0 && d.abs() < 2e19).then_some(d as i128)
}

impl Map {
    /// Looks a key up; numbers of another kind find their equals.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        if let Some(v) = Key::of(key).and_then(|k| self.entries.get(&k)) {
            return Some(v);
        }
        let n: i128 = match key {
            Value::Int(i) => i128::from(*i),
            Value::Uint(u) => i128::from(*u),
            Value::Double(d) => whole(*d)?,
            _ => return None,
        };
        let int = i64::try_from(n).ok().and_then(|i| self.entries.get(&Key::Int(i)));
        int.or_else(|| u64::try_from(n).ok().and_then(|u| self.entries.get(&Key::Uint(u))))
    }

    pub fn member(&self, name: &str) -> Option<&Value> {
        // A key cannot be borrowed as a text; texts are shared, so making one costs an allocation.
        self.entries.get(&Key::String(name.into()))
    }
}

impl Value {
    /// An optional that holds a value.
    pub fn some(v: Self) -> Self {
        Self::Optional(Some(Arc::new(v)))
    }
    pub const NONE: Self = Self::Optional(None);

    pub fn strings<I: IntoIterator<Item = S>, S: Into<String>>(all: I) -> Self {
        all.into_iter().map(|s| Self::from(s.into())).collect::<Vec<_>>().into()
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(s) => Some(s),
            _ => None,
        }
    }
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(l) => Some(&l.items),
            _ => None,
        }
    }

    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Duration(_) => Type::Duration,
            Self::Timestamp(_) => Type::Timestamp,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(m) => match &m.object {
                Some(n) => Type::Struct(n.clone()),
                None => Type::map(Type::Dyn, Type::Dyn),
            },
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Type(_) => Type::Type(None),
            Self::Opaque(o) => o.type_of(),
        }
    }

    /// What `size()` says, where it says anything.
    pub fn size(&self) -> Option<u64> {
        Some(match self {
            Self::String(s) => s.chars().count() as u64,
            Self::Bytes(b) => b.len() as u64,
            Self::List(l) => l.items.len() as u64,
            Self::Map(m) => m.entries.len() as u64,
            Self::Opaque(o) => match o.as_ref() {
                Opaque::Ip(ip) => ip.bytes(),
                Opaque::Cidr(c) => c.bytes(),
                _ => return None,
            },
            _ => return None,
        })
    }

    /// Whether it is the zero of its type, as `optional.ofNonZeroValue` asks.
    pub fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(b) => !b,
            Self::Int(i) => *i == 0,
            Self::Uint(u) => *u == 0,
            Self::Double(d) => *d == 0.0,
            Self::String(s) => s.is_empty(),
            Self::Bytes(b) => b.is_empty(),
            Self::Duration(d) => *d == 0,
            Self::Timestamp(t) => t.secs == -62_135_596_800 && t.nanos == 0,
            Self::List(l) => l.items.is_empty(),
            Self::Map(m) => m.entries.is_empty(),
            Self::Optional(o) => o.is_none(),
            Self::Type(_) | Self::Opaque(_) => false,
        }
    }

    /// Order of two values of one type, or of two numbers. `Err`: NaN has none. `None`: they cannot be compared.
    pub fn compare(&self, o: &Self) -> Option<Result<Ordering, ()>> {
        let ord = match (self, o) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Uint(a), Self::Uint(b)) => a.cmp(b),
            (Self::Int(a), Self::Uint(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Self::Uint(a), Self::Int(b)) => i128::from(*a).cmp(&i128::from(*b)),
            (Self::Double(a), Self::Double(b)) => return Some(a.partial_cmp(b).ok_or(())),
            (Self::Double(a), Self::Int(b)) => return Some(double_int(*a, i128::from(*b))),
            (Self::Double(a), Self::Uint(b)) => return Some(double_int(*a, i128::from(*b))),
            (Self::Int(a), Self::Double(b)) => {
                return Some(double_int(*b, i128::from(*a)).map(Ordering::reverse));
            }
            (Self::Uint(a), Self::Double(b)) => {
                return Some(double_int(*b, i128::from(*a)).map(Ordering::reverse));
            }
            (Self::String(a), Self::String(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Duration(a), Self::Duration(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            _ => return None,
        };
        Some(Ok(ord))
    }

    /// How an error shows the value.
    pub fn show(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Uint(u) => u.to_string(),
            Self::Double(d) => crate::convert::double_text(*d),
            Self::String(s) => s.to_string(),
            Self::Bytes(b) => String::from_utf8_lossy(b).into_owned(),
            Self::Duration(d) => crate::time::duration_text(*d),
            Self::Timestamp(t) => crate::time::timestamp_text(*t),
            Self::Type(t) => t.name().to_owned(),
            other => other.type_of().name().to_owned(),
        }
    }
}

/// A double against an integer, without loss.
fn double_int(d: f64, i: i128) -> Result<Ordering, ()> {
    if d.is_nan() {
        return Err(());
    }
    if d > 1e20 {
        return Ok(Ordering::Greater);
    }
    if d < -1e20 {
        return Ok(Ordering::Less);
    }
    #[allow(clippy::cast_possible_truncation)]
    let floor = d.floor() as i128;
    Ok(floor.cmp(&i).then(if d.fract() == 0.0 { Ordering::Equal } else { Ordering::Greater }))
}

impl PartialEq for Value {
    fn eq(&self, o: &Self) -> bool {
        match (self, o) {
            (Self::Null, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.entries.len() == b.entries.len()
                    && a.entries.iter().all(|(k, v)| b.get(&k.value()).is_some_and(|w| v == w))
            }
            (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a.name() == b.name(),
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            _ => matches!(self.compare(o), Some(Ok(Ordering::Equal))),
        }
    }
}

impl PartialEq for List {
    fn eq(&self, o: &Self) -> bool {
        if self.items.len() != o.items.len() {
            return false;
        }
        match &self.kind {
            ListKind::Plain => self.items == o.items,
            ListKind::Set => self.items.iter().all(|x| o.items.contains(x)),
            ListKind::Keys(keys) => {
                self.items.iter().all(|x| o.items.iter().any(|y| same(x, y, keys) && x == y))
            }
        }
    }
}

/// Whether two items of a map list have the same keys.
pub fn same(x: &Value, y: &Value, keys: &[Arc<str>]) -> bool {
    let (Value::Map(x), Value::Map(y)) = (x, y) else { return false };
    keys.iter().all(|k| x.member(k) == y.member(k))
}

impl List {
    /// `a + b`: sets and map lists are merged, as their updates would be.
    pub fn plus(mut self: Arc<Self>, o: &Self) -> Arc<Self> {
        let kind = self.kind.clone();
        let l = Arc::make_mut(&mut self);
        match kind {
            ListKind::Plain => l.items.extend(o.items.iter().cloned()),
            ListKind::Set => {
                for x in &o.items {
                    if !l.items.contains(x) {
                        l.items.push(x.clone());
                    }
                }
            }
            ListKind::Keys(keys) => {
                for x in &o.items {
                    match l.items.iter_mut().find(|y| same(x, y, &keys)) {
                        Some(y) => *y = x.clone(),
                        None => l.items.push(x.clone()),
                    }
                }
            }
        }
        self
    }
}

impl PartialEq for Opaque {
    fn eq(&self, o: &Self) -> bool {
        match (self, o) {
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a), Self::Cidr(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Semver(a), Self::Semver(b)) => a.cmp(b) == Ordering::Equal,
            (Self::Format(a), Self::Format(b)) => a.name == b.name,
            _ => false,
        }
    }
}

impl Opaque {
    pub fn type_of(&self) -> Type {
        Type::object(match self {
            Self::Ip(_) => return crate::decls::ip(),
            Self::Cidr(_) => return crate::decls::cidr(),
            Self::Url(_) => "kubernetes.URL",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Authorizer(_) => "kubernetes.authorization.Authorizer",
            Self::Check(c) => c.type_name(),
            Self::Decision(_) => "kubernetes.authorization.Decision",
        })
    }
}
