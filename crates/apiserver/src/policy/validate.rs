//! Validating policies: what their bindings make of what they say (apiserver
//! `pkg/admission/plugin/policy/validating/dispatcher.go`).

use super::input::{input, param, param_namespace};
use super::{Kept, all, bound, exempt, matching, params};
use crate::Result;
use crate::admit::Admission;
use crate::cx::Cx;
use cel::policy::Validating;
use meta::object::ObjectExt;
use meta::{GroupVersionKind, Status, Value};
use std::collections::BTreeMap;

/// Bytes of one audit annotation, and failures that are noted there, at most.
const MAX_ANNOTATION: usize = 10 * 1024;
const MAX_FAILURES: usize = 50;

struct Refusal {
    policy: String,
    binding: Option<String>,
    message: String,
    reason: String,
}

struct Run<'a> {
    cx: &'a Cx,
    refusals: Vec<Refusal>,
    failures: Vec<Value>,
}

/// Asks the validating policies about the final object.
pub async fn validate(cx: &Cx, a: &Admission<'_>, obj: Option<&Value>, old: Option<&Value>) -> Result<()> {
    if exempt(&cx.res) {
        return Ok(());
    }
    let p = &cx.server.policies;
    let policies = all(cx, "validatingadmissionpolicies", &p.validating, Validating::compile);
    if policies.is_empty() {
        return Ok(());
    }
    let bindings = all(cx, "validatingadmissionpolicybindings", &p.validating_bindings, |_| ());
    let mut run = Run { cx, refusals: Vec::new(), failures: Vec::new() };
    for p in &policies {
        let mut annotations = BTreeMap::new();
        let matched = match matching::matches(cx, a, p.spec.at("matchConstraints"), obj, old) {
            Ok(Some(m)) => m,
            Ok(None) => continue,
            Err(e) => {
                run.misconfigured(p, None, &e);
                continue;
            }
        };
        let kind = match params::kind(cx, &p.spec) {
            Ok(k) => k,
            Err(e) => {
                run.misconfigured(p, None, &e);
                continue;
            }
        };
        for b in bound(&p.name, &bindings) {
            match matching::matches(cx, a, b.spec.at("matchResources"), obj, old) {
                Ok(Some(_)) => {}
                Ok(None) => continue,
                Err(e) => {
                    run.misconfigured(p, Some(b), &e);
                    continue;
                }
            }
            let found = params::collect(cx, kind.as_deref(), &b.spec, param_namespace(cx, a, obj)).await;
            let found = match found {
                Ok(f) => f,
                Err(e) => {
                    run.misconfigured(p, Some(b), &e);
                    continue;
                }
            };
            let gvk: &GroupVersionKind =
                if matched.gvr == cx.res.gvr { a.kind.unwrap_or(&cx.res.gvk) } else { &matched.gvk };
            let mut i = input(cx, a, &matched, gvk, obj, old);
            for f in &found {
                i.params = param(kind.as_deref(), f.as_ref());
                run.obey(p, b, &i, &mut annotations);
            }
        }
        for (k, values) in annotations {
            cx.annotate(&format!("{}/{k}", p.name), &values.join(", "));
        }
    }
    run.end(a, obj)
}

impl Run<'_> {
    /// A policy or binding that cannot be used refuses what it matches, unless it may be ignored.
    fn misconfigured(&mut self, p: &Kept<Validating>, b: Option<&Kept<()>>, why: &str) {
        if !p.made.fails() {
            return;
        }
        let what = if b.is_some() { "binding" } else { "policy" };
        self.refusals.push(Refusal {
            policy: p.name.clone(),
            binding: b.map(|b| b.name.clone()),
            message: format!("failed to configure {what}: {why}"),
            reason: String::new(),
        });
    }

    fn obey(
        &mut self,
        p: &Kept<Validating>,
        b: &Kept<()>,
        i: &cel::policy::Input,
        annotations: &mut BTreeMap<String, Vec<String>>,
    ) {
        let verdict = p.made.judge(i);
        let actions = b.spec.array_at("validationActions");
        for d in verdict.denials {
            for action in actions.iter().filter_map(Value::as_str) {
                match action {
                    "Deny" => self.refusals.push(Refusal {
                        policy: p.name.clone(),
                        binding: Some(b.name.clone()),
                        message: d.message.clone(),
                        reason: d.reason.clone(),
                    }),
                    "Audit" => self.failures.push(serde_json::json!({
                        "message": d.message,
                        "policy": p.name,
                        "binding": b.name,
                        "expressionIndex": d.index,
                        "validationActions": actions,
                    })),
                    "Warn" => self.cx.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        p.name, b.name, d.message
                    )),
                    _ => {}
                }
            }
        }
        for message in verdict.annotation_errors {
            self.refusals.push(Refusal {
                policy: p.name.clone(),
                binding: Some(b.name.clone()),
                message,
                reason: String::new(),
            });
        }
        for (k, mut v) in verdict.annotations {
            let mut cut = v.len().min(MAX_ANNOTATION);
            while !v.is_char_boundary(cut) {
                cut -= 1;
            }
            v.truncate(cut);
            let values = annotations.entry(k).or_default();
            if !values.contains(&v) {
                values.push(v);
            }
        }
    }

    fn end(mut self, a: &Admission<'_>, obj: Option<&Value>) -> Result<()> {
        if !self.failures.is_empty() {
            self.failures.truncate(MAX_FAILURES);
            let key = "validation.policy.admission.k8s.io/validation_failure";
            self.cx.annotate(key, &Value::Array(self.failures).to_string());
        }
        let Some(r) = self.refusals.into_iter().next() else { return Ok(()) };
        let message = match &r.binding {
            Some(b) => format!(
                "ValidatingAdmissionPolicy '{}' with binding '{b}' denied request: {}",
                r.policy, r.message
            ),
            None => format!("ValidatingAdmissionPolicy '{}' denied request: {}", r.policy, r.message),
        };
        Err(refused(self.cx, a, obj, message, &r.reason).into())
    }
}

/// The answer to a request that a policy refuses.
pub fn refused(cx: &Cx, a: &Admission<'_>, obj: Option<&Value>, message: String, reason: &str) -> Status {
    let generated = obj.map_or("", |o| o.str_at("metadata.generateName"));
    let name =
        [a.name, obj.map_or("", |o| o.name()), generated, "Unknown"].into_iter().find(|n| !n.is_empty());
    let mut s = Status::forbidden(&cx.res.group_resource(), name.unwrap_or_default(), &message);
    let (reason, code) = match reason {
        "Unauthorized" => (meta::Reason::Unauthorized, 401),
        "Forbidden" => (meta::Reason::Forbidden, 403),
        "RequestEntityTooLarge" => (meta::Reason::RequestEntityTooLarge, 413),
        _ => (meta::Reason::Invalid, 422),
    };
    s.reason = reason.as_str().into();
    s.code = code;
    s.with_cause("", message, "")
}
