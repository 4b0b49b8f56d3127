//! Changes of a few fields of an encoded message that leave the bytes of all others as they are.

use super::wire::{Payload, Reader, put_bytes};

/// The contents of all occurrences of a field that holds bytes, text or messages. `None`: the message is malformed.
pub fn all_fields(raw: &[u8], number: u32) -> Option<Vec<&[u8]>> {
    let (mut r, mut out) = (Reader::new(raw), Vec::new());
    while let Some((num, p)) = r.next().ok()? {
        if num == number {
            let Payload::Bytes(b) = p else { return None };
            out.push(b);
        }
    }
    Some(out)
}

/// The message with other contents of these fields (bytes, text or messages; by number, ascending), each at the place
/// where an encoder that writes fields by number puts it. `None`: the message was not written by such a one.
pub fn with_fields(raw: &[u8], changes: &[(u8, Vec<&[u8]>)]) -> Option<Vec<u8>> {
    let more: usize = changes.iter().flat_map(|c| &c.1).map(|b| b.len() + 8).sum();
    let mut out = Vec::with_capacity(raw.len() + more);
    let mut left = changes.iter();
    let mut next = left.next();
    let (mut r, mut last) = (Reader::new(raw), 0);
    loop {
        let at = r.i;
        let field = r.next().ok()?.map(|f| f.0);
        // All that belongs in front of this field, or instead of it.
        while let Some((num, contents)) = next
            && field.is_none_or(|f| f >= u32::from(*num))
        {
            for b in contents {
                put_bytes(*num, b, &mut out);
            }
            next = left.next();
        }
        let Some(num) = field else { return Some(out) };
        if num < last {
            return None;
        }
        last = num;
        if !changes.iter().any(|c| u32::from(c.0) == num) {
            out.extend_from_slice(&raw[at..r.i]);
        }
    }
}

/// The entries of a map from text to text with these in it as well, in the order in which they are written.
pub fn with_entries(entries: &[&[u8]], more: &[(&str, &str)]) -> Option<Vec<Vec<u8>>> {
    let mut all: Vec<(&[u8], Vec<u8>)> = Vec::with_capacity(entries.len() + more.len());
    for e in entries {
        let key = all_fields(e, 1)?.last().copied().unwrap_or_default();
        if !more.iter().any(|m| m.0.as_bytes() == key) {
            all.push((key, e.to_vec()));
        }
    }
    for (k, v) in more {
        let mut e = Vec::with_capacity(k.len() + v.len() + 8);
        put_bytes(1, k.as_bytes(), &mut e);
        put_bytes(2, v.as_bytes(), &mut e);
        all.push((k.as_bytes(), e));
    }
    all.sort_by_key(|e| e.0);
    Some(all.into_iter().map(|e| e.1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_go_to_their_places() {
        let msg = [0x0a, 1, b'a', 0x1a, 1, b'c', 0x1a, 1, b'd', 0x28, 7];
        let with = |changes: &[(u8, Vec<&[u8]>)]| with_fields(&msg, changes).unwrap();
        assert_eq!(with(&[]), msg);
        assert_eq!(with(&[(3, vec![])]), [0x0a, 1, b'a', 0x28, 7]);
        assert_eq!(
            with(&[(2, vec![b"x"]), (3, vec![b"y"]), (9, vec![b"z"])]),
            [0x0a, 1, b'a', 0x12, 1, b'x', 0x1a, 1, b'y', 0x28, 7, 0x4a, 1, b'z']
        );
        assert_eq!(with(&[(1, vec![b"", b"b"])])[..5], [0x0a, 0, 0x0a, 1, b'b']);
        assert_eq!(with_fields(&[0x1a, 0, 0x0a, 0], &[]), None, "fields out of order");
        assert_eq!(with_fields(&[0x1a, 5], &[]), None, "cut off");
        assert_eq!(all_fields(&msg, 3).unwrap(), [b"c", b"d"]);
        assert_eq!(all_fields(&msg, 5), None);
    }
    #[test]
    fn map_entries_are_sorted_and_replaced() {
        let entry = |k: &str, v: &str| with_entries(&[], &[(k, v)]).unwrap().remove(0);
        let (a, c) = (entry("a", "1"), entry("c", "3"));
        let got = with_entries(&[&a, &c], &[("d", ""), ("b", "2"), ("c", "4")]).unwrap();
        assert_eq!(got, [a.clone(), entry("b", "2"), entry("c", "4"), entry("d", "")]);
    }
}
