//! Pods.

use super::pod_row;
use crate::kit::*;

pub(crate) struct Pod;

impl Strategy for Pod {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        pod_row::row(o, now)
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        Some(match label {
            "status.podIP" => o.array_at("status.podIPs").first().map_or("", |i| i.s("ip")).to_owned(),
            // Accepted as a label; upstream has no value for it.
            "status.podIPs" => String::new(),
            "spec.host" => o.str_at("spec.nodeName").to_owned(),
            "spec.hostNetwork" => o.bool_at("spec.hostNetwork").to_string(),
            "spec.nodeName"
            | "spec.restartPolicy"
            | "spec.schedulerName"
            | "spec.serviceAccountName"
            | "status.phase"
            | "status.nominatedNodeName" => o.str_at(label).to_owned(),
            _ => return None,
        })
    }
}
