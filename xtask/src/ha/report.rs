//! The figures, as text and in `docs/availability.md`.

use super::load::Seen;
use crate::sh;
use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

pub struct Row {
    what: String,
    pub seen: Seen,
    pub told: String,
    pub converged: Duration,
    pub failed: bool,
}

const BEGIN: &str = "<!-- figures: cargo xtask ha --write -->\n";
const END: &str = "<!-- end of figures -->";

impl Row {
    pub fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            seen: Seen::default(),
            told: String::new(),
            converged: Duration::ZERO,
            failed: false,
        }
    }
    pub fn text(&self) -> String {
        let s = &self.seen;
        format!(
            "  {}{} writes, {} events; {} retried, {} failed; longest gap {:.2} s, slowest {:.2} s; \
             watches broken {}; a Deployment after {:.2} s{}{}",
            if self.failed { "FAILED: " } else { "" },
            s.writes,
            s.events,
            s.retried,
            s.failed,
            s.gap.as_secs_f64(),
            s.slowest.as_secs_f64(),
            s.broken,
            self.converged.as_secs_f64(),
            if self.told.is_empty() { "" } else { "; " },
            self.told
        ) + &if s.retried > 0 { format!("\n    retried: {}", s.reasons) } else { String::new() }
    }
    fn line(&self) -> String {
        let s = &self.seen;
        let failed = if self.failed { " (FAILED)" } else { "" };
        format!(
            "| {}{failed} | {} | {} | {} | {:.2} s | {:.2} s | {:.2} s | {} |\n",
            self.what,
            s.writes,
            s.retried,
            s.failed,
            s.gap.as_secs_f64(),
            s.slowest.as_secs_f64(),
            self.converged.as_secs_f64(),
            self.told
        )
    }
}

/// The lines of an older table about other cases than these.
fn others<'a>(old: &'a str, rows: &[Row]) -> Vec<&'a str> {
    let about = |l: &str| l.split('|').nth(1).unwrap_or_default().trim().replace(" (FAILED)", "");
    let lines = old.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| what"));
    lines.filter(|l| rows.iter().all(|r| r.what != about(l))).collect()
}

/// Writes the figures between their marks; what was measured before of other cases stays.
pub fn write(rows: &[Row], args: &[String]) -> Result<(), String> {
    let path = sh::root().join("docs/availability.md");
    let old = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (Some(begin), Some(end)) = (old.find(BEGIN), old.find(END)) else {
        return Err(format!("{}: the marks around the figures are gone", path.display()));
    };
    let date = sh::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|l| l.strip_prefix("model name"))
        .map_or("", |m| m.trim_start_matches([' ', '\t', ':']));
    let cores = cpu.lines().filter(|l| l.starts_with("processor")).count();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let mut t = format!(
        "The last run: `cargo xtask ha {}` on {}, {cores} cores ({model}), load average {load}.\n\n",
        args.join(" "),
        date.trim()
    );
    t.push_str("| what | writes | retried | failed | longest gap | slowest write | Deployment after | |\n");
    t.push_str("|---|---:|---:|---:|---:|---:|---:|---|\n");
    for l in others(&old[begin..end], rows) {
        t.push_str(l);
        t.push('\n');
    }
    for r in rows {
        // Writing to a string does not fail.
        let _ = t.write_str(&r.line());
    }
    let new = format!("{}{BEGIN}\n{t}\n{}", &old[..begin], &old[end..]);
    std::fs::write(&path, new).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_other_cases_stay() {
        let old = "| what | n |\n|---|--:|\n| one | 1 |\n| two (FAILED) | 2 |\n| three | 3 |\n";
        assert_eq!(others(old, &[Row::new("two")]), ["| one | 1 |", "| three | 3 |"]);
    }
}
