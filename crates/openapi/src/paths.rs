//! Paths and operations of resources, for both forms of the document.

use crate::schemas::Form;
use crate::{ResourceDoc, names};
use meta::Value;
use serde_json::{Map, json};

/// A query parameter: name, JSON type, what it does.
const COMMON: &[(&str, &str, &str)] = &[("pretty", "string", "If 'true', the output is indented.")];
const WRITE: &[(&str, &str, &str)] = &[
    ("dryRun", "string", "`All`: everything is done but nothing is stored."),
    ("fieldManager", "string", "The name of whoever makes the change."),
    ("fieldValidation", "string", "What to do with unknown and duplicate fields: Ignore, Warn or Strict."),
];
const FORCE: (&str, &str, &str) = ("force", "boolean", "Take over fields that others manage (apply only).");
const LIST: &[(&str, &str, &str)] = &[
    ("allowWatchBookmarks", "boolean", "Ask for bookmark events while watching."),
    ("continue", "string", "Go on with a list from where the last page ended."),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "The most objects that a page may hold."),
    ("resourceVersion", "string", "What version the answer must be of, or newer than."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Begin a watch with the objects there are."),
    ("timeoutSeconds", "integer", "End a list or watch after so long."),
    ("watch", "boolean", "Stream changes."),
];
const DELETE: &[(&str, &str, &str)] = &[
    ("dryRun", "string", "`All`: everything is done but nothing is stored."),
    ("gracePeriodSeconds", "integer", "Seconds the object has to end in good order."),
    ("orphanDependents", "boolean", "Use propagationPolicy instead."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];

fn query(form: Form, list: &[(&str, &str, &str)]) -> Vec<Value> {
    list.iter()
        .map(|(name, ty, what)| match form {
            Form::V3 => json!({"name": name, "in": "query", "description": what, "schema": {"type": ty, "uniqueItems": true}}),
            Form::V2 => json!({"name": name, "in": "query", "description": what, "type": ty, "uniqueItems": true}),
        })
        .collect()
}

fn in_path(form: Form, name: &str) -> Value {
    match form {
        Form::V3 => {
            json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}})
        }
        Form::V2 => {
            json!({"name": name, "in": "path", "required": true, "type": "string", "uniqueItems": true})
        }
    }
}

const TYPES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What one operation is.
struct Op<'a> {
    method: &'a str,
    action: &'a str,
    parameters: Vec<Value>,
    /// The definition of the body and of the answer; empty: none.
    body: &'a str,
    answer: &'a str,
}

fn operation(form: Form, r: &ResourceDoc, op: Op<'_>, gvk: &crate::Gvk) -> Value {
    let schema = |name: &str| json!({"$ref": form.reference(name)});
    let tag = if r.group.is_empty() {
        format!("core_{}", r.version)
    } else {
        format!("{}_{}", camel(&r.group), r.version)
    };
    let accepts = if op.method == "patch" { PATCHES } else { &["*/*"][..] };
    let mut parameters = op.parameters;
    let mut o = json!({
        "tags": [tag],
        "operationId": format!("{}{}", op.action, operation_id(r, op.action)),
        "x-kubernetes-action": op.action,
        "x-kubernetes-group-version-kind": {"group": gvk.0, "version": gvk.1, "kind": gvk.2},
    });
    let answer = |name: &str| match form {
        Form::V3 if name.is_empty() => json!({"description": "OK"}),
        Form::V3 => {
            let c: Map<String, Value> =
                TYPES.iter().map(|t| ((*t).to_owned(), json!({"schema": schema(name)}))).collect();
            json!({"description": "OK", "content": c})
        }
        Form::V2 if name.is_empty() => json!({"description": "OK"}),
        Form::V2 => json!({"description": "OK", "schema": schema(name)}),
    };
    o["responses"] = json!({"200": answer(op.answer), "401": {"description": "Unauthorized"}});
    if op.method == "post" {
        o["responses"]["201"] = answer(op.answer);
    }
    if !op.body.is_empty() {
        match form {
            Form::V3 => {
                let c: Map<String, Value> =
                    accepts.iter().map(|t| ((*t).to_owned(), json!({"schema": schema(op.body)}))).collect();
                o["requestBody"] = json!({"content": c, "required": true});
            }
            Form::V2 => parameters
                .push(json!({"name": "body", "in": "body", "required": true, "schema": schema(op.body)})),
        }
    }
    if form == Form::V2 {
        o["consumes"] = if op.method == "patch" { json!(PATCHES) } else { json!(["*/*"]) };
        o["produces"] = json!(TYPES);
        o["schemes"] = json!(["https"]);
    }
    o["parameters"] = parameters.into();
    json!({op.method: o})
}

fn camel(group: &str) -> String {
    let mut out = String::new();
    for (i, part) in group.trim_end_matches(".k8s.io").split('.').enumerate() {
        if i == 0 {
            out.push_str(part);
        } else {
            out.extend(part.chars().next().map(|c| c.to_ascii_uppercase()));
            out.push_str(part.get(1..).unwrap_or_default());
        }
    }
    out
}

fn capital(s: &str) -> String {
    let mut c = s.chars();
    c.next().map(|f| f.to_ascii_uppercase().to_string() + c.as_str()).unwrap_or_default()
}

fn operation_id(r: &ResourceDoc, _action: &str) -> String {
    let group = if r.group.is_empty() { "Core".to_owned() } else { capital(&camel(&r.group)) };
    format!("{group}{}{}{}", capital(&r.version), if r.namespaced { "Namespaced" } else { "" }, r.kind)
}

fn merge(into: &mut Map<String, Value>, path: &str, op: Value) {
    let at = into.entry(path).or_insert_with(|| json!({}));
    if let (Some(a), Value::Object(o)) = (at.as_object_mut(), op) {
        a.extend(o);
    }
}

/// The paths of a resource. `list` names the definition of its list, `object` its own.
pub fn add(form: Form, r: &ResourceDoc, object: &str, list: &str, out: &mut Map<String, Value>) {
    let root = if r.group.is_empty() {
        format!("/api/{}", r.version)
    } else {
        format!("/apis/{}/{}", r.group, r.version)
    };
    let base = if r.namespaced {
        format!("{root}/namespaces/{{namespace}}/{}", r.resource)
    } else {
        format!("{root}/{}", r.resource)
    };
    let one = format!("{base}/{{name}}");
    let gvk = (r.group.clone(), r.version.clone(), r.kind.clone());
    let has = |v: &str| r.verbs.iter().any(|x| x == v);
    let status = names::definition("meta.v1.Status");
    let options = names::definition("meta.v1.DeleteOptions");
    let with = |lists: &[&[(&str, &str, &str)]]| query(form, &lists.concat());
    let mut put = |path: &str, op: Op<'_>| merge(out, path, operation(form, r, op, &gvk));
    if has("list") {
        put(
            &base,
            Op { method: "get", action: "list", parameters: with(&[COMMON, LIST]), body: "", answer: list },
        );
        if r.namespaced {
            let all = format!("{root}/{}", r.resource);
            put(
                &all,
                Op {
                    method: "get",
                    action: "list",
                    parameters: with(&[COMMON, LIST]),
                    body: "",
                    answer: list,
                },
            );
        }
    }
    if has("create") {
        put(
            &base,
            Op {
                method: "post",
                action: "post",
                parameters: with(&[COMMON, WRITE]),
                body: object,
                answer: object,
            },
        );
    }
    if has("deletecollection") {
        let parameters = with(&[COMMON, LIST, DELETE]);
        put(
            &base,
            Op { method: "delete", action: "deletecollection", parameters, body: &options, answer: &status },
        );
    }
    if has("get") {
        put(&one, Op { method: "get", action: "get", parameters: with(&[COMMON]), body: "", answer: object });
    }
    if has("update") {
        put(
            &one,
            Op {
                method: "put",
                action: "put",
                parameters: with(&[COMMON, WRITE]),
                body: object,
                answer: object,
            },
        );
    }
    if has("patch") {
        let patch = names::definition("meta.v1.Patch");
        let parameters = with(&[COMMON, WRITE, &[FORCE]]);
        put(&one, Op { method: "patch", action: "patch", parameters, body: &patch, answer: object });
    }
    if has("delete") {
        put(
            &one,
            Op {
                method: "delete",
                action: "delete",
                parameters: with(&[COMMON, DELETE]),
                body: &options,
                answer: &status,
            },
        );
    }
    for path in [&base, &one, &format!("{root}/{}", r.resource)] {
        if let Some(p) = out.get_mut(path.as_str()) {
            let mut parameters = Vec::new();
            if path == &one {
                parameters.push(in_path(form, "name"));
            }
            if path.contains("{namespace}") {
                parameters.push(in_path(form, "namespace"));
            }
            if !parameters.is_empty() {
                p["parameters"] = parameters.into();
            }
        }
    }
    subresources(form, r, &one, out);
}

fn subresources(form: Form, r: &ResourceDoc, one: &str, out: &mut Map<String, Value>) {
    for (name, gvk, verbs) in &r.subresources {
        let path = format!("{one}/{name}");
        let own = schema::facts::type_of(&gvk.0, &gvk.1, &gvk.2)
            .map(|t| names::definition(t.name()))
            .unwrap_or_default();
        for v in verbs {
            let (method, body, parameters) = match v.as_str() {
                "get" => ("get", "", query(form, COMMON)),
                "update" => ("put", own.as_str(), query(form, &[COMMON, WRITE].concat())),
                "create" => ("post", own.as_str(), query(form, &[COMMON, WRITE].concat())),
                "patch" => ("patch", own.as_str(), query(form, &[COMMON, WRITE, &[FORCE]].concat())),
                _ => continue,
            };
            let action = if matches!(v.as_str(), "update") { "put" } else { v };
            let action = if action == "create" { "post" } else { action };
            let op = Op { method, action, parameters, body, answer: &own };
            merge(out, &path, operation(form, r, op, gvk));
        }
        if let Some(p) = out.get_mut(&path) {
            let mut parameters = vec![in_path(form, "name")];
            if path.contains("{namespace}") {
                parameters.push(in_path(form, "namespace"));
            }
            p["parameters"] = parameters.into();
        }
    }
}
