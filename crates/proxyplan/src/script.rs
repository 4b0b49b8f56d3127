//! Rulesets as text for `nft -f`: a whole table, or the way from one ruleset to another in one transaction.

use crate::model::{Family, Options};
use crate::ruleset::{Ruleset, TABLE, declarations, filter_declarations, fixed, words};
use std::fmt::Write;

fn table(f: Family) -> String {
    format!("{} {TABLE}", words(f).0)
}

fn elements(out: &mut String, verb: &str, t: &str, map: &str, list: &[(&String, &Option<String>)]) {
    // Long lists are cut, so that a line stays readable and within nft's buffers.
    for part in list.chunks(256) {
        let items: Vec<String> = part
            .iter()
            .map(|(k, v)| match v {
                Some(v) if verb == "add" => format!("{k} : {v}"),
                _ => (*k).clone(),
            })
            .collect();
        let _ = writeln!(out, "{verb} element {t} {map} {{ {} }}", items.join(", "));
    }
}

/// The whole table anew: whatever was in it is gone, in the same transaction.
pub fn full(r: &Ruleset, o: &Options) -> String {
    let t = table(r.family);
    let mut s = format!("add table {t}\ndelete table {t}\nadd table {t}\n");
    for (_, d) in declarations(r.family).into_iter().chain(filter_declarations(r.family)) {
        let mut words = d.splitn(3, ' ');
        let (kind, name, body) =
            (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
        let _ = writeln!(s, "add {kind} {t} {name} {body}");
    }
    let fixed = fixed(r.family, o);
    for (name, rules) in &fixed {
        match rules.first().filter(|r| r.starts_with("type ")) {
            Some(hook) => _ = writeln!(s, "add chain {t} {name} {{ {hook} }}"),
            None => _ = writeln!(s, "add chain {t} {name}"),
        }
    }
    for (name, rules) in &fixed {
        for rule in rules.iter().filter(|r| !r.starts_with("type ")) {
            let _ = writeln!(s, "add rule {t} {name} {rule}");
        }
    }
    let empty = Ruleset {
        family: r.family,
        elements: Default::default(),
        sets: Default::default(),
        chains: Default::default(),
    };
    s.push_str(&diff(&empty, r));
    s
}

/// Takes the table away, whether it is there or not.
pub fn remove(f: Family) -> String {
    let t = table(f);
    format!("add table {t}\ndelete table {t}\n")
}

/// What turns the table of `old` into that of `new`; empty when they are the same.
pub fn diff(old: &Ruleset, new: &Ruleset) -> String {
    let t = table(new.family);
    let mut s = String::new();
    for (name, d) in &new.sets {
        if !old.sets.contains_key(name) {
            let body = d.splitn(3, ' ').nth(2).unwrap_or("");
            let _ = writeln!(s, "add set {t} {name} {body}");
        }
    }
    for name in new.chains.keys().filter(|n| !old.chains.contains_key(*n)) {
        let _ = writeln!(s, "add chain {t} {name}");
    }
    for (name, rules) in &new.chains {
        if old.chains.get(name) == Some(rules) {
            continue;
        }
        if old.chains.contains_key(name) {
            let _ = writeln!(s, "flush chain {t} {name}");
        }
        for rule in rules {
            let _ = writeln!(s, "add rule {t} {name} {rule}");
        }
    }
    let nothing = std::collections::BTreeMap::new();
    let names: std::collections::BTreeSet<_> = old.elements.keys().chain(new.elements.keys()).collect();
    for map in &names {
        let (a, b) = (old.elements.get(*map).unwrap_or(&nothing), new.elements.get(*map).unwrap_or(&nothing));
        let gone: Vec<_> = a.iter().filter(|(k, v)| b.get(*k) != Some(*v)).collect();
        elements(&mut s, "delete", &t, map, &gone);
        let come: Vec<_> = b.iter().filter(|(k, v)| a.get(*k) != Some(*v)).collect();
        elements(&mut s, "add", &t, map, &come);
    }
    let dead: Vec<_> = old.chains.keys().filter(|n| !new.chains.contains_key(*n)).collect();
    for name in &dead {
        let _ = writeln!(s, "flush chain {t} {name}");
    }
    for name in &dead {
        let _ = writeln!(s, "delete chain {t} {name}");
    }
    for name in old.sets.keys().filter(|n| !new.sets.contains_key(*n)) {
        let _ = writeln!(s, "delete set {t} {name}");
    }
    s
}
