//! StorageClasses.

use crate::kit::*;

pub(crate) struct StorageClass;

impl Strategy for StorageClass {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let default = o.annotation("storageclass.kubernetes.io/is-default-class") == Some("true")
            || o.annotation("storageclass.beta.kubernetes.io/is-default-class") == Some("true");
        row![
            format!("{}{}", o.name(), if default { " (default)" } else { "" }),
            o.s("provisioner"),
            o.os("reclaimPolicy").unwrap_or("Delete"),
            o.os("volumeBindingMode").unwrap_or("Immediate"),
            o.b("allowVolumeExpansion"),
            age(o, now),
        ]
    }
}
