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

/// Writes the figures between their marks.
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
        "`cargo xtask ha {}` on {}, {cores} cores ({model}), load average {load}.\n\n",
        args.join(" "),
        date.trim()
    );
    t.push_str("| what | writes | retried | failed | longest gap | slowest write | Deployment after | |\n");
    t.push_str("|---|---:|---:|---:|---:|---:|---:|---|\n");
    for r in rows {
        // Writing to a string does not fail.
        let _ = t.write_str(&r.line());
    }
    let new = format!("{}{BEGIN}\n{t}\n{}", &old[..begin], &old[end..]);
    std::fs::write(&path, new).map_err(|e| format!("{}: {e}", path.display()))
}
