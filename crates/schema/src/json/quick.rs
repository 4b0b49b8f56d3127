//! One quick look at raw JSON text: whether it can be copied as it stands.

use crate::MAX_DEPTH;

/// Bytes that end the plain run of a string, or that compact text does not have: the quote, the backslash, control
/// characters, what HTML escapes, and the beginning of U+2028.
static STOP: [bool; 256] = {
    let mut t = [false; 256];
    let mut i = 0;
    while i < 0x20 {
        t[i] = true;
        i += 1;
    }
    t[b'"' as usize] = true;
    t[b'\\' as usize] = true;
    t[b'<' as usize] = true;
    t[b'>' as usize] = true;
    t[b'&' as usize] = true;
    t[0xe2] = true;
    t
};

/// Whether this is valid JSON without white space and without anything that Go's encoder would escape. A `false` says
/// nothing more: the full reader tells what is the matter.
pub(super) fn is_compact(b: &[u8]) -> bool {
    walk(b).is_some_and(|end| end == b.len())
}

/// After the closing quote of a string whose opening quote is at `i`.
fn string(b: &[u8], i: usize) -> Option<usize> {
    if *b.get(i)? != b'"' {
        return None;
    }
    let mut i = i + 1;
    loop {
        let c = *b.get(i)?;
        if !STOP[usize::from(c)] {
            i += 1;
            continue;
        }
        match c {
            b'"' => return Some(i + 1),
            b'\\' => match b.get(i + 1)? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => i += 2,
                _ => return None,
            },
            _ => return None,
        }
    }
}

fn number(b: &[u8], mut i: usize) -> Option<usize> {
    let digits = |mut i: usize| {
        let start = i;
        while b.get(i).is_some_and(u8::is_ascii_digit) {
            i += 1;
        }
        (i > start).then_some(i)
    };
    if b.get(i) == Some(&b'-') {
        i += 1;
    }
    i = if b.get(i) == Some(&b'0') { i + 1 } else { digits(i)? };
    if b.get(i) == Some(&b'.') {
        i = digits(i + 1)?;
    }
    if matches!(b.get(i), Some(b'e' | b'E')) {
        i += 1;
        if matches!(b.get(i), Some(b'+' | b'-')) {
            i += 1;
        }
        i = digits(i)?;
    }
    Some(i)
}

/// After the first value; `None` when it is not compact JSON.
fn walk(b: &[u8]) -> Option<usize> {
    // Open containers, one bit each: 1 an object.
    let mut open = [0u64; MAX_DEPTH / 64];
    let mut depth = 0usize;
    let mut i = 0;
    let key = |i: usize| -> Option<usize> {
        let i = string(b, i)?;
        (*b.get(i)? == b':').then_some(i + 1)
    };
    loop {
        match *b.get(i)? {
            c @ (b'{' | b'[') => {
                let object = c == b'{';
                let close = if object { b'}' } else { b']' };
                if depth == MAX_DEPTH {
                    return None;
                }
                i += 1;
                if *b.get(i)? == close {
                    i += 1;
                } else {
                    let bit = 1 << (depth % 64);
                    if object {
                        open[depth / 64] |= bit;
                        i = key(i)?;
                    } else {
                        open[depth / 64] &= !bit;
                    }
                    depth += 1;
                    continue;
                }
            }
            b'"' => i = string(b, i)?,
            b't' if b[i..].starts_with(b"true") => i += 4,
            b'n' if b[i..].starts_with(b"null") => i += 4,
            b'f' if b[i..].starts_with(b"false") => i += 5,
            _ => i = number(b, i)?,
        }
        loop {
            if depth == 0 {
                return Some(i);
            }
            let object = open[(depth - 1) / 64] & (1 << ((depth - 1) % 64)) != 0;
            match (*b.get(i)?, object) {
                (b',', true) => {
                    i = key(i + 1)?;
                    break;
                }
                (b',', false) => {
                    i += 1;
                    break;
                }
                (b'}', true) | (b']', false) => {
                    depth -= 1;
                    i += 1;
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compact_or_not() {
        for good in [
            "{}",
            "[]",
            "1",
            "-0.5e+3",
            "\"a\\n\"",
            "[{\"a\":[1,true,null]},false,\"é\"]",
            "{\"a\":{},\"b\":[[]]}",
        ] {
            assert!(is_compact(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            " 1",
            "1 ",
            "{",
            "[1",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[}",
            "{]",
            "01",
            "1.",
            "-",
            "1e",
            "tru",
            "\"",
            "\"<\"",
            "\"\u{2028}\"",
            "\"\\x\"",
            "1 2",
            "[1]]",
            "{1:2}",
            "\"a\n\"",
        ] {
            assert!(!is_compact(bad.as_bytes()), "{bad}");
        }
        assert!(is_compact(("[".repeat(512) + &"]".repeat(512)).as_bytes()));
        assert!(!is_compact(("[".repeat(513) + &"]".repeat(513)).as_bytes()));
    }
}
