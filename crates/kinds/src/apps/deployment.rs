//! Deployments.

use crate::kit::*;

pub(crate) struct Deployment;

impl Strategy for Deployment {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let (names, images) = rows::containers(s.v("template").v("spec"));
        let selector = match meta::labels::from_label_selector(s.set("selector")) {
            Ok(s) => s.to_string(),
            Err(_) => "<invalid>".to_owned(),
        };
        row![
            o.name(),
            format!("{}/{}", st.i("readyReplicas"), s.i("replicas")),
            st.i("updatedReplicas"),
            st.i("availableReplicas"),
            age(o, now),
            names,
            images,
            selector,
        ]
    }
}
