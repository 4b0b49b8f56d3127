//! Whether a record is selected, from its header and its selectable fields.

use crate::object::{ext, fields};
use crate::options::ListOptions;
use crate::registry::ResourceInfo;
use meta::selector::{FieldSelector, Selector};
use mvcc::Record;

/// Label and field selectors of a request.
#[derive(Clone, Debug)]
pub struct Filter {
    pub labels: Selector,
    pub fields: FieldSelector,
    /// Whether a term needs more than the metadata.
    deep: bool,
}

impl Filter {
    pub fn new(o: &ListOptions) -> Self {
        let deep =
            o.fields.0.iter().any(|t| !matches!(t.field.as_str(), "metadata.name" | "metadata.namespace"));
        Self { labels: o.labels.clone(), fields: o.fields.clone(), deep }
    }
    pub fn everything(&self) -> bool {
        self.labels.everything() && self.fields.everything()
    }
    pub async fn matches(&self, info: &ResourceInfo, r: &Record) -> bool {
        let h = &ext(r).header;
        if !self.labels.everything() && !self.labels.matches(|k| h.label(k)) {
            return false;
        }
        if self.fields.everything() {
            return true;
        }
        let have = if self.deep { Some(fields(info, r).await) } else { None };
        self.fields.0.iter().all(|t| {
            let value = match t.field.as_str() {
                "metadata.name" => h.name.as_str(),
                "metadata.namespace" => h.namespace.as_str(),
                f => {
                    let label = info.field_labels.iter().position(|(_, l)| l == f);
                    have.as_ref().zip(label).map_or("", |(have, l)| have.get(l))
                }
            };
            (value == t.value) != t.negate
        })
    }
}

/// The key prefix that holds everything that can be selected: one namespace, one object, or the resource.
pub fn scope(info: &ResourceInfo, namespace: &str, o: &ListOptions) -> Scope {
    let narrowed;
    let mut ns = namespace;
    if ns.is_empty()
        && info.namespaced
        && let Some(only) = o.fields.exact("metadata.namespace")
        && meta::names::is_dns1123_label(only).is_empty()
    {
        narrowed = only.to_owned();
        ns = &narrowed;
    }
    match o.fields.exact("metadata.name") {
        Some(name) if !info.namespaced || !ns.is_empty() => Scope::One(info.key(ns, name)),
        _ => Scope::Under(info.scope_prefix(ns)),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    One(String),
    Under(String),
}
