//! OpenAPI v3: an index, and one document for each group and version.

use crate::docs::Docs;
use crate::schemas::{Collector, Form};
use crate::{ResourceDoc, Schema, hash, names, paths};
use meta::Value;
use schema::facts;
use serde_json::{Map, json};
use std::collections::BTreeMap;

/// `/openapi/v3`: where the document of each group and version is. Keys: `api/v1`, `apis/apps/v1`.
pub fn index(documents: &BTreeMap<String, Vec<u8>>) -> Value {
    let paths: Map<String, Value> = documents
        .iter()
        .map(|(k, d)| (k.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{k}?hash={}", hash(d))})))
        .collect();
    json!({"paths": paths})
}

/// The document of one group and version, from all its resources.
pub fn document(resources: &[ResourceDoc]) -> Value {
    let docs = Docs::load();
    let mut c = Collector { form: Form::V3, docs: &docs, out: BTreeMap::new() };
    let mut all = Map::new();
    for r in resources {
        let (object, list) = define(&mut c, r);
        paths::add(Form::V3, r, &object, &list, &mut all);
    }
    let out = c.out;
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.2"},
        "paths": all,
        "components": {"schemas": out, "securitySchemes": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}}},
    })
}

/// Adds the definitions of a resource; answers the names of its own and of its list.
pub(crate) fn define(c: &mut Collector<'_>, r: &ResourceDoc) -> (String, String) {
    for t in ["DeleteOptions", "Status", "Patch"] {
        if let Some(t) = facts::type_named(&format!("meta.v1.{t}")) {
            c.add(t);
        }
    }
    for (_, (g, v, k), _) in &r.subresources {
        if let Some(t) = facts::type_of(g, v, k) {
            c.add(t);
        }
    }
    match &r.schema {
        Schema::BuiltIn(t) => {
            let list = facts::type_of(&r.group, &r.version, &format!("{}List", r.kind)).map(|l| c.add(l));
            let object = c.add(*t);
            (object.clone(), list.unwrap_or(object))
        }
        Schema::Custom(s) => custom(c, r, s),
    }
}

fn custom(c: &mut Collector<'_>, r: &ResourceDoc, s: &Value) -> (String, String) {
    let name = names::custom(&r.group, &r.version, &r.kind);
    let list = format!("{name}List");
    let meta = facts::type_named("meta.v1.ObjectMeta").map(|t| c.add(t)).unwrap_or_default();
    let list_meta = facts::type_named("meta.v1.ListMeta").map(|t| c.add(t)).unwrap_or_default();
    let refer = |form: Form, n: &str| json!({"$ref": form.reference(n)});
    let mut own = if s.is_object() { s.clone() } else { json!({}) };
    // Of an object that may have any field, version 2 says nothing: old clients would refuse the fields it does not name.
    let open = c.form == Form::V2
        && (own == json!({}) || own.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)));
    if open {
        own = json!({"type": "object"});
    }
    if let Some(o) = own.as_object_mut().filter(|_| !open) {
        o.insert("type".into(), "object".into());
        let p = o.entry("properties").or_insert_with(|| json!({}));
        // Described as in any other kind.
        let described = |f: &str| json!({"type": "string", "description": c.docs.common(f)});
        p["apiVersion"] = described("apiVersion");
        p["kind"] = described("kind");
        p["metadata"] =
            if c.form == Form::V3 { json!({"allOf": [refer(c.form, &meta)]}) } else { refer(c.form, &meta) };
        p["metadata"]["description"] = c.docs.common("metadata").into();
    }
    let gvk = |kind: &str| json!([{"group": r.group, "version": r.version, "kind": kind}]);
    own["x-kubernetes-group-version-kind"] = gvk(&r.kind);
    if c.form == Form::V2 {
        plain_for_v2(&mut own);
    }
    c.out.insert(name.clone(), own);
    c.out.insert(
        list.clone(),
        json!({"type": "object", "required": ["items"], "description": format!("{}List is a list of {}", r.kind, r.kind),
            "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "items": {"type": "array", "items": refer(c.form, &name)}, "metadata": refer(c.form, &list_meta)},
            "x-kubernetes-group-version-kind": gvk(&format!("{}List", r.kind))}),
    );
    (name, list)
}

/// Version 2 knows less: what it cannot say is left out, so that old clients do not refuse what the server takes.
fn plain_for_v2(s: &mut Value) {
    let Some(o) = s.as_object_mut() else { return };
    for k in ["oneOf", "anyOf", "not", "nullable", "x-kubernetes-validations"] {
        o.remove(k);
    }
    let loose = o.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true))
        || o.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true));
    if loose {
        o.remove("type");
        o.remove("properties");
        o.remove("items");
    }
    if let Some(p) = o.get_mut("properties").and_then(Value::as_object_mut) {
        p.values_mut().for_each(plain_for_v2);
    }
    for k in ["items", "additionalProperties"] {
        if let Some(v) = o.get_mut(k) {
            plain_for_v2(v);
        }
    }
}
