//! ServiceAccounts.

use crate::kit::*;

pub(crate) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        bare_references(o);
    }

    fn prepare_update(&self, _cx: &Cx<'_>, o: &mut Value, _old: &Value) {
        bare_references(o);
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        const KEY: &str = "kubernetes.io/enforce-mountable-secrets";
        let had = old.is_some_and(|o| o.annotation(KEY).is_some());
        if had || o.annotation(KEY).is_none() {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{KEY}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )]
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), age(o, now)]
    }
}

/// References to secrets are names and nothing else.
fn bare_references(o: &mut Value) {
    for s in o.each("secrets") {
        s.retain(|k, _| k == "name");
    }
}
