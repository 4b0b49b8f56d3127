//! The next time of a schedule.

use super::{Fields, STAR, Schedule, When, Zone};
use meta::time::{Timestamp, civil, days_of, weekday};

impl Schedule {
    /// The first time after `after`, in whole seconds; `zone` counts where the schedule names none. `None`: never, as far
    /// as can be seen (February 30th).
    pub fn next(&self, after: Timestamp, zone: &Zone) -> Option<Timestamp> {
        let seconds = match &self.when {
            When::Every(n) => after.seconds + n,
            When::Fields(f) => f.next(after.seconds, self.zone.as_ref().unwrap_or(zone))?,
        };
        Some(Timestamp { seconds, nanos: 0 })
    }
}

/// A Unix time with what the clocks of a zone show then.
struct Clock<'a> {
    zone: &'a Zone,
    unix: i64,
    date: (i64, i64, i64),
    /// Seconds since the clocks showed midnight.
    second: i64,
}

impl<'a> Clock<'a> {
    fn at(zone: &'a Zone, unix: i64) -> Self {
        let local = unix + zone.offset(unix);
        Self { zone, unix, date: civil(local.div_euclid(86_400)), second: local.rem_euclid(86_400) }
    }
    /// The time at which clocks show this; in a gap of the clocks one of the two that could be meant, as Go has it.
    fn showing(zone: &'a Zone, (y, m, d): (i64, i64, i64), second: i64) -> Self {
        let (y, m) = (y + (m - 1).div_euclid(12), (m - 1).rem_euclid(12) + 1);
        let local = (days_of(y, m, 1) + d - 1) * 86_400 + second;
        let unix = match zone.offset(local) {
            0 => local,
            guess => local - zone.offset(local - guess),
        };
        Self::at(zone, unix)
    }
    fn plus(&self, seconds: i64) -> Self {
        Self::at(self.zone, self.unix + seconds)
    }
    fn hour(&self) -> i64 {
        self.second / 3600
    }
    fn minute(&self) -> i64 {
        self.second / 60 % 60
    }
}

fn has(bits: u64, n: i64) -> bool {
    bits >> n & 1 == 1
}

impl Fields {
    /// Goes from the largest unit to the smallest; a smaller one that runs over starts from the largest again.
    fn next(&self, after: i64, zone: &Zone) -> Option<i64> {
        let mut t = Clock::at(zone, after + 1);
        let last_year = t.date.0 + 5;
        // Whether the units below the one that was advanced are at their start.
        let mut cleared = false;
        'wrap: loop {
            if t.date.0 > last_year {
                return None;
            }
            while !has(self.month, t.date.1) {
                let (y, m, d) = t.date;
                let (d, second) = if cleared { (d, t.second) } else { (1, 0) };
                cleared = true;
                // The start of the month first, where the clocks may show something else.
                let start = Clock::showing(zone, (y, m, d), second);
                let (y, m, d) = start.date;
                t = Clock::showing(zone, (y, m + 1, d), start.second);
                if t.date.1 == 1 {
                    continue 'wrap;
                }
            }
            while !self.day_matches(&t) {
                let second = if cleared { t.second } else { 0 };
                cleared = true;
                let start = Clock::showing(zone, t.date, second);
                let (y, m, d) = start.date;
                t = Clock::showing(zone, (y, m, d + 1), start.second);
                // Days that do not begin at midnight.
                match t.hour() {
                    0 => {}
                    h if h > 12 => t = t.plus((24 - h) * 3600),
                    h => t = t.plus(-h * 3600),
                }
                if t.date.2 == 1 {
                    continue 'wrap;
                }
            }
            while !has(self.hour, t.hour()) {
                if !cleared {
                    cleared = true;
                    t = Clock::showing(zone, t.date, t.hour() * 3600);
                }
                t = t.plus(3600);
                if t.hour() == 0 {
                    continue 'wrap;
                }
            }
            while !has(self.minute, t.minute()) {
                if !cleared {
                    cleared = true;
                    t = t.plus(-t.unix.rem_euclid(60));
                }
                t = t.plus(60);
                if t.minute() == 0 {
                    continue 'wrap;
                }
            }
            while t.second % 60 != 0 {
                cleared = true;
                t = t.plus(1);
                if t.second % 60 == 0 {
                    continue 'wrap;
                }
            }
            return Some(t.unix);
        }
    }

    fn day_matches(&self, t: &Clock<'_>) -> bool {
        let (y, m, d) = t.date;
        let day = has(self.day, d);
        let week = has(self.weekday, weekday(days_of(y, m, d)));
        if (self.day | self.weekday) & STAR != 0 { day && week } else { day || week }
    }
}
