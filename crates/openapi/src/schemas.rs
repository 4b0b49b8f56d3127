//! Schemas of built-in types, for both forms of the document.

use crate::docs::Docs;
use crate::names::definition;
use meta::Value;
use schema::TypeId;
use schema::facts::{self, Field};
use serde_json::{Map, json};
use std::collections::BTreeMap;

/// Which document a schema goes into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    V2,
    V3,
}

impl Form {
    pub fn reference(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// Collects the definitions that are referred to, each once.
pub struct Collector<'a> {
    pub form: Form,
    pub docs: &'a Docs,
    pub out: BTreeMap<String, Value>,
}

impl Collector<'_> {
    /// Adds a type and all it refers to; answers its name.
    pub fn add(&mut self, ty: TypeId) -> String {
        let mut todo = vec![ty];
        while let Some(t) = todo.pop() {
            let name = definition(t.name());
            if self.out.contains_key(&name) {
                continue;
            }
            self.out.insert(name.clone(), Value::Null);
            let s = self.schema(t, &name, &mut todo);
            self.out.insert(name, s);
        }
        definition(ty.name())
    }

    fn schema(&self, t: TypeId, name: &str, todo: &mut Vec<TypeId>) -> Value {
        let f = t.facts();
        let mut s = Map::new();
        if let Some(d) = self.docs.of(name) {
            s.insert("description".into(), d.into());
        }
        match t.name() {
            "api.resource.Quantity" if self.form == Form::V3 => {
                s.insert("oneOf".into(), json!([{"type": "string"}, {"type": "number"}]));
                return s.into();
            }
            "util.intstr.IntOrString" if self.form == Form::V3 => {
                s.insert("format".into(), "int-or-string".into());
                s.insert("oneOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
                return s.into();
            }
            _ => {}
        }
        if f.special.is_some() {
            if !f.openapi_type.is_empty() {
                s.insert("type".into(), f.openapi_type.into());
            }
            if !f.openapi_format.is_empty() {
                s.insert("format".into(), f.openapi_format.into());
            }
            return s.into();
        }
        s.insert("type".into(), "object".into());
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in facts::fields(t) {
            if field.required {
                required.push(Value::from(field.name));
            }
            properties.insert(field.name.into(), self.property(name, field, todo));
        }
        if !properties.is_empty() {
            s.insert("properties".into(), properties.into());
        }
        if !required.is_empty() {
            s.insert("required".into(), required.into());
        }
        let gvks: Vec<Value> = f.gvks.iter().filter_map(|g| gvk(g)).collect();
        if !gvks.is_empty() {
            s.insert("x-kubernetes-group-version-kind".into(), gvks.into());
        }
        if !f.map_type.is_empty() {
            s.insert("x-kubernetes-map-type".into(), f.map_type.into());
        }
        s.into()
    }

    fn property(&self, owner: &str, f: &Field, todo: &mut Vec<TypeId>) -> Value {
        let m = f.meta;
        let mut p = self.typed(m.go_type, m.default, todo);
        let Some(o) = p.as_object_mut() else { return p };
        let common = || self.docs.common(f.name).filter(|_| f.name != "metadata");
        if let Some(d) = self.docs.field(owner, f.name).or_else(common) {
            o.insert("description".into(), d.into());
        }
        if !m.enumeration.is_empty() && self.form == Form::V3 {
            let values: Vec<Value> =
                facts::enum_values(m.enumeration).iter().map(|v| Value::from(*v)).collect();
            // Of a list or map of them, it is the elements that are of the enumeration.
            let at = if o.contains_key("items") { "items" } else { "additionalProperties" };
            match o.get_mut(at).and_then(Value::as_object_mut) {
                Some(inner) => inner.insert("enum".into(), values.into()),
                None => o.insert("enum".into(), values.into()),
            };
        }
        let mut put = |k: &str, v: &str| {
            if !v.is_empty() {
                o.insert(k.into(), v.into());
            }
        };
        put("x-kubernetes-list-type", m.list_type);
        put("x-kubernetes-map-type", m.map_type);
        put("x-kubernetes-patch-strategy", m.patch_strategy);
        put("x-kubernetes-patch-merge-key", m.patch_key);
        if !m.list_keys.is_empty() {
            o.insert("x-kubernetes-list-map-keys".into(), m.list_keys.to_vec().into());
        }
        p
    }

    /// The schema of a type as the facts write it: `[]core.v1.Container`, `map:string`, `int32`.
    fn typed(&self, t: &str, default: &str, todo: &mut Vec<TypeId>) -> Value {
        if let Some(item) = t.strip_prefix("[]") {
            return json!({"type": "array", "items": self.typed(item, empty_of(item), todo)});
        }
        if let Some(item) = t.strip_prefix("map:") {
            return json!({"type": "object", "additionalProperties": self.typed(item, empty_of(item), todo)});
        }
        let mut s = match t {
            "string" => json!({"type": "string"}),
            "bytes" => json!({"type": "string", "format": "byte"}),
            "bool" => json!({"type": "boolean"}),
            "int32" => json!({"type": "integer", "format": "int32"}),
            "int64" => json!({"type": "integer", "format": "int64"}),
            "double" => json!({"type": "number", "format": "double"}),
            "object" => json!({"type": "object"}),
            "any" => json!({}),
            "time" => return self.refer("meta.v1.Time", default, todo),
            name => return self.refer(name, default, todo),
        };
        if self.form == Form::V3
            && !default.is_empty()
            && let (Some(o), Ok(d)) = (s.as_object_mut(), serde_json::from_str::<Value>(default))
        {
            o.insert("default".into(), d);
        }
        s
    }

    fn refer(&self, name: &str, default: &str, todo: &mut Vec<TypeId>) -> Value {
        let Some(t) = facts::type_named(name) else { return json!({"type": "object"}) };
        todo.push(t);
        let to = json!({"$ref": self.form.reference(&definition(t.name()))});
        if self.form == Form::V2 {
            return to;
        }
        let mut s = json!({"allOf": [to]});
        if let (Some(o), Ok(d)) = (s.as_object_mut(), serde_json::from_str::<Value>(default)) {
            o.insert("default".into(), d);
        }
        s
    }
}

/// The default of an element: upstream writes the zero value of what is no pointer.
fn empty_of(t: &str) -> &'static str {
    match t {
        "string" | "bytes" => "\"\"",
        "bool" => "false",
        "int32" | "int64" | "double" => "0",
        t if t.starts_with("[]") || t.starts_with("map:") || t == "any" || t == "object" => "",
        _ => "{}",
    }
}

/// `apps/v1/Deployment`, `v1/Pod` → an element of `x-kubernetes-group-version-kind`.
fn gvk(s: &str) -> Option<Value> {
    let parts: Vec<&str> = s.split('/').collect();
    match parts.as_slice() {
        [v, k] => Some(json!({"group": "", "version": v, "kind": k})),
        [g, v, k] => Some(json!({"group": g, "version": v, "kind": k})),
        _ => None,
    }
}
