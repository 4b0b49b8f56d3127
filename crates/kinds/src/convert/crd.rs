//! CustomResourceDefinitions: served as v1, stored as v1beta1, which hoists what all versions have in common
//! (X/pkg/apis/apiextensions/{v1,v1beta1}/{conversion,defaults}.go).

use crate::check::opt_same;
use crate::val::{Get, Obj, Put};
use meta::Value;
use serde_json::json;

/// Per-version field of v1, hoisted name in v1beta1.
const HOISTED: [(&str, &str); 4] = [
    ("subresources", "subresources"),
    ("schema", "validation"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

fn rename_columns(list: Option<&mut Value>, from: &str, to: &str) {
    for c in list.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(v) = c.as_object_mut().and_then(|c| c.remove(from)) {
            c.put(to, v);
        }
    }
}

pub fn crd_v1_to_v1beta1(mut o: Value) -> Value {
    let spec = o.obj("spec");
    let preserve = spec.b("preserveUnknownFields");
    spec.put("preserveUnknownFields", preserve);
    if let Some(c) = spec.o_mut("conversion")
        && let Some(Value::Object(mut w)) = c.drop_key("webhook")
    {
        if let Some(v) = w.drop_key("clientConfig") {
            c.put("webhookClientConfig", v);
        }
        if let Some(v) = w.drop_key("conversionReviewVersions") {
            c.put("conversionReviewVersions", v);
        }
    }
    let first = spec.list("versions").first().cloned();
    if let Some(first) = first {
        spec.put("version", first.s("name"));
        for (field, hoisted) in HOISTED {
            let common = spec.list("versions").iter().all(|v| opt_same(v.set(field), first.set(field)));
            if !common {
                continue;
            }
            if let Some(v) = first.set(field) {
                spec.put(hoisted, v.clone());
            }
            for v in spec.each("versions") {
                v.remove(field);
            }
        }
    }
    rename_columns(spec.get_mut("additionalPrinterColumns"), "jsonPath", "JSONPath");
    for v in spec.each("versions") {
        rename_columns(v.get_mut("additionalPrinterColumns"), "jsonPath", "JSONPath");
    }
    o
}

pub fn crd_v1beta1_to_v1(mut o: Value) -> Value {
    let spec = o.obj("spec");
    defaults(spec);
    if let Some(c) = spec.o_mut("conversion") {
        let mut w = Obj::new();
        if let Some(v) = c.drop_key("webhookClientConfig") {
            w.put("clientConfig", v);
        }
        if let Some(v) = c.drop_key("conversionReviewVersions") {
            w.put("conversionReviewVersions", v);
        }
        if !w.is_empty() {
            c.put("webhook", w);
        }
    }
    spec.remove("version");
    for (field, hoisted) in HOISTED {
        if let Some(common) = spec.drop_key(hoisted).filter(|v| !v.is_null()) {
            for v in spec.each("versions") {
                v.put(field, common.clone());
            }
        }
    }
    for v in spec.each("versions") {
        rename_columns(v.get_mut("additionalPrinterColumns"), "JSONPath", "jsonPath");
    }
    if !spec.b("preserveUnknownFields") {
        spec.remove("preserveUnknownFields");
    }
    o
}

/// What v1beta1 fills in when it is read.
fn defaults(spec: &mut Obj) {
    spec.default_zero("scope", "Namespaced");
    if spec.list("versions").is_empty() && !spec.s("version").is_empty() {
        let v = json!([{"name": spec.s("version"), "served": true, "storage": true}]);
        spec.put("versions", v);
    }
    spec.default_nil("conversion", json!({"strategy": "None"}));
    let c = spec.obj("conversion");
    if c.s("strategy") == "Webhook" && c.list("conversionReviewVersions").is_empty() {
        c.put("conversionReviewVersions", json!(["v1beta1"]));
    }
    spec.default_nil("preserveUnknownFields", true);
}
