//! Validating- and MutatingAdmissionPolicyBindings.

use crate::kit::*;

pub(crate) struct PolicyBinding;

impl Strategy for PolicyBinding {
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
