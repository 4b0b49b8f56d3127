//! IngressClasses.

use crate::kit::*;

pub(crate) struct IngressClass;

impl Strategy for IngressClass {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let default = o.annotation("ingressclass.kubernetes.io/is-default-class") == Some("true");
        let name = format!("{}{}", o.name(), if default { " (default)" } else { "" });
        let s = o.v("spec");
        let parameters = s.set("parameters").map_or_else(
            || "<none>".to_owned(),
            |p| {
                let group = p.os("apiGroup").map_or(String::new(), |g| format!(".{g}"));
                format!("{}{group}/{}", p.s("kind"), p.s("name"))
            },
        );
        row![name, s.s("controller"), parameters, age(o, now)]
    }
}
