//! managedFields: who owns which field.

use crate::cx::Cx;
use meta::Value;
use meta::object::ObjectExt;

/// Works out the owners after an update (or create: no `live`) by `manager`. Never fails: an object whose managed
/// fields cannot be understood loses them.
pub fn on_update(_cx: &Cx, _sub: &str, _live: Option<&Value>, _obj: &mut Value, _manager: &str) {}

/// Puts the old entries back where nothing but their times differs.
pub fn ignore_timestamps(obj: &mut Value, old: &Value) {
    let bare = |v: &Value| {
        let mut v = v.clone();
        if let Some(Value::Array(entries)) = v.metadata_mut().get_mut("managedFields") {
            for e in entries {
                e.remove_at("time");
            }
        }
        v.metadata_mut().remove("resourceVersion");
        v
    };
    if obj.at("metadata.managedFields") == old.at("metadata.managedFields") {
        return;
    }
    if bare(obj) == bare(old)
        && let Some(m) = old.at("metadata.managedFields")
    {
        obj.metadata_mut().insert("managedFields".into(), m.clone());
    }
}
