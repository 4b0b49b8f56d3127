//! Reading the metadata of typed objects.

use crate::k8s::{LabelSelector, Map, ObjectMeta, OwnerReference, Time, Timestamp};
use client::{Key, Kind};
use meta::selector::{Op, Requirement, Selector};

/// Short accessors; what is absent reads as empty.
pub trait MetaExt {
    fn name(&self) -> &str;
    fn namespace(&self) -> &str;
    fn ns(&self) -> Option<&str>;
    fn uid(&self) -> &str;
    fn version(&self) -> u64;
    fn key(&self) -> Key;
    fn label(&self, key: &str) -> Option<&str>;
    fn annotation(&self, key: &str) -> Option<&str>;
    fn labels(&self) -> &Map;
    fn deleting(&self) -> bool;
    fn generation(&self) -> i64;
    fn created(&self) -> Option<Timestamp>;
    fn has_finalizer(&self, name: &str) -> bool;
    /// The owner that controls it.
    fn controller(&self) -> Option<&OwnerReference>;
    fn is_controlled_by(&self, uid: &str) -> bool;
}

static NONE: Map = Map::new();

impl<K: Kind> MetaExt for K {
    fn name(&self) -> &str {
        self.metadata().name.as_deref().unwrap_or_default()
    }
    fn namespace(&self) -> &str {
        self.metadata().namespace.as_deref().unwrap_or_default()
    }
    fn ns(&self) -> Option<&str> {
        self.metadata().namespace.as_deref()
    }
    fn uid(&self) -> &str {
        self.metadata().uid.as_deref().unwrap_or_default()
    }
    fn version(&self) -> u64 {
        self.metadata().resource_version.as_deref().and_then(|v| v.parse().ok()).unwrap_or(0)
    }
    fn key(&self) -> Key {
        Key::new(self.namespace(), self.name())
    }
    fn label(&self, key: &str) -> Option<&str> {
        self.metadata().labels.as_ref()?.get(key).map(String::as_str)
    }
    fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata().annotations.as_ref()?.get(key).map(String::as_str)
    }
    fn labels(&self) -> &Map {
        self.metadata().labels.as_ref().unwrap_or(&NONE)
    }
    fn deleting(&self) -> bool {
        self.metadata().deletion_timestamp.is_some()
    }
    fn generation(&self) -> i64 {
        self.metadata().generation.unwrap_or(0)
    }
    fn created(&self) -> Option<Timestamp> {
        self.metadata().creation_timestamp.as_ref().map(|t| t.0)
    }
    fn has_finalizer(&self, name: &str) -> bool {
        self.metadata().finalizers.iter().flatten().any(|f| f == name)
    }
    fn controller(&self) -> Option<&OwnerReference> {
        controller_of(self.metadata())
    }
    fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|o| o.uid == uid)
    }
}

pub fn controller_of(m: &ObjectMeta) -> Option<&OwnerReference> {
    m.owner_references.iter().flatten().find(|o| o.controller == Some(true))
}

/// A reference to the controller of what is made for it.
pub fn controller_ref<K: Kind>(o: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::API_VERSION.into(),
        kind: K::KIND.into(),
        name: o.name().into(),
        uid: o.uid().into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// Whether a reference means this kind, in whatever version.
pub fn refers_to<K: Kind>(api_version: &str, kind: &str) -> bool {
    kind == K::KIND && api_version.rsplit_once('/').map_or("", |(g, _)| g) == K::GROUP
}

/// The selector that a `LabelSelector` stands for: none selects nothing, an empty one everything.
pub fn selector(s: Option<&LabelSelector>) -> Result<Selector, String> {
    let Some(s) = s else { return Ok(Selector { nothing: true, ..Selector::default() }) };
    let mut all = Vec::new();
    for (k, v) in s.match_labels.iter().flatten() {
        all.push(Requirement::new(k, Op::In, vec![v.clone()])?);
    }
    for e in s.match_expressions.iter().flatten() {
        let op = match e.operator.as_str() {
            "In" => Op::In,
            "NotIn" => Op::NotIn,
            "Exists" => Op::Exists,
            "DoesNotExist" => Op::DoesNotExist,
            other => return Err(format!("{other:?} is not a valid label selector operator")),
        };
        all.push(Requirement::new(&e.key, op, e.values.clone().unwrap_or_default())?);
    }
    Ok(Selector::of(all))
}

pub fn map_selector(m: &Map) -> Selector {
    Selector::from_map(m.iter().map(|(k, v)| (k.as_str(), v.as_str())))
}

pub fn matches(s: &Selector, labels: &Map) -> bool {
    s.matches(|k| labels.get(k).map(String::as_str))
}

/// Seconds from `t` to `now`.
pub fn seconds_since(t: &Time, now: Timestamp) -> i64 {
    now.duration_since(t.0).as_secs()
}

/// `t` as it is stored, in whole seconds.
pub fn whole(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}
