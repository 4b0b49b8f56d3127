//! ClusterTrustBundles.

use crate::kit::*;

pub(crate) struct ClusterTrustBundle;

impl Strategy for ClusterTrustBundle {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        row![o.name(), or_none(o.v("spec").s("signerName"))]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.signerName").then(|| o.str_at(label).to_owned())
    }
}
