//! EndpointSlices.

use crate::kit::*;

pub(crate) struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let ports: Vec<String> = o.list("ports").iter().map(port).collect();
        let all: Vec<String> = o
            .list("endpoints")
            .iter()
            .flat_map(|e| e.strs("addresses").into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        row![
            o.name(),
            o.s("addressType"),
            rows::list_with_more(&ports, 3),
            rows::list_with_more(&all, 3),
            age(o, now),
        ]
    }
}

fn port(p: &Value) -> String {
    match (p.oi("port"), p.os("name")) {
        (Some(n), _) => n.to_string(),
        (None, Some(name)) => name.to_owned(),
        (None, None) => "*".to_owned(),
    }
}
