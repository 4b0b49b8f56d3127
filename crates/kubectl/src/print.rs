//! Writing: JSON and YAML as upstream prints them, tables, columns, names.

use crate::error::Error;
use crate::gotemplate;
use crate::jsonpath::{self, Template};
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

/// Writes to standard output; a reader that is gone is no error.
pub fn out(s: &str) {
    let mut o = std::io::stdout().lock();
    let _ = o.write_all(s.as_bytes()).and_then(|()| o.flush());
}
pub fn line(s: &str) {
    out(&format!("{s}\n"));
}

/// Milliseconds as Go prints a duration: `1m0s`, `500ms`.
pub fn duration(ms: i64) -> String {
    let (sign, ms) = if ms < 0 { ("-", ms.unsigned_abs()) } else { ("", ms.unsigned_abs()) };
    if ms == 0 {
        return "0s".into();
    }
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let (h, m, s, f) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let frac = if f == 0 { String::new() } else { format!(".{f:03}").trim_end_matches('0').to_owned() };
    match (h, m) {
        (0, 0) => format!("{sign}{s}{frac}s"),
        (0, m) => format!("{sign}{m}m{s}{frac}s"),
        (h, m) => format!("{sign}{h}h{m}m{s}{frac}s"),
    }
}

/// Go's encoder writes these as escapes.
fn html(s: String) -> String {
    if !s.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return s;
    }
    s.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
pub fn compact(v: &Value) -> String {
    html(v.to_string())
}
pub fn pretty(v: &Value) -> String {
    let mut b = Vec::new();
    let f = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut s = serde_json::Serializer::with_formatter(&mut b, f);
    // Writing a value to memory cannot fail.
    let _ = v.serialize(&mut s);
    html(String::from_utf8_lossy(&b).into_owned())
}

/// Go's tabwriter as kubectl sets it up: at least 6 wide, 3 of padding; the last cell of a row is not padded.
pub fn tabs(rows: &[Vec<String>], min: usize, pad: usize) -> String {
    let cols = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| {
        let w =
            rows.iter().filter(|r| r.len() > c + 1).map(|r| r[c].chars().count() + pad).max().unwrap_or(0);
        w.max(min)
    };
    let widths: Vec<usize> = (0..cols).map(width).collect();
    let mut out = String::new();
    for r in rows {
        for (i, c) in r.iter().enumerate() {
            out.push_str(c);
            if i + 1 < r.len() {
                let n = widths[i].saturating_sub(c.chars().count());
                out.extend(std::iter::repeat_n(' ', n));
            }
        }
        out.push('\n');
    }
    out
}
pub fn table(rows: &[Vec<String>]) -> String {
    tabs(rows, 6, 3)
}

/// How an object is written by somebody's own template.
pub enum Form {
    Path(Template),
    /// What a path finds, as a list in JSON.
    PathJson(Template),
    Go(gotemplate::Template),
}

impl Form {
    pub fn text(&self, v: &Value) -> Result<String, Error> {
        let path = |e: String| Error::plain(format!("error executing jsonpath: {e}"));
        match self {
            Self::Path(t) => t.text(v).map_err(path),
            Self::PathJson(t) => {
                let all = t.values(v).map_err(path)?;
                Ok(format!("{}\n", pretty(&Value::Array(all.into_iter().cloned().collect()))))
            }
            Self::Go(t) => t.text(v).map_err(|e| Error::plain(format!("error executing template: {e}"))),
        }
    }
}

const FORMATS: &str = "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml";

/// `-o`, without the human form.
pub enum Format {
    Json,
    Yaml,
    Name,
    Path(Form),
    /// Header and path of each column; whether headers are printed.
    Columns(Vec<(String, Template)>, bool),
}

impl Format {
    /// `None`: the human form (`""` or `wide`).
    pub fn parse(o: &str, headers: bool) -> Result<Option<Self>, Error> {
        let (kind, arg) = match o.split_once('=') {
            Some((k, a)) => (k, Some(a)),
            None => (o, None),
        };
        let need = |what: &str| {
            arg.filter(|a| !a.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| Error::plain(format!("{what} format specified but no {what} given")))
        };
        let from_file = |a: String| {
            std::fs::read_to_string(&a).map_err(|e| Error::plain(format!("error reading {a}, {e}")))
        };
        let parsed = |t: String| {
            Template::parse(&t).map_err(|e| Error::plain(format!("error parsing jsonpath {t}, {e}")))
        };
        let path = |t: String| parsed(t).map(|p| Some(Self::Path(Form::Path(p))));
        let go = |t: String| {
            gotemplate::Template::parse(&t)
                .map(|p| Some(Self::Path(Form::Go(p))))
                .map_err(|e| Error::plain(format!("error parsing template {t}, template: output:1: {e}")))
        };
        let template = || {
            arg.filter(|a| !a.is_empty())
                .map(str::to_owned)
                .ok_or_else(|| Error::plain("template format specified but no template given"))
        };
        match kind {
            "" | "wide" => Ok(None),
            "json" => Ok(Some(Self::Json)),
            "yaml" => Ok(Some(Self::Yaml)),
            "name" => Ok(Some(Self::Name)),
            "jsonpath" => path(template()?),
            "jsonpath-as-json" => Ok(Some(Self::Path(Form::PathJson(parsed(template()?)?)))),
            "jsonpath-file" => path(from_file(template()?)?),
            "go-template" | "template" => go(template()?),
            "go-template-file" | "templatefile" => go(from_file(template()?)?),
            "custom-columns" => Ok(Some(Self::Columns(columns(&need("custom-columns")?)?, headers))),
            "custom-columns-file" => {
                let text = from_file(need("custom-columns")?)?;
                let mut l = text.lines();
                let heads = l.next().unwrap_or_default().split_whitespace();
                let paths = l.next().unwrap_or_default().split_whitespace();
                let spec: Vec<String> = heads.zip(paths).map(|(h, p)| format!("{h}:{p}")).collect();
                Ok(Some(Self::Columns(columns(&spec.join(","))?, headers)))
            }
            "kyaml" => {
                Err(Error::plain("output format \"kyaml\" is not part of this kubectl; use yaml or json"))
            }
            other => Err(Error::plain(format!(
                "unable to match a printer suitable for the output format {other:?}, allowed formats are: {FORMATS}"
            ))),
        }
    }
}

fn columns(spec: &str) -> Result<Vec<(String, Template)>, Error> {
    spec.split(',')
        .map(|part| {
            let (h, p) = part.split_once(':').ok_or_else(|| {
                Error::plain(format!(
                    "unexpected custom-columns spec: {part}, expected <header>:<json-path-expr>"
                ))
            })?;
            let t = jsonpath::relaxed(p).and_then(|p| Template::parse(&p))?;
            Ok((h.to_owned(), t))
        })
        .collect()
}

/// Cells of an object in custom columns.
pub fn cells(cols: &[(String, Template)], v: &Value) -> Vec<String> {
    cols.iter()
        .map(|(_, t)| {
            let all = t.values(v).unwrap_or_default();
            if all.is_empty() {
                return "<none>".to_owned();
            }
            let one = |v: &&Value| match v {
                Value::Null => "<none>".to_owned(),
                Value::Object(_) | Value::Array(_) => go(v),
                v => jsonpath::word(v),
            };
            all.iter().map(one).collect::<Vec<_>>().join(",")
        })
        .collect()
}

/// A value as Go's `%v` prints it.
pub fn go(v: &Value) -> String {
    match v {
        Value::Null => "<nil>".into(),
        Value::String(s) => s.clone(),
        Value::Array(a) => format!("[{}]", a.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(o) => {
            format!("map[{}]", o.iter().map(|(k, v)| format!("{k}:{}", go(v))).collect::<Vec<_>>().join(" "))
        }
        v => v.to_string(),
    }
}

/// `-o yaml` of several objects: documents.
pub fn yaml(v: &Value) -> String {
    schema::yaml::to_string(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writing() {
        let row = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let t = table(&[row("NAME READY AGE"), row("a 1/1 5s"), row("longer-name 0/1 10d")]);
        assert_eq!(t, "NAME          READY   AGE\na             1/1     5s\nlonger-name   0/1     10d\n");
        assert_eq!(
            pretty(&json!({"a": ["<"], "b": {}})),
            "{\n    \"a\": [\n        \"\\u003c\"\n    ],\n    \"b\": {}\n}"
        );
        let c = columns("N:.a,M:{.b},K:c[*].d").unwrap();
        assert_eq!(cells(&c, &json!({"a": "x", "c": [{"d": 1}, {"d": 2}]})), ["x", "<none>", "1,2"]);
        assert_eq!(go(&json!({"a": [1, "b"]})), "map[a:[1 b]]");
    }
}
