//! Values to YAML, the way go-yaml v2's emitter lays it out.

use super::read::reads_as_other;
use crate::Value;
use std::cmp::Ordering;

const WIDTH: usize = 80;

pub(super) fn document(v: &Value) -> String {
    let mut e = Emitter { out: String::new(), column: 0, whitespace: true, indention: true, indent: -1 };
    e.node(v, false);
    e.write_indent_at(0);
    e.out
}

/// A float in Go's `%g` with the shortest digits.
pub(super) fn float(f: f64) -> String {
    let s = format!("{f:e}");
    let (mantissa, exp) = s.split_once('e').unwrap_or((&s, "0"));
    let exp: i32 = exp.parse().unwrap_or_default();
    if !(-4..6).contains(&exp) {
        let sign = if exp < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exp.abs());
    }
    format!("{f}")
}

struct Emitter {
    out: String,
    column: usize,
    /// The last thing written was white space or an indicator that stands for it.
    whitespace: bool,
    /// Only indentation and indicators so far on this line.
    indention: bool,
    indent: isize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// What a string may be written as (`yaml_emitter_analyze_scalar`).
struct Analysis {
    multiline: bool,
    plain: bool,
    single: bool,
    block: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}
fn printable(c: char) -> bool {
    match u32::from(c) {
        0x0a | 0x20..=0x7e | 0xa0..=0xd7ff => true,
        v @ 0xe000..=0xffff => !matches!(v, 0xfeff | 0xfffe | 0xffff),
        _ => false,
    }
}

fn analyze(s: &str) -> Analysis {
    if s.is_empty() {
        return Analysis { multiline: false, plain: true, single: true, block: false };
    }
    let mut indicators = s.starts_with("---") || s.starts_with("...");
    let (mut breaks, mut special) = (false, false);
    let (mut lead, mut trail_space, mut trail_break) = (false, false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut before_blank, mut prev_space, mut prev_break) = (true, false, false);
    let mut chars = s.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        let next_blank = chars.peek().is_none_or(|n| matches!(n, ' ' | '\t'));
        let last = chars.peek().is_none();
        match c {
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`'
                if first =>
            {
                indicators = true;
            }
            '?' | '-' if first && next_blank => indicators = true,
            ':' if next_blank => indicators = true,
            '#' if before_blank => indicators = true,
            _ => {}
        }
        special |= !printable(c);
        if c == ' ' {
            lead |= first;
            trail_space |= last;
            break_space |= prev_break;
            (prev_space, prev_break) = (true, false);
        } else if is_break(c) {
            breaks = true;
            lead |= first;
            trail_break |= last;
            space_break |= prev_space;
            (prev_space, prev_break) = (false, true);
        } else {
            (prev_space, prev_break) = (false, false);
        }
        before_blank = matches!(c, ' ' | '\t' | '\0') || is_break(c);
        first = false;
    }
    let broken = space_break || special;
    Analysis {
        multiline: breaks,
        plain: !(lead || trail_space || trail_break || break_space || broken || breaks || indicators),
        single: !(break_space || broken),
        block: !(trail_space || broken),
    }
}

impl Emitter {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }
    fn line(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }
    fn indicator(&mut self, s: &str, need_space: bool, whitespace: bool, indention: bool) {
        if need_space && !self.whitespace {
            self.put(' ');
        }
        s.chars().for_each(|c| self.put(c));
        self.whitespace = whitespace;
        self.indention &= indention;
    }
    fn write_indent(&mut self) {
        self.write_indent_at(self.indent.max(0));
    }
    fn write_indent_at(&mut self, indent: isize) {
        let indent = usize::try_from(indent).unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }
    fn deeper(&mut self, flow: bool) -> isize {
        let old = self.indent;
        self.indent = match old {
            ..0 if flow => 2,
            ..0 => 0,
            n => n + 2,
        };
        old
    }

    /// `in_mapping`: the value of a key, where a list is not indented.
    fn node(&mut self, v: &Value, in_mapping: bool) {
        match v {
            Value::Object(m) if m.is_empty() => self.empty("{", "}"),
            Value::Array(a) if a.is_empty() => self.empty("[", "]"),
            Value::Object(m) => {
                let old = self.deeper(false);
                let mut keys: Vec<&String> = m.keys().collect();
                sort_keys(&mut keys);
                for k in keys {
                    self.write_indent();
                    if k.len() <= 128 && !analyze(k).multiline {
                        self.string(k, true);
                        self.indicator(":", false, false, false);
                    } else {
                        self.indicator("?", true, false, true);
                        self.string(k, false);
                        self.write_indent();
                        self.indicator(":", true, false, true);
                    }
                    self.node(&m[k], true);
                }
                self.indent = old;
            }
            Value::Array(a) => {
                let old = if in_mapping && !self.indention { self.indent } else { self.deeper(false) };
                for x in a {
                    self.write_indent();
                    self.indicator("-", true, false, true);
                    self.node(x, false);
                }
                self.indent = old;
            }
            Value::String(s) => self.string(s, false),
            Value::Null => self.word("null"),
            Value::Bool(b) => self.word(if *b { "true" } else { "false" }),
            Value::Number(n) if n.is_f64() => self.word(&float(n.as_f64().unwrap_or_default())),
            Value::Number(n) => self.word(&n.to_string()),
        }
    }
    fn empty(&mut self, open: &str, close: &str) {
        self.indicator(open, true, true, false);
        self.indicator(close, false, false, false);
    }
    fn word(&mut self, s: &str) {
        self.indicator(s, true, false, false);
    }

    fn string(&mut self, s: &str, simple_key: bool) {
        let a = analyze(s);
        let mut style = if s.contains('\n') {
            Style::Literal
        } else if reads_as_other(s) || base60(s) {
            Style::Double
        } else {
            Style::Plain
        };
        if simple_key && a.multiline {
            style = Style::Double;
        }
        if style == Style::Plain && (!a.plain || (s.is_empty() && simple_key)) {
            style = Style::Single;
        }
        if style == Style::Single && !a.single {
            style = Style::Double;
        }
        if style == Style::Literal && (!a.block || simple_key) {
            style = Style::Double;
        }
        let old = self.deeper(true);
        match style {
            Style::Plain => self.flowing(s, "", !simple_key),
            Style::Single => self.flowing(s, "'", !simple_key),
            Style::Double => self.double(s, !simple_key),
            Style::Literal => self.literal(s),
        }
        self.indent = old;
    }

    /// Plain (no quote) and single-quoted scalars, which fold at a space beyond the width.
    fn flowing(&mut self, s: &str, quote: &str, fold: bool) {
        if quote.is_empty() {
            if !self.whitespace {
                self.put(' ');
            }
        } else {
            self.indicator(quote, true, false, false);
        }
        let (mut spaces, mut breaks) = (false, false);
        let mut chars = s.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            if c == ' ' {
                let inside = quote.is_empty() || (i > 0 && next.is_some());
                if fold && !spaces && self.column > WIDTH && inside && next != Some(' ') {
                    self.write_indent();
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line();
                }
                self.out.push(c);
                self.column = 0;
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' && !quote.is_empty() {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        if !quote.is_empty() {
            self.indicator(quote, false, false, false);
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn double(&mut self, s: &str, fold: bool) {
        self.indicator("\"", true, false, false);
        let mut spaces = false;
        let mut chars = s.char_indices().peekable();
        while let Some((i, c)) = chars.next() {
            let next = chars.peek().map(|(_, c)| *c);
            if !printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.put('\\');
                match u32::from(c) {
                    0x00 => self.put('0'),
                    0x07 => self.put('a'),
                    0x08 => self.put('b'),
                    0x09 => self.put('t'),
                    0x0a => self.put('n'),
                    0x0b => self.put('v'),
                    0x0c => self.put('f'),
                    0x0d => self.put('r'),
                    0x1b => self.put('e'),
                    0x22 | 0x5c => self.put(c),
                    0x85 => self.put('N'),
                    0xa0 => self.put('_'),
                    0x2028 => self.put('L'),
                    0x2029 => self.put('P'),
                    v => {
                        let text = match v {
                            0..=0xff => format!("x{v:02X}"),
                            0x100..=0xffff => format!("u{v:04X}"),
                            _ => format!("U{v:08X}"),
                        };
                        text.chars().for_each(|c| self.put(c));
                    }
                }
                spaces = false;
            } else if c == ' ' {
                if fold && !spaces && self.column > WIDTH && i > 0 && next.is_some() {
                    self.write_indent();
                    if next == Some(' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn literal(&mut self, s: &str) {
        self.indicator("|", true, false, false);
        if s.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator("2", false, false, false);
        }
        let mut back = s.chars().rev();
        match back.next() {
            Some(c) if !is_break(c) => self.indicator("-", false, false, false),
            _ => {
                if back.next().is_none_or(is_break) {
                    self.indicator("+", false, false, false);
                }
            }
        }
        self.line();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in s.chars() {
            if is_break(c) {
                self.out.push(c);
                self.column = 0;
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.put(c);
                self.indention = false;
                breaks = false;
            }
        }
    }
}

/// YAML 1.1's base 60 numbers (`1:30`), which are written quoted.
fn base60(s: &str) -> bool {
    let s = s.strip_prefix(['-', '+']).unwrap_or(s);
    let (head, fraction) = s.split_once('.').unwrap_or((s, ""));
    let mut parts = head.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    first.starts_with(|c: char| c.is_ascii_digit())
        && first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
        && !rest.is_empty()
        && rest.iter().all(|p| match p.as_bytes() {
            [d] => d.is_ascii_digit(),
            [t, d] => (b'0'..=b'5').contains(t) && d.is_ascii_digit(),
            _ => false,
        })
        && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// Sorts as Go does. The order has cycles (`1e` < `08` < `12e03` < `1e`), so the algorithm shows: insertion sort for up to
/// twelve keys, and for more a merge sort, as the standard library's sort may panic on such an order.
fn sort_keys(keys: &mut Vec<&String>) {
    if keys.len() > 12 {
        let mut right = keys.split_off(keys.len() / 2);
        sort_keys(keys);
        sort_keys(&mut right);
        let left = std::mem::take(keys);
        let (mut l, mut r) = (left.into_iter().peekable(), right.into_iter().peekable());
        while let (Some(a), Some(b)) = (l.peek(), r.peek()) {
            let next = if natural(b, a) == Ordering::Less { r.next() } else { l.next() };
            keys.extend(next);
        }
        keys.extend(l);
        keys.extend(r);
        return;
    }
    for i in 1..keys.len() {
        let mut j = i;
        while j > 0 && natural(keys[j], keys[j - 1]) == Ordering::Less {
            keys.swap(j, j - 1);
            j -= 1;
        }
    }
}

/// go-yaml's order of keys: letters after everything else, numbers by their value.
fn natural(a: &str, b: &str) -> Ordering {
    let (ar, br): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    for i in 0..ar.len().min(br.len()) {
        if ar[i] == br[i] {
            continue;
        }
        let (al, bl) = (ar[i].is_alphabetic(), br[i].is_alphabetic());
        if al && bl {
            return ar[i].cmp(&br[i]);
        }
        if al || bl {
            return if bl { Ordering::Less } else { Ordering::Greater };
        }
        let (mut an, mut bn) = (0i64, 0i64);
        if ar[i] == '0' || br[i] == '0' {
            let nonzero = ar[..i].iter().rev().take_while(|c| c.is_numeric()).any(|c| *c != '0');
            if nonzero {
                (an, bn) = (1, 1);
            }
        }
        let run = |r: &[char], n: &mut i64| {
            let digits = r[i..].iter().take_while(|c| c.is_ascii_digit());
            let mut len = 0;
            for d in digits {
                *n = n.wrapping_mul(10).wrapping_add(i64::from(u32::from(*d) - 48));
                len += 1;
            }
            len
        };
        let (alen, blen) = (run(&ar, &mut an), run(&br, &mut bn));
        return an.cmp(&bn).then(alen.cmp(&blen)).then(ar[i].cmp(&br[i]));
    }
    ar.len().cmp(&br.len())
}
