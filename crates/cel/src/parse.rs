//! The parser (cel-go `parser/gen/CEL.g4`).

use crate::Value;
use crate::ast::{Ast, Call, Entry, Expr, Field, Id, Kind};
use crate::lex::{self, Tok, Token};
use crate::macros;
use crate::source::{Issue, Issues};

/// Code points an expression may have.
pub const MAX_SIZE: usize = 100_000;
/// Levels an expression may be nested.
const MAX_DEPTH: usize = 250;

/// Words that may not name a variable.
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// What can begin an expression, in the words of a syntax error.
const STARTS: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

pub(crate) struct Parser {
    source: String,
    tokens: Vec<Token>,
    next: usize,
    pub at: Vec<Option<u32>>,
    issues: Vec<Issue>,
    depth: usize,
    binds: bool,
    text: Vec<char>,
}

/// The parser gives up at the first error of syntax; that one is in the list already.
pub(crate) struct Stop;
type Parsed<T = Expr> = Result<T, Stop>;

/// Parses an expression. `binds`: the macro `cel.bind` is known.
pub fn parse(source: &str, binds: bool) -> Result<Ast, Issues> {
    let text: Vec<char> = source.chars().collect();
    if text.len() > MAX_SIZE {
        let m = format!("expression code point size exceeds limit: size: {}, limit {MAX_SIZE}", text.len());
        return Err(Issues::one(source, None, m));
    }
    let (tokens, issues) = lex::tokens(&text);
    let mut p =
        Parser { source: source.to_owned(), tokens, next: 0, at: vec![None], issues, depth: 0, binds, text };
    let root = p.expr().and_then(|e| if p.peek() == &Tok::End { Ok(e) } else { Err(p.unexpected("<EOF>")) });
    match root {
        Ok(root) if p.issues.is_empty() => Ok(Ast { source: p.source, root, at: p.at }),
        _ => Err(Issues { text: p.source, list: p.issues }),
    }
}

impl Parser {
    fn peek(&self) -> &Tok {
        &self.tokens[self.next].tok
    }

    fn token(&self) -> &Token {
        &self.tokens[self.next]
    }

    fn is(&self, s: &str) -> bool {
        matches!(self.peek(), Tok::Sym(t) if *t == s)
    }

    fn take(&mut self, s: &str) -> bool {
        let hit = self.is(s);
        if hit {
            self.next += 1;
        }
        hit
    }

    /// Takes a symbol and gives a node its place.
    fn mark(&mut self) -> Id {
        let at = self.token().at;
        self.next += 1;
        self.id(Some(at))
    }

    pub fn id(&mut self, at: Option<u32>) -> Id {
        self.at.push(at);
        self.at.len() - 1
    }

    pub fn expr_at(&mut self, at: Option<u32>, kind: Kind) -> Expr {
        Expr { id: self.id(at), kind }
    }

    pub fn report(&mut self, at: Option<u32>, message: impl Into<String>) -> Expr {
        self.issues.push(Issue { at, message: message.into() });
        self.expr_at(at, Kind::Literal(Value::Null))
    }

    fn shown(&self) -> String {
        let t = self.token();
        if t.tok == Tok::End {
            return "<EOF>".to_owned();
        }
        let text: String = self.text[t.at as usize..t.end as usize].iter().collect();
        text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
    }

    fn unexpected(&mut self, expecting: &str) -> Stop {
        let what = self.shown();
        let kind = match self.tokens.get(self.next + 1).map(|t| &t.tok) {
            Some(Tok::End) if expecting == "<EOF>" => "extraneous",
            _ => "mismatched",
        };
        let m = format!("Syntax error: {kind} input '{what}' expecting {expecting}");
        let at = Some(self.token().at);
        self.report(at, m);
        Stop
    }

    fn expect(&mut self, s: &'static str) -> Parsed<Id> {
        if self.is(s) {
            return Ok(self.mark());
        }
        if self.peek() == &Tok::End && matches!(s, ")" | ":") {
            let at = Some(self.token().at);
            self.report(at, format!("Syntax error: missing '{s}' at '<EOF>'"));
            return Err(Stop);
        }
        Err(self.unexpected(&match s {
            "]" | "}" => format!("{{'{s}', ','}}"),
            s => format!("'{s}'"),
        }))
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.report(None, format!("expression recursion limit exceeded: {MAX_DEPTH}"));
            return Err(Stop);
        }
        Ok(())
    }

    fn expr(&mut self) -> Parsed {
        self.deeper()?;
        let e = self.logic("||")?;
        let out = if self.is("?") {
            let id = self.mark();
            let yes = self.logic("||")?;
            self.expect(":")?;
            let no = self.expr()?;
            self.call(id, "_?_:_", vec![e, yes, no])
        } else {
            e
        };
        self.depth -= 1;
        Ok(out)
    }

    fn call(&mut self, id: Id, function: &str, args: Vec<Expr>) -> Expr {
        Expr { id, kind: Kind::Call(Box::new(Call { target: None, function: function.to_owned(), args })) }
    }

    /// A chain of `&&` or `||`, as a balanced tree.
    fn logic(&mut self, op: &str) -> Parsed {
        let or = op == "||";
        let mut terms = vec![if or { self.logic("&&")? } else { self.binary(0)? }];
        let mut ops = Vec::new();
        while self.is(op) {
            ops.push(self.mark());
            terms.push(if or { self.logic("&&")? } else { self.binary(0)? });
        }
        if ops.is_empty() {
            return terms.pop().ok_or(Stop);
        }
        let mut terms: Vec<Option<Expr>> = terms.into_iter().map(Some).collect();
        let name = if or { "_||_" } else { "_&&_" };
        self.balanced(name, &mut terms, &ops, 0, ops.len() - 1).ok_or(Stop)
    }

    fn balanced(
        &mut self,
        name: &str,
        terms: &mut [Option<Expr>],
        ops: &[Id],
        lo: usize,
        hi: usize,
    ) -> Option<Expr> {
        let mid = (lo + hi).div_ceil(2);
        let left = if mid == lo { terms[mid].take()? } else { self.balanced(name, terms, ops, lo, mid - 1)? };
        let right =
            if mid == hi { terms[mid + 1].take()? } else { self.balanced(name, terms, ops, mid + 1, hi)? };
        Some(self.call(ops[mid], name, vec![left, right]))
    }

    /// Relations (0), sums (1), products (2).
    fn binary(&mut self, level: usize) -> Parsed {
        let operator = |t: &Tok| -> Option<&'static str> {
            Some(match (level, t) {
                (0, Tok::Sym("<")) => "_<_",
                (0, Tok::Sym("<=")) => "_<=_",
                (0, Tok::Sym(">=")) => "_>=_",
                (0, Tok::Sym(">")) => "_>_",
                (0, Tok::Sym("==")) => "_==_",
                (0, Tok::Sym("!=")) => "_!=_",
                (0, Tok::In) => "@in",
                (1, Tok::Sym("+")) => "_+_",
                (1, Tok::Sym("-")) => "_-_",
                (2, Tok::Sym("*")) => "_*_",
                (2, Tok::Sym("/")) => "_/_",
                (2, Tok::Sym("%")) => "_%_",
                _ => return None,
            })
        };
        let next = |p: &mut Self| if level == 2 { p.unary() } else { p.binary(level + 1) };
        let mut e = next(self)?;
        let before = self.depth;
        while let Some(f) = operator(self.peek()) {
            self.deeper()?;
            let id = self.mark();
            let right = next(self)?;
            e = self.call(id, f, vec![e, right]);
        }
        self.depth = before;
        Ok(e)
    }

    fn unary(&mut self) -> Parsed {
        for (op, name) in [("!", "!_"), ("-", "-_")] {
            if !self.is(op) {
                continue;
            }
            if op == "-"
                && matches!(
                    self.tokens.get(self.next + 1).map(|t| &t.tok),
                    Some(Tok::Int(_) | Tok::Double(_))
                )
            {
                break;
            }
            let at = Some(self.token().at);
            let mut n = 0;
            while self.take(op) {
                n += 1;
            }
            let e = self.member()?;
            if n % 2 == 0 {
                return Ok(e);
            }
            let id = self.id(at);
            return Ok(self.call(id, name, vec![e]));
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let mut e = self.primary()?;
        let before = self.depth;
        loop {
            if self.is(".") {
                self.deeper()?;
                let op = self.token().at;
                self.next += 1;
                let optional = self.take("?");
                let at = self.token().at;
                let name = match self.peek().clone() {
                    Tok::Ident(n) => n,
                    Tok::EscapedIdent(n) => n,
                    // The words of the grammar cannot be members.
                    _ => return Err(self.not_an_identifier()),
                };
                self.next += 1;
                if optional {
                    let field = self.expr_at(Some(at), Kind::Literal(Value::from(name)));
                    let id = self.id(Some(op));
                    e = self.call(id, "_?._", vec![e, field]);
                } else if self.is("(") {
                    let id = self.mark();
                    let args = self.args(")")?;
                    e = self.finish_call(id, Some(e), &name, args);
                } else {
                    let kind = Kind::Select { operand: Box::new(e), field: name, test: false };
                    e = self.expr_at(Some(op), kind);
                }
            } else if self.is("[") {
                self.deeper()?;
                let id = self.mark();
                let f = if self.take("?") { "_[?_]" } else { "_[_]" };
                let index = self.expr()?;
                self.expect("]")?;
                e = self.call(id, f, vec![e, index]);
            } else {
                self.depth = before;
                return Ok(e);
            }
        }
    }

    fn not_an_identifier(&mut self) -> Stop {
        let what = self.shown();
        let at = Some(self.token().at);
        let m = match self.peek() {
            Tok::True | Tok::False | Tok::Null => {
                format!("Syntax error: mismatched input '{what}' expecting IDENTIFIER")
            }
            Tok::End => "Syntax error: no viable alternative at input '.'".to_owned(),
            _ => format!("Syntax error: no viable alternative at input '.{what}'"),
        };
        self.report(at, m);
        Stop
    }

    fn finish_call(&mut self, id: Id, target: Option<Expr>, function: &str, args: Vec<Expr>) -> Expr {
        match macros::expand(self, id, target, function, args, self.binds) {
            Ok(e) => e,
            Err((target, args)) => {
                Expr { id, kind: Kind::Call(Box::new(Call { target, function: function.to_owned(), args })) }
            }
        }
    }

    /// Expressions up to the closing bracket.
    fn args(&mut self, close: &'static str) -> Parsed<Vec<Expr>> {
        let mut out = Vec::new();
        if self.take(close) {
            return Ok(out);
        }
        if self.peek() == &Tok::End {
            return Err(self.unexpected(&STARTS.replace("'(', ", "'(', ')', ")));
        }
        loop {
            out.push(self.expr()?);
            if !self.take(",") {
                self.expect(close)?;
                return Ok(out);
            }
        }
    }

    fn literal(&mut self, at: u32, v: Result<Value, &str>) -> Expr {
        match v {
            Ok(v) => self.expr_at(Some(at), Kind::Literal(v)),
            Err(m) => self.report(Some(at), m),
        }
    }

    fn primary(&mut self) -> Parsed {
        let at = self.token().at;
        let sign = if self.is("-") {
            self.next += 1;
            "-"
        } else {
            ""
        };
        let tok = self.peek().clone();
        let value = match &tok {
            Tok::Int(t) => {
                let r = match t.strip_prefix("0x") {
                    Some(h) => i64::from_str_radix(&format!("{sign}{h}"), 16),
                    None => format!("{sign}{t}").parse(),
                };
                Some(r.map(Value::Int).map_err(|_| "invalid int literal"))
            }
            Tok::Uint(t) => {
                let r = match t.strip_prefix("0x") {
                    Some(h) => u64::from_str_radix(h, 16),
                    None => t.parse(),
                };
                Some(r.map(Value::Uint).map_err(|_| "invalid uint literal"))
            }
            Tok::Double(t) => {
                let v: Option<f64> = format!("{sign}{t}").parse().ok().filter(|f: &f64| f.is_finite());
                Some(v.map(Value::Double).ok_or("invalid double literal"))
            }
            Tok::Str(t) => Some(
                lex::unescape(t, false)
                    .and_then(|b| String::from_utf8(b).map_err(|_| "invalid unicode code point"))
                    .map(Value::from),
            ),
            Tok::Bytes(t) => Some(lex::unescape(t, true).map(|b| Value::Bytes(b.into()))),
            Tok::True => Some(Ok(Value::Bool(true))),
            Tok::False => Some(Ok(Value::Bool(false))),
            Tok::Null => Some(Ok(Value::Null)),
            _ => None,
        };
        if let Some(v) = value {
            self.next += 1;
            return Ok(self.literal(at, v));
        }
        match tok {
            Tok::Ident(_) => self.name(at, false),
            Tok::Sym(".") => {
                self.next += 1;
                if matches!(self.peek(), Tok::Ident(_)) {
                    self.name(at, true)
                } else {
                    Err(self.unexpected("IDENTIFIER"))
                }
            }
            Tok::Sym("(") => {
                self.next += 1;
                let e = self.expr()?;
                self.expect(")")?;
                Ok(e)
            }
            Tok::Sym("[") => {
                let id = self.mark();
                let (mut items, mut optional) = (Vec::new(), Vec::new());
                while !self.take("]") {
                    if self.take("?") {
                        optional.push(items.len());
                    }
                    items.push(self.expr()?);
                    if !self.take(",") {
                        self.expect("]")?;
                        break;
                    }
                }
                Ok(Expr { id, kind: Kind::List { items, optional } })
            }
            Tok::Sym("{") => {
                let id = self.mark();
                let mut entries = Vec::new();
                while !self.take("}") {
                    let optional = self.take("?");
                    let key = self.expr()?;
                    self.expect(":")?;
                    entries.push(Entry { key, value: self.expr()?, optional });
                    if !self.take(",") {
                        self.expect("}")?;
                        break;
                    }
                }
                Ok(Expr { id, kind: Kind::Map(entries) })
            }
            _ => Err(self.unexpected(STARTS)),
        }
    }

    /// A name, a call of a function, or `Type{...}`.
    fn name(&mut self, at: u32, dot: bool) -> Parsed {
        let dot = if dot { "." } else { "" };
        if let Some(name) = self.message_name() {
            return self.message(&format!("{dot}{name}"));
        }
        let Tok::Ident(n) = self.peek().clone() else { return Err(self.unexpected("IDENTIFIER")) };
        let here = self.token().at;
        self.next += 1;
        let full = format!("{dot}{n}");
        let reserved = RESERVED.contains(&n.as_str());
        if self.is("(") {
            let id = self.mark();
            let args = self.args(")")?;
            if reserved {
                return Ok(self.report(Some(at), format!("reserved identifier: {n}")));
            }
            return Ok(self.finish_call(id, None, &full, args));
        }
        if reserved {
            return Ok(self.report(Some(at), format!("reserved identifier: {n}")));
        }
        Ok(self.expr_at(Some(here), Kind::Ident(full)))
    }

    /// `a.b.C` with a brace after it.
    fn message_name(&mut self) -> Option<String> {
        let mut i = self.next;
        let mut name = String::new();
        loop {
            let Tok::Ident(n) = &self.tokens.get(i)?.tok else { return None };
            name.push_str(n);
            match &self.tokens.get(i + 1)?.tok {
                Tok::Sym(".") => {
                    name.push('.');
                    i += 2;
                }
                Tok::Sym("{") => {
                    self.next = i + 1;
                    return Some(name);
                }
                _ => return None,
            }
        }
    }

    fn message(&mut self, name: &str) -> Parsed {
        let id = self.mark();
        let mut fields = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let field = match self.peek().clone() {
                Tok::Ident(n) => n,
                Tok::EscapedIdent(n) => n,
                _ => return Err(self.unexpected("{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}")),
            };
            self.next += 1;
            let colon = self.expect(":")?;
            fields.push(Field { id: colon, name: field, value: self.expr()?, optional });
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr { id, kind: Kind::Struct { name: name.to_owned(), fields } })
    }
}
