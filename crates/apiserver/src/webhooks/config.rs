//! Webhook configurations as the server uses them: parsed once, and again when one of them changes.

use super::rules::Rule;
use crate::crd::webhook::{Hook, Target};
use crate::object;
use crate::server::ApiServer;
use cel::{Env, Program, Type};
use meta::object::ObjectExt;
use meta::selector::Selector;
use meta::{Value, labels};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const GROUP: &str = "admissionregistration.k8s.io";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Mutating,
    Validating,
}

impl Phase {
    fn resource(self) -> &'static str {
        match self {
            Self::Mutating => "mutatingwebhookconfigurations",
            Self::Validating => "validatingwebhookconfigurations",
        }
    }
}

/// One webhook of a configuration.
pub struct Webhook {
    pub configuration: String,
    pub name: String,
    pub rules: Vec<Rule>,
    /// Match also what is the same object in another version.
    pub equivalent: bool,
    pub namespaces: Result<Selector, String>,
    pub objects: Result<Selector, String>,
    /// `matchConditions`: name and expression, or why it does not compile.
    pub conditions: Vec<(String, Result<Program, String>)>,
    /// A webhook that cannot be called does not stop the request.
    pub ignore_failure: bool,
    pub timeout: Duration,
    /// What is said of side effects; dry runs pass only those without.
    pub dry_run: bool,
    pub reinvoke: bool,
    /// The version of AdmissionReview it is sent.
    pub version: Option<&'static str>,
    pub hook: Result<Hook, String>,
}

impl Webhook {
    fn parse(configuration: &str, w: &Value) -> Self {
        let seconds = w.i64_at("timeoutSeconds").and_then(|s| u64::try_from(s).ok()).unwrap_or(10);
        let empty = Value::Object(meta::Map::new());
        let selector = |f: &str| labels::from_label_selector(Some(w.get(f).unwrap_or(&empty)));
        Self {
            configuration: configuration.to_owned(),
            name: w.str_at("name").to_owned(),
            rules: w.array_at("rules").iter().map(Rule::parse).collect(),
            equivalent: w.str_at("matchPolicy") != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            conditions: w
                .array_at("matchConditions")
                .iter()
                .map(|c| (c.str_at("name").to_owned(), compile(c.str_at("expression"))))
                .collect(),
            ignore_failure: w.str_at("failurePolicy") == "Ignore",
            timeout: Duration::from_secs(seconds),
            dry_run: matches!(w.str_at("sideEffects"), "None" | "NoneOnDryRun"),
            reinvoke: w.str_at("reinvocationPolicy") == "IfNeeded",
            version: w.array_at("admissionReviewVersions").iter().find_map(|v| match v.as_str() {
                Some("v1") => Some("v1"),
                Some("v1beta1") => Some("v1beta1"),
                _ => None,
            }),
            hook: Target::parse(w.get("clientConfig").unwrap_or(&Value::Null)).map(Hook::new),
        }
    }
}

/// What match conditions may name.
pub fn environment() -> Env {
    Env::new()
        .var("object", Type::Dyn)
        .var("oldObject", Type::Dyn)
        .var("request", Type::Dyn)
        .var("authorizer", Type::object("kubernetes.authorization.Authorizer"))
        .var("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"))
}

fn compile(expression: &str) -> Result<Program, String> {
    let p = environment().compile(expression).map_err(|e| format!("compilation failed: {}", e.display()))?;
    match &p.broken {
        Some(why) => Err(format!("program instantiation failed: {why}")),
        None => Ok(p),
    }
}

/// Configurations by key and revision, and the webhooks they make.
type Kept = (Vec<(Arc<str>, i64)>, Arc<Vec<Webhook>>);

/// The webhooks of both phases. What is stored is what counts, from the moment of the write.
#[derive(Default)]
pub struct Webhooks {
    mutating: Mutex<Kept>,
    validating: Mutex<Kept>,
}

impl Webhooks {
    /// All webhooks of a phase: by the names of their configurations, then in their order.
    pub fn get(&self, s: &ApiServer, phase: Phase) -> Arc<Vec<Webhook>> {
        let Some(info) = s.registry().any_version(GROUP, phase.resource()).cloned() else {
            return Arc::default();
        };
        let snap = s.store.cached();
        let mut marks: Vec<(Arc<str>, i64)> = Vec::new();
        let mut records = Vec::new();
        snap.scan(&info.prefix, "", &mut |r| {
            marks.push((r.key.clone().into(), r.mod_revision));
            records.push(r.clone());
            true
        });
        let slot = if phase == Phase::Mutating { &self.mutating } else { &self.validating };
        let mut kept = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != marks {
            let mut all = Vec::new();
            for r in &records {
                match object::decode_builtin(&info, r) {
                    Ok((v, _)) => {
                        all.extend(v.array_at("webhooks").iter().map(|w| Webhook::parse(v.name(), w)));
                    }
                    Err(e) => {
                        tracing::warn!(key = %r.key, error = %e, "a webhook configuration cannot be read")
                    }
                }
            }
            *kept = (marks, Arc::new(all));
        }
        kept.1.clone()
    }
}
