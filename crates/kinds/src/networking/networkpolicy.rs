//! NetworkPolicies.

use crate::ip;
use crate::kit::*;

pub(crate) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o.v("spec"), false, &[], &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        let was = old.v("spec");
        let mut bad = Errs::default();
        bad.label_selector(&At::new(""), Some(was.v("podSelector")), false);
        let known: Vec<&str> = blocks(was).flat_map(|(_, b)| cidrs(b)).collect();
        validate(o.v("spec"), !bad.is_empty(), &known, &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        for ((list, i, peers, j), b) in blocks(o.v("spec")) {
            let at = format!("spec.{list}[{i}].{peers}[{j}].ipBlock");
            let at = At::new(&at);
            out.extend(ip::cidr_warnings(&at.c("cidr"), b.s("cidr")));
            let at = at.c("except");
            for (k, c) in b.strs("except").iter().enumerate() {
                out.extend(ip::cidr_warnings(&at.i(k), c));
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), rows::selector(Some(o.v("spec").v("podSelector"))), age(o, now)]
    }
}

const DIRECTIONS: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// All IP blocks, each with where it stands: direction, rule, peers, peer.
fn blocks(spec: &Value) -> impl Iterator<Item = ((&'static str, usize, &'static str, usize), &Value)> {
    DIRECTIONS.iter().flat_map(move |(list, peers)| {
        spec.list(list).iter().enumerate().flat_map(move |(i, r)| {
            let found = move |(j, p): (usize, &'_ Value)| p.has("ipBlock").then_some(j);
            let at: Vec<usize> = r.list(peers).iter().enumerate().filter_map(found).collect();
            at.into_iter().map(move |j| ((*list, i, *peers, j), r.list(peers)[j].v("ipBlock")))
        })
    })
}

fn cidrs(block: &Value) -> Vec<&str> {
    let mut all = vec![block.s("cidr")];
    all.extend(block.strs("except"));
    all
}

fn validate(s: &Value, invalid_selector: bool, known: &[&str], e: &mut Errs) {
    let at = At::new("spec");
    e.label_selector(&at.c("podSelector"), Some(s.v("podSelector")), invalid_selector);
    for (list, peers) in DIRECTIONS {
        let rules_at = at.c(list);
        for (i, r) in s.list(list).iter().enumerate() {
            let at = rules_at.i(i);
            let ports_at = at.c("ports");
            for (j, p) in r.list("ports").iter().enumerate() {
                port(p, &ports_at.i(j), e);
            }
            let peers_at = at.c(peers);
            for (j, p) in r.list(peers).iter().enumerate() {
                peer(p, invalid_selector, known, &peers_at.i(j), e);
            }
        }
    }
    let types = s.strs("policyTypes");
    let at = at.c("policyTypes");
    if types.len() > 2 {
        return e.invalid(&at, s.v("policyTypes").clone(), "may not specify more than two policyTypes");
    }
    for (i, t) in types.iter().enumerate() {
        e.one_of(&at.i(i), t, &["Ingress", "Egress"]);
    }
}

fn port(p: &Value, at: &At<'_>, e: &mut Errs) {
    if let Some(v) = p.os("protocol") {
        e.one_of(&at.c("protocol"), v, &["TCP", "UDP", "SCTP"]);
    }
    let (end_at, end) = (at.c("endPort"), p.oi("endPort"));
    match (p.set("port"), end) {
        (None, Some(end)) => e.invalid(&end_at, end, "may not be specified when `port` is not specified"),
        (None, None) => {}
        (Some(Value::String(name)), end) => {
            if let Some(end) = end {
                e.invalid(&end_at, end, "may not be specified when `port` is non-numeric");
            }
            e.name(&at.c("port"), name, names::is_valid_port_name);
        }
        (Some(n), end) => {
            let n = crate::check::int_value(n);
            e.port(&at.c("port"), n);
            if let Some(end) = end {
                if end < n {
                    e.invalid(&end_at, end, "must be greater than or equal to `port`");
                }
                e.port(&end_at, end);
            }
        }
    }
}

fn peer(p: &Value, invalid_selector: bool, known: &[&str], at: &At<'_>, e: &mut Errs) {
    let mut others = 0;
    for f in ["podSelector", "namespaceSelector"] {
        if let Some(s) = p.set(f) {
            others += 1;
            e.label_selector(&at.c(f), Some(s), invalid_selector);
        }
    }
    match (p.set("ipBlock"), others) {
        (None, 0) => e.required(at, "must specify a peer"),
        (None, _) => {}
        (Some(b), others) => {
            block(b, known, &at.c("ipBlock"), e);
            if others > 0 {
                e.forbidden(at, "may not specify both ipBlock and another peer");
            }
        }
    }
}

fn block(b: &Value, known: &[&str], at: &At<'_>, e: &mut Errs) {
    let cidr = b.s("cidr");
    if cidr.is_empty() {
        return e.required(&at.c("cidr"), "");
    }
    e.legacy_cidr(&at.c("cidr"), cidr, known);
    let Some(whole) = ip::parse_cidr_sloppy(cidr) else { return };
    let at = at.c("except");
    for (i, c) in b.strs("except").iter().enumerate() {
        e.legacy_cidr(&at.i(i), c, known);
        if let Some(part) = ip::parse_cidr_sloppy(c)
            && !ip::strictly_within(part, whole)
        {
            e.invalid(&at.i(i), *c, "must be a strict subset of `cidr`");
        }
    }
}
