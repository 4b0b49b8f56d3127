//! PodTemplates.

use crate::kit::*;
use crate::podspec::{self, Opts};

pub(crate) struct PodTemplate;

impl Strategy for PodTemplate {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        podspec::prepare(o, None, "template");
    }

    fn prepare_update(&self, _cx: &Cx<'_>, o: &mut Value, old: &Value) {
        podspec::prepare(o, Some(old), "template");
    }

    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        podspec::template(o.v("template"), Opts::default(), &At::new("template"), &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        podspec::template(o.v("template"), Opts::new(Some(old.v("template"))), &At::new("template"), &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        podspec::template_warnings(o, old, "template", false)
    }

    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let t = o.v("template");
        let (names, images) = rows::containers(t.v("spec"));
        row![o.name(), names, images, rows::labels(t.v("metadata").o("labels"))]
    }
}
