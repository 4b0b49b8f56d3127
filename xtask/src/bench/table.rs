//! What was measured, and how it is shown: the ratio says how many times better ours is; less than one comes first in
//! the document.

use super::side::Who;
use crate::sh;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

#[derive(Clone, Default)]
struct Samples {
    value: Vec<f64>,
    cpu: Vec<f64>,
    peak: f64,
}

struct Line {
    what: String,
    unit: &'static str,
    better: Better,
    sides: [Samples; 3],
}

#[derive(Default)]
pub struct Table(Vec<Line>);

pub fn median(v: &[f64]) -> f64 {
    let mut v = v.to_vec();
    v.sort_by(f64::total_cmp);
    match v.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => v[n / 2],
        n => f64::midpoint(v[n / 2 - 1], v[n / 2]),
    }
}

/// Half of the distance between the extremes, in hundredths of the median.
fn spread(v: &[f64]) -> f64 {
    let (lo, hi) = v.iter().fold((f64::MAX, f64::MIN), |(lo, hi), x| (lo.min(*x), hi.max(*x)));
    if v.is_empty() { f64::NAN } else { 50.0 * (hi - lo) / median(v).abs().max(1e-9) }
}

fn short(x: f64) -> String {
    match x.abs() {
        _ if x.is_nan() => "-".into(),
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 0.1 => format!("{x:.2}"),
        _ => format!("{x:.4}"),
    }
}

impl Line {
    fn ratio(&self) -> f64 {
        let (a, b) = (median(&self.sides[0].value), median(&self.sides[1].value));
        if self.better == Better::Higher { a / b } else { b / a }
    }
    fn cells(&self) -> [String; 8] {
        let [ours, peer, tuned] = &self.sides;
        let value = |s: &Samples| {
            if s.value.is_empty() {
                "-".into()
            } else {
                format!("{} ±{:.0}%", short(median(&s.value)), spread(&s.value))
            }
        };
        let cost = |s: &Samples| if s.cpu.is_empty() { "-".into() } else { short(median(&s.cpu)) };
        let peak = |s: &Samples| if s.peak > 0.0 { short(s.peak) } else { "-".into() };
        [
            self.what.clone(),
            self.unit.into(),
            value(ours),
            value(peer),
            short(self.ratio()),
            value(tuned),
            format!("{} / {}", cost(ours), cost(peer)),
            format!("{} / {}", peak(ours), peak(peer)),
        ]
    }
}

const HEAD: [&str; 8] = [
    "what",
    "unit",
    "ours",
    "upstream",
    "times better",
    "upstream GOGC=400",
    "CPU µs each, or s",
    "peak MiB",
];

impl Table {
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// One more measure of a line. `cpu` is what it cost the servers, `peak` the most memory they had.
    pub fn add(
        &mut self,
        what: &str,
        unit: &'static str,
        better: Better,
        who: Who,
        (value, cpu, peak): (f64, Option<f64>, f64),
    ) {
        let at = self.0.iter().position(|l| l.what == what && l.unit == unit).unwrap_or_else(|| {
            self.0.push(Line { what: what.to_owned(), unit, better, sides: Default::default() });
            self.0.len() - 1
        });
        let s = &mut self.0[at].sides[who.index()];
        s.value.push(value);
        s.cpu.extend(cpu);
        s.peak = s.peak.max(peak);
    }

    fn rows(lines: &[&Line]) -> String {
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(lines.iter().map(|l| l.cells()));
        let width: Vec<usize> =
            (0..8).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
        let mut out = String::new();
        for (n, r) in rows.iter().enumerate() {
            for (cell, w) in r.iter().zip(&width) {
                let _ = write!(out, "| {cell:w$} ");
            }
            out.push_str("|\n");
            if n == 0 {
                for w in &width {
                    let _ = write!(out, "|{}", "-".repeat(w + 2));
                }
                out.push_str("|\n");
            }
        }
        out
    }

    /// The lines from a place on.
    pub fn text(&self, from: usize) -> String {
        Self::rows(&self.0[from..].iter().collect::<Vec<_>>())
    }

    pub fn write(&self, to: &Path, args: &[String]) -> Result<(), String> {
        let (slow, fast): (Vec<&Line>, Vec<&Line>) = self.0.iter().partition(|l| l.ratio() < 1.0);
        let one = |program: &str, args: &[&str]| {
            sh::output(Command::new(program).args(args)).unwrap_or_default().trim().to_owned()
        };
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = info
            .lines()
            .find_map(|l| l.strip_prefix("model name"))
            .unwrap_or("unknown")
            .trim_matches(['\t', ':', ' ']);
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let mut t = String::from("# Benchmarks\n\nWritten by the command below; do not edit.\n\n");
        let _ = writeln!(t, "- Command: `cargo xtask bench {}`", args.join(" "));
        let _ = writeln!(
            t,
            "- Date: {}; commit {}",
            one("date", &["-u", "+%F %H:%M UTC"]),
            one("git", &["rev-parse", "--short", "HEAD"])
        );
        let _ = writeln!(
            t,
            "- Machine: {cpu}, {} cores, Linux {}; load average at the end {}",
            std::thread::available_parallelism().map_or(0, usize::from),
            one("uname", &["-r"]),
            load.split(' ').take(3).collect::<Vec<_>>().join(" ")
        );
        t.push_str(
            "- Peer: upstream's etcd, kube-apiserver, kube-controller-manager, kube-scheduler v1.37.2 built from their Go modules; TLS,\n  \
             RBAC and a synced disk on both sides; clients' limits lifted; no compression asked for\n- Values: median ± half the distance of the extremes; \
             \"times better\" above one is ours; CPU and peak memory are ours / upstream's\n",
        );
        let _ = write!(t, "\n## Slower than the peer\n\n");
        t.push_str(&if slow.is_empty() {
            "Nothing of what was measured.\n".to_owned()
        } else {
            Self::rows(&slow)
        });
        let _ = write!(t, "\n## The rest\n\n{}", Self::rows(&fast));
        std::fs::write(to, t).map_err(|e| format!("{}: {e}", to.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_say_how_many_times_better() {
        let mut t = Table::default();
        for (who, value) in [(Who::Ours, 1.0), (Who::Ours, 3.0), (Who::Ours, 2.0), (Who::Peer, 8.0)] {
            t.add("start", "s", Better::Lower, who, (value, Some(0.5), 10.0));
            t.add("create", "1/s", Better::Higher, who, (value, None, 0.0));
        }
        assert_eq!((t.0[0].ratio(), t.0[1].ratio()), (4.0, 0.25));
        let text = t.text(0);
        assert!(text.contains("| start  | s    | 2.00 ±50% | 8.00 ±0% | 4.00 "), "{text}");
    }
}
