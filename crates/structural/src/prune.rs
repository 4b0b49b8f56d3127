//! Pruning and defaulting (apiextensions-apiserver `pkg/apiserver/schema/{pruning,defaulting}`).

use crate::{Additional, Schema};
use meta::Value;
use serde_json::Map;

const RESOURCE: [&str; 3] = ["apiVersion", "kind", "metadata"];

impl Schema {
    /// Takes away what the schema does not know; answers the paths taken, in the object's order
    /// (`spec.foo`, `spec.list[2].bar`). The root keeps `apiVersion`, `kind` and `metadata`.
    pub fn prune(&self, v: &mut Value) -> Vec<String> {
        let mut gone = Vec::new();
        self.prune_at(v, true, "", &mut gone);
        gone
    }

    /// As [`Schema::prune`], for a part of an object.
    pub fn prune_part(&self, v: &mut Value) -> Vec<String> {
        let mut gone = Vec::new();
        self.prune_at(v, false, "", &mut gone);
        gone
    }

    fn prune_at(&self, v: &mut Value, resource: bool, path: &str, gone: &mut Vec<String>) {
        match v {
            Value::Object(o) => self.prune_object(o, resource || self.embedded, path, gone),
            Value::Array(a) => {
                for (i, x) in a.iter_mut().enumerate() {
                    match &self.items {
                        Some(s) => s.prune_at(x, false, &format!("{path}[{i}]"), gone),
                        None if self.preserve => {}
                        None => {
                            <Self as Default>::default().prune_at(x, false, &format!("{path}[{i}]"), gone)
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn prune_object(&self, o: &mut Map<String, Value>, resource: bool, path: &str, gone: &mut Vec<String>) {
        let below = |k: &str| if path.is_empty() { k.to_owned() } else { format!("{path}.{k}") };
        let mut drop = Vec::new();
        for (k, x) in o.iter_mut() {
            if resource && RESOURCE.contains(&k.as_str()) {
                continue;
            }
            if let Some(s) = self.properties.get(k) {
                s.prune_at(x, false, &below(k), gone);
            } else if let Additional::Schema(s) = &self.additional {
                s.prune_at(x, false, &below(k), gone);
            } else if matches!(self.additional, Additional::Bool(true)) || self.preserve {
                // Kept whole: nothing is known of what is below.
            } else {
                gone.push(below(k));
                drop.push(k.clone());
            }
        }
        for k in drop {
            o.remove(&k);
        }
    }

    /// Fills in defaults, also below members that a default made; a null where null is not allowed takes the default.
    pub fn fill_defaults(&self, v: &mut Value) {
        match v {
            Value::Object(o) => {
                for (k, s) in &self.properties {
                    let missing = match o.get(k) {
                        None => true,
                        Some(Value::Null) => !s.nullable,
                        Some(_) => false,
                    };
                    if missing && let Some(d) = &s.default {
                        o.insert(k.clone(), d.clone());
                    } else if missing && o.get(k).is_some_and(Value::is_null) && s.default.is_none() {
                        // A null that no schema allows and no default replaces stays, and validation speaks of it.
                        continue;
                    }
                    if let Some(x) = o.get_mut(k) {
                        s.fill_defaults(x);
                    }
                }
                if let Additional::Schema(s) = &self.additional {
                    for (_, x) in o.iter_mut().filter(|(k, _)| !self.properties.contains_key(*k)) {
                        if x.is_null()
                            && !s.nullable
                            && let Some(d) = &s.default
                        {
                            *x = d.clone();
                        }
                        s.fill_defaults(x);
                    }
                }
            }
            Value::Array(a) => {
                if let Some(s) = &self.items {
                    for x in a {
                        if x.is_null()
                            && !s.nullable
                            && let Some(d) = &s.default
                        {
                            *x = d.clone();
                        }
                        s.fill_defaults(x);
                    }
                }
            }
            _ => {}
        }
    }

    /// Takes away nulls of members that are neither nullable nor have a default to take their place.
    pub fn drop_nulls(&self, v: &mut Value) {
        match v {
            Value::Object(o) => {
                o.retain(|k, x| {
                    !(x.is_null()
                        && self.properties.get(k).is_some_and(|s| !s.nullable && s.default.is_none()))
                });
                for (k, x) in o.iter_mut() {
                    if let Some(s) = self.member(k) {
                        s.drop_nulls(x);
                    }
                }
            }
            Value::Array(a) => {
                if let Some(s) = &self.items {
                    a.iter_mut().for_each(|x| s.drop_nulls(x));
                }
            }
            _ => {}
        }
    }
}
