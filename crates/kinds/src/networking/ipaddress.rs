//! IPAddresses: which object an address of a service range belongs to.

use crate::kit::*;

pub(crate) struct IPAddress;

impl Strategy for IPAddress {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let parent = o.v("spec").set("parentRef").map_or_else(
            || "<none>".to_owned(),
            |p| {
                let mut s = p.s("resource").to_lowercase();
                if !p.s("group").is_empty() {
                    s = format!("{s}.{}", p.s("group").to_lowercase());
                }
                if !p.s("namespace").is_empty() {
                    s = format!("{s}/{}", p.s("namespace"));
                }
                format!("{s}/{}", p.s("name"))
            },
        );
        row![o.name(), parent]
    }
}
