//! What may change of an existing pod: by update, by ephemeral containers, by resize.

use crate::diff::diff;
use crate::kit::*;
use crate::podspec::{self, Opts, resources};

const MIRROR: &str = "kubernetes.io/config.mirror";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const SPEC: At<'static> = At::new("spec");

/// Annotations that are fixed at creation.
pub(super) fn annotations(new: &Value, old: &Value, opts: Opts, e: &mut Errs) {
    let at = At::new("metadata.annotations");
    let none = Obj::new();
    let a = new.v("metadata").o("annotations").unwrap_or(&none);
    let b = old.v("metadata").o("annotations").unwrap_or(&none);
    for (k, v) in b {
        if a.get(k) == Some(v) {
            continue;
        }
        if k.starts_with(APPARMOR) {
            e.forbidden(&at.k(k), "may not remove or update AppArmor annotations");
        }
        if k == MIRROR {
            e.forbidden(&at.k(k), "may not remove or update mirror pod annotation");
        }
    }
    for k in a.keys().filter(|k| !b.contains_key(*k)) {
        if k.starts_with(APPARMOR) {
            e.forbidden(&at.k(k), "may not add AppArmor annotations");
        }
        if k == MIRROR {
            e.forbidden(&at.k(k), "may not add mirror pod annotation");
        }
    }
    podspec::annotations(Some(a), new.v("spec"), opts, &at, e);
}

/// Containers stay as many as they were; false: do not look further.
fn container_updates(new: &[Value], old: &[Value], at: &At<'_>, e: &mut Errs) -> bool {
    if new.len() != old.len() {
        e.forbidden(at, "pod updates may not add or remove containers");
        return false;
    }
    for (i, c) in new.iter().enumerate() {
        let at = at.i(i);
        let at = at.c("image");
        let image = c.s("image");
        e.non_empty(&at, image);
        if image.trim() != image {
            e.invalid(&at, image, "must not have leading or trailing whitespace");
        }
    }
    true
}

pub(super) fn update(new: &Value, old: &Value, opts: Opts, e: &mut Errs) {
    podspec::pod(new, opts, e);
    annotations(new, old, opts, e);
    let (n, o) = (new.v("spec"), old.v("spec"));
    for list in ["containers", "initContainers"] {
        if !container_updates(n.list(list), o.list(list), &SPEC.c(list), e) {
            return;
        }
    }
    let deadline = SPEC.c("activeDeadlineSeconds");
    match (n.oi("activeDeadlineSeconds"), o.oi("activeDeadlineSeconds")) {
        (Some(a), _) if !(0..=i64::from(i32::MAX)).contains(&a) => {
            return e.in_range(&deadline, a, 0, i64::from(i32::MAX));
        }
        (Some(a), Some(b)) if b < a => {
            return e.invalid(&deadline, a, "must be less than or equal to previous value");
        }
        (None, Some(_)) => {
            e.invalid(&deadline, Value::Null, "must not update from a positive integer to nil value");
        }
        _ => {}
    }
    tolerations(n.list("tolerations"), o.list("tolerations"), opts, e);
    scheduling_gates(n.list("schedulingGates"), o.list("schedulingGates"), e);
    if deep_same(n, o) {
        return;
    }
    let munged = munge(n, o, e);
    if !deep_same(&munged, o) {
        e.forbidden(
            &SPEC,
            format!("pod updates may not change fields other than {UPDATABLE}\n{}", diff(o, &munged)),
        );
    }
}

fn tolerations(new: &[Value], old: &[Value], opts: Opts, e: &mut Errs) {
    let at = SPEC.c("tolerations");
    let bare = |t: &Value| {
        let mut t = t.clone();
        t.drop_key("tolerationSeconds");
        t
    };
    if old.iter().any(|o| !new.iter().any(|n| deep_same(&bare(n), &bare(o)))) {
        return e.forbidden(&at, "existing toleration can not be modified except its tolerationSeconds");
    }
    podspec::affinity::tolerations(new, opts, &at, e);
}

fn scheduling_gates(new: &[Value], old: &[Value], e: &mut Errs) {
    let at = SPEC.c("schedulingGates");
    for (i, g) in new.iter().enumerate() {
        let name = g.s("name");
        if !old.iter().any(|o| o.s("name") == name) {
            e.forbidden(
                &at.i(i).c("name"),
                format!("only deletion is allowed, but found new scheduling gate '{name}'"),
            );
        }
    }
}

/// The new spec with everything that may change put back.
fn munge(n: &Value, o: &Value, e: &mut Errs) -> Value {
    let mut m = n.clone();
    for list in ["containers", "initContainers"] {
        for (c, old) in m.each(list).zip(o.list(list)) {
            c.put("image", old.v("image").clone());
        }
    }
    for f in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(&mut m, o, f);
    }
    if o.i("terminationGracePeriodSeconds") < 0 && m.oi("terminationGracePeriodSeconds") == Some(1) {
        restore(&mut m, o, "terminationGracePeriodSeconds");
    }
    if o.list("schedulingGates").is_empty() {
        return m;
    }
    // Where a gated pod may go can still be narrowed.
    if !opt_same(m.set("nodeSelector"), o.set("nodeSelector")) {
        if keys(o.o("nodeSelector")).any(|(k, v)| m.v("nodeSelector").f(k) != Some(v)) {
            e.invalid(
                &SPEC.c("nodeSelector"),
                m.v("nodeSelector").clone(),
                "only additions to spec.nodeSelector are allowed (no mutations or deletions)",
            );
        }
        restore(&mut m, o, "nodeSelector");
    }
    let (new_na, old_na) = (m.v("affinity").v("nodeAffinity").clone(), o.v("affinity").v("nodeAffinity"));
    if !deep_same(&new_na, old_na) {
        node_affinity(&new_na, old_na, e);
        let a = m.obj("affinity");
        a.remove("nodeAffinity");
        if !old_na.is_null() {
            a.put("nodeAffinity", old_na.clone());
        }
        if a.is_empty() {
            m.drop_key("affinity");
        }
    }
    m
}

fn restore(m: &mut Value, o: &Value, field: &str) {
    match o.f(field) {
        Some(v) => m.put(field, v.clone()),
        None => _ = m.drop_key(field),
    }
}

fn node_affinity(new: &Value, old: &Value, e: &mut Errs) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let old_terms = old.v(REQUIRED).list("nodeSelectorTerms");
    let new_terms = new.v(REQUIRED).list("nodeSelectorTerms");
    if old_terms.is_empty() {
        return;
    }
    let at = SPEC.c("affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    if old_terms.len() != new_terms.len() {
        let why = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return e.invalid(&at, new_terms.to_vec(), why);
    }
    for (i, (n, o)) in new_terms.iter().zip(old_terms).enumerate() {
        let lists = ["matchExpressions", "matchFields"];
        let empty = |t: &Value| lists.iter().all(|l| t.list(l).is_empty());
        let kept = lists.iter().all(|l| {
            let (n, o) = (n.list(l), o.list(l));
            n.len() >= o.len() && n.iter().zip(o).all(|(a, b)| deep_same(a, b))
        });
        if !kept || (empty(o) && !empty(n)) {
            e.invalid(&at.i(i), n.clone(), "only additions are allowed (no mutations or deletions)");
        }
    }
}

pub(super) fn ephemeral(new: &Value, old: &Value, opts: Opts, e: &mut Errs) {
    podspec::pod(new, opts, e);
    annotations(new, old, opts, e);
    if old.annotation(MIRROR).is_some() {
        *e = Errs::default();
        return e.forbidden(&At::new(""), "static pods do not support ephemeral containers");
    }
    let at = SPEC.c("ephemeralContainers");
    let now = new.v("spec").list("ephemeralContainers");
    for o in old.v("spec").list("ephemeralContainers") {
        let name = meta::field::quote(o.s("name"));
        match now.iter().rfind(|n| n.s("name") == o.s("name")) {
            None => e.forbidden(&at, format!("existing ephemeral containers {name} may not be removed\n")),
            Some(n) if !deep_same(n, o) => e.forbidden(
                &at,
                format!("existing ephemeral containers {name} may not be changed\n{}", diff(o, n)),
            ),
            Some(_) => {}
        }
    }
}

pub(super) fn resize(new: &Value, old: &Value, opts: Opts, e: &mut Errs) {
    podspec::pod(new, opts, e);
    for (forbidden, why) in [
        (old.annotation(MIRROR).is_some(), "static pods cannot be resized"),
        (old.v("spec").v("os").s("name") == "windows", "windows pods cannot be resized"),
    ] {
        if forbidden {
            *e = Errs::default();
            return e.forbidden(&At::new(""), why);
        }
    }
    let (n, o) = (new.v("spec"), old.v("spec"));
    let class = match old.v("status").s("qosClass") {
        "" => resources::qos_class(o),
        c => c,
    };
    if class != resources::qos_class(n) {
        e.invalid(
            &SPEC,
            new.v("status").s("qosClass"),
            "Pod QOS Class may not change as a result of resizing",
        );
    }
    let running = old.v("status").list("containerStatuses").iter().find(|c| c.v("state").has("running"));
    if running.is_some_and(|c| !c.has("resources")) {
        e.forbidden(&SPEC, "Pod running on node without support for resize");
    }
    let mut copy = n.clone();
    let pod_level =
        |s: &Value| s.v("resources").v("requests").len_of() + s.v("resources").v("limits").len_of();
    if pod_level(n) + pod_level(o) > 0 {
        pod_level_resize(n, o, &mut copy, e);
    }
    if !same_order(n, o, e) {
        return;
    }
    containers_resize(n, o, &mut copy, e);
    if !opt_same(n.f("volumes"), o.f("volumes")) {
        e.forbidden(
            &SPEC.c("volumes"),
            "volumes are immutable on resize when InPlacePodVerticalScalingMemoryBackedVolumes feature gate is disabled",
        );
    }
    if e.is_empty() && !deep_same(&copy, o) {
        e.forbidden(&SPEC, "only cpu and memory resources are mutable");
    }
}

fn removed(new: &Value, old: &Value) -> bool {
    old.len_of() > new.len_of() || keys(old.as_object()).any(|(k, _)| !new.has(k))
}

/// Puts the old cpu and memory back, so that what is left must be equal.
fn drop_cpu_memory(r: &mut Obj, old: &Value) {
    for list in ["limits", "requests"] {
        for res in ["cpu", "memory"] {
            match old.v(list).f(res) {
                Some(v) => r.obj(list).put(res, v.clone()),
                None => {
                    if let Some(l) = r.o_mut(list) {
                        l.remove(res);
                    }
                }
            }
        }
    }
}

fn pod_level_resize(n: &Value, o: &Value, copy: &mut Value, e: &mut Errs) {
    if o.has("resources") {
        if !n.has("resources") {
            return e.forbidden(&SPEC.c("resources"), "pod-level resources cannot be removed");
        }
        for (list, what) in [("requests", "requests"), ("limits", "limits")] {
            if removed(n.v("resources").v(list), o.v("resources").v(list)) {
                e.forbidden(
                    &SPEC.c("resources").c(list),
                    format!("pod-level resource {what} cannot be removed"),
                );
            }
        }
    }
    if let Some(r) = copy.o_mut("resources") {
        drop_cpu_memory(r, o.v("resources"));
    }
    if !opt_same(copy.f("resources"), o.f("resources")) {
        e.forbidden(&SPEC, "only cpu and memory resources are mutable at pod-level");
    }
}

fn same_order(n: &Value, o: &Value, e: &mut Errs) -> bool {
    let before = e.len();
    for list in ["containers", "initContainers"] {
        let at = SPEC.c(list);
        let (new, old) = (n.list(list), o.list(list));
        if new.len() != old.len() {
            e.forbidden(&at, format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (i, (a, b)) in new.iter().zip(old).enumerate() {
            if a.s("name") != b.s("name") {
                e.forbidden(&at.i(i).c("name"), format!("{list} may not be renamed or reordered on resize"));
            }
        }
    }
    e.len() == before
}

fn containers_resize(n: &Value, o: &Value, copy: &mut Value, e: &mut Errs) {
    for list in ["initContainers", "containers"] {
        let at = SPEC.c(list);
        for (i, (new, old)) in n.list(list).iter().zip(o.list(list)).enumerate() {
            let at = at.i(i);
            let at = at.c("resources");
            for (f, what) in [("requests", "requests"), ("limits", "limits")] {
                if removed(new.v("resources").v(f), old.v("resources").v(f)) {
                    e.forbidden(&at.c(f), format!("resource {what} cannot be removed"));
                }
            }
        }
    }
    for (c, old) in copy.each("containers").zip(o.list("containers")) {
        drop_cpu_memory(c.obj("resources"), old.v("resources"));
        if !deep_same(&Value::Object(c.clone()), old) {
            e.forbidden(&SPEC, "only cpu and memory resources are mutable");
        }
    }
    let at = SPEC.c("initContainers");
    for (i, (c, old)) in copy.each("initContainers").zip(o.list("initContainers")).enumerate() {
        let at = at.i(i);
        let modified = !deep_same(&Value::Object(c.clone()), old);
        drop_cpu_memory(c.obj("resources"), old.v("resources"));
        if !deep_same(&Value::Object(c.clone()), old) {
            let why = "only cpu and memory resources for init or sidecar containers are mutable";
            e.forbidden(&at, why);
        }
        if modified && c.s("restartPolicy") != "Always" {
            for p in c.list("resizePolicy") {
                if p.s("restartPolicy") == "RestartContainer" {
                    e.forbidden(
                        &at,
                        "non-sidecar init containers with a resize policy of RestartContainer cannot be resized",
                    );
                }
            }
        }
    }
}
