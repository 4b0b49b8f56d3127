//! Defaults of admissionregistration.k8s.io, all versions (K/pkg/apis/admissionregistration/v*/defaults.go).

use super::DefaultFn;
use crate::val::{Obj, Put};
use meta::time::Timestamp;
use serde_json::json;

pub(super) const ROWS: &[(&str, DefaultFn)] = &[
    ("admissionregistration.v1.MatchResources", match_resources),
    ("admissionregistration.v1.MutatingAdmissionPolicySpec", fail),
    ("admissionregistration.v1.MutatingWebhook", webhook),
    ("admissionregistration.v1.MutatingWebhook", |o, _| o.default_nil("reinvocationPolicy", "Never")),
    ("admissionregistration.v1.Rule", scope),
    ("admissionregistration.v1.RuleWithOperations", scope),
    ("admissionregistration.v1.NamedRuleWithOperations", scope),
    ("admissionregistration.v1.ServiceReference", |o, _| o.default_nil("port", 443)),
    ("admissionregistration.v1.ValidatingAdmissionPolicySpec", fail),
    ("admissionregistration.v1.ValidatingWebhook", webhook),
    ("admissionregistration.v1alpha1.MatchResources", match_resources),
    ("admissionregistration.v1alpha1.MutatingAdmissionPolicySpec", fail),
    ("admissionregistration.v1alpha1.NamedRuleWithOperations", scope),
    ("admissionregistration.v1alpha1.ParamRef", |o, _| o.default_nil("parameterNotFoundAction", "Deny")),
    ("admissionregistration.v1beta1.MatchResources", match_resources),
    ("admissionregistration.v1beta1.MutatingAdmissionPolicySpec", fail),
    ("admissionregistration.v1beta1.NamedRuleWithOperations", scope),
];

fn fail(o: &mut Obj, _: Timestamp) {
    o.default_nil("failurePolicy", "Fail");
}

fn scope(o: &mut Obj, _: Timestamp) {
    o.default_nil("scope", "*");
}

fn match_resources(o: &mut Obj, _: Timestamp) {
    o.default_nil("matchPolicy", "Equivalent");
    o.default_nil("namespaceSelector", json!({}));
    o.default_nil("objectSelector", json!({}));
}

fn webhook(o: &mut Obj, now: Timestamp) {
    fail(o, now);
    match_resources(o, now);
    o.default_nil("timeoutSeconds", 10);
}
