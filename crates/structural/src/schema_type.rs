//! The parsed schema.

use meta::Value;
use regex::Regex;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub enum Additional {
    #[default]
    None,
    Bool(bool),
    Schema(Box<Schema>),
}

/// One place of a structural schema. What a schema does not say is empty.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`, or empty.
    pub ty: String,
    pub format: String,
    pub nullable: bool,
    pub properties: BTreeMap<String, Self>,
    pub additional: Additional,
    pub items: Option<Box<Self>>,
    pub default: Option<Value>,
    pub preserve: bool,
    pub embedded: bool,
    pub int_or_string: bool,
    pub list_type: String,
    pub list_keys: Vec<String>,
    pub map_type: String,
    pub enumeration: Vec<Value>,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    pub multiple_of: Option<f64>,
    pub max_length: Option<u64>,
    pub min_length: Option<u64>,
    pub pattern: Option<Regex>,
    pub max_items: Option<u64>,
    pub min_items: Option<u64>,
    pub unique_items: bool,
    pub max_properties: Option<u64>,
    pub min_properties: Option<u64>,
    pub required: Vec<String>,
    pub all_of: Vec<Self>,
    pub any_of: Vec<Self>,
    pub one_of: Vec<Self>,
    pub not: Option<Box<Self>>,
    /// `x-kubernetes-validations`, as they stand.
    pub validations: Vec<Value>,
}

fn text(v: &Value, k: &str) -> String {
    v.get(k).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn flag(v: &Value, k: &str) -> bool {
    v.get(k).and_then(Value::as_bool).unwrap_or(false)
}

fn strings(v: &Value, k: &str) -> Vec<String> {
    v.get(k)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

impl Schema {
    /// Reads `openAPIV3Schema`. The error names the place and what is wrong there.
    pub fn parse(v: &Value) -> Result<Self, String> {
        Self::at(v, "", 0)
    }

    fn at(v: &Value, path: &str, depth: usize) -> Result<Self, String> {
        if depth > crate::MAX_DEPTH {
            return Err(format!("{path}: nested too deeply"));
        }
        if !v.is_object() {
            return Err(format!("{path}: must be an object"));
        }
        let below = |k: &str| format!("{path}.{k}");
        let list = |k: &str| -> Result<Vec<Self>, String> {
            let all = v.get(k).and_then(Value::as_array).into_iter().flatten();
            all.map(|s| Self::at(s, &below(k), depth + 1)).collect()
        };
        let one = |k: &str| -> Result<Option<Box<Self>>, String> {
            v.get(k).map(|s| Self::at(s, &below(k), depth + 1).map(Box::new)).transpose()
        };
        let mut properties = BTreeMap::new();
        for (k, s) in v.get("properties").and_then(Value::as_object).into_iter().flatten() {
            properties.insert(k.clone(), Self::at(s, &below(&format!("properties[{k}]")), depth + 1)?);
        }
        let additional = match v.get("additionalProperties") {
            None | Some(Value::Null) => Additional::None,
            Some(Value::Bool(b)) => Additional::Bool(*b),
            Some(s) => Additional::Schema(Box::new(Self::at(s, &below("additionalProperties"), depth + 1)?)),
        };
        let pattern = match v.get("pattern").and_then(Value::as_str) {
            None | Some("") => None,
            Some(p) => Some(
                regex::RegexBuilder::new(p)
                    .size_limit(8 << 20)
                    .build()
                    .map_err(|e| format!("{}: must be a valid regular expression: {e}", below("pattern")))?,
            ),
        };
        Ok(Self {
            ty: text(v, "type"),
            format: text(v, "format"),
            nullable: flag(v, "nullable"),
            properties,
            additional,
            items: one("items")?,
            default: v.get("default").filter(|d| !d.is_null()).cloned(),
            preserve: flag(v, "x-kubernetes-preserve-unknown-fields"),
            embedded: flag(v, "x-kubernetes-embedded-resource"),
            int_or_string: flag(v, "x-kubernetes-int-or-string"),
            list_type: text(v, "x-kubernetes-list-type"),
            list_keys: strings(v, "x-kubernetes-list-map-keys"),
            map_type: text(v, "x-kubernetes-map-type"),
            enumeration: v.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            maximum: v.get("maximum").and_then(Value::as_f64),
            exclusive_maximum: flag(v, "exclusiveMaximum"),
            minimum: v.get("minimum").and_then(Value::as_f64),
            exclusive_minimum: flag(v, "exclusiveMinimum"),
            multiple_of: v.get("multipleOf").and_then(Value::as_f64),
            max_length: v.get("maxLength").and_then(Value::as_u64),
            min_length: v.get("minLength").and_then(Value::as_u64),
            pattern,
            max_items: v.get("maxItems").and_then(Value::as_u64),
            min_items: v.get("minItems").and_then(Value::as_u64),
            unique_items: flag(v, "uniqueItems"),
            max_properties: v.get("maxProperties").and_then(Value::as_u64),
            min_properties: v.get("minProperties").and_then(Value::as_u64),
            required: strings(v, "required"),
            all_of: list("allOf")?,
            any_of: list("anyOf")?,
            one_of: list("oneOf")?,
            not: one("not")?,
            validations: v
                .get("x-kubernetes-validations")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// Whether there is a default anywhere.
    pub fn has_defaults(&self) -> bool {
        self.default.is_some()
            || self.properties.values().any(Self::has_defaults)
            || self.items.as_ref().is_some_and(|s| s.has_defaults())
            || matches!(&self.additional, Additional::Schema(s) if s.has_defaults())
    }

    /// The schema of a named member of an object.
    pub fn member(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Additional::Schema(s) => Some(s),
            _ => None,
        })
    }
}
