//! Validating- and MutatingAdmissionPolicyBindings.

use super::rules;
use crate::kit::*;

pub(crate) struct PolicyBinding;

impl Strategy for PolicyBinding {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        rules::static_name(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, _old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        rules::static_warnings(o, old)
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let param = s.set("paramRef").map_or_else(|| "<unset>".to_owned(), param);
        row![o.name(), s.s("policyName"), param, age(o, now)]
    }
}

fn param(p: &Value) -> String {
    match (p.s("name"), p.s("namespace"), p.set("selector")) {
        ("", _, Some(s)) => go_selector(s),
        ("", _, None) => "<unset>".to_owned(),
        (name, "", _) => format!("*/{name}"),
        (name, ns, _) => format!("{ns}/{name}"),
    }
}

/// A `LabelSelector` as Go's generated `String` method prints it.
fn go_selector(s: &Value) -> String {
    let labels: String = s
        .o("matchLabels")
        .into_iter()
        .flatten()
        .map(|(k, v)| format!("{k}: {},", v.as_str().unwrap_or("")))
        .collect();
    let expressions: String = s
        .list("matchExpressions")
        .iter()
        .map(|e| {
            let (k, op, values) = (e.s("key"), e.s("operator"), e.strs("values").join(" "));
            format!("LabelSelectorRequirement{{Key:{k},Operator:{op},Values:[{values}],}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn validate(o: &Value, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let mutating = o.s("kind") == "MutatingAdmissionPolicyBinding";
    e.required_name(&at.c("policyName"), s.s("policyName"), names::is_dns1123_subdomain);
    if let Some(p) = s.set("paramRef") {
        param_ref(p, &at.c("paramRef"), e);
    }
    if let Some(m) = s.set("matchResources") {
        let at = at.c("matchResources");
        rules::match_resources(m, &at, e);
        if mutating {
            rules::mutating_operations(m, &at, e);
        }
    }
    if mutating {
        return;
    }
    let (list, at) = (s.strs("validationActions"), at.c("validationActions"));
    for (i, a) in list.iter().enumerate() {
        e.one_of(&at.i(i), a, &["Audit", "Deny", "Warn"]);
        if list[..i].contains(a) {
            e.duplicate(&at.i(i), *a);
        }
    }
    if list.contains(&"Deny") && list.contains(&"Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        e.invalid(&at, s.v("validationActions").clone(), why);
    }
    if list.is_empty() {
        e.required(&at, "at least one validation action is required");
    }
}

fn param_ref(p: &Value, at: &At<'_>, e: &mut Errs) {
    const BOTH: &str = "name and selector are mutually exclusive";
    let (name, selector) = (p.s("name"), p.set("selector"));
    if !name.is_empty() {
        e.name(&at.c("name"), name, names::is_path_segment_name);
        if selector.is_some() {
            e.forbidden(&at.c("name"), BOTH);
        }
    }
    if selector.is_some() {
        e.label_selector(&at.c("selector"), selector, false);
        if !name.is_empty() {
            e.forbidden(&at.c("selector"), BOTH);
        }
    }
    if name.is_empty() && selector.is_none() {
        e.required(at, "one of name or selector must be specified");
    }
    let action = p.s("parameterNotFoundAction");
    e.required_one_of(&at.c("parameterNotFoundAction"), action, &["Deny", "Allow"]);
}
