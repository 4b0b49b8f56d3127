//! Fields of features that are off: dropped on write, unless the object had them before
//! (K/pkg/api/pod/util.go `dropDisabledFields` and its like in other kinds' strategies).

use crate::kit::*;
use schema::TypeId;
use schema::facts;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// The fields whose gate is off, by type.
fn disabled() -> &'static HashMap<TypeId, Vec<&'static str>> {
    static SET: OnceLock<HashMap<TypeId, Vec<&'static str>>> = OnceLock::new();
    SET.get_or_init(|| {
        let off = |g: &str| facts::gates().iter().any(|x| x.name == g.trim() && !x.on);
        let mut map: HashMap<TypeId, Vec<&'static str>> = HashMap::new();
        for t in facts::types() {
            for f in facts::fields(t) {
                // The kubelet's reports of stop signals are not dropped; claims drop their sources by rules of their own.
                let reported = matches!(
                    (t.name(), f.name),
                    ("core.v1.ContainerStatus", "stopSignal") | ("core.v1.TypedObjectReference", "namespace")
                );
                if !reported && !f.meta.gates.is_empty() && f.meta.gates.split(',').any(off) {
                    map.entry(t).or_default().push(f.name);
                }
            }
        }
        map
    })
}

/// Drops from an object what its kind's features do not allow.
pub(crate) fn drop_for_kind(o: &mut Value, old: Option<&Value>) {
    if let Some(ty) = crate::declare::type_of(o).filter(|t| gated().contains(t)) {
        drop_of(ty, o, old);
    }
}

/// The types that have a field of a disabled feature, in themselves or further down.
fn gated() -> &'static HashSet<TypeId> {
    static SET: OnceLock<HashSet<TypeId>> = OnceLock::new();
    SET.get_or_init(|| {
        let mut set: HashSet<TypeId> = disabled().keys().copied().collect();
        loop {
            let has = |t: &TypeId| {
                facts::fields(*t).iter().filter_map(|f| f.wire.struct_type()).any(|c| set.contains(&c))
            };
            let more: Vec<TypeId> = facts::types().filter(|t| !set.contains(t) && has(t)).collect();
            if more.is_empty() {
                return set;
            }
            set.extend(more);
        }
    })
}

/// Drops from `obj`, a value of the named type, the fields of disabled features that `old` does not use.
pub(crate) fn drop_disabled(ty: &str, obj: &mut Value, old: Option<&Value>) {
    if let Some(ty) = facts::type_named(ty) {
        drop_of(ty, obj, old);
    }
}

fn drop_of(ty: TypeId, obj: &mut Value, old: Option<&Value>) {
    let mut found = used(ty, obj);
    if found.is_empty() {
        return;
    }
    if let Some(old) = old {
        let kept = used(ty, &mut old.clone());
        found.retain(|f| !kept.contains(f));
    }
    facts::walk(ty, obj, &mut |t, v| {
        if let (Some(_), Some(o)) = (disabled().get(&t), v.as_object_mut()) {
            o.retain(|k, _| !found.iter().any(|(ft, fk)| *ft == t && fk == k));
        }
    });
}

fn used(ty: TypeId, v: &mut Value) -> Vec<(TypeId, &'static str)> {
    let mut out = Vec::new();
    facts::walk(ty, v, &mut |t, v| {
        for f in disabled().get(&t).into_iter().flatten() {
            if v.has(f) {
                out.push((t, *f));
            }
        }
    });
    out
}

/// A pod spec's part that the facts do not tell: stop signals.
pub(crate) fn drop_stop_signals(spec: &mut Obj, old: Option<&Value>) {
    if facts::gate("ContainerStopSignals") {
        return;
    }
    let used = |c: &Value| c.v("lifecycle").has("stopSignal");
    if old.is_some_and(|o| containers(o).any(used)) {
        return;
    }
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for c in spec.each(list) {
            let Some(l) = c.o_mut("lifecycle") else { continue };
            if l.remove("stopSignal").is_some() && l.is_empty() {
                c.remove("lifecycle");
            }
        }
    }
}
