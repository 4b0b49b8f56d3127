//! Go's `text/template` as far as people use it on objects: paths, variables, pipelines, `if`, `with`, `range`, `define`
//! and `template`, the built-in functions, and kubectl's `base64decode`, `exists`.

mod call;

use crate::print::go;
use call::call;
use serde_json::Value;
use std::collections::HashMap;

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    /// A pipeline whose value is printed; with a name it is only kept.
    Print(Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
    Call(String, Option<Pipe>),
    Break,
    Continue,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Pipe {
    /// Variables that take the value; of `range` index and element.
    names: Vec<String>,
    /// The variable is there already.
    assign: bool,
    commands: Vec<Vec<Expr>>,
}

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    /// A path from the dot.
    Dot(Vec<String>),
    Var(String, Vec<String>),
    Value(Value),
    Func(String),
    Sub(Box<Pipe>, Vec<String>),
}

#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
    defined: HashMap<String, Vec<Node>>,
}

/// Deeper nesting is a mistake.
const MAX_DEPTH: usize = 100;

#[derive(Debug, Clone, PartialEq)]
enum Tok {
    Text(String),
    Open,
    Close,
    Word(String),
    Quoted(String),
    Number(String),
    Field(Vec<String>),
    Punct(char),
    Declare,
}

fn tokens(s: &str) -> Result<Vec<Tok>, String> {
    let mut out = Vec::new();
    let mut rest = s;
    let mut trim = false;
    loop {
        let Some(n) = rest.find("{{") else {
            let t = if trim { rest.trim_start() } else { rest };
            if !t.is_empty() {
                out.push(Tok::Text(t.to_owned()));
            }
            return Ok(out);
        };
        let text = if trim { rest[..n].trim_start() } else { &rest[..n] };
        rest = &rest[n + 2..];
        let left = rest.starts_with("- ") || rest.starts_with("-\n") || rest.starts_with("-\t");
        let text = if left { text.trim_end() } else { text };
        if !text.is_empty() {
            out.push(Tok::Text(text.to_owned()));
        }
        if left {
            rest = &rest[1..];
        }
        if rest.trim_start().starts_with("/*") {
            let end = rest.find("*/").ok_or("unclosed comment")?;
            rest = rest[end + 2..].trim_start();
            trim = rest.starts_with('-');
            rest = rest.trim_start_matches('-');
            rest = rest.strip_prefix("}}").ok_or("comment ends before closing delimiter")?;
            continue;
        }
        out.push(Tok::Open);
        rest = action(rest, &mut out, &mut trim)?;
        out.push(Tok::Close);
    }
}

/// The words of one action; what follows it.
fn action<'s>(mut rest: &'s str, out: &mut Vec<Tok>, trim: &mut bool) -> Result<&'s str, String> {
    *trim = false;
    loop {
        let spaced = rest.starts_with(char::is_whitespace);
        rest = rest.trim_start();
        if let Some(r) = rest.strip_prefix("}}") {
            return Ok(r);
        }
        if spaced && let Some(r) = rest.strip_prefix("-}}") {
            *trim = true;
            return Ok(r);
        }
        let Some(c) = rest.chars().next() else { return Err("unclosed action".into()) };
        match c {
            '"' => {
                let mut end = None;
                let mut escaped = false;
                for (i, c) in rest.char_indices().skip(1) {
                    match c {
                        _ if escaped => escaped = false,
                        '\\' => escaped = true,
                        '"' => {
                            end = Some(i);
                            break;
                        }
                        _ => {}
                    }
                }
                let end = end.ok_or("unterminated quoted string")?;
                let text = unescape(&rest[1..end]);
                out.push(Tok::Quoted(text));
                rest = &rest[end + 1..];
            }
            '`' => {
                let end = rest[1..].find('`').ok_or("unterminated raw quoted string")?;
                out.push(Tok::Quoted(rest[1..=end].to_owned()));
                rest = &rest[end + 2..];
            }
            ':' if rest.starts_with(":=") => {
                out.push(Tok::Declare);
                rest = &rest[2..];
            }
            '|' | '(' | ',' | '=' => {
                out.push(Tok::Punct(c));
                rest = &rest[1..];
            }
            ')' => {
                out.push(Tok::Punct(c));
                rest = &rest[1..];
                // A path right after it belongs to what is inside.
                if rest.starts_with('.') {
                    let (f, r) = path(rest);
                    out.push(Tok::Punct('@'));
                    out.push(Tok::Field(f));
                    rest = r;
                }
            }
            '.' => {
                let (f, r) = path(rest);
                out.push(Tok::Field(f));
                rest = r;
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                let n = rest[1..]
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '.')
                    .map_or(rest.len(), |n| n + 1);
                out.push(Tok::Number(rest[..n].to_owned()));
                rest = &rest[n..];
            }
            c if c.is_alphabetic() || c == '_' || c == '$' => {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                let n = rest[c.len_utf8()..].find(|c| !word(c)).map_or(rest.len(), |n| n + c.len_utf8());
                out.push(Tok::Word(rest[..n].to_owned()));
                rest = &rest[n..];
                if c == '$' && rest.starts_with('.') {
                    let (f, r) = path(rest);
                    out.push(Tok::Punct('@'));
                    out.push(Tok::Field(f));
                    rest = r;
                }
            }
            c => return Err(format!("unexpected {c:?} in command")),
        }
    }
}

/// `.a.b` as names; a dot alone is none.
fn path(s: &str) -> (Vec<String>, &str) {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut out, mut rest) = (Vec::new(), s);
    while let Some(r) = rest.strip_prefix('.') {
        let n = r.find(|c| !word(c)).unwrap_or(r.len());
        if n > 0 {
            out.push(r[..n].to_owned());
        }
        rest = &r[n..];
        if n == 0 {
            break;
        }
    }
    (out, rest)
}

fn unescape(s: &str) -> String {
    let (mut out, mut it) = (String::new(), s.chars());
    while let Some(c) = it.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match it.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some(c) => out.push(c),
            None => {}
        }
    }
    out
}

struct Parser {
    toks: Vec<Tok>,
    at: usize,
    defined: HashMap<String, Vec<Node>>,
}

impl Template {
    pub fn parse(s: &str) -> Result<Self, String> {
        let mut p = Parser { toks: tokens(s)?, at: 0, defined: HashMap::new() };
        let (nodes, end) = p.block(0)?;
        if let Some(e) = end {
            return Err(format!("unexpected {{{{{e}}}}}"));
        }
        Ok(Self { nodes, defined: p.defined })
    }

    pub fn text(&self, v: &Value) -> Result<String, String> {
        let mut r = Run { t: self, out: String::new(), vars: vec![("$".into(), v.clone())] };
        r.nodes(&self.nodes, v, 0)?;
        Ok(r.out)
    }
}

impl Parser {
    fn peek(&self) -> Option<&Tok> {
        self.toks.get(self.at)
    }
    fn next(&mut self) -> Option<Tok> {
        self.at += 1;
        self.toks.get(self.at - 1).cloned()
    }
    fn word(&mut self, w: &str) -> bool {
        let hit = matches!(self.peek(), Some(Tok::Word(x)) if x == w);
        self.at += usize::from(hit);
        hit
    }
    fn close(&mut self) -> Result<(), String> {
        match self.next() {
            Some(Tok::Close) => Ok(()),
            t => Err(format!("unexpected {t:?} in an action")),
        }
    }

    /// Nodes up to `end` or `else`; which of them it was.
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, Option<String>), String> {
        if depth > MAX_DEPTH {
            return Err("too deep".into());
        }
        let mut out = Vec::new();
        while let Some(t) = self.next() {
            let Tok::Open = t else {
                if let Tok::Text(s) = t {
                    out.push(Node::Text(s));
                }
                continue;
            };
            if self.word("end") {
                self.close()?;
                return Ok((out, Some("end".into())));
            }
            if self.word("else") {
                return Ok((out, Some("else".into())));
            }
            let node = match self.peek().cloned() {
                Some(Tok::Word(w)) if matches!(w.as_str(), "if" | "with" | "range") => {
                    self.at += 1;
                    self.control(&w, depth)?
                }
                Some(Tok::Word(w)) if w == "break" || w == "continue" => {
                    self.at += 1;
                    self.close()?;
                    if w == "break" { Node::Break } else { Node::Continue }
                }
                Some(Tok::Word(w)) if w == "define" => {
                    self.at += 1;
                    let Some(Tok::Quoted(name)) = self.next() else {
                        return Err("define needs a name".into());
                    };
                    self.close()?;
                    let (body, _) = self.block(depth + 1)?;
                    self.defined.insert(name, body);
                    continue;
                }
                Some(Tok::Word(w)) if w == "template" => {
                    self.at += 1;
                    let Some(Tok::Quoted(name)) = self.next() else {
                        return Err("template needs a name".into());
                    };
                    let p = if self.peek() == Some(&Tok::Close) { None } else { Some(self.pipe(depth)?) };
                    self.close()?;
                    Node::Call(name, p)
                }
                _ => {
                    let p = self.pipe(depth)?;
                    self.close()?;
                    Node::Print(p)
                }
            };
            out.push(node);
        }
        if depth > 0 {
            return Err("unexpected EOF".into());
        }
        Ok((out, None))
    }

    fn control(&mut self, w: &str, depth: usize) -> Result<Node, String> {
        let p = self.pipe(depth)?;
        self.close()?;
        let (then, end) = self.block(depth + 1)?;
        let mut other = Vec::new();
        if end.as_deref() == Some("else") {
            if self.word("if") {
                other.push(self.control("if", depth + 1)?);
            } else if self.word("with") {
                other.push(self.control("with", depth + 1)?);
            } else {
                self.close()?;
                other = self.block(depth + 1)?.0;
            }
        }
        Ok(match w {
            "if" => Node::If(p, then, other),
            "with" => Node::With(p, then, other),
            _ => Node::Range(p, then, other),
        })
    }

    fn pipe(&mut self, depth: usize) -> Result<Pipe, String> {
        if depth > MAX_DEPTH {
            return Err("too deep".into());
        }
        let mut p = Pipe::default();
        let start = self.at;
        while let Some(Tok::Word(w)) =
            self.peek().cloned().filter(|t| matches!(t, Tok::Word(w) if w.starts_with('$')))
        {
            self.at += 1;
            p.names.push(w);
            match self.peek() {
                Some(Tok::Punct(',')) => self.at += 1,
                Some(Tok::Declare) => {
                    self.at += 1;
                    break;
                }
                Some(Tok::Punct('=')) => {
                    self.at += 1;
                    p.assign = true;
                    break;
                }
                _ => {
                    // No declaration after all.
                    self.at = start;
                    p.names.clear();
                    break;
                }
            }
        }
        loop {
            p.commands.push(self.command(depth)?);
            if self.peek() != Some(&Tok::Punct('|')) {
                return Ok(p);
            }
            self.at += 1;
        }
    }

    fn command(&mut self, depth: usize) -> Result<Vec<Expr>, String> {
        let mut out = Vec::new();
        loop {
            let e = match self.peek().cloned() {
                Some(Tok::Field(f)) => Expr::Dot(f),
                Some(Tok::Quoted(s)) => Expr::Value(s.into()),
                Some(Tok::Number(n)) => {
                    let v = n.parse::<i64>().map(Value::from).or_else(|_| n.parse::<f64>().map(Value::from));
                    Expr::Value(v.map_err(|_| format!("bad number syntax: {n:?}"))?)
                }
                Some(Tok::Word(w)) if w.starts_with('$') => {
                    self.at += 1;
                    let f = self.after();
                    out.push(Expr::Var(w, f));
                    continue;
                }
                Some(Tok::Word(w)) => match w.as_str() {
                    "true" => Expr::Value(true.into()),
                    "false" => Expr::Value(false.into()),
                    "nil" => Expr::Value(Value::Null),
                    _ => Expr::Func(w),
                },
                Some(Tok::Punct('(')) => {
                    self.at += 1;
                    let p = self.pipe(depth + 1)?;
                    if self.next() != Some(Tok::Punct(')')) {
                        return Err("unclosed left paren".into());
                    }
                    let f = self.after();
                    out.push(Expr::Sub(Box::new(p), f));
                    continue;
                }
                _ if out.is_empty() => return Err("missing value for command".into()),
                _ => return Ok(out),
            };
            self.at += 1;
            out.push(e);
        }
    }

    /// The path that belongs to what stands before it.
    fn after(&mut self) -> Vec<String> {
        if self.peek() == Some(&Tok::Punct('@')) {
            self.at += 1;
            if let Some(Tok::Field(f)) = self.next() {
                return f;
            }
        }
        Vec::new()
    }
}

enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'t> {
    t: &'t Template,
    out: String,
    vars: Vec<(String, Value)>,
}

fn truth(v: &Value) -> bool {
    match v {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
    }
}

fn walk(v: &Value, path: &[String]) -> Value {
    path.iter().fold(v, |v, k| v.get(k).unwrap_or(&Value::Null)).clone()
}

/// A value as the template prints it.
fn shown(v: &Value) -> String {
    match v {
        Value::Null => "<no value>".into(),
        v => go(v),
    }
}

impl Run<'_> {
    fn nodes(&mut self, all: &[Node], dot: &Value, depth: usize) -> Result<Flow, String> {
        if depth > MAX_DEPTH {
            return Err("exceeded maximum template depth".into());
        }
        let scope = self.vars.len();
        let r = self.each(all, dot, depth);
        self.vars.truncate(scope);
        r
    }

    fn each(&mut self, all: &[Node], dot: &Value, depth: usize) -> Result<Flow, String> {
        for n in all {
            match n {
                Node::Text(s) => self.out.push_str(s),
                Node::Print(p) => {
                    let v = self.pipe(p, dot, depth)?;
                    if p.names.is_empty() {
                        self.out.push_str(&shown(&v));
                    }
                }
                Node::If(p, then, other) | Node::With(p, then, other) => {
                    let scope = self.vars.len();
                    let v = self.pipe(p, dot, depth)?;
                    let dot = if matches!(n, Node::With(..)) && truth(&v) { &v } else { dot };
                    let flow = self.nodes(if truth(&v) { then } else { other }, dot, depth + 1)?;
                    self.vars.truncate(scope);
                    if !matches!(flow, Flow::On) {
                        return Ok(flow);
                    }
                }
                Node::Range(p, then, other) => self.range(p, then, other, dot, depth)?,
                Node::Call(name, p) => {
                    let v = match p {
                        Some(p) => self.pipe(p, dot, depth)?,
                        None => Value::Null,
                    };
                    let body = self.t.defined.get(name).ok_or(format!("template {name:?} not defined"))?;
                    let vars = std::mem::replace(&mut self.vars, vec![("$".into(), v.clone())]);
                    self.nodes(body, &v, depth + 1)?;
                    self.vars = vars;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
        }
        Ok(Flow::On)
    }

    fn range(
        &mut self,
        p: &Pipe,
        then: &[Node],
        other: &[Node],
        dot: &Value,
        depth: usize,
    ) -> Result<(), String> {
        let v = self.value(p, dot, depth)?;
        let items: Vec<(Value, Value)> = match v {
            Value::Array(a) => a.into_iter().enumerate().map(|(i, v)| (i.into(), v)).collect(),
            Value::Object(o) => o.into_iter().map(|(k, v)| (k.into(), v)).collect(),
            Value::Number(n) => (0..n.as_i64().unwrap_or(0)).map(|i| (i.into(), i.into())).collect(),
            Value::Null => Vec::new(),
            v => return Err(format!("range can't iterate over {}", go(&v))),
        };
        if items.is_empty() {
            self.nodes(other, dot, depth + 1)?;
            return Ok(());
        }
        for (k, v) in items {
            let scope = self.vars.len();
            match p.names.as_slice() {
                [e] => self.vars.push((e.clone(), v.clone())),
                [i, e] => self.vars.extend([(i.clone(), k), (e.clone(), v.clone())]),
                _ => {}
            }
            let flow = self.nodes(then, &v, depth + 1)?;
            self.vars.truncate(scope);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    /// The value of a pipeline, kept under its names.
    fn pipe(&mut self, p: &Pipe, dot: &Value, depth: usize) -> Result<Value, String> {
        let v = self.value(p, dot, depth)?;
        for n in &p.names {
            match self.vars.iter_mut().rev().find(|(o, _)| p.assign && o == n) {
                Some((_, old)) => *old = v.clone(),
                None if p.assign => return Err(format!("undefined variable {n:?}")),
                None => self.vars.push((n.clone(), v.clone())),
            }
        }
        Ok(v)
    }

    fn value(&mut self, p: &Pipe, dot: &Value, depth: usize) -> Result<Value, String> {
        let mut last: Option<Value> = None;
        for c in &p.commands {
            last = Some(self.command(c, last, dot, depth)?);
        }
        Ok(last.unwrap_or_default())
    }

    fn expr(&mut self, e: &Expr, dot: &Value, depth: usize) -> Result<Value, String> {
        Ok(match e {
            Expr::Dot(f) => walk(dot, f),
            Expr::Var(n, f) => {
                let v = self.vars.iter().rev().find(|(o, _)| o == n).map(|(_, v)| v);
                walk(v.ok_or(format!("undefined variable {n:?}"))?, f)
            }
            Expr::Value(v) => v.clone(),
            Expr::Func(f) => call(f, &[])?,
            Expr::Sub(p, f) => walk(&self.value(p, dot, depth + 1)?, f),
        })
    }

    fn command(
        &mut self,
        c: &[Expr],
        last: Option<Value>,
        dot: &Value,
        depth: usize,
    ) -> Result<Value, String> {
        let [first, rest @ ..] = c else { return Err("empty command".into()) };
        let Expr::Func(f) = first else {
            if !rest.is_empty() || last.is_some() {
                return Err("can't give argument to non-function".into());
            }
            return self.expr(first, dot, depth);
        };
        // These stop at the first value that decides.
        if f == "and" || f == "or" {
            let mut v = Value::Null;
            for e in rest {
                v = self.expr(e, dot, depth)?;
                if truth(&v) == (f == "or") {
                    return Ok(v);
                }
            }
            return Ok(last.unwrap_or(v));
        }
        let mut args = Vec::new();
        for e in rest {
            args.push(self.expr(e, dot, depth)?);
        }
        args.extend(last);
        call(f, &args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates() {
        let v = json!({"kind": "List", "n": 3, "items": [
            {"metadata": {"name": "a", "labels": {"x": "1"}}, "data": {"k": "aGk="}}, {"metadata": {"name": "b"}}]});
        let cases = [
            ("{{.kind}}", "List"),
            ("{{.nope}}|{{.nope.deeper}}", "<no value>|<no value>"),
            ("{{range .items}}{{.metadata.name}} {{end}}", "a b "),
            ("{{range $i, $e := .items}}{{if $i}}, {{end}}{{$e.metadata.name}}{{end}}", "a, b"),
            ("{{range .nope}}x{{else}}none{{end}}", "none"),
            ("{{with .items}}{{len .}}{{end}}", "2"),
            ("{{(index .items 0).metadata.name}}", "a"),
            ("{{index .items 0 \"metadata\" \"labels\" \"x\"}}", "1"),
            ("{{ if and (eq .kind \"List\") (gt .n 2) -}}  yes  {{- else }}no{{ end }}", "yes"),
            ("{{if eq .kind \"x\"}}1{{else if eq .kind \"List\"}}2{{else}}3{{end}}", "2"),
            ("{{printf \"%-4s|%q|%d\" .kind \"z\" .n}}", "List|\"z\"|3"),
            ("{{(index .items 0).data.k | base64decode}}", "hi"),
            ("{{$x := 1}}{{range .items}}{{$x = 2}}{{end}}{{$x}}", "2"),
            ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .kind}}", "<List>"),
            ("{{range $k, $v := (index .items 0).metadata.labels}}{{$k}}={{$v}}{{\"\\n\"}}{{end}}", "x=1\n"),
            ("a{{/* no */}}b{{- \" c\" }}", "ab c"),
            ("{{not .nope}} {{or .nope \"d\"}} {{exists . \"kind\"}}", "true d true"),
            ("{{range .items}}{{if eq .metadata.name \"b\"}}{{break}}{{end}}{{.metadata.name}}{{end}}", "a"),
            ("{{$.kind}}{{.n | printf \"%03d\"}}", "List003"),
        ];
        for (t, want) in cases {
            assert_eq!(Template::parse(t).unwrap().text(&v).as_deref(), Ok(want), "{t}");
        }
        for bad in ["{{", "{{range .x}}", "{{end}}", "{{nope 1}}", "{{.x | }}"] {
            assert!(Template::parse(bad).and_then(|t| t.text(&v)).is_err(), "{bad}");
        }
    }
}
