//! StorageClasses.

use crate::kit::*;
use crate::podspec::warnings;

pub(crate) struct StorageClass;

impl Strategy for StorageClass {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, &mut e);
        for f in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            e.immutable(&At::new(f), o.f(f), old.f(f));
        }
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut out = Vec::new();
        let at = At::new("allowedTopologies");
        for (i, t) in o.list("allowedTopologies").iter().enumerate() {
            let at = at.i(i);
            let at = at.c("matchLabelExpressions");
            for (j, x) in t.list("matchLabelExpressions").iter().enumerate() {
                if let Some(msg) = warnings::node_label(x.s("key")) {
                    out.push(format!("{}: {msg}", at.i(j).c("key")));
                }
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let default = o.annotation("storageclass.kubernetes.io/is-default-class") == Some("true")
            || o.annotation("storageclass.beta.kubernetes.io/is-default-class") == Some("true");
        row![
            format!("{}{}", o.name(), if default { " (default)" } else { "" }),
            o.s("provisioner"),
            o.os("reclaimPolicy").unwrap_or("Delete"),
            o.os("volumeBindingMode").unwrap_or("Immediate"),
            o.b("allowVolumeExpansion"),
            age(o, now),
        ]
    }
}

fn validate(o: &Value, e: &mut Errs) {
    provisioner(o.s("provisioner"), &At::new("provisioner"), e);
    parameters(o.o("parameters"), true, &At::new("parameters"), e);
    let policy = o.s("reclaimPolicy");
    if !policy.is_empty() {
        e.one_of(&At::new("reclaimPolicy"), policy, &["Delete", "Retain"]);
    }
    let at = At::new("volumeBindingMode");
    match o.os("volumeBindingMode") {
        None => e.required(&at, ""),
        Some(m) => drop(e.one_of(&at, m, &["Immediate", "WaitForFirstConsumer"])),
    }
    let at = At::new("allowedTopologies");
    let terms = o.list("allowedTopologies");
    // Upstream's list of what it has seen begins with as many empty ones.
    let mut seen: Vec<Vec<(&str, Vec<&str>)>> = vec![Vec::new(); terms.len()];
    for (i, t) in terms.iter().enumerate() {
        let at = at.i(i);
        let at = at.c("matchLabelExpressions");
        let set = topology(t.list("matchLabelExpressions"), &at, e);
        for _ in seen.iter().filter(|s| **s == set) {
            e.duplicate(&at, "");
        }
        seen.push(set);
    }
}

/// Checks a term; gives its keys with their values, sorted.
fn topology<'a>(list: &'a [Value], at: &At<'_>, e: &mut Errs) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut set: Vec<(&str, Vec<&str>)> = Vec::new();
    for (i, x) in list.iter().enumerate() {
        let at = at.i(i);
        let values_at = at.c("values");
        let mut values = x.strs("values");
        if values.is_empty() {
            e.required(&values_at, "");
        }
        for (j, v) in values.iter().enumerate() {
            if values[..j].contains(v) {
                e.duplicate(&values_at.i(j), *v);
            }
        }
        let key = x.s("key");
        e.label_name(&at.c("key"), key);
        values.sort_unstable();
        values.dedup();
        if set.iter().any(|(k, _)| *k == key) {
            e.duplicate(&at.c("key"), key);
            set.retain(|(k, _)| *k != key);
        }
        set.push((key, values));
    }
    set.sort_unstable();
    set
}

/// The name of a driver or provisioner.
pub(super) fn provisioner(name: &str, at: &At<'_>, e: &mut Errs) {
    if name.is_empty() {
        e.required(at, "");
    } else {
        e.each_invalid(at, &name.to_lowercase(), names::is_qualified_name(&name.to_lowercase()));
    }
}

pub(super) fn parameters(p: Option<&Obj>, may_be_empty: bool, at: &At<'_>, e: &mut Errs) {
    const MAX: usize = 256 << 10;
    let n = p.map_or(0, Obj::len);
    if n > 512 {
        return e.too_long(at, 512);
    }
    let mut size = 0;
    for (k, v) in keys(p) {
        if k.is_empty() {
            e.invalid(at, k, "field can not be empty.");
        }
        size += k.len() + v.as_str().map_or(0, str::len);
    }
    if size > MAX {
        e.too_long(at, MAX as i64);
    }
    if !may_be_empty && n == 0 {
        e.required(at, "must contain at least one key/value pair");
    }
}
