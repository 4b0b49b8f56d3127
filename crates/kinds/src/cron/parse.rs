//! The syntax of schedules.

use super::{Fields, STAR, Schedule, When, Zone};

struct Bounds {
    min: u64,
    max: u64,
    names: &'static [&'static str],
}

const MINUTES: Bounds = Bounds { min: 0, max: 59, names: &[] };
const HOURS: Bounds = Bounds { min: 0, max: 23, names: &[] };
const DAYS: Bounds = Bounds { min: 1, max: 31, names: &[] };
const MONTHS: Bounds = Bounds {
    min: 1,
    max: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Bounds = Bounds { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Schedule {
    /// Parses `*/5 * * * *`, `@daily`, `@every 1h30m`, each with `TZ=zone ` or `CRON_TZ=zone ` before it or not.
    pub fn parse(spec: &str) -> Result<Self, String> {
        if spec.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let mut zone = None;
        let mut rest = spec;
        if let Some(after) = spec.strip_prefix("TZ=").or_else(|| spec.strip_prefix("CRON_TZ=")) {
            let Some((name, fields)) = after.split_once(' ') else {
                return Err(
                    "invalid schedule format: runtime error: slice bounds out of range [:-1]".to_owned()
                );
            };
            let found = Zone::named(name).map_err(|e| format!("provided bad location {name}: {e}"))?;
            // A zone without a name of its own leaves the choice to the caller, as none at all does.
            zone = (name != "Local").then_some(found);
            rest = fields.trim();
        }
        let when = if rest.starts_with('@') { descriptor(rest)? } else { When::Fields(fields(rest)?) };
        Ok(Self { zone, when })
    }
}

fn fields(spec: &str) -> Result<Fields, String> {
    let list: Vec<&str> = spec.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = list[..] else {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", list.len(), list.join(" ")));
    };
    Ok(Fields {
        minute: field(minute, &MINUTES)?,
        hour: field(hour, &HOURS)?,
        day: field(day, &DAYS)?,
        month: field(month, &MONTHS)?,
        weekday: field(weekday, &WEEKDAYS)?,
    })
}

fn field(text: &str, b: &Bounds) -> Result<u64, String> {
    text.split(',').filter(|r| !r.is_empty()).try_fold(0, |bits, r| Ok(bits | range(r, b)?))
}

fn range(expr: &str, b: &Bounds) -> Result<u64, String> {
    let (span, step) = match expr.split('/').collect::<Vec<_>>()[..] {
        [span] => (span, None),
        [span, step] => (span, Some(step)),
        [span, ..] => (span, Some("/")),
        [] => (expr, None),
    };
    let ends: Vec<&str> = span.split('-').collect();
    let mut star = 0;
    let (start, mut end) = match ends[..] {
        ["*" | "?", ..] => {
            star = STAR;
            (b.min, b.max)
        }
        [one] => (value(one, b)?, value(one, b)?),
        [low, high] => (value(low, b)?, value(high, b)?),
        [low, ..] => {
            value(low, b)?;
            return Err(format!("too many hyphens: {expr}"));
        }
        [] => (b.min, b.max),
    };
    let step = match step {
        None => 1,
        Some("/") => return Err(format!("too many slashes: {expr}")),
        Some(s) => {
            let n = number(s)?;
            if ends.len() == 1 {
                end = b.max;
            }
            if n > 1 {
                star = 0;
            }
            n
        }
    };
    if start < b.min {
        return Err(format!("beginning of range ({start}) below minimum ({}): {expr}", b.min));
    }
    if end > b.max {
        return Err(format!("end of range ({end}) above maximum ({}): {expr}", b.max));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {expr}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {expr}"));
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    Ok((start..=end).step_by(step).fold(star, |bits, n| bits | 1 << n))
}

/// A number, or the name of one.
fn value(s: &str, b: &Bounds) -> Result<u64, String> {
    let lower = s.to_lowercase();
    match b.names.iter().position(|n| *n == lower) {
        Some(i) => Ok(b.min + i as u64),
        None => number(s),
    }
}

fn number(s: &str) -> Result<u64, String> {
    let digits = s.strip_prefix(['-', '+']).unwrap_or(s);
    let n: i64 = s.parse().map_err(|_| {
        let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
        let why = if plain { "value out of range" } else { "invalid syntax" };
        format!("failed to parse int from {s}: strconv.Atoi: parsing {}: {why}", meta::field::quote(s))
    })?;
    u64::try_from(n).map_err(|_| format!("negative number ({n}) not allowed: {s}"))
}

fn descriptor(d: &str) -> Result<When, String> {
    let spec = match d {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => {
            let Some(text) = d.strip_prefix("@every ") else {
                return Err(format!("unrecognized descriptor: {d}"));
            };
            let nanos = duration(text).map_err(|e| format!("failed to parse duration {d}: {e}"))?;
            // In whole seconds, and never less than one.
            return Ok(When::Every((nanos / 1_000_000_000).max(1)));
        }
    };
    fields(spec).map(When::Fields)
}

/// Go's durations (`1h30m`, `1.5s`), in nanoseconds.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    let shown = || meta::field::quote(text);
    let invalid = || format!("time: invalid duration {}", shown());
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
        let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
        let whole;
        (whole, rest) = rest.split_at(digits(rest));
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            (fraction, rest) = after.split_at(digits(after));
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let len = rest.bytes().take_while(|c| !c.is_ascii_digit() && *c != b'.').count();
        let unit = &rest[..len];
        let scale: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", shown())),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => {
                let unit = meta::field::quote(unit);
                return Err(format!("time: unknown unit {unit} in duration {}", shown()));
            }
        };
        let n: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        total += n.checked_mul(scale).ok_or_else(invalid)?;
        let mut part = scale;
        for d in fraction.bytes() {
            part /= 10;
            total += part * i128::from(d - b'0');
        }
        rest = &rest[len..];
    }
    let total = if negative { -total } else { total };
    i64::try_from(total).map_err(|_| invalid())
}
