//! CertificateSigningRequests.

use crate::kit::*;

pub(crate) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
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
