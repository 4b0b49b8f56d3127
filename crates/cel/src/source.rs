//! The text of an expression, and messages that point into it.

use std::fmt::Write;

/// Longest line that is shown below a message.
const MAX_SNIPPET: usize = 16384;
/// Messages shown, at most.
const MAX_ISSUES: usize = 100;

/// Something wrong with an expression, at a code point of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// `None`: nowhere in particular (shown as line -1).
    pub at: Option<u32>,
    pub message: String,
}

/// What is wrong with an expression. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.display())]
pub struct Issues {
    pub text: String,
    pub list: Vec<Issue>,
}

impl Issues {
    pub fn one(source: &str, at: Option<u32>, message: impl Into<String>) -> Self {
        Self { text: source.to_owned(), list: vec![Issue { at, message: message.into() }] }
    }

    /// The form users see: one message a paragraph, with the line and a caret below it.
    pub fn display(&self) -> String {
        let mut list: Vec<_> = self.list.iter().map(|i| (position(&self.text, i.at), &i.message)).collect();
        list.sort_by_key(|(p, _)| *p);
        let mut out: Vec<String> =
            list.iter().take(MAX_ISSUES).map(|(p, m)| show(&self.text, *p, m)).collect();
        if list.len() > MAX_ISSUES {
            out.push(format!("{} more errors were truncated", list.len() - MAX_ISSUES));
        }
        out.join("\n")
    }
}

/// Line (from 1) and column (from 0).
fn position(source: &str, at: Option<u32>) -> (i64, i64) {
    let Some(at) = at else { return (-1, -1) };
    let (mut line, mut col) = (1, 0);
    for c in source.chars().take(at as usize) {
        if c == '\n' {
            line += 1;
            col = 0;
        } else {
            col += 1;
        }
    }
    (line, col)
}

fn show(source: &str, (line, col): (i64, i64), message: &str) -> String {
    let mut out = format!("ERROR: <input>:{line}:{}: {message}", col + 1);
    let Some(text) = usize::try_from(line - 1).ok().and_then(|l| source.split('\n').nth(l)) else {
        return out;
    };
    if text.len() > MAX_SNIPPET {
        return out;
    }
    let text = text.replace('\t', " ");
    let _ = write!(out, "\n | {text}\n | ");
    let mut chars = text.chars();
    for c in chars.by_ref().take(usize::try_from(col).unwrap_or(0)) {
        out.push(if c.len_utf8() > 1 { '\u{ff0e}' } else { '.' });
    }
    out.push(if chars.next().is_some_and(|c| c.len_utf8() > 1) { '\u{ff3e}' } else { '^' });
    out
}
