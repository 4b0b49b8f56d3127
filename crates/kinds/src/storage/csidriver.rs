//! CSIDrivers.

use crate::kit::*;

pub(crate) struct CSIDriver;

impl Strategy for CSIDriver {
    fn prepare_update(&self, _cx: &Cx<'_>, o: &mut Value, old: &Value) {
        // Counted from the first change on, not from the creation.
        if !opt_same(o.f("spec"), old.f("spec")) {
            o.set_at("metadata.generation", Value::from(old.generation() + 1));
        }
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        let (s, was) = (o.v("spec"), old.v("spec"));
        validate(s, &mut e);
        e.immutable(&At::new("spec.attachedRequired"), s.f("attachRequired"), was.f("attachRequired"));
        let modes = "volumeLifecycleModes";
        e.immutable(&At::new("spec").c(modes), s.f(modes), was.f(modes));
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        let s = o.v("spec");
        let same = old.is_some_and(|old| opt_same(old.v("spec").f("tokenRequests"), s.f("tokenRequests")));
        if same
            || s.list("tokenRequests").is_empty()
            || s.has(IN_SECRETS)
            || !schema::facts::gate("CSIServiceAccountTokenSecrets")
        {
            return Vec::new();
        }
        vec![format!(
            "spec.{IN_SECRETS} is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"
        )]
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let tokens = match s.list("tokenRequests") {
            [] => "<unset>".to_owned(),
            l => l.iter().map(|t| t.s("audience")).collect::<Vec<_>>().join(","),
        };
        row![
            o.name(),
            s.ob("attachRequired").unwrap_or(true),
            s.b("podInfoOnMount"),
            s.b("storageCapacity"),
            tokens,
            s.b("requiresRepublish"),
            or_none(&s.strs("volumeLifecycleModes").join(",")),
            age(o, now),
        ]
    }
}

const IN_SECRETS: &str = "serviceAccountTokenInSecrets";

fn validate(s: &Value, e: &mut Errs) {
    let at = At::new("spec");
    let gated = |gate: &str| schema::facts::gate(gate);
    for (f, shown, needed) in [
        ("attachRequired", "attachedRequired", true),
        ("podInfoOnMount", "podInfoOnMount", true),
        ("storageCapacity", "storageCapacity", true),
        ("seLinuxMount", "seLinuxMount", gated("SELinuxMountReadWriteOncePod")),
        ("preventPodSchedulingIfMissing", "preventPodSchedulingIfMissing", gated("VolumeLimitScaling")),
    ] {
        if needed && !s.has(f) {
            e.required(&at.c(shown), "");
        }
    }
    if let Some(p) = s.os("fsGroupPolicy") {
        e.one_of(&at.c("fsGroupPolicy"), p, &["File", "None", "ReadWriteOnceWithFSType"]);
    }
    let tokens = at.c("tokenRequests");
    let list = s.list("tokenRequests");
    for (i, t) in list.iter().enumerate() {
        let at = tokens.i(i);
        if list[..i].iter().any(|x| x.s("audience") == t.s("audience")) {
            e.duplicate(&at.c("audience"), t.s("audience"));
            continue;
        }
        let at = at.c("expirationSeconds");
        match t.oi("expirationSeconds") {
            Some(n) if n < 600 => e.invalid(&at, n, "may not specify a duration less than 10 minutes"),
            Some(n) if n > 1 << 32 => {
                e.invalid(&at, n, "may not specify a duration larger than 2^32 seconds");
            }
            _ => {}
        }
    }
    for m in s.strs("volumeLifecycleModes") {
        e.one_of(&at.c("volumeLifecycleModes"), m, &["Persistent", "Ephemeral"]);
    }
    if let Some(n) = s.oi("nodeAllocatableUpdatePeriodSeconds").filter(|n| *n < 10) {
        let at = at.c("nodeAllocatableUpdatePeriodSeconds");
        e.invalid(&at, n, "must be greater than or equal to 10 seconds");
    }
    if let Some(b) = s.ob(IN_SECRETS).filter(|_| list.is_empty()) {
        let why = format!("{IN_SECRETS} is set but no tokenRequests are specified");
        e.invalid(&at.c(IN_SECRETS), b, why);
    }
}
