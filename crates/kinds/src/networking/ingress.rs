//! Ingresses.

use crate::kit::*;

pub(crate) struct Ingress;

impl Strategy for Ingress {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let hosts = hosts(s.list("rules"));
        let ports = if s.list("tls").is_empty() { "80" } else { "80, 443" };
        row![
            o.name(),
            s.os("ingressClassName").unwrap_or("<none>"),
            hosts,
            rows::load_balancer(o).join(","),
            ports,
            age(o, now),
        ]
    }
}

/// The first three hosts; `*` when there is none.
fn hosts(rules: &[Value]) -> String {
    let mut list: Vec<&str> = Vec::new();
    let mut more = false;
    for r in rules {
        more |= list.len() == 3;
        if !more && !r.s("host").is_empty() {
            list.push(r.s("host"));
        }
    }
    match (list.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, true) => format!("{} + {} more...", list.join(","), rules.len() - 3),
        (false, false) => list.join(","),
    }
}
