//! PEM blocks and the few DER structures that keys come in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The blocks of a PEM text: label and content. Text between blocks is skipped; a damaged block ends the list.
pub(crate) fn blocks(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("-----BEGIN ") {
        let after = &rest[at + 11..];
        let Some((label, body)) = after.split_once("-----") else { break };
        let end = format!("-----END {label}-----");
        let Some((body, tail)) = body.split_once(&end) else { break };
        // Headers (`Proc-Type: …`) come before an empty line; keys with them are encrypted and not for us.
        let clean: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        let Ok(der) = STANDARD.decode(clean) else { break };
        out.push((label.to_owned(), der));
        rest = tail;
    }
    out
}

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// Reads DER elements one after the other.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element: tag and content.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let len = if first < 0x80 {
            usize::from(first)
        } else {
            let n = usize::from(first & 0x7f);
            if n == 0 || n > 4 || rest.len() < n {
                return None;
            }
            let (bytes, r) = rest.split_at(n);
            rest = r;
            bytes.iter().fold(0usize, |a, b| (a << 8) | usize::from(*b))
        };
        if rest.len() < len {
            return None;
        }
        let (content, tail) = rest.split_at(len);
        self.0 = tail;
        Some((tag, content))
    }
    /// The next element's content if it has this tag; otherwise nothing is read.
    pub(crate) fn tagged(&mut self, tag: u8) -> Option<&'a [u8]> {
        if *self.0.first()? != tag {
            return None;
        }
        Some(self.any()?.1)
    }
    pub(crate) fn sequence(&mut self) -> Option<Reader<'a>> {
        self.tagged(SEQUENCE).map(Reader)
    }
    /// A non-negative integer without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Option<&'a [u8]> {
        let mut v = self.tagged(INTEGER)?;
        if v.first()? & 0x80 != 0 {
            return None;
        }
        while v.len() > 1 && v[0] == 0 {
            v = &v[1..];
        }
        Some(v)
    }
    /// A bit string of whole bytes.
    pub(crate) fn bits(&mut self) -> Option<&'a [u8]> {
        let (unused, v) = self.tagged(BIT_STRING)?.split_first()?;
        (*unused == 0).then_some(v)
    }
}

/// Writes one DER element.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|p| p.len()).sum();
    let mut out = vec![tag];
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes = (len as u64).to_be_bytes();
        let skip = bytes.iter().take_while(|b| **b == 0).count();
        out.push(0x80 | (8 - skip) as u8);
        out.extend_from_slice(&bytes[skip..]);
    }
    for p in parts {
        out.extend_from_slice(p);
    }
    out
}

/// A non-negative integer from its big-endian bytes.
pub(crate) fn unsigned(v: &[u8]) -> Vec<u8> {
    let pad: &[u8] = if v.first().is_none_or(|b| b & 0x80 != 0) { &[0] } else { &[] };
    element(INTEGER, &[pad, v])
}
