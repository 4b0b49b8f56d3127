//! Regular expressions: RE2's, by the crate `regex`.

use crate::eval::{Eval, EvalError};
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Bytes a compiled expression may take.
const SIZE: usize = 8 << 20;
/// Compiled expressions that are kept.
const KEPT: usize = 512;

static CACHE: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);

/// Compiles an expression, or finds it compiled.
pub fn compile(p: &str) -> Result<Regex, String> {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(r) = cache.get(p) {
        return Ok(r.clone());
    }
    let r = RegexBuilder::new(p).size_limit(SIZE).build().map_err(|e| e.to_string())?;
    if cache.len() >= KEPT {
        cache.clear();
    }
    cache.insert(p.to_owned(), r.clone());
    Ok(r)
}

pub fn matches(s: &str, p: &str) -> Eval<bool> {
    compile(p).map(|r| r.is_match(s)).map_err(|e| EvalError::new(go_error(p, &e)))
}

/// What is wrong, in the words of Go's package, for the mistakes people make.
pub fn go_error(p: &str, e: &str) -> String {
    let has = |w: &str| e.contains(w);
    let what = if has("unclosed group") {
        format!("missing closing ): `{p}`")
    } else if has("unopened group") {
        format!("unexpected ): `{p}`")
    } else if has("unclosed character class") {
        let from = p.rfind('[').unwrap_or(0);
        format!("missing closing ]: `{}`", &p[from..])
    } else if has("repetition operator missing") {
        let op = p.chars().find(|c| matches!(c, '*' | '+' | '?')).unwrap_or('*');
        format!("missing argument to repetition operator: `{op}`")
    } else if has("look-around") {
        let from = p.find("(?").unwrap_or(0);
        format!("invalid or unsupported Perl syntax: `{}`", p[from..].chars().take(3).collect::<String>())
    } else {
        format!("invalid syntax: `{p}`")
    };
    format!("error parsing regexp: {what}")
}

fn illegal(p: &str, e: &str) -> EvalError {
    EvalError::new(format!("Illegal regex: {}", go_error(p, e)))
}

/// The first match, or nothing.
pub fn find(s: &str, p: &str) -> Eval<String> {
    let r = compile(p).map_err(|e| illegal(p, &e))?;
    Ok(r.find(s).map_or_else(String::new, |m| m.as_str().to_owned()))
}

/// All matches, or as many as are asked for.
pub fn find_all(s: &str, p: &str, n: i64) -> Eval<Vec<String>> {
    let r = compile(p).map_err(|e| illegal(p, &e))?;
    let limit = if n < 0 { usize::MAX } else { usize::try_from(n).unwrap_or(usize::MAX) };
    Ok(r.find_iter(s).take(limit).map(|m| m.as_str().to_owned()).collect())
}
