//! Times of the API: RFC 3339 in whole seconds (`Time`) and microseconds (`MicroTime`), and how ages are printed.

use crate::field::quote;

/// Seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    pub seconds: i64,
    pub nanos: u32,
}

/// The second at which Go's zero time stands (year 1): an unset time where it is not a pointer.
pub const GO_ZERO_SECONDS: i64 = -62_135_596_800;
const LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const LAYOUT_MICRO: &str = "2006-01-02T15:04:05.000000Z07:00";

impl Timestamp {
    pub fn parse(s: &str) -> Option<Self> {
        Self::parse_time(s).ok()
    }
    /// Parses a `Time`; the error is the text of Go's `time.Parse`.
    pub fn parse_time(s: &str) -> Result<Self, String> {
        Cursor { all: s, rest: s, layout: LAYOUT }.parse()
    }
    /// Parses a `MicroTime`, which must have six digits of fraction.
    pub fn parse_micro(s: &str) -> Result<Self, String> {
        Cursor { all: s, rest: s, layout: LAYOUT_MICRO }.parse()
    }
    /// `2026-01-02T15:04:05Z`
    pub fn rfc3339(&self) -> String {
        let mut out = Vec::with_capacity(20);
        self.write_rfc3339(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
    /// `2026-01-02T15:04:05.000000Z`
    pub fn rfc3339_micro(&self) -> String {
        let mut out = Vec::with_capacity(27);
        self.write_rfc3339_micro(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
    pub fn write_rfc3339(&self, out: &mut Vec<u8>) {
        self.date_time(out);
        out.push(b'Z');
    }
    pub fn write_rfc3339_micro(&self, out: &mut Vec<u8>) {
        self.date_time(out);
        out.push(b'.');
        digits(out, i64::from(self.nanos / 1000), 6);
        out.push(b'Z');
    }
    fn date_time(&self, out: &mut Vec<u8>) {
        let (y, mo, d) = civil(self.seconds.div_euclid(86_400));
        let r = self.seconds.rem_euclid(86_400);
        if y < 0 {
            out.push(b'-');
        }
        digits(out, y.abs(), 4);
        for (sep, v) in [(b'-', mo), (b'-', d), (b'T', r / 3600), (b':', r / 60 % 60), (b':', r % 60)] {
            out.push(sep);
            digits(out, v, 2);
        }
    }
    /// Whether this is Go's zero time, which its JSON shows as null.
    pub fn is_go_zero(&self) -> bool {
        self.seconds == GO_ZERO_SECONDS && self.nanos == 0
    }
    #[must_use]
    pub fn plus_seconds(&self, s: i64) -> Self {
        Self { seconds: self.seconds.saturating_add(s), nanos: self.nanos }
    }
    #[must_use]
    pub fn plus_millis(&self, ms: i64) -> Self {
        let n = i64::from(self.nanos) + ms.rem_euclid(1000) * 1_000_000;
        let seconds = self.seconds.saturating_add(ms.div_euclid(1000)).saturating_add(n / 1_000_000_000);
        Self { seconds, nanos: u32::try_from(n % 1_000_000_000).unwrap_or(0) }
    }
    /// Whole seconds from `earlier` to self.
    pub fn seconds_since(&self, earlier: &Self) -> i64 {
        self.seconds.saturating_sub(earlier.seconds)
    }
    /// Milliseconds from `earlier` to self.
    pub fn millis_since(&self, earlier: &Self) -> i64 {
        let ms = |t: &Self| t.seconds.saturating_mul(1000).saturating_add(i64::from(t.nanos / 1_000_000));
        ms(self).saturating_sub(ms(earlier))
    }
}

fn digits(out: &mut Vec<u8>, v: i64, width: u32) {
    let mut div = 10i64.pow(width - 1);
    let mut v = v;
    while v / div >= 10 {
        div *= 10;
    }
    while div > 0 {
        out.push(b'0' + (v / div) as u8);
        v %= div;
        div /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01 (proleptic Gregorian calendar).
pub fn civil(days: i64) -> (i64, i64, i64) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(m <= 2), m, doy - (153 * mp + 2) / 5 + 1)
}

/// The day counted from 1970-01-01 of a date.
pub fn days_of(y: i64, m: i64, d: i64) -> i64 {
    let y = y - i64::from(m <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// 0 is Sunday.
pub fn weekday(days: i64) -> i64 {
    (days + 4).rem_euclid(7)
}

struct Cursor<'a> {
    all: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Cursor<'_> {
    fn fail(&self, at: &str, what: &str) -> String {
        format!(
            "parsing time {} as {:?}: cannot parse {} as {:?}",
            quote(self.all),
            self.layout,
            quote(at),
            what
        )
    }
    fn range(&self, what: &str) -> String {
        format!("parsing time {}: {what} out of range", quote(self.all))
    }
    fn number(&mut self, width: usize, what: &str) -> Result<i64, String> {
        let b = self.rest.as_bytes();
        if b.len() < width || !b[..width].iter().all(u8::is_ascii_digit) {
            return Err(self.fail(self.rest, what));
        }
        let v = b[..width].iter().fold(0i64, |a, d| a * 10 + i64::from(d - b'0'));
        self.rest = &self.rest[width..];
        Ok(v)
    }
    fn literal(&mut self, c: char) -> Result<(), String> {
        match self.rest.strip_prefix(c) {
            Some(r) => {
                self.rest = r;
                Ok(())
            }
            None => Err(self.fail(self.rest, c.to_string().as_str())),
        }
    }
    /// A fraction of a second: `exact` digits, or any number of them (none is no fraction).
    fn fraction(&mut self, exact: Option<usize>) -> Result<u32, String> {
        let b = self.rest.as_bytes();
        let point = matches!(b.first(), Some(b'.' | b','));
        let n = if point { b[1..].iter().take_while(|c| c.is_ascii_digit()).count() } else { 0 };
        if exact.is_some_and(|e| n < e) {
            return Err(self.fail(self.rest, ".000000"));
        }
        if n == 0 {
            return Ok(0);
        }
        let n = exact.unwrap_or(n);
        let mut nanos = 0u32;
        for i in 0..9 {
            nanos = nanos * 10 + if i < n { u32::from(b[1 + i] - b'0') } else { 0 };
        }
        self.rest = &self.rest[1 + n..];
        Ok(nanos)
    }
    fn zone(&mut self) -> Result<i64, String> {
        if let Some(r) = self.rest.strip_prefix('Z') {
            self.rest = r;
            return Ok(0);
        }
        let at = self.rest;
        let b = at.as_bytes();
        let well = b.len() >= 6
            && matches!(b[0], b'+' | b'-')
            && b[3] == b':'
            && [1, 2, 4, 5].iter().all(|i| b[*i].is_ascii_digit());
        if !well {
            return Err(self.fail(at, "Z07:00"));
        }
        let two = |i: usize| i64::from(b[i] - b'0') * 10 + i64::from(b[i + 1] - b'0');
        let (h, m) = (two(1), two(4));
        if h > 24 {
            return Err(self.range("time zone offset hour"));
        }
        if m > 60 {
            return Err(self.range("time zone offset minute"));
        }
        self.rest = &at[6..];
        let off = h * 3600 + m * 60;
        Ok(if b[0] == b'-' { -off } else { off })
    }
    fn parse(mut self) -> Result<Timestamp, String> {
        let y = self.number(4, "2006")?;
        self.literal('-')?;
        let mo = self.number(2, "01")?;
        if !(1..=12).contains(&mo) {
            return Err(self.range("month"));
        }
        self.literal('-')?;
        let d = self.number(2, "02")?;
        self.literal('T')?;
        // Go takes an hour of one digit.
        let one = matches!(self.rest.as_bytes(), [a, b, ..] if a.is_ascii_digit() && !b.is_ascii_digit());
        let h = self.number(if one { 1 } else { 2 }, "15")?;
        if h > 23 {
            return Err(self.range("hour"));
        }
        self.literal(':')?;
        let mi = self.number(2, "04")?;
        if mi > 59 {
            return Err(self.range("minute"));
        }
        self.literal(':')?;
        let sec = self.number(2, "05")?;
        if sec > 59 {
            return Err(self.range("second"));
        }
        let nanos = self.fraction((self.layout == LAYOUT_MICRO).then_some(6))?;
        let off = self.zone()?;
        if !self.rest.is_empty() {
            return Err(format!("parsing time {}: extra text: {}", quote(self.all), quote(self.rest)));
        }
        let leap = y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let last = match mo {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if d < 1 || d > last {
            return Err(self.range("day"));
        }
        Ok(Timestamp { seconds: days_of(y, mo, d) * 86_400 + h * 3600 + mi * 60 + sec - off, nanos })
    }
}

/// A duration as Go's `time.ParseDuration` reads it (`1h30m`, `-1.5s`, `100ms`, `0`), in nanoseconds. The error is Go's.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (whole, mut after) = rest.split_at(end);
        let mut fraction = "";
        if let Some(f) = after.strip_prefix('.') {
            let end = f.find(|c: char| !c.is_ascii_digit()).unwrap_or(f.len());
            (fraction, after) = f.split_at(end);
        }
        if whole.len() + fraction.len() == 0 || whole.len() > 19 {
            return Err(invalid());
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let nanos: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += whole.parse::<i128>().unwrap_or(0) * nanos;
        let digits = &fraction[..fraction.len().min(18)];
        let scale = 10i128.pow(u32::try_from(digits.len()).unwrap_or(0));
        total += digits.parse::<i128>().unwrap_or(0) * nanos / scale;
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = next;
    }
    let total = i64::try_from(total).map_err(|_| invalid())?;
    Ok(if negative { -total } else { total })
}

/// A duration in seconds as `kubectl get` prints it: `5s`, `3m10s`, `2d5h`
/// (apimachinery `pkg/util/duration.HumanDuration`).
pub fn human_duration(seconds: i64) -> String {
    let pair = |a: i64, au: &str, b: i64, bu: &str| {
        if b == 0 { format!("{a}{au}") } else { format!("{a}{au}{b}{bu}") }
    };
    if seconds < -1 {
        return "<invalid>".into();
    }
    let (s, m, h) = (seconds.max(0), seconds / 60, seconds / 3600);
    match () {
        () if s < 120 => format!("{s}s"),
        () if m < 10 => pair(m, "m", s % 60, "s"),
        () if m < 180 => format!("{m}m"),
        () if h < 8 => pair(h, "h", m % 60, "m"),
        () if h < 48 => format!("{h}h"),
        () if h < 192 => pair(h / 24, "d", h % 24, "h"),
        () if h < 24 * 365 * 2 => format!("{}d", h / 24),
        () if h < 24 * 365 * 8 => pair(h / 24 / 365, "y", h / 24 % 365, "d"),
        () => format!("{}y", h / 24 / 365),
    }
}

/// The same with one unit only: `5s`, `3m`, `2d` (`ShortHumanDuration`).
pub fn short_human_duration(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".into();
    }
    let s = seconds.max(0);
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m", s / 60),
        3600..86_400 => format!("{}h", s / 3600),
        86_400..31_536_000 => format!("{}d", s / 86_400),
        _ => format!("{}y", s / 31_536_000),
    }
}

#[cfg(test)]
mod tests;
