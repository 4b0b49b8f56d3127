//! ControllerRevisions.

use crate::kit::*;

pub(crate) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let owner = o.array_at("metadata.ownerReferences").iter().find(|r| r.b("controller"));
        let controller = owner.map_or_else(
            || "<none>".to_owned(),
            |r| {
                let group = r.s("apiVersion").split_once('/').map_or(String::new(), |(g, _)| format!(".{g}"));
                format!("{}/{}", format!("{}{group}", r.s("kind")).to_lowercase(), r.s("name"))
            },
        );
        row![o.name(), controller, o.i("revision"), age(o, now)]
    }
}
