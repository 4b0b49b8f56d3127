//! What all kinds have in common, around what each has of its own: validation that the API declares, fields of
//! features that are off, finalizers' names, the field labels of every object.

use crate::declare::{self, Op};
use crate::kit::*;
use crate::podspec::gates;

/// Kinds whose finalizers may have any name.
const LOOSE_FINALIZERS: &[&str] = &[
    "APIService",
    "CustomResourceDefinition",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "PodDisruptionBudget",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
];

/// A kind's own hooks with what is common.
pub(crate) struct Full<S>(pub(crate) S);

impl<S: Strategy> Full<S> {
    fn declared(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>, errors: &mut ErrorList) {
        let Some(ty) = declare::type_of(o) else { return };
        let option = |name: &str| {
            // What was allowed once stays allowed.
            let was_zero = || old.is_some_and(|o| o.v("spec").oi("minReplicas") == Some(0));
            schema::facts::gate(name) || (name == "HPAScaleToZero" && was_zero())
        };
        let mut e = Errs::default();
        declare::validate(ty, Op { update: old.is_some(), option: &option }, o, old, &mut e);
        declare::merge(errors, e.0);
        if !LOOSE_FINALIZERS.contains(&o.s("kind")) {
            let at = At::new("metadata.finalizers");
            for (i, f) in o.v("metadata").strs("finalizers").iter().enumerate() {
                let mut e = Errs::default();
                crate::list::finalizer(f, &at.i(i), &mut e);
                errors.extend(e.0);
            }
        }
    }
}

impl<S: Strategy> Strategy for Full<S> {
    fn prepare_create(&self, cx: &Cx<'_>, o: &mut Value) {
        gates::drop_for_kind(o, None);
        self.0.prepare_create(cx, o);
    }
    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        gates::drop_for_kind(o, Some(old));
        self.0.prepare_update(cx, o, old);
    }
    fn validate(&self, cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut errors = self.0.validate(cx, o);
        self.declared(cx, o, None, &mut errors);
        errors
    }
    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut errors = self.0.validate_update(cx, o, old);
        self.declared(cx, o, Some(old), &mut errors);
        errors
    }
    fn name_errors(&self, name: &str) -> Vec<String> {
        self.0.name_errors(name)
    }
    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        self.0.warnings(cx, o, old)
    }
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        self.0.row(o, now)
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        match label {
            "metadata.name" => Some(o.name().to_owned()),
            "metadata.namespace" => Some(o.namespace().to_owned()),
            label => self.0.field_value(o, label),
        }
    }
    fn field_paths(&self) -> &'static [&'static [&'static str]] {
        self.0.field_paths()
    }
}
