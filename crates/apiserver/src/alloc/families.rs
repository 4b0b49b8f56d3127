//! IP families of a Service: what is not said is worked out from the policy, the addresses and the cluster.

use meta::object::ObjectExt;
use meta::{ErrorList, FieldError, Path, Value};
use std::net::IpAddr;

pub const V4: &str = "IPv4";
pub const V6: &str = "IPv6";

pub fn family_of(ip: &IpAddr) -> &'static str {
    if ip.is_ipv4() { V4 } else { V6 }
}

pub fn other(family: &str) -> &'static str {
    if family == V4 { V6 } else { V4 }
}

/// The strings of a list of a Service's spec.
pub fn strings(svc: &Value, field: &str) -> Vec<String> {
    svc.get("spec")
        .and_then(|s| s.get(field))
        .and_then(Value::as_array)
        .map(|a| a.iter().map(|v| v.as_str().unwrap_or("").to_owned()).collect())
        .unwrap_or_default()
}

pub fn set_strings(svc: &mut Value, field: &str, v: &[String]) {
    let path = format!("spec.{field}");
    if v.is_empty() {
        svc.remove_at(&path);
    } else {
        svc.set_at(&path, v.to_vec());
    }
}

fn policy(svc: &Value) -> &str {
    svc.str_at("spec.ipFamilyPolicy")
}

pub fn headless(svc: &Value) -> bool {
    svc.str_at("spec.clusterIP") == "None"
}

fn no_selector(svc: &Value) -> bool {
    svc.at("spec.selector").and_then(Value::as_object).is_none_or(|m| m.is_empty())
}

pub fn external_name(svc: &Value) -> bool {
    svc.str_at("spec.type") == "ExternalName"
}

/// Both prefer dual stack and nothing about addresses changed: such a Service is never up- or downgraded by itself.
pub fn same_preference(new: &Value, old: Option<&Value>) -> bool {
    let Some(old) = old else { return false };
    let prefer = |s: &Value| policy(s) == "PreferDualStack";
    new.at("spec.ipFamilyPolicy").is_some()
        && old.str_at("spec.type") == new.str_at("spec.type")
        && !external_name(new)
        && prefer(new)
        && (prefer(old) || old.at("spec.ipFamilyPolicy").is_none())
        && strings(old, "clusterIPs") == strings(new, "clusterIPs")
        && strings(old, "ipFamilies") == strings(new, "ipFamilies")
}

/// `clusterIP` and `clusterIPs` say the same: an old client knows the first only.
pub fn normalize(new: &mut Value, old: Option<&Value>) {
    let one = new.str_at("spec.clusterIP").to_owned();
    let many = strings(new, "clusterIPs");
    let Some(old) = old else {
        if !one.is_empty() && many.is_empty() {
            set_strings(new, "clusterIPs", &[one]);
        }
        return;
    };
    let old_one = old.str_at("spec.clusterIP");
    let old_many = strings(old, "clusterIPs");
    if !old_many.is_empty() && many.is_empty() && old_one == one {
        set_strings(new, "clusterIPs", &old_many);
    }
    if old_one != one && old_many == strings(new, "clusterIPs") {
        if !old_one.is_empty() && one.is_empty() {
            set_strings(new, "clusterIPs", &[]);
        } else {
            set_strings(new, "clusterIPs", &[one]);
        }
    }
}

/// Whether all addresses are addresses, of the families that stand beside them; what is wrong with them validation says.
pub fn plausible(svc: &Value) -> bool {
    let families = strings(svc, "ipFamilies");
    strings(svc, "clusterIPs").iter().enumerate().all(|(i, ip)| match ip.parse::<IpAddr>() {
        Ok(a) => families.get(i).is_none_or(|f| f == family_of(&a)),
        Err(_) => ip == "None" || ip.is_empty(),
    })
}

/// Fills in `ipFamilyPolicy` and `ipFamilies`. `configured`: the families of this cluster, the default first.
pub fn init(new: &mut Value, old: Option<&Value>, configured: &[&str]) -> Result<(), ErrorList> {
    if external_name(new) || same_preference(new, old) {
        return Ok(());
    }
    let default = configured.first().copied().unwrap_or(V4);
    if new.at("spec.ipFamilyPolicy").is_none() {
        let p = match old.and_then(|o| o.at("spec.ipFamilyPolicy")).and_then(Value::as_str) {
            Some(p) => p,
            None if headless(new) && no_selector(new) => "RequireDualStack",
            None => "SingleStack",
        };
        let p = p.to_owned();
        new.set_at("spec.ipFamilyPolicy", p);
    }
    if !plausible(new) {
        return Ok(());
    }
    let mut errors = ErrorList::new();
    let spec = Path::new("spec");
    let at_policy = spec.child("ipFamilyPolicy");
    let p = policy(new).to_owned();
    let mut bad_policy = |why: &str| errors.push(FieldError::invalid(&at_policy, p.as_str(), why));
    let single = p == "SingleStack";
    let (mut ips, mut families) = (strings(new, "clusterIPs"), strings(new, "ipFamilies"));
    if let Some(old) = old {
        let (old_ips, old_families) = (strings(old, "clusterIPs"), strings(old, "ipFamilies"));
        if single {
            if old_ips == ips {
                ips.truncate(1);
            }
            if old_families == families {
                families.truncate(1);
            }
        } else {
            if !ips.is_empty() && ips.len() < old_ips.len() {
                bad_policy("must be 'SingleStack' to release the secondary cluster IP");
            }
            if !families.is_empty() && families.len() < old_families.len() {
                bad_policy("must be 'SingleStack' to release the secondary IP family");
            }
        }
    }
    if single && ips.len() == 2 {
        bad_policy("must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified");
    }
    if single && families.len() == 2 {
        bad_policy("must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified");
    }
    for (i, ip) in ips.iter().enumerate() {
        let Ok(a) = ip.parse::<IpAddr>() else { break };
        let family = family_of(&a);
        if i >= families.len() {
            if configured.contains(&family) {
                families.push(family.to_owned());
            } else {
                let at = spec.child("clusterIPs").index(i);
                let why = format!("{family} is not configured on this cluster");
                errors.push(FieldError::invalid(&at, ips.clone(), why));
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    if headless(new) && no_selector(new) {
        if families.is_empty() {
            families.push(default.to_owned());
        }
        if families.len() < 2 && !single {
            families.push(other(&families[0]).to_owned());
        }
    } else {
        if p == "RequireDualStack" && configured.len() < 2 {
            let why = "this cluster is not configured for dual-stack services";
            errors.push(FieldError::invalid(&at_policy, p.as_str(), why));
        }
        for (i, f) in families.iter().enumerate() {
            if !configured.contains(&f.as_str()) {
                let at = spec.child("ipFamilies").index(i);
                errors.push(FieldError::invalid(&at, f.as_str(), "not configured on this cluster"));
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        if families.is_empty() {
            families.push(default.to_owned());
        }
        if !single && families.len() == 1 && configured.len() == 2 {
            families.push(other(&families[0]).to_owned());
        }
    }
    set_strings(new, "clusterIPs", &ips);
    set_strings(new, "ipFamilies", &families);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(spec: Value, old: Option<Value>, configured: &[&str]) -> String {
        let mut new = json!({ "spec": spec });
        let old = old.map(|s| json!({ "spec": s }));
        normalize(&mut new, old.as_ref());
        match init(&mut new, old.as_ref(), configured) {
            Err(e) => e[0].to_string(),
            Ok(()) => format!(
                "{} {} {}",
                policy(&new),
                strings(&new, "ipFamilies").join(","),
                strings(&new, "clusterIPs").join(",")
            ),
        }
    }

    #[test]
    fn families_are_worked_out() {
        let (one, two): (&[&str], &[&str]) = (&[V4], &[V4, V6]);
        let cases = [
            (json!({}), one, "SingleStack IPv4 "),
            (json!({"clusterIP": "10.0.0.1"}), one, "SingleStack IPv4 10.0.0.1"),
            (json!({"clusterIP": "fd00::1"}), two, "SingleStack IPv6 fd00::1"),
            (
                json!({"clusterIP": "fd00::1"}),
                one,
                r#"spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster"#,
            ),
            (json!({"ipFamilyPolicy": "PreferDualStack"}), one, "PreferDualStack IPv4 "),
            (json!({"ipFamilyPolicy": "PreferDualStack"}), two, "PreferDualStack IPv4,IPv6 "),
            (
                json!({"ipFamilyPolicy": "RequireDualStack"}),
                one,
                r#"spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#,
            ),
            (json!({"ipFamilies": ["IPv6"]}), two, "SingleStack IPv6 "),
            (
                json!({"ipFamilies": ["IPv6", "IPv4"]}),
                two,
                r#"spec.ipFamilyPolicy: Invalid value: "SingleStack": must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"#,
            ),
            (json!({"clusterIP": "None"}), one, "RequireDualStack IPv4,IPv6 None"),
            (json!({"clusterIP": "None", "selector": {"a": "b"}}), one, "SingleStack IPv4 None"),
            (json!({"type": "ExternalName"}), one, "  "),
        ];
        for (spec, configured, want) in cases {
            assert_eq!(run(spec.clone(), None, configured), want, "{spec}");
        }
        let old = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"});
        let mut new = old.clone();
        new["ipFamilyPolicy"] = "SingleStack".into();
        assert_eq!(run(new, Some(old.clone()), two), "SingleStack IPv4 10.0.0.1");
        let mut new = old.clone();
        new["ipFamilies"] = json!(["IPv4"]);
        assert!(
            run(new, Some(old), two).contains("must be 'SingleStack' to release the secondary IP family")
        );
    }
}
