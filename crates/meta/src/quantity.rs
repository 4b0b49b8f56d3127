//! Quantities: `100m`, `1Gi`, `1e3` (apimachinery `pkg/api/resource`). Exact, canonical form as upstream prints it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// The suffix family a quantity is printed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    BinarySi,
    DecimalSi,
    DecimalExponent,
}

/// An exact decimal number: `units` nano-units (1e-9), saturating at the ends of i128.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    pub nanos: i128,
    pub format: Format,
}

const NANO: i128 = 1_000_000_000;
const MILLI: i128 = 1_000_000;
/// The most that a binary quantity may be: 2^63-1 units.
const BINARY_MAX: i128 = (i64::MAX as i128) * NANO;

pub const ERR_FORMAT: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
pub const ERR_SUFFIX: &str = "unable to parse quantity's suffix";

/// A quantity's text taken apart.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, without leading zeros unless it is all there is.
    num: &'a str,
    denom: &'a str,
    suffix: &'a str,
}

fn split(s: &str) -> Result<Parts<'_>, String> {
    let b = s.as_bytes();
    let digits = |mut i: usize| {
        while i < b.len() && b[i].is_ascii_digit() {
            i += 1;
        }
        i
    };
    let negative = b.first() == Some(&b'-');
    let mut i = usize::from(matches!(b.first(), Some(b'-' | b'+')));
    while i < b.len() && b[i] == b'0' {
        i += 1;
    }
    let mut end = digits(i);
    let num = if end == i { "0" } else { &s[i..end] };
    let mut denom = "";
    if end < b.len() && b[end] == b'.' {
        let d = digits(end + 1);
        denom = &s[end + 1..d];
        end = d;
    }
    let mut j = end;
    while j < b.len() && b"eEinumkKMGTP".contains(&b[j]) {
        j += 1;
    }
    if j < b.len() && matches!(b[j], b'-' | b'+') {
        j += 1;
    }
    if digits(j) < b.len() {
        return Err(ERR_FORMAT.into());
    }
    Ok(Parts { negative, num, denom, suffix: &s[end..] })
}

/// Base (2 or 10), exponent and format of a suffix.
fn suffix(s: &str) -> Option<(u32, i64, Format)> {
    const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    const DECIMAL: [(&str, i64); 10] = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    if let Some((_, e)) = DECIMAL.iter().find(|(x, _)| *x == s) {
        return Some((10, *e, Format::DecimalSi));
    }
    if let Some(i) = BINARY.iter().position(|x| *x == s) {
        return Some((2, 10 * (i as i64 + 1), Format::BinarySi));
    }
    let e: i64 = s.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some((10, e, Format::DecimalExponent))
}

/// The decimal `digits` times 10^`exp`, rounded away from zero to a whole number, saturating.
fn whole(digits: &[u8], exp: i64) -> i128 {
    let first = digits.iter().position(|d| *d != 0).unwrap_or(digits.len());
    let digits = &digits[first..];
    if digits.is_empty() {
        return 0;
    }
    let len = digits.len() as i64;
    let keep = if exp < 0 { (len + exp).max(0) as usize } else { digits.len() };
    let mut v: i128 = 0;
    for d in &digits[..keep] {
        v = v.saturating_mul(10).saturating_add(i128::from(*d));
    }
    if digits[keep..].iter().any(|d| *d != 0) {
        v = v.saturating_add(1);
    }
    for _ in 0..exp.clamp(0, 40) {
        v = v.saturating_mul(10);
    }
    v
}

/// Multiplies a decimal number held as digits by 1024.
fn times_1024(digits: &mut Vec<u8>) {
    let mut carry = 0u32;
    for d in digits.iter_mut().rev() {
        carry += u32::from(*d) * 1024;
        *d = (carry % 10) as u8;
        carry /= 10;
    }
    while carry > 0 {
        digits.insert(0, (carry % 10) as u8);
        carry /= 10;
    }
}

impl Quantity {
    /// Parses a quantity; the error is upstream's message.
    pub fn parse(s: &str) -> Result<Self, String> {
        Self::parse_parts(s).map(|(q, _)| q)
    }

    /// The quantity, and whether its text is one that upstream keeps as it is instead of printing the number anew.
    fn parse_parts(s: &str) -> Result<(Self, bool), String> {
        if s.is_empty() {
            return Err(ERR_FORMAT.into());
        }
        if s == "0" {
            return Ok((Self { nanos: 0, format: Format::DecimalSi }, true));
        }
        let p = split(s)?;
        let (base, exp, mut format) = suffix(p.suffix).ok_or(ERR_SUFFIX)?;
        let mut digits: Vec<u8> = p.num.bytes().chain(p.denom.bytes()).map(|b| b - b'0').collect();
        let places = p.denom.len() as i64;
        let total = digits.len() as i64;
        let (mut nanos, kept);
        if base == 2 {
            // Upstream's quick path; the slow one never keeps the text.
            let quick = places == 0 && 15 - total - exp * 3 / 10 > 0;
            let last = digits.iter().rev().take(3).rev().fold(0u32, |a, d| a * 10 + u32::from(*d));
            kept = quick && last % 8 != 0;
            for _ in 0..exp / 10 {
                times_1024(&mut digits);
            }
            nanos = whole(&digits, 9 - places).min(BINARY_MAX);
            if nanos > 0 && nanos < NANO {
                format = Format::DecimalSi;
            }
        } else {
            let scale = exp.saturating_sub(places);
            kept = total <= 18
                && scale >= -9
                && scale % 3 == 0
                && !digits.ends_with(&[0, 0, 0])
                && digits[0] != 0;
            nanos = whole(&digits, scale.saturating_add(9));
        }
        if p.negative {
            nanos = -nanos;
        }
        Ok((Self { nanos, format }, kept))
    }

    pub fn from_milli(m: i64, format: Format) -> Self {
        Self { nanos: i128::from(m) * MILLI, format }
    }
    pub fn from_units(v: i64, format: Format) -> Self {
        Self { nanos: i128::from(v) * NANO, format }
    }
    pub fn zero() -> Self {
        Self { nanos: 0, format: Format::DecimalSi }
    }
    /// Whole units, rounded up (away from zero), saturating.
    pub fn value(&self) -> i64 {
        clamp(div_away(self.nanos, NANO))
    }
    /// Thousandths, rounded up (away from zero), saturating.
    pub fn milli_value(&self) -> i64 {
        clamp(div_away(self.nanos, MILLI))
    }
    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / 1e9
    }
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }
    /// Whether it is a whole number of units.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }
    /// Rounded up to thousandths, as defaulting does with resource lists.
    #[must_use]
    pub fn round_up_milli(&self) -> Self {
        Self { nanos: div_away(self.nanos, MILLI).saturating_mul(MILLI), format: self.format }
    }
    /// The sum, in the first one's format unless that is zero.
    #[must_use]
    pub fn plus(&self, o: &Self) -> Self {
        let format = if self.is_zero() { o.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(o.nanos), format }
    }
    #[must_use]
    pub fn minus(&self, o: &Self) -> Self {
        let format = if self.is_zero() { o.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(o.nanos), format }
    }
    #[must_use]
    pub fn times(&self, n: i64) -> Self {
        Self { nanos: self.nanos.saturating_mul(i128::from(n)), format: self.format }
    }
    #[must_use]
    pub fn negated(&self) -> Self {
        Self { nanos: self.nanos.saturating_neg(), format: self.format }
    }
}

/// The text that upstream stores and answers for this text: most often the canonical form, but a number that is written
/// with a matching suffix is kept as it stands (`1.500`, `1000Ki` → `1000Ki`).
pub fn normalize(s: &str) -> Result<Cow<'_, str>, String> {
    let t = s.trim();
    if plainly_canonical(t.as_bytes()) {
        return Ok(Cow::Borrowed(t));
    }
    let (q, kept) = Quantity::parse_parts(t)?;
    Ok(if kept { Cow::Borrowed(t) } else { Cow::Owned(q.to_string()) })
}

/// The quick look that settles most quantities: up to nine digits and a usual suffix, nothing to reduce.
fn plainly_canonical(b: &[u8]) -> bool {
    let n = b.iter().take_while(|c| c.is_ascii_digit()).count();
    if n == 0 || n > 9 || b[0] == b'0' {
        return false;
    }
    let v = b[..n].iter().fold(0u32, |v, c| v * 10 + u32::from(c - b'0'));
    match &b[n..] {
        b"" | b"m" | b"k" | b"M" | b"G" => v % 1000 != 0,
        b"Ki" | b"Mi" | b"Gi" => v % 1024 != 0,
        _ => false,
    }
}

fn div_away(v: i128, by: i128) -> i128 {
    let q = v / by;
    if v % by == 0 { q } else { q + v.signum() }
}
fn clamp(v: i128) -> i64 {
    i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX })
}

impl fmt::Display for Quantity {
    /// Canonical: no fraction, the largest suffix that keeps it exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let small = self.nanos.unsigned_abs() < 1024 * NANO.unsigned_abs();
        if self.format == Format::BinarySi && !small && self.is_whole() {
            let mut v = self.nanos / NANO;
            let mut i = 0;
            while v % 1024 == 0 && i < 6 {
                v /= 1024;
                i += 1;
            }
            return write!(f, "{v}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][i]);
        }
        let (mut v, mut exp) = (self.nanos, -9);
        let top = if self.format == Format::DecimalExponent { 30 } else { 18 };
        while v % 1000 == 0 && exp < top {
            v /= 1000;
            exp += 3;
        }
        if self.format == Format::DecimalExponent {
            return if exp == 0 { write!(f, "{v}") } else { write!(f, "{v}e{exp}") };
        }
        let at = usize::try_from((exp + 9) / 3).unwrap_or(0);
        write!(f, "{v}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][at])
    }
}
impl PartialEq for Quantity {
    fn eq(&self, o: &Self) -> bool {
        self.nanos == o.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}
impl Ord for Quantity {
    fn cmp(&self, o: &Self) -> Ordering {
        self.nanos.cmp(&o.nanos)
    }
}

#[cfg(test)]
mod tests;
