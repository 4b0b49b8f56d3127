//! Endpoints.

use crate::kit::*;

pub(crate) struct Endpoints;

impl Strategy for Endpoints {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        subsets(o.list("subsets"), &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        // What was there before may stay.
        if !opt_same(o.f("subsets"), old.f("subsets")) {
            subsets(o.list("subsets"), &mut e);
        }
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        if o.label("endpoints.kubernetes.io/managed-by") == Some("endpoint-controller") {
            return Vec::new();
        }
        let mut out = Vec::new();
        let at = At::new("subsets");
        for (i, s) in o.list("subsets").iter().enumerate() {
            let at = at.i(i);
            for f in ["addresses", "notReadyAddresses"] {
                let at = at.c(f);
                for (j, a) in s.list(f).iter().enumerate() {
                    out.extend(crate::ip::ip_warnings(&at.i(j).c("ip"), a.s("ip")));
                }
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), addresses(o), age(o, now)]
    }
}

/// `ip:port` of the first three, and how many more.
fn addresses(o: &Value) -> String {
    let mut all = Vec::new();
    for s in o.list("subsets") {
        let ips = || s.list("addresses").iter().map(|a| a.s("ip"));
        if s.list("ports").is_empty() {
            all.extend(ips().map(str::to_owned));
        }
        for p in s.list("ports") {
            let port = p.i("port");
            all.extend(ips().map(|ip| match ip.contains(':') {
                true => format!("[{ip}]:{port}"),
                false => format!("{ip}:{port}"),
            }));
        }
    }
    if all.is_empty() {
        // Upstream says `<none>` only where there are no subsets at all.
        return if o.list("subsets").is_empty() { "<none>".to_owned() } else { String::new() };
    }
    rows::list_with_more(&all, 3)
}

fn subsets(list: &[Value], e: &mut Errs) {
    let at = At::new("subsets");
    for (i, s) in list.iter().enumerate() {
        let at = at.i(i);
        if s.list("addresses").is_empty() && s.list("notReadyAddresses").is_empty() {
            e.required(&at, "must specify `addresses` or `notReadyAddresses`");
        }
        for f in ["addresses", "notReadyAddresses"] {
            let at = at.c(f);
            for (j, a) in s.list(f).iter().enumerate() {
                let at = at.i(j);
                e.legacy_ip(&at.c("ip"), a.s("ip"), &[]);
                if !a.s("hostname").is_empty() {
                    e.label(&at.c("hostname"), a.s("hostname"));
                }
                if let Some(n) = a.os("nodeName") {
                    e.subdomain(&at.c("nodeName"), n);
                }
                e.endpoint_ip(&at.c("ip"), a.s("ip"));
            }
        }
        let ports = s.list("ports");
        let at = at.c("ports");
        for (j, p) in ports.iter().enumerate() {
            let at = at.i(j);
            if !p.s("name").is_empty() {
                e.label(&at.c("name"), p.s("name"));
            } else if ports.len() > 1 {
                e.required(&at.c("name"), "");
            }
            e.port(&at.c("port"), p.i("port"));
            e.required_one_of(&at.c("protocol"), p.s("protocol"), crate::podspec::PROTOCOLS);
            if let Some(a) = p.os("appProtocol") {
                e.qualified(&at.c("appProtocol"), a);
            }
        }
    }
}
