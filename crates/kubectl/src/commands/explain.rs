//! `explain`: what the server's OpenAPI v3 document says of a resource and its fields, laid out as upstream does
//! (kubectl `pkg/explain/v2`).

use crate::cx::Cx;
use crate::error::Error;
use crate::flags::{Flag, Form, flag};
use crate::objects::text;
use crate::print;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write;

super::commands! {
    "explain" "TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group]"
        "Get documentation for a resource\n\nFields are named by a path of their names, as in `pods.spec.containers`. What is said comes from the server's own\nOpenAPI document, so it covers custom resources as well.\n\nUse \"kubectl api-resources\" for a complete list of supported resources."
        "# A resource and its fields\nkubectl explain pods\n\n# One field and what is under it\nkubectl explain pods.spec.containers\n\n# Names only, all the way down\nkubectl explain deployment.spec --recursive --max-depth=3\n\n# Another version than the preferred one\nkubectl explain horizontalpodautoscalers --api-version=autoscaling/v1"
        FLAGS, run;
}

const FLAGS: &[Flag] = &[
    flag("recursive", Some('R'), Form::Bool, "false", "Print the fields of fields; see --max-depth"),
    flag("api-version", None, Form::Text, "", "Explain this group and version of the API"),
    flag("output", Some('o'), Form::Text, "plaintext", "Format in which to render the schema: plaintext"),
    flag("max-depth", None, Form::Text, "0", "How deep --recursive goes; 0: no limit"),
];

/// A path without its brackets and last dot; upstream reads it as a JSONPath of names.
fn names(path: &str) -> Result<Vec<String>, Error> {
    let path = path.strip_suffix('.').unwrap_or(path);
    path.split('.')
        .map(|p| {
            let bad = p.is_empty() || p.contains(['[', ']', '{', '}', '*', '\'', '"', ' ']);
            if bad {
                Err(Error::plain("invalid jsonpath syntax, all nodes must be field nodes"))
            } else {
                Ok(p.to_owned())
            }
        })
        .collect()
}

pub async fn run(cx: Cx) -> Result<(), Error> {
    let hint = "Use \"kubectl api-resources\" for a complete list of supported resources.";
    let what = match cx.p.args.as_slice() {
        [] => {
            return Err(Error::plain(format!("You must specify the type of resource to explain. {hint}\n")));
        }
        [w] => w,
        _ => return Err(Error::plain("We accept only this format: explain RESOURCE\n")),
    };
    let (recursive, depth) = (cx.p.on("recursive"), cx.p.int("max-depth")?);
    if depth > 0 && !recursive {
        return Err(Error::plain("--max-depth requires --recursive"));
    }
    if depth < 0 {
        return Err(Error::plain("--max-depth must be non-negative"));
    }
    match cx.p.text("output") {
        "plaintext" => {}
        "plaintext-openapiv2" => {
            return Err(Error::plain(
                "the format plaintext-openapiv2 is not part of this kubectl; leave out --output",
            ));
        }
        o => return Err(Error::plain(format!("unrecognized format: {o}"))),
    }
    let parts = names(what)?;
    let all = cx.discovery().await?.candidates(&parts[0]);
    let Some(first) = all.first() else {
        return Err(Error::Raw(format!("the server doesn't have a resource type {:?}", parts[0]), 1));
    };
    let given = cx.p.text("api-version");
    let exact = all.iter().find(|r| given.is_empty() && what.starts_with(&r.full()));
    let (resource, fields) = match exact {
        Some(r) => (*r, parts[r.full().split('.').count().min(parts.len())..].to_vec()),
        None => (*first, parts[1..].to_vec()),
    };
    let (group, version) = match given.split_once('/') {
        _ if given.is_empty() => (resource.group.as_str(), resource.version.as_str()),
        Some((g, v)) if !v.contains('/') => (g, v),
        None => ("", given),
        Some(_) => return Err(Error::plain(format!("unexpected GroupVersion string: {given}"))),
    };
    let base = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    let said = format!("{group}/{version}, Resource={}", resource.name);
    let index = cx.get("/openapi/v3").await?;
    let Some(url) = index["paths"][&base]["serverRelativeURL"].as_str() else {
        return Err(Error::plain(format!("couldn't find resource for \"{said}\"")));
    };
    let doc = cx.get(url).await?;
    let e = Explainer { doc: &doc, recursive, depth: usize::try_from(depth).unwrap_or(0) };
    let Some(gvk) = e.kind(&base, &resource.name) else {
        return Err(Error::plain(format!("GVR ({said}) not found in OpenAPI schema")));
    };
    // What was written before a failure stays, as upstream's templates write as they go.
    let (out, err) = e.resource(gvk, &fields);
    print::out(&out);
    err.map_or(Ok(()), Err)
}

struct Explainer<'d> {
    doc: &'d Value,
    recursive: bool,
    depth: usize,
}

fn is_set(v: &Value) -> bool {
    match v {
        Value::Null => false,
        Value::Object(o) => !o.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::String(s) => !s.is_empty(),
        Value::Bool(b) => *b,
        Value::Number(_) => true,
    }
}

/// What map values are described by, if they are.
fn extra(s: &Value) -> Option<&Value> {
    Some(&s["additionalProperties"]).filter(|a| !a.is_boolean() && is_set(a))
}

impl<'d> Explainer<'d> {
    /// The kind that the paths of a resource carry.
    fn kind(&self, base: &str, name: &str) -> Option<&'d Value> {
        let spots = [
            format!("/{base}/{name}"),
            format!("/{base}/{name}/{{name}}"),
            format!("/{base}/namespaces/{{namespace}}/{name}"),
            format!("/{base}/namespaces/{{namespace}}/{name}/{{name}}"),
        ];
        let mut hits = spots.iter().rev().flat_map(|p| {
            let at = &self.doc["paths"][p];
            ["get", "post", "put", "patch", "delete"]
                .into_iter()
                .map(move |m| &at[m]["x-kubernetes-group-version-kind"])
        });
        hits.find(|g| is_set(g))
    }

    fn refer(&self, r: &str) -> Option<&'d Value> {
        let v = r.strip_prefix("#/")?.split('/').try_fold(self.doc, |v, k| v.get(k))?;
        v.is_object().then_some(v)
    }
    /// A schema, where it is a reference what that names.
    fn resolved(&self, s: &'d Value) -> &'d Value {
        self.refer(text(s, "/$ref")).unwrap_or(s)
    }

    fn resource(&self, gvk: &Value, fields: &[String]) -> (String, Option<Error>) {
        let mut out = String::new();
        if !text(gvk, "/group").is_empty() {
            let _ = writeln!(out, "GROUP:      {}", text(gvk, "/group"));
        }
        let _ = write!(out, "KIND:       {}\nVERSION:    {}\n\n", text(gvk, "/kind"), text(gvk, "/version"));
        let all = self.doc["components"]["schemas"].as_object();
        let of = all
            .into_iter()
            .flatten()
            .find(|(_, s)| s["x-kubernetes-group-version-kind"].as_array().is_some_and(|a| a.contains(gvk)));
        let Some((_, s)) = of else {
            return (out, Some(Error::plain(format!("GVK {} not found in OpenAPI schema", print::go(gvk)))));
        };
        let mut body = String::new();
        self.output(s, fields, &BTreeSet::new(), &mut body);
        if body.is_empty() {
            let last = fields.last().map(String::as_str).unwrap_or_default();
            return (out, Some(Error::plain(format!("field {last:?} does not exist"))));
        }
        out.push_str(&body);
        out.push('\n');
        (out, None)
    }

    fn output(&self, schema: &'d Value, fields: &[String], seen: &BTreeSet<&'d str>, out: &mut String) {
        let r = text(schema, "/$ref");
        let s = self.resolved(schema);
        let mut next = seen.clone();
        next.insert(r);
        let Some(first) = fields.first() else {
            let mut d = String::new();
            self.description(s, &mut d);
            let d = if d.is_empty() { "<empty>" } else { &d };
            let _ = write!(out, "DESCRIPTION:\n{}\n", indent(4, &wrap(76, d)));
            if is_set(&s["externalDocs"]) {
                out.push('\n');
                docs(&s["externalDocs"], 0, 76, out);
            }
            let mut list = String::new();
            self.fields(s, 1, &BTreeSet::new(), &mut list);
            if !list.is_empty() {
                let _ = write!(out, "FIELDS:\n{list}");
            }
            return;
        };
        let field = &s["properties"][first];
        if !r.is_empty() && seen.contains(r) {
        } else if is_set(field) {
            if fields.len() == 1 {
                let _ = writeln!(out, "FIELD: {first} <{}>", self.guess(field));
                if is_set(&field["enum"]) {
                    out.push_str("ENUM:");
                    for e in field["enum"].as_array().into_iter().flatten() {
                        let _ = write!(out, "\n    {}", element(e));
                    }
                }
                out.push_str("\n\n");
            }
            self.output(field, &fields[1..], &BTreeSet::new(), out);
        } else if is_set(&s["items"]) {
            self.output(&s["items"], fields, &next, out);
        } else if let Some(a) = extra(s) {
            self.output(a, fields, &next, out);
        } else {
            for sub in s["allOf"].as_array().into_iter().flatten() {
                let before = out.len();
                self.output(sub, fields, &next, out);
                if out.len() > before {
                    break;
                }
            }
        }
    }

    fn description(&self, s: &'d Value, out: &mut String) {
        let s = self.resolved(s);
        if !text(s, "/description").is_empty() {
            let _ = writeln!(out, "{}", text(s, "/description"));
        }
        for sub in s["allOf"].as_array().into_iter().flatten() {
            self.description(sub, out);
        }
        if is_set(&s["items"]) {
            self.description(&s["items"], out);
        }
        if let Some(a) = extra(s) {
            self.description(a, out);
        }
    }

    fn fields(&self, schema: &'d Value, level: usize, seen: &BTreeSet<&'d str>, out: &mut String) {
        let r = text(schema, "/$ref");
        if !r.is_empty() && seen.contains(r) {
            return;
        }
        let mut next = seen.clone();
        next.insert(r);
        let s = self.resolved(schema);
        for (name, v) in s["properties"].as_object().into_iter().flatten() {
            self.field(s, name, v, level, out);
            if self.recursive && (self.depth == 0 || level < self.depth) {
                self.fields(v, level + 1, &next, out);
            }
        }
        for sub in s["allOf"].as_array().into_iter().flatten() {
            self.fields(sub, level, &next, out);
        }
        if is_set(&s["items"]) {
            self.fields(&s["items"], level, &next, out);
        }
        if let Some(a) = extra(s) {
            self.fields(a, level, &next, out);
        }
    }

    fn field(&self, s: &'d Value, name: &str, v: &'d Value, level: usize, out: &mut String) {
        let pad = level * 2;
        let _ = write!(out, "{:pad$}{name}\t<{}>", "", self.guess(v));
        if s["required"].as_array().is_some_and(|r| r.iter().any(|r| r == name)) {
            out.push_str(" -required-");
        }
        if let Some(all) = v["enum"].as_array().filter(|a| !a.is_empty()) {
            let shown: Vec<String> = all.iter().take(4).map(element).collect();
            let more = if all.len() > 4 { ", ...." } else { "" };
            let _ = write!(out, "\n{:pad$}enum: {}{more}", "", shown.join(", "));
        }
        out.push('\n');
        if self.recursive {
            return;
        }
        let d = match text(v, "/description") {
            "" => "<no description>",
            d => d,
        };
        let _ = writeln!(out, "{}", indent(pad + 2, &wrap(78 - pad.min(70), d)));
        if is_set(&v["externalDocs"]) {
            out.push('\n');
            docs(&v["externalDocs"], pad + 2, 76 - pad.min(70), out);
        }
        out.push('\n');
    }

    /// The type as people write it: `string`, `[]Container`, `map[string]string`.
    fn guess(&self, s: &'d Value) -> String {
        let all = s["allOf"].as_array();
        if is_set(&s["items"]) {
            format!("[]{}", self.guess(&s["items"]))
        } else if let Some(a) = extra(s) {
            format!("map[string]{}", self.guess(a))
        } else if let Some([one]) = all.map(Vec::as_slice).filter(|_| !is_set(&s["properties"])) {
            self.guess(one)
        } else if !text(s, "/$ref").is_empty() {
            let r = text(s, "/$ref");
            let plain = self.refer(r).map(|s| text(s, "/type")).filter(|t| !t.is_empty() && *t != "object");
            let last = r.rsplit(['/', '.']).next().unwrap_or_default();
            plain.unwrap_or(if last.is_empty() { "Object" } else { last }).to_owned()
        } else {
            match text(s, "/type") {
                "" | "object" => "Object".into(),
                t => t.to_owned(),
            }
        }
    }
}

fn element(v: &Value) -> String {
    if v == "" { "\"\"".into() } else { print::go(v) }
}

fn docs(v: &Value, pad: usize, width: usize, out: &mut String) {
    let _ = writeln!(out, "{}", indent(pad, "EXTERNAL DOCS:"));
    if !text(v, "/description").is_empty() {
        let _ = writeln!(out, "{}", indent(pad + 4, &wrap(width, text(v, "/description"))));
    }
    if !text(v, "/url").is_empty() {
        let _ = writeln!(out, "{}", indent(pad + 4, &format!("URL: {}", text(v, "/url"))));
    }
}

fn indent(n: usize, s: &str) -> String {
    let pad = " ".repeat(n);
    format!("{pad}{}", s.replace('\n', &format!("\n{pad}")))
}

/// Breaks lines at spaces as Go's `wordwrap` does: words longer than a line stay whole, spaces at a break are lost.
fn wrap(limit: usize, s: &str) -> String {
    let (mut out, mut word, mut space) = (String::with_capacity(s.len()), String::new(), String::new());
    let (mut current, mut words, mut spaces) = (0, 0, 0);
    for c in s.chars() {
        if c == '\n' {
            if words == 0 {
                if current + spaces <= limit {
                    out.push_str(&space);
                }
            } else {
                out.push_str(&space);
                out.push_str(&word);
                word.clear();
                words = 0;
            }
            space.clear();
            spaces = 0;
            out.push('\n');
            current = 0;
        } else if c.is_whitespace() && c != '\u{a0}' {
            if spaces == 0 || words > 0 {
                current += spaces + words;
                out.push_str(&space);
                out.push_str(&word);
                space.clear();
                word.clear();
                (spaces, words) = (0, 0);
            }
            space.push(c);
            spaces += 1;
        } else {
            word.push(c);
            words += 1;
            if current + words + spaces > limit && words < limit {
                out.push('\n');
                current = 0;
                space.clear();
                spaces = 0;
            }
        }
    }
    if words > 0 {
        out.push_str(&space);
        out.push_str(&word);
    } else if current + spaces <= limit {
        out.push_str(&space);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn layout() {
        assert_eq!(wrap(10, "aaa bbb ccc  ddd\nx"), "aaa bbb\nccc  ddd\nx");
        assert_eq!(wrap(5, "a longlonglong b"), "a\nlonglonglong\nb");
        let doc = json!({"paths": {"/apis/g/v1/things": {"get": {"x-kubernetes-group-version-kind": {"group": "g", "kind": "Thing", "version": "v1"}}}},
            "components": {"schemas": {
                "g.v1.Thing": {"description": "A thing.", "type": "object", "required": ["spec"],
                    "x-kubernetes-group-version-kind": [{"group": "g", "kind": "Thing", "version": "v1"}],
                    "properties": {"spec": {"allOf": [{"$ref": "#/components/schemas/g.v1.Spec"}], "description": "What it is."}}},
                "g.v1.Spec": {"type": "object", "properties": {
                    "mode": {"type": "string", "enum": ["", "A"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "map": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/g.v1.Spec"}}}}}}});
        let e = Explainer { doc: &doc, recursive: false, depth: 0 };
        let gvk = e.kind("apis/g/v1", "things").unwrap();
        expect![[r#"
            GROUP:      g
            KIND:       Thing
            VERSION:    v1

            DESCRIPTION:
                A thing.
                
            FIELDS:
              spec	<Spec> -required-
                What it is.


        "#]]
        .assert_eq(&e.resource(gvk, &[]).0);
        let (_, err) = e.resource(gvk, &["spec".into(), "nope".into()]);
        assert_eq!(err.unwrap().tell().0, "error: field \"nope\" does not exist");
        let e = Explainer { recursive: true, ..e };
        expect![[r#"
            GROUP:      g
            KIND:       Thing
            VERSION:    v1

            FIELD: spec <Spec>


            DESCRIPTION:
                What it is.
                
            FIELDS:
              map	<map[string]Spec>
              mode	<string>
              enum: "", A
              tags	<[]string>

        "#]]
        .assert_eq(&e.resource(gvk, &["spec".into()]).0);
    }
}
