//! Semantic versions (blang/semver as apiserver `pkg/cel/library/semverlib.go` uses it).

use crate::Value;
use crate::eval::{Eval, EvalError};
use crate::value::Opaque;
use std::cmp::Ordering;

#[derive(Clone, Debug)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<String>,
}

fn quoted(s: &str) -> String {
    meta::field::quote(s)
}

fn number(what: &str, s: &str) -> Result<u64, String> {
    if s.is_empty() || !s.bytes().all(|b| b.is_ascii_digit()) {
        let what = what.to_lowercase();
        return Err(format!("Invalid character(s) found in {what} number {}", quoted(s)));
    }
    if s.len() > 1 && s.starts_with('0') {
        return Err(format!("{what} number must not contain leading zeroes {}", quoted(s)));
    }
    s.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", quoted(s)))
}

impl Semver {
    pub fn parse(s: &str) -> Result<Self, String> {
        if s.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let mut parts = s.splitn(3, '.');
        let (Some(major), Some(minor), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let (major, minor) = (number("Major", major)?, number("Minor", minor)?);
        let (rest, build) = match rest.split_once('+') {
            Some((r, b)) => (r, Some(b)),
            None => (rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((p, r)) => (p, Some(r)),
            None => (rest, None),
        };
        let patch = number("Patch", patch)?;
        let word = |w: &str| w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let mut out = Vec::new();
        for p in pre.into_iter().flat_map(|p| p.split('.')) {
            if p.is_empty() {
                return Err("Prerelease is empty".to_owned());
            }
            if !word(p) {
                return Err(format!("Invalid character(s) found in prerelease {}", quoted(p)));
            }
            if p.len() > 1 && p.starts_with('0') && p.bytes().all(|b| b.is_ascii_digit()) {
                return Err(format!(
                    "Numeric PreRelease version must not contain leading zeroes {}",
                    quoted(p)
                ));
            }
            out.push(p.to_owned());
        }
        for b in build.into_iter().flat_map(|b| b.split('.')) {
            if b.is_empty() {
                return Err("Build meta data is empty".to_owned());
            }
            if !word(b) {
                return Err(format!("Invalid character(s) found in build meta data {}", quoted(b)));
            }
        }
        Ok(Self { numbers: [major, minor, patch], pre: out })
    }

    /// Without a `v` before it, with what is missing as zero, without leading zeros.
    fn normalized(s: &str) -> Result<Self, String> {
        let s = s.strip_prefix('v').unwrap_or(s);
        let mut parts: Vec<String> = s.splitn(3, '.').map(str::to_owned).collect();
        for p in &mut parts {
            if p.len() > 1 {
                let t = p.trim_start_matches('0');
                *p = if t.starts_with(|c: char| c.is_ascii_digit()) { t.to_owned() } else { format!("0{t}") };
            }
        }
        if parts.len() < 3 {
            if parts.last().is_some_and(|p| p.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".to_owned());
            }
            parts.resize(3, "0".to_owned());
        }
        Self::parse(&parts.join("."))
    }

    pub fn cmp(&self, o: &Self) -> Ordering {
        let numeric =
            |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u64>().ok()).flatten();
        self.numbers.cmp(&o.numbers).then_with(|| match (self.pre.is_empty(), o.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => {
                for (a, b) in self.pre.iter().zip(&o.pre) {
                    let c = match (numeric(a), numeric(b)) {
                        (Some(a), Some(b)) => a.cmp(&b),
                        (Some(_), None) => Ordering::Less,
                        (None, Some(_)) => Ordering::Greater,
                        _ => a.cmp(b),
                    };
                    if c != Ordering::Equal {
                        return c;
                    }
                }
                self.pre.len().cmp(&o.pre.len())
            }
        })
    }

    pub fn part(&self, f: &str) -> Option<i64> {
        let n = match f {
            "major" => self.numbers[0],
            "minor" => self.numbers[1],
            "patch" => self.numbers[2],
            _ => return None,
        };
        Some(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

pub fn parse_call(f: &str, s: &str, normalize: bool) -> Option<Eval> {
    let v = || if normalize { Semver::normalized(s) } else { Semver::parse(s) };
    Some(match f {
        "semver" => v().map(|v| Opaque::Semver(v).into()).map_err(EvalError::new),
        "isSemver" => Ok(Value::Bool(v().is_ok())),
        _ => return None,
    })
}
