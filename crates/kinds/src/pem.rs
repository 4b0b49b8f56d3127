//! PEM blocks, read as leniently as Go reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) struct Block {
    pub ty: String,
    pub has_headers: bool,
    pub der: Vec<u8>,
}

/// The next block of a text, and what follows it. What is no block is passed over.
pub(crate) fn next(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let start = rest.find("-----BEGIN ")?;
        let at_line_start = start == 0 || rest[..start].ends_with('\n');
        let after = &rest[start + 11..];
        rest = after;
        if !at_line_start {
            continue;
        }
        let Some((ty, body)) = after.split_once("-----") else { continue };
        if ty.contains('\n') {
            continue;
        }
        let end = format!("-----END {ty}-----");
        let Some((body, tail)) = body.split_once(&end) else { continue };
        let (headers, data): (Vec<&str>, Vec<&str>) = body.lines().partition(|l| l.contains(':'));
        let data: String = data.concat().chars().filter(|c| !c.is_whitespace()).collect();
        let Ok(der) = STANDARD.decode(data) else { continue };
        return Some((Block { ty: ty.to_owned(), has_headers: !headers.is_empty(), der }, tail));
    }
}

/// The text behind a base64 string; empty where it is none.
pub(crate) fn text(base64: &str) -> String {
    STANDARD.decode(base64).ok().and_then(|b| String::from_utf8(b).ok()).unwrap_or_default()
}
