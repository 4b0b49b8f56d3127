//! LeaseCandidates.

use crate::kit::*;

pub(crate) struct LeaseCandidate;

impl Strategy for LeaseCandidate {
    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_config_map_key(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), &mut e);
        e.fixed(&At::new("spec.leaseName"), o.v("spec"), old.v("spec"), "leaseName");
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![o.name(), s.s("leaseName"), s.s("binaryVersion"), s.s("emulationVersion"), age(o, now)]
    }
}

fn validate(s: &Value, e: &mut Errs) {
    let at = At::new("spec");
    e.non_empty(&at.c("leaseName"), s.s("leaseName"));
    let version = |e: &mut Errs, f: &str| {
        let v = s.s(f);
        let parsed = semver(v);
        if parsed.is_none() && !v.is_empty() {
            e.invalid(&at.c(f), v, "must be a valid semantic version");
        }
        parsed.unwrap_or_default()
    };
    let emulated = version(e, "emulationVersion");
    e.non_empty(&at.c("binaryVersion"), s.s("binaryVersion"));
    let binary = version(e, "binaryVersion");
    if !s.s("binaryVersion").is_empty() && !s.s("emulationVersion").is_empty() && binary < emulated {
        let why = "must be greater than or equal to `emulationVersion`";
        e.invalid(&at.c("binaryVersion"), s.s("binaryVersion"), why);
    }
    match s.s("strategy") {
        "" => e.required(&at.c("strategy"), ""),
        x => {
            if x == "OldestEmulationVersion" && emulated == [0; 3] {
                let why = "must be specified when `strategy` is 'OldestEmulationVersion'";
                e.required(&at.c("emulationVersion"), why);
            }
            super::lease::strategy(x, &at.c("strategy"), e);
        }
    }
}

/// The numbers of a semantic version, whatever comes after them.
fn semver(v: &str) -> Option<[u64; 3]> {
    let core = v.split(['-', '+']).next()?;
    let mut out = [0; 3];
    let mut parts = core.split('.');
    for n in &mut out {
        let p = parts.next().filter(|p| p.bytes().all(|b| b.is_ascii_digit()))?;
        *n = p.parse().ok().filter(|_| p == "0" || !p.starts_with('0'))?;
    }
    parts.next().is_none().then_some(out)
}
