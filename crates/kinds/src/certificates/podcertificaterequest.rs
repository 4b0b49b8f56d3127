//! PodCertificateRequests.

use crate::kit::*;

pub(crate) struct PodCertificateRequest;

impl Strategy for PodCertificateRequest {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let s = o.v("spec");
        let state = o
            .array_at("status.conditions")
            .iter()
            .map(|c| c.s("type"))
            .rfind(|t| matches!(*t, "Issued" | "Denied" | "Failed"))
            .unwrap_or("Pending");
        row![
            o.name(),
            s.s("podName"),
            s.s("serviceAccountName"),
            s.s("nodeName"),
            s.s("signerName"),
            state,
            rows::labels(s.o("unverifiedUserAnnotations")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.signerName" | "spec.podName" | "spec.nodeName")
            .then(|| o.str_at(label).to_owned())
    }
}
