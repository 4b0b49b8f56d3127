//! What was measured, and how it is shown: the ratio says how many times better ours is; less than one comes first in
//! the document.

use super::plot::Plot;
use super::side::Who;
use super::wanted::wanted;
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
pub struct Table {
    lines: Vec<Line>,
    pub plots: Vec<Plot>,
}

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
    /// How ours does beside the peer and beside what is wanted. Nothing is said of what only one side has measured.
    fn verdict(&self) -> Verdict {
        match self.ratio() {
            r if r.is_nan() => Verdict::Unknown,
            r if r < 1.0 => Verdict::Slower,
            r if r < wanted(&self.what) => Verdict::Short,
            _ => Verdict::Reached,
        }
    }
    fn cells(&self) -> [String; COLUMNS] {
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
            match wanted(&self.what) {
                1.0 => String::new(),
                w => format!("{w}{}", if self.verdict() == Verdict::Reached { " ✓" } else { "" }),
            },
            value(tuned),
            format!("{} / {}", cost(ours), cost(peer)),
            format!("{} / {}", peak(ours), peak(peer)),
        ]
    }
}

/// In the order of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Slower,
    Unknown,
    /// Better than the peer, by less than is wanted.
    Short,
    Reached,
}

const COLUMNS: usize = 9;

const HEAD: [&str; COLUMNS] = [
    "what",
    "unit",
    "ours",
    "upstream",
    "times better",
    "wanted",
    "upstream GOGC=400",
    "CPU µs each, or s",
    "peak MiB",
];

impl Table {
    pub fn len(&self) -> usize {
        self.lines.len()
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
        let at = self.lines.iter().position(|l| l.what == what && l.unit == unit).unwrap_or_else(|| {
            self.lines.push(Line { what: what.to_owned(), unit, better, sides: Default::default() });
            self.lines.len() - 1
        });
        let s = &mut self.lines[at].sides[who.index()];
        s.value.push(value);
        s.cpu.extend(cpu);
        s.peak = s.peak.max(peak);
    }

    fn rows(lines: &[&Line]) -> String {
        let mut rows = vec![HEAD.map(str::to_owned)];
        rows.extend(lines.iter().map(|l| l.cells()));
        let width: Vec<usize> =
            (0..COLUMNS).map(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0)).collect();
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
        Self::rows(&self.lines[from..].iter().collect::<Vec<_>>())
    }

    /// The lines of a verdict.
    fn having(&self, v: Verdict) -> Vec<&Line> {
        self.lines.iter().filter(|l| l.verdict() == v).collect()
    }
    /// What is slower than the peer, by name.
    pub fn slower(&self) -> Vec<&str> {
        self.having(Verdict::Slower).iter().map(|l| l.what.as_str()).collect()
    }

    /// Writes the pictures; answers the part of the document that shows them.
    fn pictures(&self, folder: &Path) -> Result<String, String> {
        let mut t = String::new();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for p in &self.plots {
            let Some(svg) = p.svg() else { continue };
            let path = folder.join(p.file);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&path, svg))
                .map_err(|e| format!("{}: {e}", path.display()))?;
            if t.is_empty() {
                t.push_str("\n## How cost grows\n\n");
            }
            let _ = writeln!(t, "![{}]({name}/{})", p.title, p.file);
        }
        Ok(t)
    }

    /// The document, and its pictures in the folder beside it.
    pub fn write(&self, to: &Path, args: &[String]) -> Result<(), String> {
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
             RBAC and a synced disk on both sides; clients' limits lifted; no compression asked for; kube-proxy (nftables) and\n  \
             CoreDNS beside ours on one API server (ours); pods on two test hosts a side, through the same containerd\n- Values: median ± half the distance of the extremes; \
             \"times better\" above one is ours, \"wanted\" is the goal (✓ reached); CPU and peak memory are ours / upstream's\n",
        );
        for (verdict, title) in [
            (Verdict::Slower, "Slower than the peer"),
            (Verdict::Unknown, "Without a peer"),
            (Verdict::Short, "Better than the peer, not yet by as much as is wanted"),
            (Verdict::Reached, "The rest"),
        ] {
            let lines = self.having(verdict);
            if !lines.is_empty() {
                let _ = write!(t, "\n## {title}\n\n{}", Self::rows(&lines));
            } else if verdict == Verdict::Slower {
                let _ = write!(t, "\n## {title}\n\nNothing of what was measured.\n");
            }
        }
        t.push_str(&self.pictures(&to.with_extension(""))?);
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
        assert_eq!((t.lines[0].ratio(), t.lines[1].ratio()), (4.0, 0.25));
        let text = t.text(0);
        assert!(text.contains("| start  | s    | 2.00 ±50% | 8.00 ±0% | 4.00 "), "{text}");
        assert_eq!(t.slower(), ["create"]);
    }
}
