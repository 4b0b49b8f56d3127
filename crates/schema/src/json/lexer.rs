//! JSON text, token by token, with Go's words for what is wrong with it.

use super::source::{Ev, Num, Source, too_deep};
use crate::{DecodeError, MAX_DEPTH};
use std::borrow::Cow;

pub(super) struct Lexer<'a> {
    b: &'a [u8],
    i: usize,
}

fn eof() -> DecodeError {
    DecodeError("unexpected end of JSON input".into())
}

/// A byte as Go's error messages quote it.
fn shown(c: u8) -> String {
    match c {
        b'\'' => "'\\''".into(),
        b'"' => "'\"'".into(),
        _ => {
            let q = meta::field::quote(&char::from(c).to_string());
            format!("'{}'", &q[1..q.len() - 1])
        }
    }
}

impl<'a> Lexer<'a> {
    pub(super) fn new(b: &'a [u8]) -> Self {
        Self { b, i: 0 }
    }
    #[cold]
    fn bad(&self, context: &str) -> DecodeError {
        match self.b.get(self.i) {
            None => eof(),
            Some(c) => DecodeError(format!("invalid character {} {context}", shown(*c))),
        }
    }
    /// The next byte that is no white space, not taken.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        while let Some(c) = self.b.get(self.i) {
            if !matches!(c, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*c);
            }
            self.i += 1;
        }
        None
    }
    fn word(&mut self, w: &'static str) -> Result<(), DecodeError> {
        for (n, c) in w.bytes().enumerate() {
            if self.b.get(self.i) != Some(&c) {
                // The first byte has been looked at.
                debug_assert!(n > 0);
                return Err(self.bad(&format!("in literal {w} (expecting '{}')", char::from(c))));
            }
            self.i += 1;
        }
        Ok(())
    }
    fn digits(&mut self) {
        while self.b.get(self.i).is_some_and(u8::is_ascii_digit) {
            self.i += 1;
        }
    }
    fn number(&mut self) -> Result<&'a str, DecodeError> {
        let start = self.i;
        if self.b[self.i] == b'-' {
            self.i += 1;
        }
        match self.b.get(self.i) {
            Some(b'0') => self.i += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.bad("in numeric literal")),
        }
        if self.b.get(self.i) == Some(&b'.') {
            self.i += 1;
            if !self.b.get(self.i).is_some_and(u8::is_ascii_digit) {
                return Err(self.bad("after decimal point in numeric literal"));
            }
            self.digits();
        }
        if matches!(self.b.get(self.i), Some(b'e' | b'E')) {
            self.i += 1;
            if matches!(self.b.get(self.i), Some(b'+' | b'-')) {
                self.i += 1;
            }
            if !self.b.get(self.i).is_some_and(u8::is_ascii_digit) {
                return Err(self.bad("in exponent of numeric literal"));
            }
            self.digits();
        }
        Ok(std::str::from_utf8(&self.b[start..self.i]).unwrap_or("0"))
    }
    /// The rest of a string whose opening quote has been taken.
    fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        let start = self.i;
        loop {
            match self.b.get(self.i) {
                Some(b'"') => {
                    let s = &self.b[start..self.i];
                    self.i += 1;
                    return Ok(String::from_utf8_lossy(s));
                }
                Some(b'\\') => return self.escaped(start).map(Cow::Owned),
                Some(c) if *c >= 0x20 => self.i += 1,
                _ => return Err(self.bad("in string literal")),
            }
        }
    }
    #[cold]
    fn escaped(&mut self, start: usize) -> Result<String, DecodeError> {
        let mut out = Vec::with_capacity(self.i - start + 32);
        out.extend_from_slice(&self.b[start..self.i]);
        loop {
            match self.b.get(self.i) {
                Some(b'"') => {
                    self.i += 1;
                    return Ok(match String::from_utf8(out) {
                        Ok(s) => s,
                        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
                    });
                }
                Some(b'\\') => {
                    self.i += 1;
                    let c = match self.b.get(self.i) {
                        Some(b'n') => b'\n',
                        Some(b't') => b'\t',
                        Some(b'r') => b'\r',
                        Some(b'b') => 8,
                        Some(b'f') => 12,
                        Some(c @ (b'"' | b'\\' | b'/')) => *c,
                        Some(b'u') => {
                            self.i += 1;
                            let c = self.unicode()?;
                            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                            continue;
                        }
                        _ => return Err(self.bad("in string escape code")),
                    };
                    out.push(c);
                    self.i += 1;
                }
                Some(c) if *c >= 0x20 => {
                    out.push(*c);
                    self.i += 1;
                }
                _ => return Err(self.bad("in string literal")),
            }
        }
    }
    fn hex4(&mut self) -> Result<u32, DecodeError> {
        let mut v = 0;
        for _ in 0..4 {
            let Some(d) = self.b.get(self.i).and_then(|c| char::from(*c).to_digit(16)) else {
                return Err(self.bad("in \\u hexadecimal character escape"));
            };
            v = v * 16 + d;
            self.i += 1;
        }
        Ok(v)
    }
    /// The character of a `\u` escape; half a surrogate pair is the replacement character, as in Go.
    fn unicode(&mut self) -> Result<char, DecodeError> {
        let hi = self.hex4()?;
        if (0xd800..0xdc00).contains(&hi) && self.b[self.i..].starts_with(b"\\u") {
            let back = self.i;
            self.i += 2;
            let lo = self.hex4()?;
            if (0xdc00..0xe000).contains(&lo) {
                let c = 0x10000 + ((hi - 0xd800) << 10) + (lo - 0xdc00);
                return Ok(char::from_u32(c).unwrap_or('\u{fffd}'));
            }
            self.i = back;
        }
        Ok(char::from_u32(hi).unwrap_or('\u{fffd}'))
    }
    /// Reads over a string whose opening quote has been taken; for [`compact`] and skipping.
    fn pass_string(&mut self) -> Result<(), DecodeError> {
        loop {
            match self.b.get(self.i) {
                Some(b'"') => {
                    self.i += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.i += 1;
                    match self.b.get(self.i) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.i += 1,
                        Some(b'u') => {
                            self.i += 1;
                            self.hex4()?;
                        }
                        _ => return Err(self.bad("in string escape code")),
                    }
                }
                Some(c) if *c >= 0x20 => self.i += 1,
                _ => return Err(self.bad("in string literal")),
            }
        }
    }
}

impl<'a> Source<'a> for Lexer<'a> {
    #[inline]
    fn value(&mut self) -> Result<Ev<'a>, DecodeError> {
        let Some(c) = self.peek() else { return Err(eof()) };
        Ok(match c {
            b'"' => {
                self.i += 1;
                Ev::Str(self.string()?)
            }
            b'{' => {
                self.i += 1;
                Ev::Obj
            }
            b'[' => {
                self.i += 1;
                Ev::Arr
            }
            b'-' | b'0'..=b'9' => Ev::Num(Num::Text(self.number()?)),
            b't' => self.word("true").map(|()| Ev::Bool(true))?,
            b'f' => self.word("false").map(|()| Ev::Bool(false))?,
            b'n' => self.word("null").map(|()| Ev::Null)?,
            _ => return Err(self.bad("looking for beginning of value")),
        })
    }
    #[inline]
    fn elem(&mut self, first: bool) -> Result<bool, DecodeError> {
        match self.peek() {
            Some(b']') => {
                self.i += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.i += 1;
                // `[1,]` fails when the value begins.
                Ok(true)
            }
            _ => Err(self.bad("after array element")),
        }
    }
    #[inline]
    fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        match self.peek() {
            Some(b'}') => {
                self.i += 1;
                return Ok(None);
            }
            Some(b',') if !first => {
                self.i += 1;
                self.peek();
            }
            _ if first => {}
            _ => return Err(self.bad("after object key:value pair")),
        }
        if self.b.get(self.i) != Some(&b'"') {
            return Err(self.bad("looking for beginning of object key string"));
        }
        self.i += 1;
        let k = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.bad("after object key"));
        }
        self.i += 1;
        Ok(Some(k))
    }
    fn end(&mut self) -> Result<(), DecodeError> {
        if self.peek().is_some() { Err(self.bad("after top-level value")) } else { Ok(()) }
    }
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        pass(self, depth, &mut None)
    }
}

/// Reads over a value; copies it without white space when there is somewhere to copy to.
fn pass(x: &mut Lexer<'_>, depth: usize, out: &mut Option<&mut Vec<u8>>) -> Result<(), DecodeError> {
    let put = |out: &mut Option<&mut Vec<u8>>, c: u8| {
        if let Some(o) = out {
            o.push(c);
        }
    };
    let Some(c) = x.peek() else { return Err(eof()) };
    if matches!(c, b'{' | b'[') && depth >= MAX_DEPTH {
        return Err(too_deep());
    }
    let start = x.i;
    match c {
        b'{' => {
            x.i += 1;
            put(out, b'{');
            let mut first = true;
            loop {
                match x.peek() {
                    Some(b'}') => break,
                    Some(b',') if !first => {
                        x.i += 1;
                        put(out, b',');
                        x.peek();
                    }
                    _ if first => {}
                    _ => return Err(x.bad("after object key:value pair")),
                }
                first = false;
                if x.b.get(x.i) != Some(&b'"') {
                    return Err(x.bad("looking for beginning of object key string"));
                }
                pass(x, depth + 1, out)?;
                if x.peek() != Some(b':') {
                    return Err(x.bad("after object key"));
                }
                x.i += 1;
                put(out, b':');
                pass(x, depth + 1, out)?;
            }
            x.i += 1;
            put(out, b'}');
            return Ok(());
        }
        b'[' => {
            x.i += 1;
            put(out, b'[');
            let mut first = true;
            while x.elem(first)? {
                if !first {
                    put(out, b',');
                }
                first = false;
                pass(x, depth + 1, out)?;
            }
            put(out, b']');
            return Ok(());
        }
        b'"' => {
            x.i += 1;
            x.pass_string()?;
        }
        b'-' | b'0'..=b'9' => {
            x.number()?;
        }
        b't' => x.word("true")?,
        b'f' => x.word("false")?,
        b'n' => x.word("null")?,
        _ => return Err(x.bad("looking for beginning of value")),
    }
    if let Some(o) = out {
        super::write::escape_html(&x.b[start..x.i], o);
    }
    Ok(())
}

pub(super) fn compact(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let text = String::from_utf8_lossy(raw);
    let raw = text.as_bytes();
    // Most raw text is compact already: then it need only be looked at.
    if super::quick::is_compact(raw) {
        out.extend_from_slice(raw);
        return Ok(());
    }
    let mut x = Lexer::new(raw);
    pass(&mut x, 0, &mut Some(out))?;
    x.end()
}

/// Copies an object with another `metadata.resourceVersion`. The metadata's own one, wherever it stands, is left out and
/// the new one written first.
pub(super) fn with_version(bytes: &[u8], version: &str, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let not_object = || DecodeError("not a JSON object".into());
    let mut x = Lexer::new(bytes);
    if !matches!(x.value()?, Ev::Obj) {
        return Err(not_object());
    }
    let mut first = true;
    while let Some(k) = x.key(first)? {
        first = false;
        if k != "metadata" {
            x.skip(1)?;
            continue;
        }
        if !matches!(x.value()?, Ev::Obj) {
            return Err(not_object());
        }
        out.extend_from_slice(&bytes[..x.i]);
        if !version.is_empty() {
            out.extend_from_slice(b"\"resourceVersion\":");
            super::write::string(version, out);
        }
        let mut written = !version.is_empty();
        let mut first = true;
        loop {
            x.peek();
            if !first && x.b.get(x.i) == Some(&b',') {
                x.i += 1;
                if x.peek() == Some(b'}') {
                    return Err(x.bad("looking for beginning of object key string"));
                }
                // The key's comma is ours to write.
                first = true;
            }
            let start = x.i;
            let Some(k) = x.key(first)? else {
                out.extend_from_slice(&bytes[start..]);
                return Ok(());
            };
            first = false;
            let keep = k != "resourceVersion";
            x.skip(2)?;
            if keep {
                if written {
                    out.push(b',');
                }
                written = true;
                out.extend_from_slice(&bytes[start..x.i]);
            }
        }
    }
    out.extend_from_slice(bytes);
    Ok(())
}
