//! VolumeAttachments.

use crate::kit::*;

pub(crate) struct VolumeAttachment;

impl Strategy for VolumeAttachment {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        row![
            o.name(),
            s.s("attacher"),
            s.v("source").s("persistentVolumeName"),
            s.s("nodeName"),
            o.bool_at("status.attached"),
            age(o, now),
        ]
    }
}
