//! Pods that wait for a place they have been promised.

use crate::pod::PodInfo;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub struct Nominator {
    by_node: HashMap<String, BTreeMap<Arc<str>, Arc<PodInfo>>>,
    nodes: HashMap<Arc<str>, String>,
}

impl Nominator {
    pub fn set(&mut self, pod: &Arc<PodInfo>, node: &str) {
        self.remove(&pod.uid);
        if node.is_empty() {
            return;
        }
        self.nodes.insert(pod.uid.clone(), node.to_owned());
        self.by_node.entry(node.to_owned()).or_default().insert(pod.uid.clone(), pod.clone());
    }
    pub fn remove(&mut self, uid: &str) {
        let Some(node) = self.nodes.remove(uid) else { return };
        if let Some(m) = self.by_node.get_mut(&node) {
            m.remove(uid);
            if m.is_empty() {
                self.by_node.remove(&node);
            }
        }
    }
    /// The pod as it is now, if it is promised a place.
    pub fn refresh(&mut self, pod: &Arc<PodInfo>) {
        if let Some(node) = self.nodes.get(&pod.uid).cloned() {
            self.set(pod, &node);
        }
    }
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.nodes.get(uid).map(String::as_str)
    }
    pub fn on(&self, node: &str) -> impl Iterator<Item = &Arc<PodInfo>> {
        self.by_node.get(node).into_iter().flat_map(BTreeMap::values)
    }
    /// The nodes on which places are promised.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.by_node.keys().map(String::as_str)
    }
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
