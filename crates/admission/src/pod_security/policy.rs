//! Levels, versions, and which checks make them up (pod-security-admission `api`, `policy/registry.go`).

use super::{PREFIX, checks, checks_restricted};
use meta::{ErrorList, FieldError, Map, Path, Value};
use std::fmt;

/// From free to strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
    pub fn parse(s: &str) -> Option<Self> {
        [Self::Privileged, Self::Baseline, Self::Restricted].into_iter().find(|l| l.as_str() == s)
    }
}

/// The release whose checks apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Version {
    #[default]
    Latest,
    /// `v1.N`
    Minor(u32),
}

impl Version {
    pub fn parse(s: &str) -> Option<Self> {
        if s == "latest" {
            return Some(Self::Latest);
        }
        let n = s.strip_prefix("v1.")?;
        let canonical = n == "0" || !n.starts_with('0');
        if n.is_empty() || !canonical || !n.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        n.parse().ok().map(Self::Minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(n) => write!(f, "v1.{n}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LevelVersion {
    pub level: Level,
    pub version: Version,
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level.as_str(), self.version)
    }
}

/// What is refused, what is noted, what is warned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    pub enforce: LevelVersion,
    pub audit: LevelVersion,
    pub warn: LevelVersion,
}

impl Policy {
    pub fn fully_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|l| l.level == Level::Privileged)
    }
    pub(super) fn equivalent(&self, o: &Self) -> bool {
        let same = |a: LevelVersion, b: LevelVersion| {
            a == b || (a.level == Level::Privileged && b.level == Level::Privileged)
        };
        same(self.enforce, o.enforce) && same(self.audit, o.audit) && same(self.warn, o.warn)
    }
}

/// The policy that a namespace's labels make of the default one. Bad labels mean the strictest to enforce and nothing to
/// audit and warn; they are answered, too.
pub(super) fn of_labels(labels: Option<&Map<String, Value>>, defaults: &Policy) -> (Policy, ErrorList) {
    let mut p = *defaults;
    let mut errors = ErrorList::new();
    let Some(labels) = labels.filter(|l| !l.is_empty()) else { return (p, errors) };
    let get = |key: &str| labels.get(&format!("{PREFIX}{key}")).and_then(Value::as_str);
    let mut enforce_set = false;
    for (mode, lv, on_error) in [
        ("enforce", &mut p.enforce, Level::Restricted),
        ("audit", &mut p.audit, Level::Privileged),
        ("warn", &mut p.warn, Level::Privileged),
    ] {
        let mut bad = |key: &str, value: &str, why: &str| {
            let path = Path::new("metadata").child("labels").key(&format!("{PREFIX}{key}"));
            errors.push(FieldError::invalid(&path, value, why));
        };
        if let Some(v) = get(mode) {
            lv.level = Level::parse(v).unwrap_or(on_error);
            if Level::parse(v).is_none() {
                bad(mode, v, "must be one of privileged, baseline, restricted");
            } else if mode == "enforce" {
                enforce_set = true;
            }
        }
        let key = format!("{mode}-version");
        if let Some(v) = get(&key) {
            lv.version = Version::parse(v).unwrap_or_default();
            if Version::parse(v).is_none() {
                bad(&key, v, "must be \"latest\" or \"v1.x\"");
            }
        }
    }
    // Nobody wants to be refused without having been warned.
    if get("warn").is_none() && enforce_set && p.enforce.level > p.warn.level {
        p.warn.level = p.enforce.level;
        if get("warn-version").is_none() {
            p.warn.version = p.enforce.version;
        }
    }
    (p, errors)
}

/// One thing that a pod may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub reason: &'static str,
    pub detail: String,
}

/// All violations in one line, details in parentheses.
pub(super) fn details(v: &[Violation]) -> String {
    let parts: Vec<String> = v
        .iter()
        .map(|v| match v.detail.as_str() {
            "" => v.reason.to_owned(),
            d => format!("{} ({d})", v.reason),
        })
        .collect();
    parts.join(", ")
}

/// A check looks at an object with the pod's metadata and at its spec.
pub(super) type Check = fn(&Value, &Value) -> Option<Violation>;

/// A check's name, its level, and from which minor version on it is which function. A restricted check may stand in for
/// a baseline one.
pub(super) struct Line {
    pub id: &'static str,
    pub level: Level,
    pub versions: &'static [(u32, Check)],
    pub overrides: &'static str,
}

const fn line(
    id: &'static str,
    level: Level,
    versions: &'static [(u32, Check)],
    overrides: &'static str,
) -> Line {
    Line { id, level, versions, overrides }
}

/// Baseline before restricted, each sorted by name as messages have them.
const CHECKS: &[Line] = {
    use checks as b;
    use checks_restricted as r;
    const B: Level = Level::Baseline;
    const R: Level = Level::Restricted;
    &[
        line("appArmorProfile", B, &[(0, b::app_armor)], ""),
        line("capabilities_baseline", B, &[(0, b::capabilities)], ""),
        line("hostNamespaces", B, &[(0, b::host_namespaces)], ""),
        line("hostPathVolumes", B, &[(0, b::host_path_volumes)], ""),
        line("hostPorts", B, &[(0, b::host_ports)], ""),
        line("hostProbesAndHostLifecycle", B, &[(34, b::probe_hosts)], ""),
        line("privileged", B, &[(0, b::privileged)], ""),
        line("procMount", B, &[(0, b::proc_mount), (35, b::proc_mount_35)], ""),
        line("seLinuxOptions", B, &[(0, b::se_linux_0), (31, b::se_linux_31)], ""),
        line("seccompProfile_baseline", B, &[(0, b::seccomp_0), (19, b::seccomp_19)], ""),
        line(
            "sysctls",
            B,
            &[
                (0, b::sysctls_0),
                (27, b::sysctls_27),
                (29, b::sysctls_29),
                (32, b::sysctls_32),
                (37, b::sysctls_37),
            ],
            "",
        ),
        line("windowsHostProcess", B, &[(0, b::host_process)], ""),
        line(
            "allowPrivilegeEscalation",
            R,
            &[(8, r::privilege_escalation_8), (25, r::privilege_escalation_25)],
            "",
        ),
        line(
            "capabilities_restricted",
            R,
            &[(22, r::capabilities_22), (25, r::capabilities_25)],
            "capabilities_baseline",
        ),
        line("procMount_restricted", R, &[(35, b::proc_mount)], "procMount"),
        line("restrictedVolumes", R, &[(0, r::volumes)], "hostPathVolumes"),
        line("runAsNonRoot", R, &[(0, r::run_as_non_root_0), (35, r::run_as_non_root_35)], ""),
        line("runAsUser", R, &[(23, r::run_as_user_23), (35, r::run_as_user_35)], ""),
        line(
            "seccompProfile_restricted",
            R,
            &[(19, r::seccomp_19), (25, r::seccomp_25)],
            "seccompProfile_baseline",
        ),
    ]
};

/// What of a pod violates a level. `object` has the pod's metadata.
pub fn evaluate(lv: LevelVersion, object: &Value, spec: &Value) -> Vec<Violation> {
    let minor = match lv.version {
        Version::Latest => u32::MAX,
        Version::Minor(n) => n,
    };
    let applies = |l: &Line| {
        let f = l.versions.iter().rev().find(|(from, _)| *from <= minor).map(|(_, f)| *f);
        f.filter(|_| l.level <= lv.level)
    };
    let overridden: Vec<&str> = CHECKS
        .iter()
        .filter(|l| applies(l).is_some())
        .map(|l| l.overrides)
        .filter(|o| !o.is_empty())
        .collect();
    let active = CHECKS.iter().filter(|l| !overridden.contains(&l.id));
    active.filter_map(applies).filter_map(|f| f(object, spec)).collect()
}
