//! CertificateSigningRequests.

use crate::kit::*;

pub(crate) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    /// Who asks is what the server knows of the caller, whatever the request says.
    fn prepare_create(&self, cx: &Cx<'_>, o: &mut Value) {
        o.set_at("spec.username", cx.user.name.as_str());
        for (path, empty) in [
            ("spec.uid", cx.user.uid.is_empty()),
            ("spec.groups", cx.user.groups.is_empty()),
            ("spec.extra", cx.user.extra.is_empty()),
        ] {
            if empty {
                o.remove_at(path);
            }
        }
        if !cx.user.uid.is_empty() {
            o.set_at("spec.uid", cx.user.uid.as_str());
        }
        if !cx.user.groups.is_empty() {
            o.set_at("spec.groups", cx.user.groups.clone());
        }
        if !cx.user.extra.is_empty() {
            let extra: meta::Map<String, Value> =
                cx.user.extra.iter().map(|(k, v)| (k.clone(), Value::from(v.clone()))).collect();
            o.set_at("spec.extra", extra);
        }
        o.remove_at("status");
    }
    /// The spec never changes. The main endpoint leaves the status alone, approval takes conditions only, and the status
    /// endpoint leaves the verdict alone.
    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, old: &Value) {
        if let Some(s) = old.get("spec") {
            o["spec"] = s.clone();
        }
        let verdict = |c: &Value| matches!(c.s("type"), "Approved" | "Denied");
        match cx.subresource {
            "approval" => {
                let now = cx.now.rfc3339();
                let mut conditions = o.array_at("status.conditions").to_vec();
                for c in &mut conditions {
                    for k in ["lastUpdateTime", "lastTransitionTime"] {
                        if c.s(k).is_empty() {
                            c[k] = now.clone().into();
                        }
                    }
                }
                let mut status =
                    old.get("status").cloned().unwrap_or_else(|| Value::Object(meta::Map::new()));
                status["conditions"] = conditions.into();
                o["status"] = status;
            }
            "status" => {
                let mut kept: Vec<Value> =
                    old.array_at("status.conditions").iter().filter(|c| verdict(c)).cloned().collect();
                let now = cx.now.rfc3339();
                kept.extend(o.array_at("status.conditions").iter().filter(|c| !verdict(c)).cloned().map(
                    |mut c| {
                        for k in ["lastUpdateTime", "lastTransitionTime"] {
                            if c.s(k).is_empty() {
                                c[k] = now.clone().into();
                            }
                        }
                        c
                    },
                ));
                if !kept.is_empty() {
                    o.set_at("status.conditions", kept);
                }
            }
            _ => match old.get("status") {
                Some(s) => o["status"] = s.clone(),
                None => drop(o.remove_at("status")),
            },
        }
    }
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let lasts = s.oi("expirationSeconds").map_or("<none>".to_owned(), meta::time::human_duration);
        let has = |ty| rows::condition(o, ty).is_some();
        let mut status = if has("Denied") {
            "Denied".to_owned()
        } else if has("Approved") {
            "Approved".to_owned()
        } else {
            "Pending".to_owned()
        };
        if has("Failed") {
            status.push_str(",Failed");
        }
        if !o.str_at("status.certificate").is_empty() {
            status.push_str(",Issued");
        }
        row![o.name(), age(o, now), or_none(s.s("signerName")), s.s("username"), lasts, status]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.signerName").then(|| o.str_at(label).to_owned())
    }
}
