//! Adopting orphans that a selector selects and releasing what it selects no more
//! (upstream `pkg/controller/controller_ref_manager.go`).

use super::meta::{MetaExt, controller_ref, matches};
use crate::k8s::Map;
use client::{Client, Error, Kind, PatchKind};
use meta::selector::Selector;
use serde_json::{Value, json};

/// What to do with one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Keep,
    Adopt,
    Release,
    Ignore,
}

/// Judges an object by its metadata; `owner` is uid and whether it is being deleted.
pub fn judge<K: Kind>(owner_uid: &str, owner_deleting: bool, selects: impl Fn(&Map) -> bool, o: &K) -> Claim {
    let selected = selects(o.labels());
    match o.controller() {
        Some(c) if c.uid != owner_uid => Claim::Ignore,
        Some(_) if selected => Claim::Keep,
        Some(_) if owner_deleting => Claim::Ignore,
        Some(_) => Claim::Release,
        None if owner_deleting || !selected || o.deleting() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// The patch that makes `owner` the controller of an object.
pub fn adopt_patch<O: Kind>(owner: &O, uid: &str, finalizers: &[&str]) -> Value {
    let mut p = json!({ "metadata": { "ownerReferences": [controller_ref(owner)], "uid": uid } });
    if !finalizers.is_empty() {
        p["metadata"]["finalizers"] = json!(finalizers);
    }
    p
}

/// The patch that takes the owner off an object.
pub fn release_patch(owner_uid: &str, uid: &str, finalizers: &[&str]) -> Value {
    let mut p = json!({ "metadata": {
        "ownerReferences": [{ "$patch": "delete", "uid": owner_uid }], "uid": uid } });
    if !finalizers.is_empty() {
        p["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(finalizers);
    }
    p
}

/// The patch that takes a finalizer off an object.
pub fn release_finalizer_patch(finalizer: &str) -> Value {
    json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": [finalizer] } })
}

/// Reconciles ownership of `objects`; answers those that the owner has now.
pub async fn claim<O: Kind, K: Kind>(
    client: &Client,
    owner: &O,
    selector: &Selector,
    finalizers: &[&str],
    objects: Vec<K>,
) -> Result<Vec<K>, Error> {
    let (uid, deleting) = (owner.uid().to_owned(), owner.deleting());
    let mut kept = Vec::new();
    let mut checked = false;
    let mut failure = None;
    for o in objects {
        let verdict = judge(&uid, deleting, |l| matches(selector, l), &o);
        let patch = match verdict {
            Claim::Keep => {
                kept.push(o);
                continue;
            }
            Claim::Ignore => continue,
            Claim::Adopt => {
                if !checked {
                    // The cache may be late: a deleted owner must not adopt.
                    let fresh: O = client.get(owner.ns(), owner.name()).await?;
                    if fresh.uid() != uid {
                        return Err(Error::Config(format!("{} {} is another one now", O::KIND, owner.key())));
                    }
                    if fresh.deleting() {
                        return Err(Error::Config(format!(
                            "{} {} has just been deleted",
                            O::KIND,
                            owner.key()
                        )));
                    }
                    checked = true;
                }
                adopt_patch(owner, o.uid(), finalizers)
            }
            Claim::Release => release_patch(&uid, o.uid(), finalizers),
        };
        match client.patch::<K>(o.ns(), o.name(), "", PatchKind::Strategic, &patch).await {
            Ok(new) if verdict == Claim::Adopt => kept.push(new),
            Ok(_) => {}
            // Gone, or already nobody's.
            Err(e) if e.is_not_found() => {}
            Err(e) if verdict == Claim::Release && e.is(meta::Reason::Invalid) => {}
            Err(e) => failure = failure.or(Some(e)),
        }
    }
    failure.map_or(Ok(kept), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::core::Pod;

    #[test]
    fn judges() {
        let pod = |owner: &str, label: &str, deleting: bool| -> Pod {
            let mut v = json!({"metadata": {"name": "p", "labels": {"a": label}}});
            if !owner.is_empty() {
                v["metadata"]["ownerReferences"] =
                    json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": owner, "controller": true}]);
            }
            if deleting {
                v["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
            }
            serde_json::from_value(v).unwrap()
        };
        let cases = [
            ("me", "1", false, false, Claim::Keep),
            ("me", "2", false, false, Claim::Release),
            ("me", "2", false, true, Claim::Ignore),
            ("me", "1", false, true, Claim::Keep),
            ("other", "1", false, false, Claim::Ignore),
            ("", "1", false, false, Claim::Adopt),
            ("", "1", true, false, Claim::Ignore),
            ("", "1", false, true, Claim::Ignore),
            ("", "2", false, false, Claim::Ignore),
        ];
        for (owner, label, pod_deleting, deleting, want) in cases {
            let selects = |l: &Map| l.get("a").is_some_and(|v| v == "1");
            let got = judge("me", deleting, selects, &pod(owner, label, pod_deleting));
            assert_eq!(got, want, "{owner} {label} {pod_deleting} {deleting}");
        }
    }
}
