//! StatefulSets.

use crate::kit::*;

pub(crate) struct StatefulSet;

impl Strategy for StatefulSet {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let (names, images) = rows::containers(s.v("template").v("spec"));
        row![o.name(), format!("{}/{}", st.i("readyReplicas"), s.i("replicas")), age(o, now), names, images]
    }
}
