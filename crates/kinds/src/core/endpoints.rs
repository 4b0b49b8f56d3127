//! Endpoints.

use crate::kit::*;

pub(crate) struct Endpoints;

impl Strategy for Endpoints {
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
