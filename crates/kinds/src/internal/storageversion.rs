//! StorageVersions.

use crate::kit::*;

pub(crate) struct StorageVersion;

impl Strategy for StorageVersion {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let st = o.v("status");
        let all: Vec<String> = st
            .list("storageVersions")
            .iter()
            .map(|v| format!("{}={}", v.s("apiServerID"), v.s("encodingVersion")))
            .collect();
        row![
            o.name(),
            rows::or_unset(st.os("commonEncodingVersion")),
            rows::list_with_more(&all, 3),
            age(o, now),
        ]
    }
}
