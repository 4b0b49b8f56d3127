//! FlowSchemas.

use crate::kit::*;

pub(crate) struct FlowSchema;

impl Strategy for FlowSchema {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![
            o.name(),
            s.v("priorityLevelConfiguration").s("name"),
            s.i("matchingPrecedence"),
            s.set("distinguisherMethod").map_or("<none>", |d| d.s("type")),
            age(o, now),
            rows::condition(o, "Dangling").map_or("?", |c| c.s("status")),
        ]
    }
}
