//! ReplicationControllers.

use crate::kit::*;

pub(crate) struct ReplicationController;

impl Strategy for ReplicationController {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![
            o.name(),
            s.i("replicas"),
            st.i("replicas"),
            st.i("readyReplicas"),
            age(o, now),
            names,
            images,
            rows::labels(s.o("selector")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        (label == "status.replicas").then(|| o.i64_at(label).unwrap_or(0).to_string())
    }
}
