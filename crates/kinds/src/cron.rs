//! Cron schedules as CronJobs have them: five fields or a descriptor, with the next time computed in a time zone. The
//! syntax, its error sentences and what happens at clock changes are those of the parser that upstream uses.

mod next;
mod parse;
#[cfg(test)]
mod tests;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// A schedule. Bit n of a field stands for its value n.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Named in the schedule itself (`TZ=Europe/Berlin …`).
    zone: Option<Zone>,
    when: When,
}

#[derive(Clone, Debug, PartialEq)]
enum When {
    /// Seconds between two times.
    Every(i64),
    Fields(Fields),
}

#[derive(Clone, Debug, PartialEq, Default)]
struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
}

/// Set in a field that was given as `*`: a day then has to match both of its fields.
const STAR: u64 = 1 << 63;

/// A time zone of the IANA database, which is part of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// Looks a zone up by its name; `Local` is UTC here. The error is upstream's sentence.
    pub fn named(name: &str) -> Result<Self, String> {
        if matches!(name, "" | "UTC" | "Local") {
            return Ok(Self::utc());
        }
        if name.contains("..") || name.starts_with(['/', '\\']) {
            return Err("time: invalid location name".to_owned());
        }
        match TimeZoneDatabase::bundled().get(name) {
            Ok(z) if z.iana_name() == Some(name) => Ok(Self(z)),
            _ => Err(format!("unknown time zone {name}")),
        }
    }

    /// Seconds east of UTC at a Unix time.
    fn offset(&self, unix: i64) -> i64 {
        let t = jiff::Timestamp::from_second(unix).unwrap_or_default();
        self.0.to_offset(t).seconds().into()
    }
}
