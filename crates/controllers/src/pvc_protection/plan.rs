//! When a claim is in use.

use crate::k8s::Timestamp;
use crate::k8s::core::{PersistentVolumeClaim, PersistentVolumeClaimCondition, Pod};
use crate::util::meta::{MetaExt, whole};
use crate::util::{pods, volumes};

const UNUSED: &str = "Unused";

fn is_terminated(p: &Pod) -> bool {
    let running = p
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten())
        .any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some()));
    pods::is_terminal(p) || p.deleting() && !running
}
/// Its kubelet has stopped it.
fn is_shut_down(p: &Pod) -> bool {
    p.deleting() && p.metadata.deletion_grace_period_seconds == Some(0)
}

/// What the use of claims by a pod depends on.
pub fn traits(p: &Pod) -> (String, bool, bool, bool) {
    (p.uid().to_owned(), pods::node_name(p).is_empty(), is_terminated(p), is_shut_down(p))
}

fn names(p: &Pod, claim: &PersistentVolumeClaim, ephemeral: bool) -> bool {
    p.namespace() == claim.namespace()
        && volumes::volumes(p).any(|v| {
            let same = volumes::claim_name(p, v).is_some_and(|n| n == claim.name());
            same && (v.persistent_volume_claim.is_some() || ephemeral && volumes::is_for_pod(claim, p))
        })
}

/// It keeps the claim from being deleted: it is on a node, even if it has ended, for its volumes may still be mounted.
pub fn holds(p: &Pod, claim: &PersistentVolumeClaim) -> bool {
    !pods::node_name(p).is_empty() && names(p, claim, !is_shut_down(p))
}

/// It counts as a user: it has not ended.
pub fn refers(p: &Pod, claim: &PersistentVolumeClaim) -> bool {
    !is_terminated(p) && names(p, claim, true)
}

/// The claim with the condition that says whether it is unused, if that is news.
pub fn note_use(claim: &PersistentVolumeClaim, used: bool, now: Timestamp) -> Option<PersistentVolumeClaim> {
    let (status, reason, message) = if used {
        ("False", "PodUsingPVC", "A pod is currently referencing this PVC")
    } else {
        ("True", "NoPodsUsingPVC", "No pods are currently referencing this PVC")
    };
    let mut new = claim.clone();
    let list = new.status.get_or_insert_default().conditions.get_or_insert_default();
    let condition = PersistentVolumeClaimCondition {
        type_: UNUSED.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: Some(whole(now)),
        last_probe_time: None,
    };
    match list.iter_mut().find(|c| c.type_ == UNUSED) {
        Some(c) if c.status == status => return None,
        Some(c) => *c = condition,
        None => list.push(condition),
    }
    Some(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn users() {
        let claim = |owner: &str| -> PersistentVolumeClaim {
            serde_json::from_value(json!({"metadata": {"name": "p-v", "namespace": "ns", "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": owner, "controller": true}]}}))
            .unwrap()
        };
        let pod = |meta: Value, volume: Value, node: Value, phase: &str| -> Pod {
            let mut m = json!({"name": "p", "namespace": "ns", "uid": "u"});
            m.as_object_mut().unwrap().extend(meta.as_object().unwrap().clone());
            serde_json::from_value(json!({"metadata": m, "status": {"phase": phase},
                "spec": {"containers": [], "volumes": [volume], "nodeName": node}}))
            .unwrap()
        };
        let named = json!({"name": "v", "persistentVolumeClaim": {"claimName": "p-v"}});
        let own = json!({"name": "v", "ephemeral": {}});
        let gone = json!({"deletionTimestamp": "2024-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0});
        let check = |p: Pod, owner: &str, want: (bool, bool)| {
            assert_eq!((holds(&p, &claim(owner)), refers(&p, &claim(owner))), want);
        };
        check(pod(json!({}), named.clone(), json!("n"), "Running"), "x", (true, true));
        check(pod(json!({}), named.clone(), json!("n"), "Succeeded"), "x", (true, false));
        check(pod(json!({}), named.clone(), Value::Null, "Pending"), "x", (false, true));
        check(pod(json!({}), own.clone(), json!("n"), "Running"), "u", (true, true));
        check(pod(json!({}), own.clone(), json!("n"), "Running"), "x", (false, false));
        check(pod(gone.clone(), own, json!("n"), "Running"), "u", (false, false));
        check(pod(gone, named, json!("n"), "Running"), "x", (true, false));
    }
}
