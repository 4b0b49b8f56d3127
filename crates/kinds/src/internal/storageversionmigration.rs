//! StorageVersionMigrations.

use crate::kit::*;

pub(crate) struct StorageVersionMigration;

impl Strategy for StorageVersionMigration {
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let r = o.v("spec").v("resource");
        let mut resource = r.s("resource").to_owned();
        if !r.s("group").is_empty() {
            resource = format!("{resource}.{}", r.s("group"));
        }
        let status = o
            .array_at("status.conditions")
            .iter()
            .filter(|c| c.s("status") == "True")
            .map(|c| c.s("type"))
            .rfind(|t| matches!(*t, "Running" | "Failed" | "Succeeded"))
            .unwrap_or("Unknown");
        row![o.name(), resource, status]
    }
}
