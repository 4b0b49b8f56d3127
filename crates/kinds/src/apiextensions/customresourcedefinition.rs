//! CustomResourceDefinitions.

use crate::kit::*;

pub(crate) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let s = o.v("spec");
        let mut versions: Vec<String> = s
            .list("versions")
            .iter()
            .filter(|v| v.b("served"))
            .map(|v| format!("{}{}", v.s("name"), if v.b("storage") { "(storage)" } else { "" }))
            .collect();
        versions.sort();
        row![
            o.name(),
            s.s("scope"),
            versions.join(","),
            o.str_at("metadata.creationTimestamp"),
            s.s("group"),
            s.v("names").s("kind"),
            s.v("names").strs("shortNames").join(","),
            rows::condition_true(o, "Established"),
        ]
    }
}
