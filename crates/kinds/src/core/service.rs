//! Services.

use crate::kit::*;

pub(crate) struct Service;

impl Strategy for Service {
    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let ports: Vec<String> = s.list("ports").iter().map(port).collect();
        let ip = s.strs("clusterIPs").first().copied().unwrap_or("");
        let ip = if ip.is_empty() && s.list("clusterIPs").is_empty() { "<none>" } else { ip };
        row![
            o.name(),
            s.s("type"),
            ip,
            external_ip(o),
            or_none(&ports.join(",")),
            age(o, now),
            rows::labels(s.o("selector")),
        ]
    }
    fn field_value(&self, o: &Value, label: &str) -> Option<String> {
        matches!(label, "spec.clusterIP" | "spec.type").then(|| o.str_at(label).to_owned())
    }
}

fn port(p: &Value) -> String {
    match p.i("nodePort") {
        n if n > 0 => format!("{}:{n}/{}", p.i("port"), p.s("protocol")),
        _ => format!("{}/{}", p.i("port"), p.s("protocol")),
    }
}

fn external_ip(o: &Value) -> String {
    let s = o.v("spec");
    let own = s.strs("externalIPs");
    match s.s("type") {
        "ClusterIP" | "NodePort" => or_none(&own.join(",")).to_owned(),
        "LoadBalancer" => {
            let mut all = rows::load_balancer(o);
            all.extend(own);
            if all.is_empty() { "<pending>".to_owned() } else { all.join(",") }
        }
        "ExternalName" => s.s("externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}
