//! Lists all pods: whole, in pages, by label, consistent or from the cache.

use crate::Args;
use crate::net::{Call, Target};
use crate::objects::Encoding;
use crate::stat::{Span, micros};
use serde_json::Value;
use std::time::{Duration, Instant};

pub async fn run(args: &Args) -> Result<Value, String> {
    let mut conn = Target::of(args)?.connect().await?;
    let media = Encoding::parse(args.or("encoding", "json"))?.media();
    let mode = args.or("mode", "whole");
    let query = match mode {
        "whole" => "",
        "cached" => "?resourceVersion=0",
        "label" => "?labelSelector=mark%3Dchosen",
        "paged" => "?limit=500",
        _ => return Err(format!("--mode {mode}: whole, cached, label or paged")),
    };
    let path = format!("/api/v1/pods{query}");
    let (repeat, least) = (args.number("repeat", 3)?, Duration::from_millis(args.number("millis", 500)?));
    let span = Span::start(&args.servers());
    let (mut latencies, mut bytes) = (Vec::new(), 0);
    let all = Instant::now();
    while (latencies.len() as u64) < repeat || all.elapsed() < least {
        let begin = Instant::now();
        let mut body = conn.call(Call::get(&path, media)).await?;
        bytes = body.len();
        while let Some(token) = token(&body) {
            body = conn.call(Call::get(&format!("{path}&continue={token}"), media)).await?;
            bytes += body.len();
        }
        latencies.push(micros(begin));
    }
    let mut v = span.end(latencies.len() as u64, latencies);
    v["bytes"] = bytes.into();
    Ok(v)
}

/// The token of the next page: base64 in both encodings, found without decoding the page.
fn token(body: &[u8]) -> Option<String> {
    let is = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'=');
    if let Some(body) = body.strip_prefix(b"k8s\0") {
        // Unknown{1: types, 2: list}; list{1: metadata{.., 3: continue}}.
        let list = field(body, 2)?;
        let token = field(field(list, 1)?, 3)?;
        return (!token.is_empty()).then(|| String::from_utf8_lossy(token).into_owned());
    }
    // The list's own metadata comes before its items.
    let body = &body[..body.len().min(2048)];
    let key = b"\"continue\":\"";
    let at = body.windows(key.len()).position(|w| w == key)? + key.len();
    let token: Vec<u8> = body[at..].iter().copied().take_while(is).collect();
    (!token.is_empty()).then(|| String::from_utf8_lossy(&token).into_owned())
}

/// The first field of this number that holds bytes.
fn field(mut m: &[u8], number: u64) -> Option<&[u8]> {
    fn varint(m: &mut &[u8]) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (b, rest) = m.split_first()?;
            *m = rest;
            n |= u64::from(b & 0x7f) << shift;
            if b & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }
    while !m.is_empty() {
        let tag = varint(&mut m)?;
        let n = varint(&mut m)?;
        if tag & 7 == 2 {
            let (v, rest) = m.split_at_checked(usize::try_from(n).ok()?)?;
            if tag >> 3 == number {
                return Some(v);
            }
            m = rest;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_are_found() {
        let json = br#"{"metadata":{"resourceVersion":"1","continue":"abc_-="},"items":[]}"#;
        assert_eq!(super::token(json).as_deref(), Some("abc_-="));
        assert_eq!(super::token(br#"{"metadata":{}}"#), None);
        let proto = [&b"k8s\0\x0a\x02\x0a\x00\x12\x07\x0a\x05\x12\x00\x1a\x01x"[..]].concat();
        assert_eq!(super::token(&proto).as_deref(), Some("x"));
    }
}
