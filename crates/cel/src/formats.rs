//! Named formats (apiserver `pkg/cel/library/format.go`).

use crate::{time, url};
use meta::names;

pub struct Format {
    pub name: &'static str,
    pub check: fn(&str) -> Vec<String>,
    /// The size of the expression that upstream reckons with.
    pub max_regex: u64,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn unless(ok: bool, what: &str) -> Vec<String> {
    if ok { Vec::new() } else { vec![what.to_owned()] }
}

const FORMATS: [(&str, Format); 13] = [
    ("dns1123Label", Format { name: "DNS1123Label", check: names::is_dns1123_label, max_regex: 30 }),
    (
        "dns1123Subdomain",
        Format { name: "DNS1123Subdomain", check: names::is_dns1123_subdomain, max_regex: 60 },
    ),
    ("dns1035Label", Format { name: "DNS1035Label", check: names::is_dns1035_label, max_regex: 30 }),
    ("qualifiedName", Format { name: "QualifiedName", check: names::is_qualified_name, max_regex: 60 }),
    (
        "dns1123LabelPrefix",
        Format {
            name: "DNS1123LabelPrefix",
            check: |s| names::is_dns1123_label(&names::mask_trailing_dash(s)),
            max_regex: 30,
        },
    ),
    (
        "dns1123SubdomainPrefix",
        Format {
            name: "DNS1123SubdomainPrefix",
            check: |s| names::is_dns1123_subdomain(&names::mask_trailing_dash(s)),
            max_regex: 60,
        },
    ),
    (
        "dns1035LabelPrefix",
        Format {
            name: "DNS1035LabelPrefix",
            check: |s| names::is_dns1035_label(&names::mask_trailing_dash(s)),
            max_regex: 30,
        },
    ),
    ("labelValue", Format { name: "LabelValue", check: names::is_label_value, max_regex: 40 }),
    (
        "uri",
        Format { name: "URI", check: |s| url::Url::parse(s).err().into_iter().collect(), max_regex: 1103 },
    ),
    (
        "uuid",
        Format {
            name: "uuid",
            check: |s| unless(is_uuid(s), "does not match the UUID format"),
            max_regex: 70,
        },
    ),
    ("byte", Format { name: "byte", check: |s| unless(is_base64(s), "invalid base64"), max_regex: 84 }),
    ("date", Format { name: "date", check: |s| unless(is_date(s), "invalid date"), max_regex: 71 }),
    (
        "datetime",
        Format { name: "datetime", check: |s| unless(is_datetime(s), "invalid datetime"), max_regex: 71 },
    ),
];

static TABLE: [(&str, Format); 13] = FORMATS;

pub fn named(name: &str) -> Option<&'static Format> {
    TABLE.iter().find(|(n, _)| *n == name).map(|(_, f)| f)
}

/// Eight, four, four, four and twelve hexadecimal digits; dashes between them may be left out.
pub fn is_uuid(s: &str) -> bool {
    let mut rest = s;
    for (i, n) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        match rest.get(..n) {
            Some(p) if p.bytes().all(|b| b.is_ascii_hexdigit()) => rest = &rest[n..],
            _ => return false,
        }
    }
    rest.is_empty()
}

pub fn is_base64(s: &str) -> bool {
    let body = s.trim_end_matches('=');
    s.len().is_multiple_of(4)
        && s.len() - body.len() <= 2
        && !body.is_empty()
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

pub fn is_date(s: &str) -> bool {
    time::parse_timestamp(&format!("{s}T00:00:00Z")).is_some()
}

/// A date, and a time whose parts are in range.
pub fn is_datetime(s: &str) -> bool {
    let low = s.to_ascii_lowercase();
    let Some((date, t)) = low.split_once('t') else { return false };
    let b = t.as_bytes();
    let two = |i: usize, max: u8| t.get(i..i + 2).is_some_and(|p| p.parse::<u8>().is_ok_and(|n| n <= max));
    let parts = two(0, 23) && two(3, 59) && two(6, 59) && b.get(2) == Some(&b':') && b.get(5) == Some(&b':');
    if !is_date(date) || !parts {
        return false;
    }
    let rest = &t[8..];
    let zone = match rest.strip_prefix('.') {
        Some(f) => f.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let digits = |z: &str| {
        z.len() == 5 && z.as_bytes()[2] == b':' && z.bytes().filter(u8::is_ascii_digit).count() == 4
    };
    zone == "z" || zone.strip_prefix(['+', '-']).is_some_and(digits)
}
