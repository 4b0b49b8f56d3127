//! JSONPath as printer columns and selectable fields use it (client-go `util/jsonpath`, without templates): members,
//! indexes, slices, wildcards, recursive descent, filters, unions.

use meta::Value;
use std::cmp::Ordering;

/// Values that one step may lead to, at most: recursive descent twice over a large object would not end.
const MAX_FOUND: usize = 10_000;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        step: usize,
    },
    All,
    /// The value itself and everything below.
    Deep,
    Filter(Operand, Option<(Op, Operand)>),
    Union(Vec<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Literal(Value),
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl JsonPath {
    /// Parses `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status` and the like.
    pub fn parse(path: &str) -> Result<Self, String> {
        let mut p = Parser { rest: path.trim(), depth: 0 };
        p.rest = p.rest.strip_prefix('$').unwrap_or(p.rest);
        let steps = p.steps()?;
        if p.rest.is_empty() { Ok(Self(steps)) } else { Err(format!("unrecognized character in {path:?}")) }
    }

    /// What the path leads to, in order.
    pub fn find<'v>(&self, v: &'v Value) -> Vec<&'v Value> {
        let mut now = vec![v];
        for s in &self.0 {
            let mut next = Vec::new();
            for v in now {
                s.follow(v, &mut next);
                if next.len() > MAX_FOUND {
                    next.truncate(MAX_FOUND);
                    break;
                }
            }
            now = next;
        }
        now
    }

    /// The first value the path leads to.
    pub fn first<'v>(&self, v: &'v Value) -> Option<&'v Value> {
        self.find(v).into_iter().next()
    }
}

impl Step {
    fn follow<'v>(&self, v: &'v Value, out: &mut Vec<&'v Value>) {
        match self {
            Self::Field(name) => out.extend(v.as_object().and_then(|o| o.get(name))),
            Self::Slice { from, to, step } => {
                let Value::Array(a) = v else { return };
                let len = i64::try_from(a.len()).unwrap_or(i64::MAX);
                let place = |n: i64| (if n < 0 { n + len } else { n }).clamp(0, len);
                let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(len)));
                let (Ok(from), Ok(to)) = (usize::try_from(from), usize::try_from(to)) else { return };
                if from < to {
                    out.extend(a[from..to].iter().step_by(*step));
                }
            }
            Self::All => match v {
                Value::Array(a) => out.extend(a),
                Value::Object(o) => out.extend(o.values()),
                _ => {}
            },
            Self::Deep => deep(v, out),
            Self::Filter(left, test) => {
                let Value::Array(a) = v else { return };
                out.extend(a.iter().filter(|x| holds(x, left, test.as_ref())));
            }
            Self::Union(all) => all.iter().for_each(|s| s.follow(v, out)),
        }
    }
}

fn deep<'v>(v: &'v Value, out: &mut Vec<&'v Value>) {
    if out.len() > MAX_FOUND {
        return;
    }
    out.push(v);
    match v {
        Value::Array(a) => a.iter().for_each(|x| deep(x, out)),
        Value::Object(o) => o.values().for_each(|x| deep(x, out)),
        _ => {}
    }
}

fn holds(item: &Value, left: &Operand, test: Option<&(Op, Operand)>) -> bool {
    fn get<'v>(o: &'v Operand, item: &'v Value) -> Option<&'v Value> {
        match o {
            Operand::Path(p) => p.first(item),
            Operand::Literal(l) => Some(l),
        }
    }
    let Some(l) = get(left, item) else { return false };
    let Some((op, right)) = test else { return true };
    let Some(r) = get(right, item) else { return false };
    let order = match (l, r) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    };
    match (op, order) {
        (Op::Eq, o) => o == Some(Ordering::Equal),
        (Op::Ne, o) => o != Some(Ordering::Equal),
        (_, None) => false,
        (Op::Lt, Some(o)) => o.is_lt(),
        (Op::Le, Some(o)) => o.is_le(),
        (Op::Gt, Some(o)) => o.is_gt(),
        (Op::Ge, Some(o)) => o.is_ge(),
    }
}

impl<'a> Parser<'a> {
    fn eat(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(r) => {
                self.rest = r;
                true
            }
            None => false,
        }
    }
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }
    fn steps(&mut self) -> Result<Vec<Step>, String> {
        self.depth += 1;
        if self.depth > 16 {
            return Err("filters are nested too deeply".into());
        }
        let mut out = Vec::new();
        loop {
            if self.eat("..") {
                out.push(Step::Deep);
                if self.rest.starts_with('[') {
                    continue;
                }
                out.push(self.field()?);
            } else if self.eat(".") {
                if self.rest.is_empty() || self.rest.starts_with('[') {
                    continue;
                }
                out.push(self.field()?);
            } else if self.eat("[") {
                out.push(self.bracket()?);
            } else {
                self.depth -= 1;
                return Ok(out);
            }
        }
    }
    fn field(&mut self) -> Result<Step, String> {
        if self.eat("*") {
            return Ok(Step::All);
        }
        let (mut name, mut used, mut escaped) = (String::new(), 0, false);
        for c in self.rest.chars() {
            if escaped {
                name.push(c);
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if ".[]()=!<>, ".contains(c) {
                break;
            } else {
                name.push(c);
            }
            used += c.len_utf8();
        }
        if name.is_empty() {
            return Err(format!("a name is missing before {:?}", self.rest));
        }
        self.rest = &self.rest[used..];
        Ok(Step::Field(name))
    }
    fn bracket(&mut self) -> Result<Step, String> {
        self.space();
        if self.eat("?(") {
            let left = self.operand()?;
            self.space();
            let ops = [
                ("==", Op::Eq),
                ("!=", Op::Ne),
                ("<=", Op::Le),
                (">=", Op::Ge),
                ("<", Op::Lt),
                (">", Op::Gt),
            ];
            let test = match ops.iter().find(|(s, _)| self.rest.starts_with(s)) {
                Some((s, op)) => {
                    self.rest = &self.rest[s.len()..];
                    Some((*op, self.operand()?))
                }
                None => None,
            };
            self.space();
            if !self.eat(")") {
                return Err("unterminated filter".into());
            }
            self.space();
            return if self.eat("]") {
                Ok(Step::Filter(left, test))
            } else {
                Err("unterminated array".into())
            };
        }
        let mut all = Vec::new();
        loop {
            self.space();
            all.push(self.one()?);
            self.space();
            if self.eat(",") {
                continue;
            }
            if !self.eat("]") {
                return Err("unterminated array".into());
            }
            return Ok(match all.pop() {
                Some(s) if all.is_empty() => s,
                Some(s) => {
                    all.push(s);
                    Step::Union(all)
                }
                None => Step::All,
            });
        }
    }
    /// What may stand between the commas of brackets.
    fn one(&mut self) -> Result<Step, String> {
        if self.eat("*") {
            return Ok(Step::All);
        }
        if let Some(s) = self.quoted()? {
            return Ok(Step::Field(s));
        }
        let from = self.number()?;
        if !self.eat(":") {
            let n = from.ok_or_else(|| format!("invalid array index {:?}", self.rest))?;
            // `[-1]` ends at the end, not at index 0.
            let to = if n == -1 { None } else { Some(n + 1) };
            return Ok(Step::Slice { from: Some(n), to, step: 1 });
        }
        let to = self.number()?;
        let step = if self.eat(":") { self.number()?.unwrap_or(1) } else { 1 };
        let step = usize::try_from(step).ok().filter(|s| *s > 0);
        Ok(Step::Slice { from, to, step: step.ok_or("the step must be greater than 0")? })
    }
    fn number(&mut self) -> Result<Option<i64>, String> {
        let n = self.rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(n);
        self.rest = rest;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse::<i32>().map(|n| Some(i64::from(n))).map_err(|_| format!("invalid array index {text}"))
    }
    fn quoted(&mut self) -> Result<Option<String>, String> {
        let Some(q) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else { return Ok(None) };
        let mut out = String::new();
        let mut chars = self.rest[1..].char_indices();
        while let Some((i, c)) = chars.next() {
            if c == '\\' {
                out.extend(chars.next().map(|(_, c)| c));
            } else if c == q {
                self.rest = &self.rest[1 + i + 1..];
                return Ok(Some(out));
            } else {
                out.push(c);
            }
        }
        Err("unterminated quoted string".into())
    }
    fn operand(&mut self) -> Result<Operand, String> {
        self.space();
        if let Some(s) = self.quoted()? {
            return Ok(Operand::Literal(s.into()));
        }
        if self.eat("@") {
            return Ok(Operand::Path(JsonPath(self.steps()?)));
        }
        let n = self.rest.find([')', ' ', '=', '!', '<', '>']).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(n);
        self.rest = rest;
        match serde_json::from_str::<Value>(text) {
            Ok(v) if v.is_number() || v.is_boolean() => Ok(Operand::Literal(v)),
            _ => Err(format!("unrecognized operand {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_lead_where_they_say() {
        let v = json!({"a": {"b": [1, 2, 3], "c.d": "x", "e": {"b": "deep"}},
            "conditions": [{"type": "Ready", "status": "True", "n": 3}, {"type": "Live", "status": "False", "n": 7}]});
        let cases = [
            (".a.b[0]", json!([1])),
            (".a.b[-1]", json!([3])),
            (".a.b[1:]", json!([2, 3])),
            (".a.b[0,2]", json!([1, 3])),
            (".a.b[*]", json!([1, 2, 3])),
            (".a.b[::2]", json!([1, 3])),
            (r".a.c\.d", json!(["x"])),
            (".a['c.d']", json!(["x"])),
            (".missing.more", json!([])),
            (".a.b.c", json!([])),
            ("..b", json!([[1, 2, 3], "deep"])),
            (r#".conditions[?(@.type=="Ready")].status"#, json!(["True"])),
            (".conditions[?(@.type == 'Live')].n", json!([7])),
            (".conditions[?(@.n>5)].type", json!(["Live"])),
            (".conditions[?(@.none)].type", json!([])),
            (".a.*", json!([[1, 2, 3], "x", {"b": "deep"}])),
        ];
        for (path, want) in cases {
            let got: Vec<Value> = JsonPath::parse(path).unwrap().find(&v).into_iter().cloned().collect();
            assert_eq!(Value::from(got), want, "{path}");
        }
        for bad in [".a[", ".a[x]", ".a['b]", ".a[?(@.b", ".a[?(@.b==)]", "a]", ".a[::0]"] {
            assert!(JsonPath::parse(bad).is_err(), "{bad}");
        }
    }
}
