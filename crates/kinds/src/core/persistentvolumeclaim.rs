//! PersistentVolumeClaims.

use crate::kit::*;

pub(crate) struct PersistentVolumeClaim;

impl Strategy for PersistentVolumeClaim {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let (s, st) = (o.v("spec"), o.v("status"));
        let phase = if o.deletion_timestamp().is_some() { "Terminating" } else { st.s("phase") };
        let bound = !s.s("volumeName").is_empty();
        let capacity = match (bound, st.v("capacity").s("storage")) {
            (true, "") => "0",
            (true, q) => q,
            (false, _) => "",
        };
        row![
            o.name(),
            phase,
            s.s("volumeName"),
            capacity,
            if bound { rows::access_modes(st.list("accessModes")) } else { String::new() },
            super::persistentvolume::class(o).unwrap_or(""),
            rows::or_unset(s.os("volumeAttributesClassName")),
            age(o, now),
            rows::or_unset(s.os("volumeMode")),
        ]
    }
}
