//! JSONPath templates with upstream's semantics (client-go `util/jsonpath`): `{.a.b[0]}`, ranges, filters, unions.

use crate::print::compact;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Literal(String),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Root,
    Field(String),
    Wild,
    Recursive,
    /// Start, end, step.
    Slice(Option<i64>, Option<i64>, Option<i64>),
    Index(i64),
    Union(Vec<Vec<Step>>),
    Filter(Vec<Step>, String, Operand),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    None,
    Value(Value),
    Path(Vec<Step>),
}

#[derive(Debug, Clone)]
pub struct Template(Vec<Node>);

/// Depth of nested ranges, and of paths in filters.
const MAX_DEPTH: usize = 32;

/// `{.metadata.name}`, `.metadata.name` and `metadata.name` are the same expression (kubectl `RelaxedJSONPathExpression`).
pub fn relaxed(s: &str) -> Result<String, String> {
    let t = s.trim();
    let inner = t.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(t);
    if inner.is_empty() || inner.contains(['{', '}']) {
        return Err("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'".to_owned());
    }
    Ok(format!("{{.{}}}", inner.trim_start_matches('.')))
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut p = Parser { s: text, at: 0 };
        let (nodes, ended) = p.nodes(0)?;
        if ended {
            return Err("not in range, nothing to end".into());
        }
        Ok(Self(nodes))
    }
    /// The text of a template; keys that are missing give nothing.
    pub fn text(&self, v: &Value) -> Result<String, String> {
        let mut out = String::new();
        execute(&self.0, v, v, &mut out)?;
        Ok(out)
    }
    /// The values of all paths.
    pub fn values<'v>(&self, v: &'v Value) -> Result<Vec<&'v Value>, String> {
        let mut out = Vec::new();
        for n in &self.0 {
            if let Node::Path(p) = n {
                out.extend(eval(p, v, v)?);
            }
        }
        Ok(out)
    }
}

fn execute(nodes: &[Node], root: &Value, cur: &Value, out: &mut String) -> Result<(), String> {
    for n in nodes {
        match n {
            Node::Text(t) | Node::Literal(t) => out.push_str(t),
            Node::Path(p) => {
                let all = eval(p, root, cur)?;
                let words: Vec<String> = all.into_iter().map(word).collect();
                out.push_str(&words.join(" "));
            }
            Node::Range(p, body) => {
                for v in eval(p, root, cur)? {
                    execute(body, root, v, out)?;
                }
            }
        }
    }
    Ok(())
}

/// A value as it is printed.
pub fn word(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        v => compact(v),
    }
}

fn eval<'v>(steps: &[Step], root: &'v Value, cur: &'v Value) -> Result<Vec<&'v Value>, String> {
    let mut now = vec![cur];
    for s in steps {
        let mut next = Vec::new();
        for v in now {
            step(s, root, v, &mut next)?;
        }
        now = next;
    }
    Ok(now)
}

fn step<'v>(s: &Step, root: &'v Value, v: &'v Value, out: &mut Vec<&'v Value>) -> Result<(), String> {
    match s {
        Step::Root => out.push(root),
        Step::Field(f) => out.extend(v.get(f)),
        Step::Wild => match v {
            Value::Array(a) => out.extend(a),
            Value::Object(o) => out.extend(o.values()),
            _ => {}
        },
        Step::Recursive => recurse(v, out),
        Step::Index(i) => {
            if let Value::Array(a) = v {
                let n = i64::try_from(a.len()).unwrap_or(i64::MAX);
                let at = if *i < 0 { n + i } else { *i };
                let hit = usize::try_from(at).ok().and_then(|i| a.get(i));
                let hit = hit.ok_or_else(|| format!("array index out of bounds: index {at}, length {n}"))?;
                out.push(hit);
            } else if !v.is_null() {
                return Err(format!("{v} is not array or slice"));
            }
        }
        Step::Slice(from, to, by) => {
            if let Value::Array(a) = v {
                let n = i64::try_from(a.len()).unwrap_or(i64::MAX);
                let fix = |x: i64| (if x < 0 { x + n } else { x }).clamp(0, n);
                let (from, to) = (fix(from.unwrap_or(0)), fix(to.unwrap_or(n)));
                let by =
                    usize::try_from(by.unwrap_or(1)).ok().filter(|b| *b > 0).ok_or("step must be > 0")?;
                let (f, t) = (usize::try_from(from).unwrap_or(0), usize::try_from(to).unwrap_or(0));
                out.extend(a.iter().take(t).skip(f).step_by(by));
            }
        }
        Step::Union(all) => {
            for p in all {
                out.extend(eval(p, root, v)?);
            }
        }
        Step::Filter(left, op, right) => {
            let items: Vec<&Value> = match v {
                Value::Array(a) => a.iter().collect(),
                _ => Vec::new(),
            };
            for i in items {
                if holds(left, op, right, root, i)? {
                    out.push(i);
                }
            }
        }
    }
    Ok(())
}

fn holds(left: &[Step], op: &str, right: &Operand, root: &Value, item: &Value) -> Result<bool, String> {
    let l = eval(left, root, item)?;
    let r = match right {
        Operand::None => return Ok(!l.is_empty()),
        Operand::Value(v) => vec![v],
        Operand::Path(p) => eval(p, root, item)?,
    };
    let (Some(l), Some(r)) = (l.first(), r.first()) else { return Ok(false) };
    let order = match (l, r) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    Ok(order.is_some_and(|o| match op {
        "==" => o.is_eq(),
        "!=" => o.is_ne(),
        "<" => o.is_lt(),
        "<=" => o.is_le(),
        ">" => o.is_gt(),
        ">=" => o.is_ge(),
        _ => false,
    }))
}

fn recurse<'v>(v: &'v Value, out: &mut Vec<&'v Value>) {
    let mut queue = vec![v];
    while let Some(v) = queue.pop() {
        out.push(v);
        match v {
            Value::Array(a) => queue.extend(a.iter().rev()),
            Value::Object(o) => queue.extend(o.values().rev()),
            _ => {}
        }
    }
}

struct Parser<'a> {
    s: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.s[self.at..]
    }
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, bool), String> {
        if depth > MAX_DEPTH {
            return Err("ranges are nested too deep".into());
        }
        let mut out = Vec::new();
        while !self.rest().is_empty() {
            let Some(i) = self.rest().find('{') else {
                out.push(Node::Text(self.rest().to_owned()));
                self.at = self.s.len();
                break;
            };
            if i > 0 {
                out.push(Node::Text(self.rest()[..i].to_owned()));
            }
            self.at += i + 1;
            let end = close(self.rest(), '}').ok_or("unclosed action")?;
            let inner = self.rest()[..end].trim();
            self.at += end + 1;
            if inner == "end" {
                return Ok((out, true));
            }
            if let Some(p) = inner.strip_prefix("range") {
                let path = path(p.trim(), 0)?;
                let (body, ended) = self.nodes(depth + 1)?;
                if !ended {
                    return Err("unterminated range".into());
                }
                out.push(Node::Range(path, body));
            } else if inner.starts_with(['"', '\'']) {
                out.push(Node::Literal(literal(inner)?));
            } else {
                out.push(Node::Path(path(inner, 0)?));
            }
        }
        Ok((out, false))
    }
}

/// The index of the closing character, past quotes and brackets.
fn close(s: &str, c: char) -> Option<usize> {
    let (mut quote, mut depth, mut skip) = (None, 0_usize, false);
    for (i, ch) in s.char_indices() {
        if skip {
            skip = false;
            continue;
        }
        match (quote, ch) {
            (_, '\\') => skip = true,
            (Some(q), ch) if ch == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(ch),
            (None, ch) if ch == c && depth == 0 => return Some(i),
            (None, '[' | '(') => depth += 1,
            (None, ']' | ')') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn literal(s: &str) -> Result<String, String> {
    let q = s.chars().next().unwrap_or('"');
    let inner = s.strip_prefix(q).and_then(|s| s.strip_suffix(q)).ok_or("unterminated quoted string")?;
    let mut out = String::new();
    let mut it = inner.chars();
    while let Some(c) = it.next() {
        match (c, c == '\\') {
            (_, true) => match it.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c) => out.push(c),
                None => return Err("unterminated quoted string".into()),
            },
            (c, _) => out.push(c),
        }
    }
    Ok(out)
}

fn path(s: &str, depth: usize) -> Result<Vec<Step>, String> {
    if depth > MAX_DEPTH {
        return Err("expressions are nested too deep".into());
    }
    let mut out = Vec::new();
    let mut rest = s.trim();
    while let Some(c) = rest.chars().next() {
        match c {
            '$' => {
                out.push(Step::Root);
                rest = &rest[1..];
            }
            '@' => rest = &rest[1..],
            ' ' => rest = rest.trim_start(),
            '.' if rest.starts_with("..") => {
                out.push(Step::Recursive);
                rest = &rest[1..];
                if rest[1..].starts_with(['[', '*']) {
                    rest = &rest[1..];
                }
            }
            '.' => {
                rest = &rest[1..];
                if !rest.starts_with('[') {
                    rest = field(rest, &mut out);
                }
            }
            '[' => {
                let end = close(&rest[1..], ']').ok_or("unterminated array")?;
                out.push(bracket(rest[1..=end].trim(), depth)?);
                rest = &rest[end + 2..];
            }
            c if c.is_alphanumeric() || c == '_' || c == '-' || c == '*' || c == '\\' => {
                rest = field(rest, &mut out)
            }
            c => return Err(format!("unrecognized character in action: {c:?}")),
        }
    }
    Ok(out)
}

/// A name up to the next sign, with `\.` for a point in it.
fn field<'a>(s: &'a str, out: &mut Vec<Step>) -> &'a str {
    let mut name = String::new();
    let mut it = s.char_indices();
    let mut end = s.len();
    while let Some((i, c)) = it.next() {
        match c {
            '\\' => name.extend(it.next().map(|(_, c)| c)),
            '.' | '[' | ' ' | '@' | '$' => {
                end = i;
                break;
            }
            c => name.push(c),
        }
    }
    match name.as_str() {
        "" => {}
        "*" => out.push(Step::Wild),
        _ => out.push(Step::Field(name)),
    }
    // An end of zero would not get on.
    if end == 0 {
        &s[s.len().min(usize::from(!s.starts_with(['.', '[', ' ', '@', '$'])))..]
    } else {
        &s[end..]
    }
}

fn bracket(s: &str, depth: usize) -> Result<Step, String> {
    if s == "*" {
        return Ok(Step::Wild);
    }
    if let Some(f) = s.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        return filter(f.trim(), depth);
    }
    let parts = split(s);
    if parts.len() > 1 {
        let all =
            parts.iter().map(|p| bracket(p.trim(), depth + 1).map(|s| vec![s])).collect::<Result<_, _>>()?;
        return Ok(Step::Union(all));
    }
    if s.starts_with(['\'', '"']) {
        return Ok(Step::Field(literal(s)?));
    }
    let bad = || format!("invalid array index {s}");
    let num = |t: &str| -> Result<Option<i64>, String> {
        if t.is_empty() { Ok(None) } else { t.parse().map(Some).map_err(|_| bad()) }
    };
    let n: Vec<&str> = s.split(':').collect();
    match n.as_slice() {
        [one] => Ok(Step::Index(num(one)?.ok_or_else(bad)?)),
        [a, b] => Ok(Step::Slice(num(a)?, num(b)?, None)),
        [a, b, c] => Ok(Step::Slice(num(a)?, num(b)?, num(c)?)),
        _ => Err(bad()),
    }
}

fn split(s: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = s;
    while let Some(i) = close(rest, ',') {
        out.push(&rest[..i]);
        rest = &rest[i + 1..];
    }
    out.push(rest);
    out
}

fn filter(s: &str, depth: usize) -> Result<Step, String> {
    let mut quote = None;
    let mut depth_in = 0;
    for (i, c) in s.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '(') => depth_in += 1,
            (None, ']' | ')') => depth_in -= 1,
            (None, '=' | '!' | '<' | '>') if depth_in == 0 => {
                let op: String = s[i..].chars().take_while(|c| "=!<>".contains(*c)).collect();
                let right = s[i + op.len()..].trim();
                if !matches!(op.as_str(), "==" | "!=" | "<" | "<=" | ">" | ">=") {
                    return Err(format!("unrecognized filter operator {op}"));
                }
                let right = match right.chars().next() {
                    Some('"' | '\'') => Operand::Value(literal(right)?.into()),
                    Some('@' | '$' | '.') => Operand::Path(path(right, depth + 1)?),
                    _ => Operand::Value(
                        serde_json::from_str(right).map_err(|_| format!("cannot convert {right}"))?,
                    ),
                };
                return Ok(Step::Filter(path(&s[..i], depth + 1)?, op, right));
            }
            _ => {}
        }
    }
    Ok(Step::Filter(path(s, depth + 1)?, String::new(), Operand::None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates() {
        let v = json!({"kind": "L", "items": [
            {"name": "a", "n": 1, "labels": {"x.y/z": "l"}, "c": [{"i": "p"}, {"i": "q"}]},
            {"name": "b", "n": 2, "ready": true},
            {"name": "c", "n": 3}]});
        let cases = [
            ("{.kind}", "L"),
            ("{$.kind}", "L"),
            ("{.items[*].name}", "a b c"),
            ("{.items[0].name}-{.items[-1].name}", "a-c"),
            ("{.items[0:2].name}", "a b"),
            ("{.items[::2].name}", "a c"),
            ("{.items[0,2].name}", "a c"),
            ("{.items[*]['name','n']}", "a 1 b 2 c 3"),
            ("{range .items[*]}{.name}{\"\\t\"}{.n}{\"\\n\"}{end}", "a\t1\nb\t2\nc\t3\n"),
            ("{.items[?(@.n>1)].name}", "b c"),
            ("{.items[?(@.name==\"b\")].n}", "2"),
            ("{.items[?(@.ready)].name}", "b"),
            ("{.items[0].labels.x\\.y/z}", "l"),
            ("{.items[0].labels['x.y/z']}", "l"),
            ("{.items[0].labels}", "{\"x.y/z\":\"l\"}"),
            ("{..i}", "p q"),
            ("{.missing}x", "x"),
            ("{.items[*].c[*].i}", "p q"),
        ];
        for (t, want) in cases {
            assert_eq!(Template::parse(t).unwrap().text(&v).unwrap(), want, "{t}");
        }
        for (t, want) in [
            ("{.a", "unclosed action"),
            ("{range .a}", "unterminated range"),
            ("{end}", "not in range, nothing to end"),
            ("{.a[x]}", "invalid array index x"),
            ("{#}", "unrecognized character in action: '#'"),
        ] {
            assert_eq!(Template::parse(t).unwrap_err(), want);
        }
        assert_eq!(
            Template::parse("{.items[9].name}").unwrap().text(&v).unwrap_err(),
            "array index out of bounds: index 9, length 3"
        );
    }
}
