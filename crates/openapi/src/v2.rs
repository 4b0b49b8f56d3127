//! OpenAPI v2 (Swagger): one document for everything.

use crate::docs::Docs;
use crate::schemas::{Collector, Form};
use crate::{ResourceDoc, paths, v3};
use meta::Value;
use serde_json::{Map, json};
use std::collections::BTreeMap;

/// The document of all resources.
pub fn document(resources: &[ResourceDoc]) -> Value {
    let docs = Docs::load();
    let mut c = Collector { form: Form::V2, docs: &docs, out: BTreeMap::new() };
    let mut all = Map::new();
    for r in resources {
        let (object, list) = v3::define(&mut c, r);
        paths::add(Form::V2, r, &object, &list, &mut all);
    }
    let out = c.out;
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.37.2"},
        "paths": all,
        "definitions": out,
        "securityDefinitions": {"BearerToken": {
            "type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
        "security": [{"BearerToken": []}],
    })
}
