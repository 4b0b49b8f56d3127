//! What a node says of itself.

use crate::k8s::core::Node;

pub fn is_ready(n: &Node) -> bool {
    n.status
        .iter()
        .flat_map(|s| s.conditions.iter().flatten())
        .any(|c| c.type_ == "Ready" && c.status == "True")
}
