//! Schedules in cron's notation, as github.com/robfig/cron reads them: five fields, `@daily` and the like,
//! `@every 1h30m`, and `TZ=` in front.

use crate::k8s::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use std::time::Duration;

/// When something is due, again and again.
#[derive(Clone, Debug)]
pub enum Schedule {
    Fields(Fields),
    Every(i64),
}

/// Sets of numbers as bits; a star is remembered for the days.
#[derive(Clone, Debug)]
pub struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    any_day: bool,
    zone: TimeZone,
}

/// A schedule that falls due less often than this never does.
const YEARS: i16 = 5;

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A zone by its name in the database; an empty one is UTC.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    if name.is_empty() || name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| format!("unknown time zone {name}"))
}

impl Schedule {
    /// `default` is the zone of a schedule that names none.
    pub fn parse(spec: &str, default: TimeZone) -> Result<Self, String> {
        if spec.is_empty() {
            return Err("empty spec string".into());
        }
        let (mut spec, mut zone_) = (spec, default);
        if let Some(rest) = spec.strip_prefix("TZ=").or_else(|| spec.strip_prefix("CRON_TZ=")) {
            let Some((name, rest)) = rest.split_once(' ') else {
                return Err("invalid schedule format: a time zone without a schedule".into());
            };
            zone_ = zone(name).map_err(|e| format!("provided bad location {name}: {e}"))?;
            spec = rest.trim();
        }
        let fields = match spec {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => spec,
        };
        if let Some(d) = fields.strip_prefix("@every ") {
            let d = duration(d).map_err(|e| format!("failed to parse duration {spec}: {e}"))?;
            return Ok(Self::Every(i64::try_from(d.as_secs()).unwrap_or(i64::MAX).max(1)));
        }
        if fields.starts_with('@') {
            return Err(format!("unrecognized descriptor: {spec}"));
        }
        let all: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = all.as_slice() else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", all.len(), all.join(" ")));
        };
        let (minute, _) = field(minute, 0, 59, &[])?;
        let (hour, _) = field(hour, 0, 23, &[])?;
        let (day, star) = field(day, 1, 31, &[])?;
        let (month, _) = field(month, 1, 12, MONTHS)?;
        let (weekday, star2) = field(weekday, 0, 6, DAYS)?;
        Ok(Self::Fields(Fields { minute, hour, day, month, weekday, any_day: star || star2, zone: zone_ }))
    }

    /// The first time after `t`.
    pub fn next(&self, t: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(s) => Timestamp::from_second(t.as_second().checked_add(*s)?).ok(),
            Self::Fields(f) => f.next(t),
        }
    }
}

impl Fields {
    fn day_matches(&self, d: Date) -> bool {
        let day = self.day >> d.day() & 1 == 1;
        let weekday = self.weekday >> d.weekday().to_sunday_zero_offset() & 1 == 1;
        if self.any_day { day && weekday } else { day || weekday }
    }

    fn next(&self, t: Timestamp) -> Option<Timestamp> {
        let first = Timestamp::from_second((t.as_second().div_euclid(60) + 1) * 60).ok()?;
        let mut at = first.to_zoned(self.zone.clone());
        let last_year = at.year().saturating_add(YEARS);
        while at.year() <= last_year {
            let date = at.date();
            if self.month >> date.month() & 1 == 0 {
                at = start(date.first_of_month().checked_add(1.month()).ok()?, &self.zone)?;
            } else if !self.day_matches(date) {
                at = start(date.tomorrow().ok()?, &self.zone)?;
            } else if self.hour >> at.hour() & 1 == 0 {
                // In steps of real time: an hour that is left out in spring is never met, one that comes twice is.
                at = at.checked_add((60 - i64::from(at.minute())).minutes()).ok()?;
            } else if self.minute >> at.minute() & 1 == 0 {
                at = at.checked_add(1.minute()).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }
}

fn start(d: Date, zone: &TimeZone) -> Option<Zoned> {
    d.to_zoned(zone.clone()).ok()
}

/// A field's numbers, and whether it has a star that leaves nothing out.
fn field(text: &str, min: u32, max: u32, names: &[&str]) -> Result<(u64, bool), String> {
    let (mut bits, mut star) = (0, false);
    for expr in text.split(',').filter(|e| !e.is_empty()) {
        let mut parts = expr.split('/');
        let range = parts.next().unwrap_or_default();
        let step = parts.next();
        if parts.next().is_some() {
            return Err(format!("too many slashes: {expr}"));
        }
        let value = |s: &str| -> Result<u32, String> {
            let lower = s.to_lowercase();
            if let Some(i) = names.iter().position(|n| *n == lower) {
                return Ok(i as u32 + min);
            }
            number(s)
        };
        let limits: Vec<&str> = range.split('-').collect();
        let any = matches!(limits[0], "*" | "?");
        let (from, mut to) = match limits.as_slice() {
            _ if any => (min, max),
            [one] => (value(one)?, value(one)?),
            [a, b] => (value(a)?, value(b)?),
            _ => return Err(format!("too many hyphens: {expr}")),
        };
        let step = match step {
            None => 1,
            Some(s) => {
                if limits.len() == 1 {
                    to = max;
                }
                number(s)?
            }
        };
        if from < min {
            return Err(format!("beginning of range ({from}) below minimum ({min}): {expr}"));
        }
        if to > max {
            return Err(format!("end of range ({to}) above maximum ({max}): {expr}"));
        }
        if from > to {
            return Err(format!("beginning of range ({from}) beyond end of range ({to}): {expr}"));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {expr}"));
        }
        star |= any && step == 1;
        for i in (from..=to).step_by(step as usize) {
            bits |= 1 << i;
        }
    }
    Ok((bits, star))
}

fn number(s: &str) -> Result<u32, String> {
    let n: i64 = s
        .parse()
        .map_err(|_| format!("failed to parse int from {s}: strconv.Atoi: parsing {s:?}: invalid syntax"))?;
    u32::try_from(n).map_err(|_| format!("negative number ({n}) not allowed: {s}"))
}

/// A duration as Go writes it: `1h15m30.5s`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("time: invalid duration {text:?}");
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let n: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += n * match &rest[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" | "μs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(bad()),
        };
        rest = &rest[end..];
    }
    Duration::try_from_secs_f64(total).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(spec: &str, zone_: &str, from: &str) -> String {
        let s = Schedule::parse(spec, zone(zone_).unwrap()).unwrap();
        s.next(from.parse().unwrap()).map_or("never".into(), |t| t.to_string())
    }

    #[test]
    fn finds_the_next_time() {
        let from = "2024-02-28T23:30:10Z"; // a Wednesday
        for (spec, want) in [
            ("* * * * *", "2024-02-28T23:31:00Z"),
            ("*/15 * * * *", "2024-02-28T23:45:00Z"),
            ("0 */6 * * *", "2024-02-29T00:00:00Z"),
            ("15 10 29 2 *", "2024-02-29T10:15:00Z"),
            ("0 0 1 * *", "2024-03-01T00:00:00Z"),
            ("0 9 * * mon-fri", "2024-02-29T09:00:00Z"),
            ("0 9 * * SUN", "2024-03-03T09:00:00Z"),
            // Either day when both are given.
            ("0 0 13 * 5", "2024-03-01T00:00:00Z"),
            ("0 0 */2 * 5", "2024-02-29T00:00:00Z"),
            ("5/20 4 * * ?", "2024-02-29T04:05:00Z"),
            ("@yearly", "2025-01-01T00:00:00Z"),
            ("@weekly", "2024-03-03T00:00:00Z"),
            ("@every 1h30m", "2024-02-29T01:00:10Z"),
            ("0 0 30 2 *", "never"),
            ("TZ=Asia/Tokyo 0 9 * * *", "2024-02-29T00:00:00Z"),
        ] {
            assert_eq!(next(spec, "", from), want, "{spec}");
        }
        assert_eq!(next("0 0 29 2 *", "", "2024-03-01T00:00:00Z"), "2028-02-29T00:00:00Z");
    }

    #[test]
    fn clocks_that_change() {
        // Berlin skips 02:00 to 03:00 on 2024-03-31, and has 02:00 to 03:00 twice on 2024-10-27.
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2024-03-30T12:00:00Z"), "2024-04-01T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00Z"), "2024-10-27T00:30:00Z");
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2024-10-27T00:30:00Z"), "2024-10-27T01:30:00Z");
        // Midnight is left out there.
        assert_eq!(next("0 1 * * *", "America/Asuncion", "2023-10-01T00:00:00Z"), "2023-10-01T04:00:00Z");
    }

    #[test]
    fn errors() {
        for (spec, want) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("@often", "unrecognized descriptor: @often"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
            ("TZ=No/Where * * * * *", "provided bad location No/Where: unknown time zone No/Where"),
        ] {
            assert_eq!(Schedule::parse(spec, TimeZone::UTC).unwrap_err(), want);
        }
        assert!(Schedule::parse("TZ=0", TimeZone::UTC).is_err());
    }
}
