//! PriorityLevelConfigurations.

use super::flowschema::conditions;
use crate::kit::*;

pub(crate) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, _old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            conditions(o, &mut e);
        } else {
            validate(o, &mut e);
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let limited = o.v("spec").v("limited");
        let queuing = limited.v("limitResponse").v("queuing");
        let n = |v: &Value, k| v.set(k).cloned().unwrap_or_else(|| Value::from("<none>"));
        row![
            o.name(),
            o.v("spec").s("type"),
            n(limited, "nominalConcurrencyShares"),
            n(queuing, "queues"),
            n(queuing, "handSize"),
            n(queuing, "queueLengthLimit"),
            age(o, now),
        ]
    }
}

fn validate(o: &Value, e: &mut Errs) {
    const ZERO: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
    let (at, s) = (At::new("spec"), o.v("spec"));
    if o.annotation(ZERO).is_some() {
        e.forbidden(&At::new("metadata.annotations"), format!("annotation '{ZERO}' is forbidden"));
    }
    let ty = s.s("type");
    if (o.name() == "exempt") != (ty == "Exempt") {
        e.invalid(&at.c("type"), ty, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    let (limited, exempt) = (s.set("limited"), s.set("exempt"));
    match ty {
        "Exempt" => {
            if limited.is_some() {
                e.forbidden(&at.c("limited"), "must be nil if the type is not Limited");
            }
            if let Some(x) = exempt {
                shares(x, &at.c("exempt"), e);
            }
        }
        "Limited" => {
            if exempt.is_some() {
                e.forbidden(&at.c("exempt"), "must be nil if the type is Limited");
            }
            match limited {
                None => e.required(&at.c("limited"), "must not be empty when type is Limited"),
                Some(l) => limits(l, &at.c("limited"), e),
            }
        }
        t => drop(e.required_one_of(&at.c("type"), t, &["Exempt", "Limited"])),
    }
    let fixed = match o.name() {
        "exempt" => {
            let mut have = s.clone();
            have.drop_key("exempt");
            if !deep_same(&have, &json!({"type": "Exempt"})) {
                let why = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value";
                e.invalid(&at, s.clone(), why);
            }
            true
        }
        "catch-all" => deep_same(
            s,
            &json!({"type": "Limited", "limited": {
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}}),
        ),
        _ => true,
    };
    if !fixed {
        e.invalid(&at, s.clone(), format!("spec of '{}' must equal the fixed value", o.name()));
    }
    conditions(o, e);
}

fn shares(x: &Value, at: &At<'_>, e: &mut Errs) {
    let n = x.i("nominalConcurrencyShares");
    if n < 0 {
        e.invalid(&at.c("nominalConcurrencyShares"), n, "must be a non-negative integer");
    }
    if let Some(p) = x.oi("lendablePercent").filter(|p| !(0..=100).contains(p)) {
        e.invalid(&at.c("lendablePercent"), p, "must be between 0 and 100, inclusive");
    }
}

fn limits(l: &Value, at: &At<'_>, e: &mut Errs) {
    shares(l, at, e);
    if let Some(p) = l.oi("borrowingLimitPercent").filter(|p| *p < 0) {
        let why = "if specified, must be a non-negative integer";
        e.invalid(&at.c("borrowingLimitPercent"), p, why);
    }
    let (r, at) = (l.v("limitResponse"), at.c("limitResponse"));
    let queuing_at = at.c("queuing");
    match (r.s("type"), r.set("queuing")) {
        ("Reject", Some(_)) => {
            e.forbidden(&queuing_at, "must be nil if limited.limitResponse.type is not Limited");
        }
        ("Reject", None) => {}
        ("Queue", None) => {
            e.required(&queuing_at, "must not be empty if limited.limitResponse.type is Limited");
        }
        ("Queue", Some(q)) => queuing(q, &queuing_at, e),
        (t, _) => drop(e.required_one_of(&at.c("type"), t, &["Queue", "Reject"])),
    }
}

fn queuing(q: &Value, at: &At<'_>, e: &mut Errs) {
    const POSITIVE: &str = "must be positive";
    const MAX_QUEUES: i64 = 10_000_000;
    const HASH_BITS: i64 = 60;
    let (queues, hand, length) = (q.i("queues"), q.i("handSize"), q.i("queueLengthLimit"));
    if length <= 0 {
        e.invalid(&at.c("queueLengthLimit"), length, POSITIVE);
    }
    if queues <= 0 {
        e.invalid(&at.c("queues"), queues, POSITIVE);
    } else if queues > MAX_QUEUES {
        e.invalid(&at.c("queues"), queues, format!("must not be greater than {MAX_QUEUES}"));
    }
    // How many bits of a hash it takes to deal a hand.
    let bits = ((queues as f64).log2() * hand as f64).ceil() as i64;
    let at = at.c("handSize");
    if hand <= 0 {
        e.invalid(&at, hand, POSITIVE);
    } else if hand > queues {
        e.invalid(&at, hand, format!("should not be greater than queues ({queues})"));
    } else if bits > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        e.invalid(&at, hand, why);
    }
}
