//! ReplicaSets.

use crate::kit::*;

pub(crate) struct ReplicaSet;

impl Strategy for ReplicaSet {
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
            rows::selector(s.set("selector")),
        ]
    }
}
