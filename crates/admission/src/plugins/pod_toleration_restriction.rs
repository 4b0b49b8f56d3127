//! PodTolerationRestriction: a namespace gives its pods tolerations, and says which they may have
//! (plugin/pkg/admission/podtolerationrestriction).

use crate::{Attributes, Lookup, Operation, Plugin, pod, tolerations};
use meta::object::ObjectExt;
use meta::{GroupResource, Reason, Status, Value};
use serde_json::json;

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// What holds for namespaces without annotations.
#[derive(Clone, Debug, Default)]
pub struct TolerationConfig {
    pub default: Vec<Value>,
    pub allowed: Vec<Value>,
}

pub(crate) struct PodTolerationRestriction(pub TolerationConfig);

/// The tolerations of an annotation; `None` where there is none.
fn of_namespace(a: &Attributes<'_>, l: &dyn Lookup, key: &str) -> Result<Option<Vec<Value>>, Status> {
    let Some(ns) = l.get("", "namespaces", "", a.namespace) else {
        return Err(Status::not_found(&GroupResource::new("", "namespaces"), a.namespace));
    };
    match ns.annotation(key) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(list) => Ok(Some(list)),
            Err(e) => Err(Status::failure(Reason::Unknown, format!("annotation {key}: {e}"))),
        },
    }
}

impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn admit(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.is_main("pods") {
            return Ok(());
        }
        let mut extra = if a.creates() {
            of_namespace(a, l, DEFAULTS)?.unwrap_or_else(|| self.0.default.clone())
        } else {
            Vec::new()
        };
        if !pod::is_best_effort(a.obj()) {
            extra.push(json!({
                "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule",
            }));
        }
        if let (Some(p), false) = (a.object.as_deref_mut(), extra.is_empty()) {
            let merged = tolerations::merge(p.array_at("spec.tolerations"), &extra);
            p.set_at("spec.tolerations", merged);
        }
        self.validate(a, l)
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        let list = a.obj().array_at("spec.tolerations");
        if !a.is_main("pods") || list.is_empty() {
            return Ok(());
        }
        let (allowed, scope) = match of_namespace(a, l, ALLOWED)? {
            Some(w) => (w, "namespace"),
            None => (self.0.allowed.clone(), "cluster"),
        };
        if tolerations::all_allowed(list, &allowed) {
            return Ok(());
        }
        let why = "pod tolerations (possibly merged with namespace default tolerations) conflict with its";
        Err(Status::failure(Reason::Unknown, format!("{why} {scope} whitelist")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Ask, Store};

    #[test]
    fn gives_and_restricts() {
        let s = Store::default().with(
            "/namespaces",
            json!({"metadata": {"name": "ns", "annotations": {
                DEFAULTS: r#"[{"key":"a","operator":"Exists"}]"#,
                ALLOWED: r#"[{"key":"a","operator":"Exists"},{"key":"b","operator":"Equal","value":"1"}]"#}}}),
        );
        let p = PodTolerationRestriction(TolerationConfig::default());
        let run = |t: Value| {
            let mut pod =
                json!({"metadata": {"name": "p"}, "spec": {"tolerations": t, "containers": [{"name": "c"}]}});
            Ask::new("create pods").run(&p, &s, &mut pod, None).map(|()| pod["spec"]["tolerations"].clone())
        };
        assert_eq!(run(json!([])), Ok(json!([{"key": "a", "operator": "Exists"}])));
        assert!(run(json!([{"key": "b", "operator": "Equal", "value": "1"}])).is_ok());
        assert!(
            run(json!([{"key": "b", "operator": "Exists"}]))
                .unwrap_err()
                .ends_with("its namespace whitelist")
        );
    }
}
