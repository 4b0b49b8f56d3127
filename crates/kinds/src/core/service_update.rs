//! What may change of a Service, and what a change of its type takes away
//! (K/pkg/registry/core/service/strategy.go, K/pkg/apis/core/validation `ValidateServiceUpdate`).

use super::service::{externally_accessible, is_headless, needs_health_check};
use crate::kit::*;

const ONCE: &str = "may not change once set";

/// Fields of the old type that the writer left as they were go with the type.
pub(super) fn drop_type_dependent(o: &mut Value, old: &Value) {
    let before = old.v("spec");
    let ty = o.v("spec").s("type").to_owned();
    let was = before.s("type");
    let same = |s: &Obj, f: &str| opt_same(s.f(f), before.f(f));
    let new_needs_check = needs_health_check(o.v("spec"));
    let new_external = externally_accessible(o.v("spec"));
    let spec = o.obj("spec");
    if was != "ExternalName" && ty == "ExternalName" {
        if same(spec, "clusterIP") && same(spec, "clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        for f in ["ipFamilies", "ipFamilyPolicy"] {
            if same(spec, f) {
                spec.remove(f);
            }
        }
    }
    let ports = |s: &Value| matches!(s, Value::String(t) if t == "NodePort" || t == "LoadBalancer");
    if ports(before.v("type")) && !ports(&Value::from(ty.as_str())) {
        let old_ports: Vec<i64> = before.list("ports").iter().map(|p| p.i("nodePort")).collect();
        let unchanged =
            spec.list("ports").iter().all(|p| p.i("nodePort") == 0 || old_ports.contains(&p.i("nodePort")));
        if unchanged {
            for p in spec.each("ports") {
                p.remove("nodePort");
            }
        }
    }
    if needs_health_check(before) && !new_needs_check && same(spec, "healthCheckNodePort") {
        spec.remove("healthCheckNodePort");
    }
    if was == "LoadBalancer" && ty != "LoadBalancer" {
        for f in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if spec.has(f) && same(spec, f) {
                spec.remove(f);
            }
        }
    }
    if externally_accessible(before) && !new_external && same(spec, "externalTrafficPolicy") {
        spec.remove("externalTrafficPolicy");
    }
    if ty != "LoadBalancer" {
        o.remove_at("status.loadBalancer");
    }
}

pub(super) fn validate(o: &Value, old: &Value, e: &mut Errs) {
    let (n, s) = (o.v("spec"), old.v("spec"));
    cluster_ips(n, s, e);
    ip_families(n, s, e);
    if n.s("type") == "LoadBalancer"
        && s.s("type") == "LoadBalancer"
        && n.os("loadBalancerClass") != s.os("loadBalancerClass")
    {
        e.invalid(&At::new("spec.loadBalancerClass"), n.v("loadBalancerClass").clone(), ONCE);
    }
    if needs_health_check(n)
        && needs_health_check(s)
        && n.i("healthCheckNodePort") != s.i("healthCheckNodePort")
    {
        e.forbidden(&At::new("spec.healthCheckNodePort"), "field is immutable");
    }
}

/// The first of a list never changes; a second may come and, with SingleStack, go.
fn cluster_ips(n: &Value, s: &Value, e: &mut Errs) {
    if n.s("type") == "ExternalName" || s.s("type") == "ExternalName" || (is_headless(n) && is_headless(s)) {
        return;
    }
    let (new, old) = (n.strs("clusterIPs"), s.strs("clusterIPs"));
    let at = At::new("spec.clusterIPs");
    let shown = || n.f("clusterIPs").cloned().unwrap_or(Value::Null);
    if old.len() == new.len() {
        for (i, (a, b)) in old.iter().zip(&new).enumerate() {
            if a != b {
                e.invalid(&at.i(i), shown(), ONCE);
            }
        }
        return;
    }
    if new.is_empty() {
        e.invalid(&at.i(0), shown(), "primary clusterIP can not be unset");
    }
    if let (Some(a), Some(b)) = (old.first(), new.first())
        && a != b
    {
        e.invalid(&at.i(0), shown(), ONCE);
    }
    if old.len() > new.len() && new.len() == 1 && n.os("ipFamilyPolicy") != Some("SingleStack") {
        e.invalid(
            &At::new("spec.ipFamilyPolicy"),
            n.v("ipFamilyPolicy").clone(),
            "must be set to 'SingleStack' when releasing the secondary clusterIP",
        );
    }
}

fn ip_families(n: &Value, s: &Value, e: &mut Errs) {
    if n.s("type") == "ExternalName"
        || s.s("type") == "ExternalName"
        || is_headless(n) != is_headless(s)
        || is_headless(n)
    {
        return;
    }
    let (new, old) = (n.strs("ipFamilies"), s.strs("ipFamilies"));
    let at = At::new("spec.ipFamilies");
    let at = at.i(0);
    if old.len() == new.len() {
        for _ in old.iter().zip(&new).filter(|(a, b)| a != b) {
            e.invalid(&at, n.v("ipFamilies").clone(), ONCE);
        }
        return;
    }
    if old.len() > new.len() && n.list("clusterIPs").is_empty() {
        e.invalid(&at, n.v("ipFamilies").clone(), "primary ipFamily can not be unset");
    }
    if let (Some(a), Some(b)) = (old.first(), new.first())
        && a != b
    {
        e.invalid(&at, n.v("clusterIPs").clone(), ONCE);
    }
    if old.len() > new.len() && new.len() == 1 && n.os("ipFamilyPolicy") != Some("SingleStack") {
        e.invalid(
            &At::new("spec.ipFamilyPolicy"),
            n.v("ipFamilyPolicy").clone(),
            "must be set to 'SingleStack' when releasing the secondary ipFamily",
        );
    }
}
