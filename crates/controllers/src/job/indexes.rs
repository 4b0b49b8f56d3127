//! Sets of completion indexes, as `0,2-5,9` (upstream `indexed_job_utils.go`).

use crate::k8s::core::Pod;
use crate::util::meta::MetaExt;
use std::collections::BTreeSet;

pub const ANNOTATION: &str = "batch.kubernetes.io/job-completion-index";

/// Ordered ranges that neither overlap nor touch; both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes(Vec<(i32, i32)>);

impl Indexes {
    /// Indexes from `completions` on are left out.
    pub fn parse(s: &str, completions: i32) -> Self {
        let mut all = Self::default();
        for part in s.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(first), Ok(last)) = (first.trim().parse::<i32>(), last.trim().parse::<i32>()) {
                let last = last.min(completions - 1);
                if first >= 0 && first <= last {
                    all.add(first, last);
                }
            }
        }
        all
    }
    fn add(&mut self, mut first: i32, mut last: i32) {
        let mut out = Vec::with_capacity(self.0.len() + 1);
        let mut placed = false;
        for &(a, b) in &self.0 {
            if b.saturating_add(1) < first {
                out.push((a, b));
            } else if last.saturating_add(1) < a {
                if !placed {
                    out.push((first, last));
                    placed = true;
                }
                out.push((a, b));
            } else {
                (first, last) = (first.min(a), last.max(b));
            }
        }
        if !placed {
            out.push((first, last));
        }
        self.0 = out;
    }
    #[must_use]
    pub fn with(mut self, more: impl IntoIterator<Item = i32>) -> Self {
        for i in more {
            self.add(i, i);
        }
        self
    }
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        for &(a, b) in &other.0 {
            self.add(a, b);
        }
        self
    }
    pub fn total(&self) -> i32 {
        self.0.iter().map(|(a, b)| b - a + 1).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn has(&self, i: i32) -> bool {
        self.0
            .binary_search_by(|&(a, b)| {
                if b < i {
                    std::cmp::Ordering::Less
                } else if a > i {
                    std::cmp::Ordering::Greater
                } else {
                    std::cmp::Ordering::Equal
                }
            })
            .is_ok()
    }
    /// The first `count` indexes below `completions` that are not in it.
    pub fn first_missing(&self, count: usize, completions: i32) -> Vec<i32> {
        let mut out = Vec::new();
        let mut next = 0;
        for &(a, b) in self.0.iter().chain(std::iter::once(&(completions, completions))) {
            while next < a.min(completions) && out.len() < count {
                out.push(next);
                next += 1;
            }
            next = next.max(b.saturating_add(1));
        }
        out
    }
    /// How many indexes both have.
    pub fn common(&self, other: &Self) -> i32 {
        let overlap = |a: &(i32, i32), b: &(i32, i32)| (a.1.min(b.1) - a.0.max(b.0) + 1).max(0);
        self.0.iter().map(|a| other.0.iter().map(|b| overlap(a, b)).sum::<i32>()).sum()
    }
}

impl std::fmt::Display for Indexes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (a, b)) in self.0.iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            match b - a {
                0 => write!(f, "{comma}{a}")?,
                1 => write!(f, "{comma}{a},{b}")?,
                _ => write!(f, "{comma}{a}-{b}")?,
            }
        }
        Ok(())
    }
}

/// The completion index of a pod.
pub fn of(p: &Pod) -> Option<i32> {
    p.annotation(ANNOTATION)?.parse().ok().filter(|i| *i >= 0)
}

pub fn all_of<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> BTreeSet<i32> {
    pods.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let p = |s: &str| Indexes::parse(s, 10);
        for (text, want, total) in [
            ("", "", 0),
            ("0", "0", 1),
            ("1,0", "0,1", 2),
            ("3-5,1,4-7", "1,3-7", 6),
            ("8-20,x", "8,9", 2),
            ("12", "", 0),
        ] {
            assert_eq!((p(text).to_string().as_str(), p(text).total()), (want, total), "{text}");
        }
        assert_eq!(p("1,3-5").with([0, 2, 9]).to_string(), "0-5,9");
        assert_eq!(p("1").merged(&p("2-3,7")).to_string(), "1-3,7");
        assert!(p("1,3-5").has(4) && !p("1,3-5").has(2));
        assert_eq!(p("0,2-3").first_missing(3, 10), [1, 4, 5]);
        assert_eq!(p("0,2-3").first_missing(9, 5), [1, 4]);
        assert_eq!(p("").first_missing(2, 5), [0, 1]);
        assert_eq!(p("0-4,7").common(&p("3-8")), 3);
    }
}
