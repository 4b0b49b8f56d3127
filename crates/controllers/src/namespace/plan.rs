//! What remains of a namespace, as conditions.

use crate::k8s::Timestamp;
use crate::k8s::core::NamespaceCondition;
use crate::util::meta::whole;
use std::collections::BTreeMap;

/// How many seconds finalizers are thought to take.
pub const FINALIZER_ESTIMATE: i64 = 15;

/// What an attempt to empty a namespace found.
#[derive(Debug, Default)]
pub struct Report {
    pub discovery: Option<String>,
    pub errors: Vec<String>,
    /// Resource (`pods.`, `deployments.apps`) → objects.
    pub remaining: BTreeMap<String, usize>,
    /// Finalizer → objects.
    pub finalizers: BTreeMap<String, usize>,
}

/// Type, reason and message when all is well.
const GOOD: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

impl Report {
    fn trouble(&self, kind: &str) -> Option<(&'static str, String)> {
        let list = |m: &BTreeMap<String, usize>, word: &str| {
            m.iter().map(|(k, n)| format!("{k} {word} {n} resource instances")).collect::<Vec<_>>().join(", ")
        };
        match kind {
            "NamespaceDeletionDiscoveryFailure" => self.discovery.clone().map(|m| ("DiscoveryFailed", m)),
            "NamespaceDeletionContentFailure" if !self.errors.is_empty() => {
                let mut all = self.errors.clone();
                all.sort();
                let n = all.len();
                let text = format!("Failed to delete all resource types, {n} remaining: {}", all.join(", "));
                Some(("ContentDeletionFailed", text))
            }
            "NamespaceContentRemaining" if !self.remaining.is_empty() => {
                let text = format!("Some resources are remaining: {}", list(&self.remaining, "has"));
                Some(("SomeResourcesRemain", text))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                let text = format!(
                    "Some content in the namespace has finalizers remaining: {}",
                    list(&self.finalizers, "in")
                );
                Some(("SomeFinalizersRemain", text))
            }
            _ => None,
        }
    }

    /// The conditions after this attempt.
    pub fn conditions(&self, old: &[NamespaceCondition], now: Timestamp) -> Vec<NamespaceCondition> {
        let mut all = old.to_vec();
        for (kind, good_reason, good) in GOOD {
            let (status, reason, message) = match self.trouble(kind) {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", good_reason, good.to_owned()),
            };
            let new = NamespaceCondition {
                type_: kind.into(),
                status: status.into(),
                reason: Some(reason.into()),
                message: Some(message),
                last_transition_time: Some(whole(now)),
            };
            match all.iter_mut().find(|c| c.type_ == kind) {
                None => all.push(new),
                Some(c) => {
                    let since = if c.status == new.status {
                        c.last_transition_time.clone()
                    } else {
                        new.last_transition_time.clone()
                    };
                    *c = NamespaceCondition { last_transition_time: since, ..new };
                }
            }
        }
        all
    }
}
