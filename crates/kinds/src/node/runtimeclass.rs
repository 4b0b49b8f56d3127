//! RuntimeClasses.

use crate::kit::*;
use crate::podspec::{Opts, affinity, resources, warnings};

pub(crate) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.required_name(&At::new("handler"), o.s("handler"), names::is_dns1123_label);
        if let Some(h) = o.set("overhead") {
            resources::overhead(h.v("podFixed"), &At::new("overhead"), Opts::default(), &mut e);
        }
        if let Some(s) = o.set("scheduling") {
            let at = At::new("scheduling");
            e.labels(&at.c("nodeSelector"), s.o("nodeSelector"));
            let list = s.list("tolerations");
            let at = at.c("tolerations");
            affinity::tolerations(list, Opts::default(), &at, &mut e);
            let same = |a: &Value, b: &Value| {
                ["key", "operator", "value", "effect"].iter().all(|f| a.s(f) == b.s(f))
            };
            for (i, t) in list.iter().enumerate() {
                if list[..i].iter().any(|x| same(x, t)) {
                    e.duplicate(&at.i(i), t.clone());
                }
            }
        }
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        e.0.extend(self.validate(cx, o));
        e.fixed(&At::new("handler"), o, old, "handler");
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        keys(o.v("scheduling").o("nodeSelector"))
            .filter_map(|(k, _)| warnings::node_label(k))
            .map(|msg| format!("scheduling.nodeSelector: {msg}"))
            .collect()
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.s("handler"), age(o, now)]
    }
}
