//! PersistentVolumes.

use crate::kit::*;

pub(crate) struct PersistentVolume;

impl Strategy for PersistentVolume {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let claim =
            s.set("claimRef").map_or_else(String::new, |c| format!("{}/{}", c.s("namespace"), c.s("name")));
        let phase = if o.deletion_timestamp().is_some() { "Terminating" } else { o.str_at("status.phase") };
        let capacity = match s.v("capacity").s("storage") {
            "" => "0",
            q => q,
        };
        row![
            o.name(),
            capacity,
            rows::access_modes(s.list("accessModes")),
            s.s("persistentVolumeReclaimPolicy"),
            phase,
            claim,
            class(o).unwrap_or(""),
            rows::or_unset(s.os("volumeAttributesClassName")),
            o.str_at("status.reason"),
            age(o, now),
            rows::or_unset(s.os("volumeMode")),
        ]
    }
}

/// The storage class of a volume or claim: the old annotation, else the field.
pub(crate) fn class(o: &Value) -> Option<&str> {
    o.annotation("volume.beta.kubernetes.io/storage-class").or_else(|| o.v("spec").os("storageClassName"))
}
