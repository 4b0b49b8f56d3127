//! Validation of custom resources by their schema, with the words of upstream's validator
//! (kube-openapi `pkg/validation/validate`, `pkg/validation/errors`).

use crate::{Additional, Schema};
use meta::field::ErrorType;
use meta::{ErrorList, FieldError, Path, Value};
use std::collections::HashSet;

fn type_name(v: &Value) -> &'static str {
    match v {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn has_type(v: &Value, ty: &str) -> bool {
    match (ty, v) {
        ("number", Value::Number(_)) => true,
        ("integer", Value::Number(n)) => !n.is_f64() || n.as_f64().is_some_and(|f| f.fract() == 0.0),
        (t, v) => type_name(v) == t,
    }
}

impl Schema {
    /// Validates an object. Nothing is said about `apiVersion`, `kind` and `metadata` of the root: those are the caller's.
    pub fn validate(&self, v: &Value) -> ErrorList {
        self.validate_update(v, None, &Path::root())
    }

    /// Validates the new form of an object, or of a part of it. What did not change is not held against it: schemas get
    /// stricter, and old objects must stay editable.
    pub fn validate_update(&self, v: &Value, old: Option<&Value>, path: &Path) -> ErrorList {
        let mut errors = ErrorList::new();
        self.validate_at(v, old, path, &mut errors);
        errors
    }

    fn validate_at(&self, v: &Value, old: Option<&Value>, path: &Path, errors: &mut ErrorList) {
        if old == Some(v) {
            return;
        }
        let p = if path.as_str().is_empty() { "<nil>" } else { path.as_str() };
        let invalid = |value: &Value, what: String| {
            FieldError::invalid(path, value.clone(), format!("{p} in body {what}"))
        };
        if v.is_null() && (self.nullable || (self.ty.is_empty() && !self.int_or_string)) {
            return;
        }
        let wrong_type = if self.int_or_string {
            !has_type(v, "integer") && !v.is_string()
        } else {
            !self.ty.is_empty() && !has_type(v, &self.ty)
        };
        if wrong_type {
            let want = if self.int_or_string { "integer,string" } else { self.ty.as_str() };
            let detail = format!("{p} in body must be of type {want}: \"{}\"", type_name(v));
            errors.push(FieldError::new(
                ErrorType::TypeInvalid,
                path,
                Some(format!("\"{}\"", type_name(v))),
                detail,
            ));
            return;
        }
        if !self.enumeration.is_empty() && !self.enumeration.contains(v) {
            let shown: Vec<String> = self
                .enumeration
                .iter()
                .map(|e| e.as_str().map_or_else(|| e.to_string(), str::to_owned))
                .collect();
            errors.push(FieldError::not_supported(
                path,
                v.clone(),
                &shown.iter().map(String::as_str).collect::<Vec<_>>(),
            ));
        }
        match v {
            Value::Number(n) => self.number(n.as_f64().unwrap_or(0.0), v, &invalid, errors),
            Value::String(s) => self.string(s, v, path, &invalid, errors),
            Value::Array(a) => self.array(a, v, old, path, &invalid, errors),
            Value::Object(o) => self.object(o, v, old, path, &invalid, errors),
            _ => {}
        }
        self.combined(v, old, path, p, errors);
    }

    fn number(
        &self,
        f: f64,
        v: &Value,
        invalid: &dyn Fn(&Value, String) -> FieldError,
        errors: &mut ErrorList,
    ) {
        if let Some(m) = self.maximum
            && (f > m || (self.exclusive_maximum && f >= m))
        {
            let or = if self.exclusive_maximum { "" } else { "or equal to " };
            errors.push(invalid(v, format!("should be less than {or}{m}")));
        }
        if let Some(m) = self.minimum
            && (f < m || (self.exclusive_minimum && f <= m))
        {
            let or = if self.exclusive_minimum { "" } else { "or equal to " };
            errors.push(invalid(v, format!("should be greater than {or}{m}")));
        }
        if let Some(m) = self.multiple_of
            && m > 0.0
            && (f / m).fract() != 0.0
        {
            errors.push(invalid(v, format!("should be a multiple of {m}")));
        }
        let fits = match self.format.as_str() {
            "int32" => f >= f64::from(i32::MIN) && f <= f64::from(i32::MAX),
            _ => true,
        };
        if !fits {
            errors.push(invalid(v, format!("must be of type {}: \"{v}\"", self.format)));
        }
    }

    fn string(
        &self,
        s: &str,
        v: &Value,
        path: &Path,
        invalid: &dyn Fn(&Value, String) -> FieldError,
        errors: &mut ErrorList,
    ) {
        let chars = s.chars().count() as u64;
        if let Some(m) = self.max_length.filter(|m| chars > *m) {
            errors.push(FieldError::too_long(path, i64::try_from(m).unwrap_or(i64::MAX)));
        }
        if let Some(m) = self.min_length.filter(|m| chars < *m) {
            errors.push(invalid(v, format!("should be at least {m} chars long")));
        }
        if let Some(r) = self.pattern.as_ref().filter(|r| !r.is_match(s)) {
            errors.push(invalid(v, format!("should match '{}'", r.as_str())));
        }
        if !format_holds(&self.format, s) {
            errors.push(invalid(v, format!("must be of type {}: {v}", self.format)));
        }
    }

    fn array(
        &self,
        a: &[Value],
        v: &Value,
        old: Option<&Value>,
        path: &Path,
        invalid: &dyn Fn(&Value, String) -> FieldError,
        errors: &mut ErrorList,
    ) {
        if let Some(m) = self.max_items.filter(|m| a.len() as u64 > *m) {
            errors.push(FieldError::too_many(path, a.len(), usize::try_from(m).unwrap_or(usize::MAX)));
        }
        if let Some(m) = self.min_items.filter(|m| (a.len() as u64) < *m) {
            errors.push(invalid(v, format!("should have at least {m} items")));
        }
        if self.unique_items || self.list_type == "set" {
            let mut seen = HashSet::new();
            for (i, x) in a.iter().enumerate() {
                if !seen.insert(x.to_string()) {
                    errors.push(FieldError::duplicate(&path.index(i), x.clone()));
                }
            }
        }
        if self.list_type == "map" {
            let mut seen = HashSet::new();
            for (i, x) in a.iter().enumerate() {
                let key: serde_json::Map<String, Value> =
                    self.list_keys.iter().filter_map(|k| Some((k.clone(), x.get(k)?.clone()))).collect();
                let key = Value::Object(key);
                if !seen.insert(key.to_string()) {
                    errors.push(FieldError::duplicate(&path.index(i), key));
                }
            }
        }
        if let Some(s) = &self.items {
            // Only items of a map list can be told apart from each other over time.
            let before = old.and_then(Value::as_array).filter(|_| self.list_type == "map");
            let same = |x: &Value, y: &Value| self.list_keys.iter().all(|k| x.get(k) == y.get(k));
            for (i, x) in a.iter().enumerate() {
                let was = before.and_then(|b| b.iter().find(|y| same(x, y)));
                s.validate_at(x, was, &path.index(i), errors);
            }
        }
    }

    fn object(
        &self,
        o: &serde_json::Map<String, Value>,
        v: &Value,
        old: Option<&Value>,
        path: &Path,
        invalid: &dyn Fn(&Value, String) -> FieldError,
        errors: &mut ErrorList,
    ) {
        for r in self.required.iter().filter(|r| !o.contains_key(*r)) {
            errors.push(FieldError::required(&path.child(r), ""));
        }
        if let Some(m) = self.max_properties.filter(|m| o.len() as u64 > *m) {
            errors.push(FieldError::too_many(path, o.len(), usize::try_from(m).unwrap_or(usize::MAX)));
        }
        if let Some(m) = self.min_properties.filter(|m| (o.len() as u64) < *m) {
            errors.push(invalid(v, format!("should have at least {m} properties")));
        }
        let root = path.as_str().is_empty();
        for (k, x) in o {
            if root && matches!(k.as_str(), "apiVersion" | "kind" | "metadata") {
                continue;
            }
            let was = old.and_then(|o| o.get(k));
            match (self.properties.get(k), &self.additional) {
                (Some(s), _) => s.validate_at(x, was, &path.child(k), errors),
                (None, Additional::Schema(s)) => s.validate_at(x, was, &path.key(k), errors),
                _ => {}
            }
        }
    }

    fn combined(&self, v: &Value, old: Option<&Value>, path: &Path, p: &str, errors: &mut ErrorList) {
        let holds = |s: &Self| {
            let mut e = ErrorList::new();
            s.validate_at(v, old, path, &mut e);
            e.is_empty()
        };
        let fail = |what: &str| FieldError::invalid(path, "", format!("\"{p}\" must {what}"));
        for s in &self.all_of {
            s.validate_at(v, old, path, errors);
        }
        if !self.any_of.is_empty() && !self.any_of.iter().any(holds) {
            errors.push(fail("validate at least one schema (anyOf)"));
        }
        if !self.one_of.is_empty() {
            match self.one_of.iter().filter(|s| holds(s)).count() {
                1 => {}
                0 => errors.push(fail("validate one and only one schema (oneOf). Found none valid")),
                n => errors.push(fail(&format!(
                    "validate one and only one schema (oneOf). Found {n} valid alternatives"
                ))),
            }
        }
        if self.not.as_ref().is_some_and(|s| holds(s)) {
            errors.push(fail("not validate the schema (not)"));
        }
    }
}

/// Whether a string has a format; formats we do not know hold, as upstream ignores them.
fn format_holds(format: &str, s: &str) -> bool {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    match format {
        "date-time" | "datetime" => meta::time::Timestamp::parse(s).is_some(),
        "date" => meta::time::Timestamp::parse(&format!("{s}T00:00:00Z")).is_some(),
        "ipv4" => s.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => s.parse::<Ipv6Addr>().is_ok(),
        "cidr" => s.split_once('/').is_some_and(|(ip, n)| {
            ip.parse::<IpAddr>()
                .is_ok_and(|ip| n.parse::<u8>().is_ok_and(|n| n <= if ip.is_ipv4() { 32 } else { 128 }))
        }),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => {
            let hex: String = s.chars().filter(|c| *c != '-').collect();
            hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        }
        "byte" => {
            s.len().is_multiple_of(4)
                && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='))
        }
        "uri" => s.contains(':') && !s.contains(char::is_whitespace),
        "email" => s.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
        "hostname" => meta::names::is_dns1123_subdomain(&s.to_ascii_lowercase()).is_empty(),
        "k8s-short-name" => meta::names::is_dns1123_label(s).is_empty(),
        "k8s-long-name" => meta::names::is_dns1123_subdomain(s).is_empty(),
        _ => true,
    }
}
