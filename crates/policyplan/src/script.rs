//! Rulesets as text for `nft -f`.

use crate::ruleset::{Ruleset, TABLE};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

fn words(v6: bool) -> (&'static str, &'static str) {
    if v6 { ("ip6", "ipv6_addr") } else { ("ip", "ipv4_addr") }
}

/// No table at all.
pub fn none(v6: bool) -> String {
    let a = words(v6).0;
    format!("add table {a} {TABLE}\ndelete table {a} {TABLE}\n")
}

/// The whole table anew, in one transaction.
pub fn full(r: &Ruleset) -> String {
    let (a, address) = words(r.v6);
    let t = format!("{a} {TABLE}");
    let mut s = none(r.v6);
    let _ = write!(
        s,
        "add table {t}
add map {t} ingress {{ type {address} : verdict; }}
add map {t} egress {{ type {address} : verdict; }}
add set {t} self {{ type {address} . {address}; }}
add chain {t} forward {{ type filter hook forward priority 0; }}
add chain {t} input {{ type filter hook input priority 0; }}
add rule {t} forward ct state established,related accept
add rule {t} forward {a} saddr . {a} daddr @self accept
add rule {t} forward {a} saddr vmap @egress
add rule {t} forward {a} daddr vmap @ingress
add rule {t} input ct state established,related accept
add rule {t} input {a} saddr vmap @egress
"
    );
    s.push_str(&diff(&Ruleset { v6: r.v6, ..Ruleset::default() }, r));
    s
}

/// What turns the table of `old` into that of `new`; empty when they are the same.
pub fn diff(old: &Ruleset, new: &Ruleset) -> String {
    let t = format!("{} {TABLE}", words(new.v6).0);
    let mut s = String::new();
    for (name, kind) in new.sets.iter().filter(|(n, _)| !old.sets.contains_key(*n)) {
        let _ = writeln!(s, "add set {t} {name} {{ {kind}; }}");
    }
    for name in new.chains.keys().filter(|n| !old.chains.contains_key(*n)) {
        let _ = writeln!(s, "add chain {t} {name}");
    }
    let nothing = BTreeMap::new();
    let names: BTreeSet<&String> = old.elements.keys().chain(new.elements.keys()).collect();
    for name in names {
        let (a, b) = (old.elements.get(name).unwrap_or(&nothing), new.elements.get(name).unwrap_or(&nothing));
        let fixed = matches!(name.as_str(), "ingress" | "egress" | "self");
        if fixed || new.sets.contains_key(name) {
            elements(&mut s, "delete", &t, name, a.iter().filter(|(k, v)| b.get(*k) != Some(*v)));
        }
        elements(&mut s, "add", &t, name, b.iter().filter(|(k, v)| a.get(*k) != Some(*v)));
    }
    for (name, rules) in new.chains.iter().filter(|(n, r)| old.chains.get(*n) != Some(*r)) {
        if old.chains.contains_key(name) {
            let _ = writeln!(s, "flush chain {t} {name}");
        }
        for rule in rules {
            let _ = writeln!(s, "add rule {t} {name} {rule}");
        }
    }
    let dead: Vec<_> = old.chains.keys().filter(|n| !new.chains.contains_key(*n)).collect();
    for verb in ["flush", "delete"] {
        for name in &dead {
            let _ = writeln!(s, "{verb} chain {t} {name}");
        }
    }
    for name in old.sets.keys().filter(|n| !new.sets.contains_key(*n)) {
        let _ = writeln!(s, "delete set {t} {name}");
    }
    s
}

fn elements<'a>(
    out: &mut String,
    verb: &str,
    t: &str,
    set: &str,
    list: impl Iterator<Item = (&'a String, &'a Option<String>)>,
) {
    let items: Vec<String> = list
        .map(|(k, v)| match v {
            Some(v) if verb == "add" => format!("{k} : {v}"),
            _ => k.clone(),
        })
        .collect();
    for part in items.chunks(256) {
        let _ = writeln!(out, "{verb} element {t} {set} {{ {} }}", part.join(", "));
    }
}
