//! Reading and writing the common parts of an object held as a [`Value`].

use serde_json::{Map, Value};

/// Accessors of an API object's `metadata` and of nested fields. Absent reads as empty.
pub trait ObjectExt {
    fn name(&self) -> &str;
    fn namespace(&self) -> &str;
    fn uid(&self) -> &str;
    fn resource_version(&self) -> &str;
    fn generation(&self) -> i64;
    fn label(&self, key: &str) -> Option<&str>;
    fn annotation(&self, key: &str) -> Option<&str>;
    fn labels(&self) -> Option<&Map<String, Value>>;
    fn finalizers(&self) -> Vec<&str>;
    fn deletion_timestamp(&self) -> Option<&str>;
    /// A nested field by dotted path of object keys: `at("spec.nodeName")`. Keys with dots: use `get`.
    fn at(&self, path: &str) -> Option<&Value>;
    /// A nested string; empty when absent.
    fn str_at(&self, path: &str) -> &str;
    fn i64_at(&self, path: &str) -> Option<i64>;
    fn bool_at(&self, path: &str) -> bool;
    /// A nested array; empty when absent.
    fn array_at(&self, path: &str) -> &[Value];
    /// Sets a nested field, making objects on the way.
    fn set_at(&mut self, path: &str, v: impl Into<Value>);
    fn remove_at(&mut self, path: &str) -> Option<Value>;
    /// `metadata` as an object, made when absent.
    fn metadata_mut(&mut self) -> &mut Map<String, Value>;
    fn metadata(&self) -> Option<&Map<String, Value>>;
}

impl ObjectExt for Value {
    fn name(&self) -> &str {
        self.str_at("metadata.name")
    }
    fn namespace(&self) -> &str {
        self.str_at("metadata.namespace")
    }
    fn uid(&self) -> &str {
        self.str_at("metadata.uid")
    }
    fn resource_version(&self) -> &str {
        self.str_at("metadata.resourceVersion")
    }
    fn generation(&self) -> i64 {
        self.i64_at("metadata.generation").unwrap_or(0)
    }
    fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key)?.as_str()
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.at("metadata.annotations")?.get(key)?.as_str()
    }
    fn labels(&self) -> Option<&Map<String, Value>> {
        self.at("metadata.labels")?.as_object()
    }
    fn finalizers(&self) -> Vec<&str> {
        self.array_at("metadata.finalizers").iter().filter_map(Value::as_str).collect()
    }
    fn deletion_timestamp(&self) -> Option<&str> {
        self.at("metadata.deletionTimestamp")?.as_str()
    }
    fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |v, k| v.get(k))
    }
    fn str_at(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or("")
    }
    fn i64_at(&self, path: &str) -> Option<i64> {
        self.at(path)?.as_i64()
    }
    fn bool_at(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or(false)
    }
    fn array_at(&self, path: &str) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
    fn set_at(&mut self, path: &str, v: impl Into<Value>) {
        let mut cur = self;
        let mut keys = path.split('.').peekable();
        while let Some(k) = keys.next() {
            if !cur.is_object() {
                *cur = Value::Object(Map::new());
            }
            let Value::Object(m) = cur else { return };
            if keys.peek().is_none() {
                m.insert(k.to_owned(), v.into());
                return;
            }
            cur = m.entry(k).or_insert_with(|| Value::Object(Map::new()));
        }
    }
    fn remove_at(&mut self, path: &str) -> Option<Value> {
        match path.rsplit_once('.') {
            None => self.as_object_mut()?.remove(path),
            Some((parent, key)) => {
                let v = parent.split('.').try_fold(self, |v, k| v.get_mut(k))?;
                v.as_object_mut()?.remove(key)
            }
        }
    }
    fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        if !self.is_object() {
            *self = Value::Object(Map::new());
        }
        let Value::Object(m) = self else { unreachable!("made an object above") };
        let meta = m.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if !meta.is_object() {
            *meta = Value::Object(Map::new());
        }
        let Value::Object(meta) = meta else { unreachable!("made an object above") };
        meta
    }
    fn metadata(&self) -> Option<&Map<String, Value>> {
        self.get("metadata")?.as_object()
    }
}
