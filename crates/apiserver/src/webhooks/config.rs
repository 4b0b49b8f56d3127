//! One webhook, read from its configuration.

use super::calling::Fault;
use crate::crd::webhook::{Hook, Target};
use cel::policy::MatchConditions;
use meta::Value;
use meta::labels::from_label_selector;
use meta::object::ObjectExt;
use meta::selector::Selector;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub struct Webhook {
    pub configuration: String,
    pub name: String,
    /// Unlike any other's.
    pub uid: String,
    /// The error is what was wrong with the client configuration.
    pub hook: Result<Arc<Hook>, String>,
    /// As [`crate::rules`] reads them.
    pub rules: Vec<Value>,
    pub namespaces: Result<Selector, String>,
    pub objects: Result<Selector, String>,
    pub equivalent: bool,
    pub conditions: MatchConditions,
    pub ignore_failures: bool,
    pub timeout: Duration,
    pub side_effects: String,
    /// `reinvocationPolicy: IfNeeded`
    pub reinvoke: bool,
    pub review_versions: Vec<String>,
}

impl Webhook {
    /// Whether a failed call is as good as a consent.
    pub fn ignores(&self, f: &Fault) -> bool {
        self.ignore_failures && matches!(f, Fault::Calling(_))
    }
}

fn strings(v: &Value, field: &str) -> Vec<String> {
    v.array_at(field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn selector(v: Option<&Value>) -> Result<Selector, String> {
    match v {
        // Defaulted on its way in: without one, everything is meant.
        None => Ok(Selector::default()),
        s => from_label_selector(s),
    }
}

/// The webhooks of a configuration; `hook` finds or makes the connections of a client configuration.
pub fn parse(v: &Value, mut hook: impl FnMut(&str, Target) -> Arc<Hook>) -> Vec<Arc<Webhook>> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let one = |w: &Value| {
        let name = w.str_at("name").to_owned();
        let n = seen.entry(name.clone()).or_default();
        let uid = format!("{}/{name}/{n}", v.name());
        *n += 1;
        let client = w.at("clientConfig").cloned().unwrap_or_default();
        Arc::new(Webhook {
            configuration: v.name().to_owned(),
            uid,
            hook: Target::parse(&client).map(|t| hook(&client.to_string(), t)),
            rules: w.array_at("rules").to_vec(),
            namespaces: selector(w.at("namespaceSelector")),
            objects: selector(w.at("objectSelector")),
            equivalent: w.str_at("matchPolicy") == "Equivalent",
            conditions: MatchConditions::compile(w.array_at("matchConditions")),
            ignore_failures: w.str_at("failurePolicy") == "Ignore",
            timeout: Duration::from_secs(
                u64::try_from(w.i64_at("timeoutSeconds").unwrap_or(10)).unwrap_or(10).max(1),
            ),
            side_effects: w.str_at("sideEffects").to_owned(),
            reinvoke: w.str_at("reinvocationPolicy") == "IfNeeded",
            review_versions: strings(w, "admissionReviewVersions"),
            name,
        })
    };
    v.array_at("webhooks").iter().map(one).collect()
}
