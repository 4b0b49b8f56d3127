//! Whether a value is in canonical form already: then nothing need be built anew to bring it there. Says no where that
//! would take long to find out.

use super::decode::in_normal_form;
use super::encode::omitted;
use crate::facts::{Card, Field, Wire, fields};
use crate::{MAX_DEPTH, TypeId, Value};
use meta::time::Timestamp;
use serde_json::Map;

/// Whether decoding this object would give the same object and find nothing wrong with it.
pub(super) fn settled(m: &Map<String, Value>, ty: TypeId, depth: usize) -> bool {
    if depth >= MAX_DEPTH {
        return false;
    }
    let fs = fields(ty);
    let mut there = 0u64;
    for (k, v) in m {
        let Some(i) = ty.field_index(k) else { return false };
        there |= 1 << i;
        if !field(&fs[i], v, depth) {
            return false;
        }
    }
    ty.facts().zeros & !there == 0
}

fn field(f: &Field, v: &Value, depth: usize) -> bool {
    let may_be_empty = !f.omit_empty || f.pointer;
    match (f.card, v) {
        (Card::One, v) => element(f, v, depth) && !omitted(f, v),
        (Card::List, Value::Array(a)) => {
            f.template.is_none()
                && (may_be_empty || !a.is_empty())
                && a.iter().all(|x| element(f, x, depth + 1))
        }
        (Card::Map, Value::Object(m)) => {
            (may_be_empty || !m.is_empty()) && m.values().all(|x| element(f, x, depth + 1))
        }
        _ => false,
    }
}

fn element(f: &Field, v: &Value, depth: usize) -> bool {
    let small = |n: &serde_json::Number| n.as_i64().is_some_and(|i| i32::try_from(i).is_ok());
    match (f.wire, v) {
        (Wire::Struct(t), Value::Object(m)) => settled(m, t, depth + 1),
        (Wire::String | Wire::Duration | Wire::IntOrString, Value::String(_)) => true,
        (Wire::Bool, Value::Bool(_)) => true,
        (Wire::Int32 | Wire::IntOrString, Value::Number(n)) => small(n),
        (Wire::Int64, Value::Number(n)) => n.as_i64().is_some(),
        (Wire::Quantity, Value::String(s)) => meta::quantity::normalize(s).is_ok_and(|n| n == *s),
        (Wire::Time, Value::String(s)) => {
            in_normal_form(s, 20) && Timestamp::parse_time(s).is_ok_and(|t| !t.is_go_zero())
        }
        (Wire::MicroTime, Value::String(s)) => {
            in_normal_form(s, 27) && Timestamp::parse_micro(s).is_ok_and(|t| !t.is_go_zero())
        }
        (Wire::Raw, Value::Null) => false,
        (Wire::Raw, v) => raw(v, depth + 1),
        (Wire::Strings, Value::Array(a)) => a.iter().all(Value::is_string),
        _ => false,
    }
}

fn raw(v: &Value, depth: usize) -> bool {
    match v {
        Value::Number(n) => !n.is_f64(),
        Value::Array(a) => depth < MAX_DEPTH && a.iter().all(|x| raw(x, depth + 1)),
        Value::Object(m) => depth < MAX_DEPTH && m.values().all(|x| raw(x, depth + 1)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{canonicalize, decode};
    use crate::{Value, facts};
    use serde_json::json;

    /// Everything at and below a value, each as a path of keys and indexes.
    fn places(v: &Value, at: &str, out: &mut Vec<String>) {
        out.push(at.to_owned());
        match v {
            Value::Array(a) => a.iter().enumerate().for_each(|(i, x)| places(x, &format!("{at}/{i}"), out)),
            Value::Object(m) => m.iter().for_each(|(k, x)| places(x, &format!("{at}/{k}"), out)),
            _ => {}
        }
    }

    fn check(v: &Value, ty: crate::TypeId) -> bool {
        let Value::Object(m) = v else { return false };
        let said = super::settled(m, ty, 0);
        if said {
            let mut d = super::super::decode::Decoder::new(super::super::source::ValueSource::new(v.clone()));
            assert_eq!(d.document(ty).as_ref(), Ok(v), "{v}");
            assert!(d.strict().is_empty(), "{v}");
        }
        said
    }

    #[test]
    fn what_is_said_to_be_canonical_is() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"a": "b"},
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:x": {}, "k:{\"a\":1}": {".": {}}}}, "time": "2026-01-02T03:04:05Z"}]},
            "spec": {"nodeName": "n", "terminationGracePeriodSeconds": 30, "hostNetwork": true,
                "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}],
                    "livenessProbe": {"httpGet": {"port": "http"}},
                    "resources": {"limits": {"cpu": "100m", "memory": "1Gi"}}}],
                "volumes": [{"name": "v", "emptyDir": {}}], "tolerations": [{"operator": "Exists"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
        let lease = json!({"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-02T03:04:05.000006Z",
            "leaseDurationSeconds": 40}});
        let odd = [
            json!(null),
            json!(0),
            json!(1),
            json!(1.5),
            json!(3_000_000_000_i64),
            json!(""),
            json!("x"),
            json!("0.1"),
            json!("1000m"),
            json!("2026-01-02T03:04:05.1Z"),
            json!(true),
            json!(false),
            json!([]),
            json!([null]),
            json!(["a"]),
            json!([{}]),
            json!({}),
            json!({"a": null}),
            json!({"a": "b"}),
            json!({"name": "x"}),
        ];
        for (object, kind) in [(pod, ("", "v1", "Pod")), (lease, ("coordination.k8s.io", "v1", "Lease"))] {
            let ty = facts::type_of(kind.0, kind.1, kind.2).unwrap();
            let v = decode(object.to_string().as_bytes(), ty).unwrap().value;
            assert!(check(&v, ty), "{v}");
            let mut all = Vec::new();
            places(&v, "", &mut all);
            let mut yes = 0;
            for at in all.iter().filter(|a| !a.is_empty()) {
                for o in &odd {
                    let mut changed = v.clone();
                    *changed.pointer_mut(at).unwrap() = o.clone();
                    yes += usize::from(check(&changed, ty));
                    // And one more member.
                    let mut more = v.clone();
                    if let Some(m) = more.pointer_mut(at).and_then(Value::as_object_mut) {
                        m.insert("name".into(), o.clone());
                        yes += usize::from(check(&more, ty));
                    }
                }
                let (parent, key) = at.rsplit_once('/').unwrap();
                let mut less = v.clone();
                if let Some(m) = less.pointer_mut(parent).and_then(Value::as_object_mut) {
                    m.remove(key);
                    yes += usize::from(check(&less, ty));
                }
            }
            assert!(yes > 10, "{yes}");
            assert_eq!(canonicalize(v.clone(), ty).unwrap().value, v);
        }
    }
}
