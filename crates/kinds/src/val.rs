//! Short readers and writers of canonical values: what is absent reads as zero.

use meta::{Map, Value};

/// A JSON object.
pub(crate) type Obj = Map<String, Value>;

/// Whether a value is what Go would leave out as empty.
pub(crate) fn is_zero(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// Whether two values are the same once empty objects, empty lists and nulls count as absent.
pub(crate) fn deep_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(k, x)| b.get(k).map_or_else(|| hollow(x), |y| deep_same(x, y)))
                && b.iter().all(|(k, y)| a.contains_key(k) || hollow(y))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(x, y)| deep_same(x, y))
        }
        (a, b) => a == b || (hollow(a) && hollow(b)),
    }
}

/// Null, or an object or list with nothing in it.
fn hollow(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.values().all(hollow),
        _ => false,
    }
}

static NULL: Value = Value::Null;

/// Readers of an object's fields, on the object or on the value that should be one.
pub(crate) trait Get {
    fn f(&self, k: &str) -> Option<&Value>;

    /// A field that is set: neither absent nor null.
    fn set(&self, k: &str) -> Option<&Value> {
        self.f(k).filter(|v| !v.is_null())
    }
    fn has(&self, k: &str) -> bool {
        self.set(k).is_some()
    }
    fn s(&self, k: &str) -> &str {
        self.f(k).and_then(Value::as_str).unwrap_or("")
    }
    /// A string that is a pointer in Go: unset differs from empty.
    fn os(&self, k: &str) -> Option<&str> {
        self.f(k).and_then(Value::as_str)
    }
    fn i(&self, k: &str) -> i64 {
        self.f(k).and_then(Value::as_i64).unwrap_or(0)
    }
    fn oi(&self, k: &str) -> Option<i64> {
        self.f(k).and_then(Value::as_i64)
    }
    fn b(&self, k: &str) -> bool {
        self.f(k).and_then(Value::as_bool).unwrap_or(false)
    }
    fn ob(&self, k: &str) -> Option<bool> {
        self.f(k).and_then(Value::as_bool)
    }
    fn list(&self, k: &str) -> &[Value] {
        self.f(k).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    fn o(&self, k: &str) -> Option<&Obj> {
        self.f(k).and_then(Value::as_object)
    }
    /// A field as a value to read from; null when absent.
    fn v(&self, k: &str) -> &Value {
        self.f(k).unwrap_or(&NULL)
    }
    /// How many entries a map has.
    fn len_of(&self) -> usize;
    /// The strings of a list.
    fn strs(&self, k: &str) -> Vec<&str> {
        self.list(k).iter().filter_map(Value::as_str).collect()
    }
}

impl Get for Obj {
    fn f(&self, k: &str) -> Option<&Value> {
        self.get(k)
    }
    fn len_of(&self) -> usize {
        self.len()
    }
}

impl Get for Value {
    fn f(&self, k: &str) -> Option<&Value> {
        self.get(k)
    }
    fn len_of(&self) -> usize {
        self.as_object().map_or(0, Obj::len)
    }
}

/// Writers of an object's fields.
pub(crate) trait Put {
    fn map(&mut self) -> &mut Obj;

    fn put(&mut self, k: &str, v: impl Into<Value>) {
        self.map().insert(k.to_owned(), v.into());
    }
    /// Sets a field whose Go type is a pointer, a list or a map, when it is unset.
    fn default_nil(&mut self, k: &str, v: impl Into<Value>) {
        if self.map().get(k).is_none_or(Value::is_null) {
            self.put(k, v);
        }
    }
    /// Sets a field whose Go type is a plain scalar, when it is zero.
    fn default_zero(&mut self, k: &str, v: impl Into<Value>) {
        if self.map().get(k).is_none_or(is_zero) {
            self.put(k, v);
        }
    }
    /// A nested object, made when absent.
    fn obj(&mut self, k: &str) -> &mut Obj {
        self.map().entry(k).or_insert(Value::Null).map()
    }
    fn each(&mut self, k: &str) -> impl Iterator<Item = &mut Obj> {
        self.map()
            .get_mut(k)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
    }
    fn o_mut(&mut self, k: &str) -> Option<&mut Obj> {
        self.map().get_mut(k).and_then(Value::as_object_mut)
    }
    fn drop_key(&mut self, k: &str) -> Option<Value> {
        self.map().remove(k)
    }
}

impl Put for Obj {
    fn map(&mut self) -> &mut Obj {
        self
    }
}

impl Put for Value {
    fn map(&mut self) -> &mut Obj {
        if !self.is_object() {
            *self = Value::Object(Obj::new());
        }
        match self {
            Value::Object(m) => m,
            _ => unreachable!("made an object above"),
        }
    }
}
