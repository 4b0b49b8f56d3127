//! The grammar of label selectors, with upstream's lexer, look-ahead and messages (`pkg/labels/selector.go`).

use super::{Op, Requirement};
use crate::field::{FieldError, Path};
use crate::names;
use std::collections::BTreeSet;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tok {
    Error,
    End,
    Close,
    Comma,
    Not,
    Equals,
    Gt,
    Ident,
    In,
    Lt,
    NotEquals,
    NotIn,
    Open,
}

fn blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}
fn special(b: u8) -> bool {
    b"=!(),><".contains(&b)
}
fn symbol(s: &[u8]) -> Option<Tok> {
    Some(match s {
        b")" => Tok::Close,
        b"," => Tok::Comma,
        b"!" => Tok::Not,
        b"==" | b"=" => Tok::Equals,
        b">" => Tok::Gt,
        b"<" => Tok::Lt,
        b"!=" => Tok::NotEquals,
        b"(" => Tok::Open,
        _ => return None,
    })
}

fn scan(s: &str) -> Vec<(Tok, String)> {
    let b = s.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    loop {
        while i < b.len() && blank(b[i]) {
            i += 1;
        }
        // A NUL ends the input, as it does in upstream's lexer.
        if i >= b.len() || b[i] == 0 {
            out.push((Tok::End, String::new()));
            return out;
        }
        let start = i;
        if special(b[i]) {
            let mut found: Option<(Tok, usize)> = None;
            let mut j = i;
            while j < b.len() && special(b[j]) {
                j += 1;
                match symbol(&b[start..j]) {
                    Some(t) => found = Some((t, j)),
                    None if found.is_some() => break,
                    None => {}
                }
            }
            match found {
                Some((t, end)) => {
                    i = end;
                    out.push((t, s[start..end].to_owned()));
                }
                None => {
                    i = j;
                    out.push((Tok::Error, format!("error expected: keyword found '{}'", &s[start..j])));
                }
            }
        } else {
            while i < b.len() && b[i] != 0 && !special(b[i]) && !blank(b[i]) {
                i += 1;
            }
            let word = &s[start..i];
            let tok = match word {
                "in" => Tok::In,
                "notin" => Tok::NotIn,
                _ => Tok::Ident,
            };
            out.push((tok, word.to_owned()));
        }
    }
}

struct Parser {
    items: Vec<(Tok, String)>,
    pos: usize,
}

impl Parser {
    /// The next token; `in` and `notin` are plain words unless an operator is wanted.
    fn peek(&self, operator: bool) -> (Tok, &str) {
        let (t, s) = self.items.get(self.pos).map_or((Tok::End, ""), |(t, s)| (*t, s.as_str()));
        let t = if !operator && matches!(t, Tok::In | Tok::NotIn) { Tok::Ident } else { t };
        (t, s)
    }
    fn take(&mut self, operator: bool) -> (Tok, String) {
        let (t, s) = self.peek(operator);
        let r = (t, s.to_owned());
        self.pos += 1;
        r
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut tok, mut key) = self.take(false);
        let negated = tok == Tok::Not;
        if negated {
            (tok, key) = self.take(false);
        }
        if tok != Tok::Ident {
            return Err(format!("found '{key}', expected: identifier"));
        }
        let bad = names::is_qualified_name(&key);
        if !bad.is_empty() {
            return Err(FieldError::invalid(&Path::root(), key, bad.join("; ")).to_string());
        }
        if negated {
            return Requirement::new(key, Op::DoesNotExist, Vec::new());
        }
        if matches!(self.peek(false).0, Tok::End | Tok::Comma) {
            return Requirement::new(key, Op::Exists, Vec::new());
        }
        let (tok, lit) = self.take(true);
        let op = match tok {
            Tok::In | Tok::Equals => Op::In,
            Tok::NotIn | Tok::NotEquals => Op::NotIn,
            Tok::Gt => Op::Gt,
            Tok::Lt => Op::Lt,
            _ => return Err(format!("found '{lit}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = if matches!(tok, Tok::In | Tok::NotIn) { self.set()? } else { self.exact()? };
        let r = Requirement::new(key, op, values.into_iter().collect())?;
        Ok(if matches!(tok, Tok::Equals | Tok::NotEquals) { r.as_equality() } else { r })
    }

    fn set(&mut self) -> Result<BTreeSet<String>, String> {
        let (tok, lit) = self.take(false);
        if tok != Tok::Open {
            return Err(format!("found '{lit}' expected: '('"));
        }
        let (tok, lit) = self.peek(false);
        let lit = lit.to_owned();
        match tok {
            Tok::Ident | Tok::Comma => {
                let s = self.identifiers()?;
                if self.take(false).0 != Tok::Close {
                    return Err(format!("found '{lit}', expected: ')'"));
                }
                Ok(s)
            }
            Tok::Close => {
                self.pos += 1;
                Ok(BTreeSet::from([String::new()]))
            }
            _ => Err(format!("found '{lit}', expected: ',', ')' or identifier")),
        }
    }

    fn identifiers(&mut self) -> Result<BTreeSet<String>, String> {
        let mut s = BTreeSet::new();
        loop {
            let (tok, lit) = self.take(false);
            match tok {
                Tok::Ident => {
                    s.insert(lit);
                    match self.peek(false) {
                        (Tok::Comma, _) => {}
                        (Tok::Close, _) => return Ok(s),
                        (_, lit) => return Err(format!("found '{lit}', expected: ',' or ')'")),
                    }
                }
                Tok::Comma => {
                    if s.is_empty() {
                        s.insert(String::new());
                    }
                    match self.peek(false).0 {
                        Tok::Close => {
                            s.insert(String::new());
                            return Ok(s);
                        }
                        Tok::Comma => {
                            s.insert(String::new());
                        }
                        _ => {}
                    }
                }
                _ => return Err(format!("found '{lit}', expected: ',', or identifier")),
            }
        }
    }

    fn exact(&mut self) -> Result<BTreeSet<String>, String> {
        if matches!(self.peek(false).0, Tok::End | Tok::Comma) {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.take(false) {
            (Tok::Ident, lit) => Ok(BTreeSet::from([lit])),
            (_, lit) => Err(format!("found '{lit}', expected: identifier")),
        }
    }
}

pub(super) fn selector(s: &str) -> Result<Vec<Requirement>, String> {
    let mut p = Parser { items: scan(s), pos: 0 };
    let mut out = Vec::new();
    loop {
        match p.peek(false) {
            (Tok::Ident | Tok::Not, _) => {
                out.push(p.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?);
                match p.take(false) {
                    (Tok::End, _) => return Ok(out),
                    (Tok::Comma, _) => match p.peek(false) {
                        (Tok::Ident | Tok::Not, _) => {}
                        (_, lit) => return Err(format!("found '{lit}', expected: identifier after ','")),
                    },
                    (_, lit) => return Err(format!("found '{lit}', expected: ',' or 'end of string'")),
                }
            }
            (Tok::End, _) => return Ok(out),
            (_, lit) => return Err(format!("found '{lit}', expected: !, identifier, or 'end of string'")),
        }
    }
}
