//! Tokens of CEL.

use crate::source::Issue;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tok {
    Ident(String),
    EscapedIdent(String),
    Int(String),
    Uint(String),
    Double(String),
    Str(String),
    Bytes(String),
    True,
    False,
    Null,
    In,
    /// An operator or bracket.
    Sym(&'static str),
    End,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub tok: Tok,
    /// First code point, and the one after the last.
    pub at: u32,
    pub end: u32,
}

/// Longest first.
const SYMBOLS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":",
    "+", "*", "/", "%", "=",
];

struct Lexer<'a> {
    text: &'a [char],
    at: usize,
}

/// Splits a text into tokens; characters that begin none are told and left out.
pub fn tokens(text: &[char]) -> (Vec<Token>, Vec<Issue>) {
    let mut l = Lexer { text, at: 0 };
    let (mut out, mut issues) = (Vec::new(), Vec::new());
    loop {
        l.blank();
        let at = l.at;
        let pos = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if at >= text.len() {
            out.push(Token { tok: Tok::End, at: pos(at), end: pos(at) });
            return (out, issues);
        }
        match l.next() {
            Some(tok) => out.push(Token { tok, at: pos(at), end: pos(l.at) }),
            None => {
                // What the lexer stumbled over is part of what it could not recognize.
                l.at = (l.at + 1).max(at + 1).min(text.len());
                let bad: String = text[at..l.at].iter().collect();
                issues.push(Issue {
                    at: Some(pos(at)),
                    message: format!("Syntax error: token recognition error at: '{bad}'"),
                });
            }
        }
    }
}

fn letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

impl Lexer<'_> {
    fn peek(&self, n: usize) -> Option<char> {
        self.text.get(self.at + n).copied()
    }

    fn peek_at(&self, i: usize) -> Option<char> {
        self.text.get(i).copied()
    }

    fn blank(&mut self) {
        loop {
            match self.peek(0) {
                Some('\t' | ' ' | '\r' | '\n' | '\u{c}') => self.at += 1,
                Some('/') if self.peek(1) == Some('/') => {
                    while self.peek(0).is_some_and(|c| c != '\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    fn taken(&self, from: usize) -> String {
        self.text[from..self.at].iter().collect()
    }

    fn next(&mut self) -> Option<Tok> {
        let c = self.peek(0)?;
        let from = self.at;
        // r"", b"", br"", rb is no prefix.
        let bytes = matches!(c, 'b' | 'B');
        let raw_at = usize::from(bytes);
        let raw = matches!(self.peek(raw_at), Some('r' | 'R'));
        let quote_at = raw_at + usize::from(raw);
        if matches!(self.peek(quote_at), Some('"' | '\'')) {
            let save = self.at;
            self.at += quote_at;
            if self.string(raw) {
                let text = self.text[from + usize::from(bytes)..self.at].iter().collect();
                return Some(if bytes { Tok::Bytes(text) } else { Tok::Str(text) });
            }
            if quote_at == 0 {
                if self.text[from..].len() >= 2 && self.peek_at(from + 1) == Some(c) {
                    // Two quotes are a string without anything, if three begin none.
                    self.at = from + 2;
                    return Some(Tok::Str(format!("{c}{c}")));
                }
                return None;
            }
            self.at = save;
        }
        if letter(c) {
            while self.peek(0).is_some_and(|c| letter(c) || c.is_ascii_digit()) {
                self.at += 1;
            }
            let word = self.taken(from);
            return Some(match word.as_str() {
                "true" => Tok::True,
                "false" => Tok::False,
                "null" => Tok::Null,
                "in" => Tok::In,
                _ => Tok::Ident(word),
            });
        }
        if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|c| c.is_ascii_digit())) {
            return Some(self.number());
        }
        if c == '`' {
            self.at += 1;
            while self
                .peek(0)
                .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '/' | ' '))
            {
                self.at += 1;
            }
            if self.peek(0) != Some('`') || self.at == from + 1 {
                return None;
            }
            self.at += 1;
            return Some(Tok::EscapedIdent(self.text[from + 1..self.at - 1].iter().collect()));
        }
        let s = SYMBOLS.iter().find(|s| s.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c)))?;
        if *s == "=" {
            self.at += 1;
            return None;
        }
        self.at += s.len();
        Some(Tok::Sym(s))
    }

    fn digits(&mut self, f: impl Fn(char) -> bool) -> bool {
        let from = self.at;
        while self.peek(0).is_some_and(&f) {
            self.at += 1;
        }
        self.at > from
    }

    fn number(&mut self) -> Tok {
        let from = self.at;
        let dec = |c: char| c.is_ascii_digit();
        if self.peek(0) == Some('0')
            && self.peek(1) == Some('x')
            && self.peek(2).is_some_and(|c| c.is_ascii_hexdigit())
        {
            self.at += 2;
            self.digits(|c| c.is_ascii_hexdigit());
        } else {
            self.digits(dec);
            let mut double = false;
            if self.peek(0) == Some('.') && self.peek(1).is_some_and(dec) {
                self.at += 1;
                double = true;
                self.digits(dec);
            }
            let sign = usize::from(matches!(self.peek(1), Some('+' | '-')));
            if matches!(self.peek(0), Some('e' | 'E')) && self.peek(1 + sign).is_some_and(dec) {
                self.at += 1 + sign;
                double = true;
                self.digits(dec);
            }
            if double {
                return Tok::Double(self.taken(from));
            }
        }
        let text = self.taken(from);
        if matches!(self.peek(0), Some('u' | 'U')) {
            self.at += 1;
            return Tok::Uint(text);
        }
        Tok::Int(text)
    }

    /// Steps over a string that begins here with its quote. Escapes are looked at later.
    fn string(&mut self, raw: bool) -> bool {
        let Some(q) = self.peek(0) else { return false };
        let triple = self.peek(1) == Some(q) && self.peek(2) == Some(q);
        self.at += if triple { 3 } else { 1 };
        loop {
            match self.peek(0) {
                None => return false,
                Some(c) if c == q => {
                    if !triple {
                        self.at += 1;
                        return true;
                    }
                    if self.peek(1) == Some(q) && self.peek(2) == Some(q) {
                        self.at += 3;
                        return true;
                    }
                    self.at += 1;
                }
                Some('\\') if !raw => {
                    if !self.escape() {
                        self.at += 1;
                        return false;
                    }
                }
                Some('\n' | '\r') if !triple => return false,
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> bool {
        let hex = |n: usize, s: &Self| (0..n).all(|i| s.peek(2 + i).is_some_and(|c| c.is_ascii_hexdigit()));
        let len = match self.peek(1) {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`') => 2,
            Some('x' | 'X') if hex(2, self) => 4,
            Some('u') if hex(4, self) => 6,
            Some('U') if hex(8, self) => 10,
            Some('0'..='3') if (2..4).all(|i| matches!(self.peek(i), Some('0'..='7'))) => 4,
            _ => return false,
        };
        self.at += len;
        true
    }
}

/// The value of a string or bytes literal, quotes and prefix `r` included.
pub fn unescape(text: &str, bytes: bool) -> Result<Vec<u8>, &'static str> {
    const BAD: &str = "unable to unescape string";
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (raw, text) = match text.strip_prefix(['r', 'R']) {
        Some(t) => (true, t),
        None => (false, text.as_str()),
    };
    let n = if text.len() >= 6 && (text.starts_with("'''") || text.starts_with("\"\"\"")) { 3 } else { 1 };
    let body = text.get(n..text.len().saturating_sub(n)).ok_or(BAD)?;
    if raw || !body.contains('\\') {
        return Ok(body.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    let push = |out: &mut Vec<u8>, v: u32| -> Result<(), &'static str> {
        if bytes {
            out.push(u8::try_from(v).map_err(|_| BAD)?);
        } else {
            let c = char::from_u32(v).ok_or("invalid unicode code point")?;
            out.extend(c.to_string().as_bytes());
        }
        Ok(())
    };
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.to_string().as_bytes());
            continue;
        }
        let e = chars.next().ok_or(BAD)?;
        let mut radix = |n: usize, radix: u32, first: u32| {
            let mut v = first;
            for _ in 0..n {
                v = v * radix + chars.next().and_then(|c| c.to_digit(radix)).ok_or(BAD)?;
            }
            Ok::<u32, &'static str>(v)
        };
        match e {
            'a' => out.push(7),
            'b' => out.push(8),
            'f' => out.push(12),
            'n' => out.push(b'\n'),
            'r' => out.push(b'\r'),
            't' => out.push(b'\t'),
            'v' => out.push(11),
            '\\' | '\'' | '"' | '`' | '?' => out.push(u8::try_from(e).unwrap_or(b'?')),
            'x' | 'X' => {
                let v = radix(2, 16, 0)?;
                push(&mut out, v)?;
            }
            'u' | 'U' if bytes => return Err(BAD),
            'u' => {
                let v = radix(4, 16, 0)?;
                push(&mut out, v)?;
            }
            'U' => {
                let v = radix(8, 16, 0)?;
                push(&mut out, v)?;
            }
            '0'..='3' => {
                let v = radix(2, 8, e.to_digit(8).unwrap_or(0))?;
                push(&mut out, v)?;
            }
            _ => return Err(BAD),
        }
    }
    Ok(out)
}
