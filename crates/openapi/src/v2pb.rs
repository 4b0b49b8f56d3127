//! OpenAPI v2 as protobuf (`openapi.v2.Document` of the gnostic models): kubectl asks for no other form when it has to
//! validate by itself, as for a file of kind `List`.
//!
//! A table says which field of which message a JSON key becomes. Values of no fixed type are YAML text there; JSON is that.

use meta::Value;

/// What becomes of a key's value.
enum Form {
    Text,
    Texts,
    Bool,
    Int,
    Double,
    /// A value of any type.
    Any,
    Anys,
    /// A message.
    One(fn(&Value) -> Vec<u8>),
    /// A message for each item.
    Each(fn(&Value) -> Vec<u8>),
}
use Form::{Any, Anys, Bool, Double, Each, Int, One, Text, Texts};

/// JSON key, field number, form. The key `x-` stands for every extension.
type Fields = [(&'static str, u32, Form)];

const DOCUMENT: &Fields = &[
    ("swagger", 1, Text),
    ("info", 2, One(|v| message(v, INFO))),
    ("host", 3, Text),
    ("basePath", 4, Text),
    ("schemes", 5, Texts),
    ("consumes", 6, Texts),
    ("produces", 7, Texts),
    ("paths", 8, One(|v| named(v, 2, |p| message(p, PATH)))),
    ("definitions", 9, One(|v| named(v, 1, schema))),
    (
        "security",
        12,
        Each(|v| named(v, 1, |scopes| message(&serde_json::json!({ "value": scopes }), STRINGS))),
    ),
    ("securityDefinitions", 13, One(|v| named(v, 1, |d| wrap(2, &message(d, API_KEY))))),
    ("tags", 14, Each(|v| message(v, TAG))),
    ("externalDocs", 15, One(|v| message(v, DOCS))),
    ("x-", 16, Any),
];
const INFO: &Fields = &[
    ("title", 1, Text),
    ("version", 2, Text),
    ("description", 3, Text),
    ("termsOfService", 4, Text),
    ("x-", 7, Any),
];
const TAG: &Fields = &[
    ("name", 1, Text),
    ("description", 2, Text),
    ("externalDocs", 3, One(|v| message(v, DOCS))),
    ("x-", 4, Any),
];
const DOCS: &Fields = &[("description", 1, Text), ("url", 2, Text), ("x-", 3, Any)];
const STRINGS: &Fields = &[("value", 1, Texts)];
/// The only kind of security that these documents define.
const API_KEY: &Fields =
    &[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text), ("x-", 5, Any)];
const PATH: &Fields = &[
    ("$ref", 1, Text),
    ("get", 2, One(|v| message(v, OPERATION))),
    ("put", 3, One(|v| message(v, OPERATION))),
    ("post", 4, One(|v| message(v, OPERATION))),
    ("delete", 5, One(|v| message(v, OPERATION))),
    ("options", 6, One(|v| message(v, OPERATION))),
    ("head", 7, One(|v| message(v, OPERATION))),
    ("patch", 8, One(|v| message(v, OPERATION))),
    ("parameters", 9, Each(parameter)),
    ("x-", 10, Any),
];
const OPERATION: &Fields = &[
    ("tags", 1, Texts),
    ("summary", 2, Text),
    ("description", 3, Text),
    ("externalDocs", 4, One(|v| message(v, DOCS))),
    ("operationId", 5, Text),
    ("produces", 6, Texts),
    ("consumes", 7, Texts),
    ("parameters", 8, Each(parameter)),
    ("responses", 9, One(|v| named(v, 1, response))),
    ("schemes", 10, Texts),
    ("deprecated", 11, Bool),
    ("x-", 13, Any),
];
const REFERENCE: &Fields = &[("$ref", 1, Text), ("description", 2, Text)];
const RESPONSE: &Fields =
    &[("description", 1, Text), ("schema", 2, One(|v| wrap(1, &schema(v)))), ("x-", 5, Any)];
const BODY: &Fields = &[
    ("description", 1, Text),
    ("name", 2, Text),
    ("in", 3, Text),
    ("required", 4, Bool),
    ("schema", 5, One(schema)),
    ("x-", 6, Any),
];
/// Parameters in headers and paths.
const PLAIN: &Fields = &[
    ("required", 1, Bool),
    ("in", 2, Text),
    ("description", 3, Text),
    ("name", 4, Text),
    ("type", 5, Text),
    ("format", 6, Text),
    ("default", 9, Any),
    ("uniqueItems", 19, Bool),
    ("enum", 20, Anys),
    ("x-", 22, Any),
];
/// Parameters in queries, which may be empty.
const QUERY: &Fields = &[
    ("required", 1, Bool),
    ("in", 2, Text),
    ("description", 3, Text),
    ("name", 4, Text),
    ("allowEmptyValue", 5, Bool),
    ("type", 6, Text),
    ("format", 7, Text),
    ("default", 10, Any),
    ("uniqueItems", 20, Bool),
    ("enum", 21, Anys),
    ("x-", 23, Any),
];
const SCHEMA: &Fields = &[
    ("$ref", 1, Text),
    ("format", 2, Text),
    ("title", 3, Text),
    ("description", 4, Text),
    ("default", 5, Any),
    ("multipleOf", 6, Double),
    ("maximum", 7, Double),
    ("exclusiveMaximum", 8, Bool),
    ("minimum", 9, Double),
    ("exclusiveMinimum", 10, Bool),
    ("maxLength", 11, Int),
    ("minLength", 12, Int),
    ("pattern", 13, Text),
    ("maxItems", 14, Int),
    ("minItems", 15, Int),
    ("uniqueItems", 16, Bool),
    ("maxProperties", 17, Int),
    ("minProperties", 18, Int),
    ("required", 19, Texts),
    ("enum", 20, Anys),
    ("additionalProperties", 21, One(additional)),
    ("type", 22, One(types)),
    ("items", 23, One(|v| wrap(1, &schema(v)))),
    ("allOf", 24, Each(schema)),
    ("properties", 25, One(|v| named(v, 1, schema))),
    ("discriminator", 26, Text),
    ("readOnly", 27, Bool),
    ("externalDocs", 29, One(|v| message(v, DOCS))),
    ("example", 30, Any),
    ("x-", 31, Any),
];

/// The document, made by [`crate::v2`], as protobuf.
pub fn encode(document: &Value) -> Vec<u8> {
    message(document, DOCUMENT)
}

fn schema(v: &Value) -> Vec<u8> {
    message(v, SCHEMA)
}

/// A schema or a boolean.
fn additional(v: &Value) -> Vec<u8> {
    match v {
        Value::Bool(b) => {
            let mut out = Vec::new();
            number(2, u64::from(*b), &mut out);
            out
        }
        v => wrap(1, &schema(v)),
    }
}

/// One type or several.
fn types(v: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let all = v.as_array().map_or(std::slice::from_ref(v), Vec::as_slice);
    all.iter().filter_map(Value::as_str).for_each(|t| bytes(1, t.as_bytes(), &mut out));
    out
}

fn parameter(v: &Value) -> Vec<u8> {
    if v.get("$ref").is_some() {
        return wrap(2, &message(v, REFERENCE));
    }
    let other = |field: u32, fields: &Fields| wrap(1, &wrap(2, &wrap(field, &message(v, fields))));
    match v["in"].as_str().unwrap_or_default() {
        "body" => wrap(1, &wrap(1, &message(v, BODY))),
        "header" => other(1, PLAIN),
        "path" => other(4, PLAIN),
        _ => other(3, QUERY),
    }
}

fn response(v: &Value) -> Vec<u8> {
    if v.get("$ref").is_some() { wrap(2, &message(v, REFERENCE)) } else { wrap(1, &message(v, RESPONSE)) }
}

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n as u8) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn number(field: u32, n: u64, out: &mut Vec<u8>) {
    varint(u64::from(field) << 3, out);
    varint(n, out);
}

fn bytes(field: u32, b: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(field) << 3 | 2, out);
    varint(b.len() as u64, out);
    out.extend_from_slice(b);
}

/// A message whose only field is this.
fn wrap(field: u32, b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(b.len() + 6);
    bytes(field, b, &mut out);
    out
}

/// A map: a list of names with their values.
fn named(v: &Value, field: u32, value: fn(&Value) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for (k, v) in v.as_object().into_iter().flatten() {
        let mut entry = wrap(1, k.as_bytes());
        bytes(2, &value(v), &mut entry);
        bytes(field, &entry, &mut out);
    }
    out
}

/// A value of any type, as text.
fn any(v: &Value) -> Vec<u8> {
    wrap(2, v.to_string().as_bytes())
}

/// A message of an object. Keys that the table does not have are left out.
fn message(v: &Value, fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    for (k, v) in v.as_object().into_iter().flatten() {
        if k.starts_with("x-") {
            if let Some((_, field, _)) = fields.iter().find(|(n, ..)| *n == "x-") {
                let mut entry = wrap(1, k.as_bytes());
                bytes(2, &any(v), &mut entry);
                bytes(*field, &entry, &mut out);
            }
            continue;
        }
        let Some((_, field, form)) = fields.iter().find(|(n, ..)| n == k) else { continue };
        let items = || v.as_array().into_iter().flatten();
        match form {
            Text => bytes(*field, v.as_str().unwrap_or_default().as_bytes(), &mut out),
            Texts => items().filter_map(Value::as_str).for_each(|s| bytes(*field, s.as_bytes(), &mut out)),
            Bool => number(*field, u64::from(v == &Value::Bool(true)), &mut out),
            Int => number(*field, v.as_i64().unwrap_or_default() as u64, &mut out),
            Double => {
                varint(u64::from(*field) << 3 | 1, &mut out);
                out.extend_from_slice(&v.as_f64().unwrap_or_default().to_le_bytes());
            }
            Any => bytes(*field, &any(v), &mut out),
            Anys => items().for_each(|v| bytes(*field, &any(v), &mut out)),
            One(f) => bytes(*field, &f(v), &mut out),
            Each(f) => items().for_each(|v| bytes(*field, &f(v), &mut out)),
        }
    }
    out
}
