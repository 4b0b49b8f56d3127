//! Namespaces.

use crate::kit::*;

pub(crate) struct Namespace;

impl Strategy for Namespace {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        o.put("status", json!({"phase": "Active"}));
        let spec = o.obj("spec");
        let mut list = spec.list("finalizers").to_vec();
        if !list.iter().any(|f| f == "kubernetes") {
            list.push(Value::from("kubernetes"));
        }
        spec.put("finalizers", list);
        name_label(o);
    }

    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if cx.subresource.is_empty() {
            match old.v("spec").f("finalizers") {
                Some(f) => o.obj("spec").put("finalizers", f.clone()),
                None => _ = o.obj("spec").remove("finalizers"),
            }
        }
        name_label(o);
    }

    fn name_errors(&self, name: &str) -> Vec<String> {
        names::is_dns1123_label(name)
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        finalizers(o, false, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, _old: &Value) -> ErrorList {
        let mut e = Errs::default();
        match cx.subresource {
            "status" => {
                let (want, when) = match o.deletion_timestamp() {
                    None => ("Active", "empty"),
                    Some(_) => ("Terminating", "not empty"),
                };
                let phase = o.str_at("status.phase");
                if phase != want {
                    let why = format!("may only be '{want}' if `deletionTimestamp` is {when}");
                    e.invalid(&At::new("status.Phase"), phase, why);
                }
            }
            "finalize" => finalizers(o, true, &mut e),
            _ => finalizers(o, false, &mut e),
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.str_at("status.phase"), age(o, now)]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "status.phase").then(|| o.str_at(label).to_owned())
    }
}

/// Every namespace can be selected by name.
fn name_label(o: &mut Value) {
    let name = o.name().to_owned();
    o.obj("metadata").obj("labels").put("kubernetes.io/metadata.name", name);
}

fn finalizers(o: &Value, indexed: bool, e: &mut Errs) {
    let at = At::new("spec.finalizers");
    for (i, f) in o.v("spec").strs("finalizers").iter().enumerate() {
        let at = if indexed { at.i(i) } else { at };
        e.0.extend(meta::metav1::validate_finalizer_name(f, &at.path()));
        crate::list::finalizer(f, &at, e);
    }
}
