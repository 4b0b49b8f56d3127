//! Durations and points in time: their texts and their parts (Go's `time` package, cel-go `common/types`).

use crate::value::Time;
use meta::time::{civil, days_of};

/// The first and the last second there is: years 1 and 9999.
const MIN: i64 = -62_135_596_800;
const MAX: i64 = 253_402_300_799;
const NANOS: i64 = 1_000_000_000;

/// A duration as Go writes it (`1h30m`, `-1.5s`).
pub fn parse_duration(s: &str) -> Result<i64, String> {
    let quoted = meta::field::quote(s);
    let invalid = || format!("time: invalid duration {quoted}");
    let (negative, mut rest) = match s.strip_prefix('-') {
        Some(r) => (true, r),
        None => (false, s.strip_prefix('+').unwrap_or(s)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let whole_len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let whole = &rest[..whole_len];
        rest = &rest[whole_len..];
        let mut frac = "";
        if let Some(r) = rest.strip_prefix('.') {
            let n = r.find(|c: char| !c.is_ascii_digit()).unwrap_or(r.len());
            frac = &r[..n];
            rest = &r[n..];
        }
        if whole.is_empty() && frac.is_empty() {
            return Err(invalid());
        }
        let n = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..n];
        rest = &rest[n..];
        let scale: u128 = match unit {
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" => return Err(format!("time: missing unit in duration {quoted}")),
            u => return Err(format!("time: unknown unit {} in duration {quoted}", meta::field::quote(u))),
        };
        if whole.len() > 20 {
            return Err(invalid());
        }
        let w: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total = total.saturating_add(w.saturating_mul(scale));
        let digits = &frac[..frac.len().min(18)];
        if !digits.is_empty() {
            let f: u128 = digits.parse().map_err(|_| invalid())?;
            let ten = 10u128.pow(u32::try_from(digits.len()).unwrap_or(0));
            total = total.saturating_add(f * scale / ten);
        }
        if total > 1 << 63 {
            return Err(invalid());
        }
    }
    if negative {
        return Ok(i64::try_from(-i128::try_from(total).unwrap_or(0)).unwrap_or(i64::MIN));
    }
    i64::try_from(total).map_err(|_| invalid())
}

/// Seconds with as many digits as it takes.
pub fn duration_text(d: i64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let secs = (d / NANOS) as f64 + (d % NANOS) as f64 / 1e9;
    format!("{}s", crate::convert::plain_double(secs))
}

/// RFC 3339, with the offset resolved.
pub fn parse_timestamp(s: &str) -> Option<Time> {
    let b = s.as_bytes();
    let num = |from: usize, n: usize| -> Option<i64> {
        let t = s.get(from..from + n)?;
        t.bytes().all(|c| c.is_ascii_digit()).then(|| t.parse().ok()).flatten()
    };
    let sep = |i: usize, c: u8| b.get(i) == Some(&c);
    if !(sep(4, b'-') && sep(7, b'-') && sep(10, b'T') && sep(13, b':') && sep(16, b':')) {
        return None;
    }
    let (y, m, d) = (num(0, 4)?, num(5, 2)?, num(8, 2)?);
    let (h, min, sec) = (num(11, 2)?, num(14, 2)?, num(17, 2)?);
    let last = match m {
        2 if (y % 4 == 0 && y % 100 != 0) || y % 400 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if d < 1 || d > last || h > 23 || min > 59 || sec > 59 {
        return None;
    }
    let mut i = 19;
    let mut nanos = 0;
    if sep(i, b'.') || sep(i, b',') {
        let digits = s.get(i + 1..)?.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return None;
        }
        let mut text = s.get(i + 1..i + 1 + digits.min(9))?.to_owned();
        while text.len() < 9 {
            text.push('0');
        }
        nanos = text.parse().ok()?;
        i += 1 + digits;
    }
    let offset = match s.get(i..)? {
        "Z" => 0,
        z => {
            let sign = match z.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            if z.len() != 6 || z.as_bytes()[3] != b':' {
                return None;
            }
            let (oh, om) = (num(i + 1, 2)?, num(i + 4, 2)?);
            if oh > 24 || om > 60 {
                return None;
            }
            sign * (oh * 3600 + om * 60)
        }
    };
    Some(Time { secs: days_of(y, m, d) * 86_400 + h * 3600 + min * 60 + sec - offset, nanos })
}

/// Whether a time lies in the years 1 to 9999.
pub fn in_range(t: Time) -> bool {
    (MIN..=MAX).contains(&t.secs)
}

pub fn timestamp_text(t: Time) -> String {
    let (y, m, d) = civil(t.secs.div_euclid(86_400));
    let s = t.secs.rem_euclid(86_400);
    let mut out = format!("{y:04}-{m:02}-{d:02}T{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if t.nanos > 0 {
        let frac = format!("{:09}", t.nanos);
        out.push('.');
        out.push_str(frac.trim_end_matches('0'));
    }
    out.push('Z');
    out
}

/// `t + nanos`, if that is still a time.
pub fn plus(t: Time, nanos: i128) -> Option<Time> {
    let all = i128::from(t.secs) * i128::from(NANOS) + i128::from(t.nanos) + nanos;
    let t = Time {
        secs: i64::try_from(all.div_euclid(i128::from(NANOS))).ok()?,
        nanos: u32::try_from(all.rem_euclid(i128::from(NANOS))).ok()?,
    };
    in_range(t).then_some(t)
}

/// `a - b` in nanoseconds.
pub fn minus(a: Time, b: Time) -> Option<i64> {
    let n = i128::from(a.secs - b.secs) * i128::from(NANOS) + i128::from(a.nanos) - i128::from(b.nanos);
    i64::try_from(n).ok()
}

/// One part of a time (`getHours` and the like) in a zone: a name or an offset.
pub fn part(t: Time, what: &str, zone: Option<&str>) -> Result<i64, String> {
    let secs = t.secs + zone.map_or(Ok(0), |z| offset(t, z))?;
    let days = secs.div_euclid(86_400);
    let (y, m, d) = civil(days);
    let of_day = secs.rem_euclid(86_400);
    Ok(match what {
        "getFullYear" => y,
        "getMonth" => m - 1,
        "getDate" => d,
        "getDayOfMonth" => d - 1,
        "getDayOfYear" => days - days_of(y, 1, 1),
        "getDayOfWeek" => meta::time::weekday(days),
        "getHours" => of_day / 3600,
        "getMinutes" => of_day / 60 % 60,
        "getSeconds" => of_day % 60,
        _ => i64::from(t.nanos / 1_000_000),
    })
}

fn offset(t: Time, zone: &str) -> Result<i64, String> {
    if let Some((h, m)) = zone.split_once(':') {
        let num = |s: &str| -> Result<i64, String> {
            s.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", meta::field::quote(s)))
        };
        let (h, m) = (num(h)?, num(m)?);
        return Ok(if zone.starts_with('-') { h * 60 - m } else { h * 60 + m } * 60);
    }
    if matches!(zone, "" | "UTC") {
        return Ok(0);
    }
    let tz = jiff::tz::TimeZone::get(zone).map_err(|_| format!("unknown time zone {zone}"))?;
    let at = jiff::Timestamp::new(t.secs, 0).map_err(|e| e.to_string())?;
    Ok(i64::from(tz.to_offset(at).seconds()))
}

/// One part of a duration.
pub fn duration_part(d: i64, what: &str) -> i64 {
    match what {
        "getHours" => d / (3600 * NANOS),
        "getMinutes" => d / (60 * NANOS),
        "getSeconds" => d / NANOS,
        _ => d / 1_000_000,
    }
}
