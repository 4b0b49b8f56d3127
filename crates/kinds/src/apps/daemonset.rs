//! DaemonSets.

use crate::kit::*;

pub(crate) struct DaemonSet;

impl Strategy for DaemonSet {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let pod = s.v("template").v("spec");
        let (names, images) = rows::containers(pod);
        row![
            o.name(),
            st.i("desiredNumberScheduled"),
            st.i("currentNumberScheduled"),
            st.i("numberReady"),
            st.i("updatedNumberScheduled"),
            st.i("numberAvailable"),
            rows::labels(pod.o("nodeSelector")),
            age(o, now),
            names,
            images,
            rows::selector(s.set("selector")),
        ]
    }
}
