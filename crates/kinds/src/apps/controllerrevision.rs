//! ControllerRevisions.

use crate::kit::*;

pub(crate) struct ControllerRevision;

impl Strategy for ControllerRevision {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.nonnegative(&At::new("revision"), o.i("revision"));
        let data = At::new("data");
        match o.v("data") {
            Value::Null => e.required(&data, "data is mandatory"),
            Value::Object(_) => {}
            _ => e.required(&data, "data must be a valid JSON object"),
        }
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.nonnegative(&At::new("revision"), o.i("revision"));
        if o.f("data") != old.f("data") {
            e.invalid(&At::new("data"), o.v("data").clone(), crate::check::IMMUTABLE);
        }
        e.0
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let owner = o.array_at("metadata.ownerReferences").iter().find(|r| r.b("controller"));
        let controller = owner.map_or_else(
            || "<none>".to_owned(),
            |r| {
                let group = r.s("apiVersion").split_once('/').map_or(String::new(), |(g, _)| format!(".{g}"));
                format!("{}/{}", format!("{}{group}", r.s("kind")).to_lowercase(), r.s("name"))
            },
        );
        row![o.name(), controller, o.i("revision"), age(o, now)]
    }
}
