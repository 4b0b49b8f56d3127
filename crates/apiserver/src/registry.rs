//! The resources that are served: rows of the facts table, and custom resources that arrive at run time.

use crate::custom::CustomResource;
use meta::{GroupKind, GroupResource, GroupVersionKind, GroupVersionResource};
use schema::{Resource, TypeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How an object of a resource is encoded, at rest and on the wire.
#[derive(Clone)]
pub enum Codec {
    /// A built-in type. At rest it is the storage version: protobuf, or JSON for the few kinds upstream stores so.
    Builtin(Builtin),
    /// A custom resource: JSON on both sides.
    Custom(Arc<dyn CustomResource>),
}

#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// The type of the served version.
    pub ty: TypeId,
    /// The type of the stored version; the same unless two versions share one stored form.
    pub stored: TypeId,
    pub row: &'static Resource,
    /// Stored as JSON (definitions of custom resources, APIServices).
    pub json: bool,
}

/// Default propagation policy of deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gc {
    Background,
    Orphan,
    /// No finalizers for the garbage collector (events).
    Unsupported,
}

#[derive(Clone, Debug)]
pub struct Sub {
    pub name: String,
    pub kind: String,
    pub group: String,
    pub version: String,
    pub verbs: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub ty: String,
    pub format: String,
    pub description: String,
    pub priority: i32,
}

/// One served resource of one version: all that the generic path needs to know.
#[derive(Clone)]
pub struct ResourceInfo {
    pub gvr: GroupVersionResource,
    pub gvk: GroupVersionKind,
    /// `apiVersion` of the served version.
    pub api_version: String,
    pub list_kind: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<Sub>,
    /// `/registry/pods/`; empty for what is never stored.
    pub prefix: String,
    pub storage_version_hash: String,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub generation: bool,
    pub delete_returns_object: bool,
    pub gc: Gc,
    /// Fields that an endpoint throws away, by subresource.
    pub reset: Vec<(String, Vec<String>)>,
    pub columns: Vec<Column>,
    /// Field labels and what they mean; empty: only the metadata's.
    pub field_labels: Vec<(String, String)>,
    pub codec: Codec,
    /// A number of this version in this process, for caches.
    pub id: u32,
}

impl std::fmt::Debug for ResourceInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceInfo").field("gvr", &self.gvr).finish_non_exhaustive()
    }
}

fn strings(s: &[&str]) -> Vec<String> {
    s.iter().map(|x| (*x).to_owned()).collect()
}

/// The reset fields of a row. Two kinds' entries in the facts stand under the main endpoint though they are their status
/// endpoint's.
fn reset_of(r: &Resource) -> Vec<(String, Vec<String>)> {
    let all: Vec<(String, Vec<String>)> =
        r.reset.iter().map(|(s, f)| ((*s).to_owned(), strings(f))).collect();
    match all.as_slice() {
        [(sub, fields)] if sub.is_empty() && fields.iter().any(|f| f == "metadata") => {
            vec![(String::new(), vec!["status".to_owned()]), ("status".to_owned(), fields.clone())]
        }
        _ => all,
    }
}

impl ResourceInfo {
    /// From a row of the facts. `id` must be unique.
    fn builtin(r: &'static Resource, id: u32) -> Option<Self> {
        let gv = meta::GroupVersion::new(r.group, r.version);
        let ty = r.type_id.or_else(|| schema::facts::type_of(r.group, r.version, r.kind))?;
        let stored = match meta::GroupVersion::parse(r.storage) {
            // v1beta1 of definitions has no types in the table: stored as JSON, converted as a tree.
            Some(s) if !r.storage.is_empty() && s != gv => {
                schema::facts::type_of(&s.group, &s.version, r.kind).unwrap_or(ty)
            }
            _ => ty,
        };
        let json = matches!(r.group, "apiextensions.k8s.io" | "apiregistration.k8s.io");
        Some(Self {
            gvr: GroupVersionResource::new(r.group, r.version, r.resource),
            gvk: GroupVersionKind::new(r.group, r.version, r.kind),
            api_version: gv.to_string(),
            list_kind: format!("{}List", r.kind),
            singular: r.singular.to_owned(),
            short_names: strings(r.short_names),
            categories: strings(r.categories),
            namespaced: r.namespaced,
            verbs: strings(r.verbs),
            subresources: r
                .subresources
                .iter()
                .map(|s| Sub {
                    name: s.name.to_owned(),
                    kind: s.kind.to_owned(),
                    group: if s.version.is_empty() { r.group.to_owned() } else { s.group.to_owned() },
                    version: if s.version.is_empty() { r.version.to_owned() } else { s.version.to_owned() },
                    verbs: strings(s.verbs),
                })
                .collect(),
            prefix: if r.key.is_empty() { String::new() } else { format!("/registry/{}/", r.key) },
            storage_version_hash: r.storage_version_hash.to_owned(),
            create_on_update: r.create_on_update,
            unconditional_update: r.unconditional_update,
            generation: r.generation,
            // The facts miss it for Services, whose registry sets it too.
            delete_returns_object: r.delete_returns_object || r.resource == "services",
            gc: match r.gc {
                "Orphan" => Gc::Orphan,
                "Unsupported" => Gc::Unsupported,
                _ => Gc::Background,
            },
            reset: reset_of(r),
            columns: r
                .columns
                .iter()
                .map(|c| Column {
                    name: c.name.to_owned(),
                    ty: c.ty.to_owned(),
                    format: c.format.to_owned(),
                    description: String::new(),
                    priority: c.priority,
                })
                .collect(),
            field_labels: r
                .field_labels
                .iter()
                .map(|l| {
                    let (a, b) = l.split_once('>').unwrap_or((l, l));
                    (a.to_owned(), b.to_owned())
                })
                .collect(),
            codec: Codec::Builtin(Builtin { ty, stored, row: r, json }),
            id,
        })
    }

    pub fn group_resource(&self) -> GroupResource {
        self.gvr.group_resource()
    }
    pub fn group_kind(&self) -> GroupKind {
        self.gvk.group_kind()
    }
    pub fn has_verb(&self, v: &str) -> bool {
        self.verbs.iter().any(|x| x == v)
    }
    pub fn sub(&self, name: &str) -> Option<&Sub> {
        self.subresources.iter().find(|s| s.name == name)
    }
    pub fn has_status(&self) -> bool {
        self.sub("status").is_some()
    }
    /// Field paths that this endpoint throws away.
    pub fn reset_fields(&self, sub: &str) -> &[String] {
        self.reset.iter().find(|(s, _)| s == sub).map_or(&[], |(_, f)| f)
    }
    pub fn stored(&self) -> bool {
        !self.prefix.is_empty()
    }
    /// The key of one object.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}{namespace}/{name}", self.prefix)
        } else {
            format!("{}{name}", self.prefix)
        }
    }
    /// The prefix of all keys of a namespace; of all when it is empty.
    pub fn scope_prefix(&self, namespace: &str) -> String {
        if self.namespaced && !namespace.is_empty() {
            format!("{}{namespace}/", self.prefix)
        } else {
            self.prefix.clone()
        }
    }
    /// The type of a built-in kind.
    pub fn builtin_type(&self) -> Option<TypeId> {
        match &self.codec {
            Codec::Builtin(b) => Some(b.ty),
            Codec::Custom(_) => None,
        }
    }
    pub fn is_custom(&self) -> bool {
        matches!(self.codec, Codec::Custom(_))
    }
    pub fn is(&self, group: &str, resource: &str) -> bool {
        self.gvr.group == group && self.gvr.resource == resource
    }
    /// What a field label means for this resource; the error is upstream's sentence.
    pub fn field_label(&self, label: &str) -> Result<String, String> {
        if let Some((_, to)) = self.field_labels.iter().find(|(l, _)| l == label) {
            return Ok(to.clone());
        }
        if label == "metadata.name" || label == "metadata.namespace" && (self.namespaced || !self.is_custom())
        {
            return Ok(label.to_owned());
        }
        if self.field_labels.is_empty() && !self.is_custom() {
            Err(format!(
                "{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
            ))
        } else {
            Err(format!("field label not supported: {label}"))
        }
    }
}

type Versions = BTreeMap<String, BTreeMap<String, Arc<ResourceInfo>>>;

/// All resources that are served now. Immutable: a change makes another one.
#[derive(Clone, Default)]
pub struct Registry {
    groups: BTreeMap<String, Versions>,
    next_id: u32,
}

impl Registry {
    /// The built-in resources; `enable` answers for those off by default (`--runtime-config`).
    pub fn builtin(enable: impl Fn(&Resource) -> bool) -> Self {
        let mut reg = Self::default();
        for r in schema::resources() {
            if r.default || enable(r) {
                let id = reg.next_id;
                reg.next_id += 1;
                if let Some(info) = ResourceInfo::builtin(r, id) {
                    reg.put(Arc::new(info));
                }
            }
        }
        reg
    }

    fn put(&mut self, info: Arc<ResourceInfo>) {
        self.groups
            .entry(info.gvr.group.clone())
            .or_default()
            .entry(info.gvr.version.clone())
            .or_default()
            .insert(info.gvr.resource.clone(), info);
    }

    /// Adds or replaces resources (all versions of a custom one).
    #[must_use]
    pub fn with(&self, infos: Vec<ResourceInfo>) -> Self {
        let mut next = self.clone();
        for mut i in infos {
            i.id = next.next_id;
            next.next_id += 1;
            next.put(Arc::new(i));
        }
        next
    }

    /// Takes all versions of a resource away.
    #[must_use]
    pub fn without(&self, group: &str, resource: &str) -> Self {
        let mut next = self.clone();
        if let Some(versions) = next.groups.get_mut(group) {
            for v in versions.values_mut() {
                v.remove(resource);
            }
            versions.retain(|_, r| !r.is_empty());
            if versions.is_empty() {
                next.groups.remove(group);
            }
        }
        next
    }

    pub fn get(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<ResourceInfo>> {
        self.groups.get(group)?.get(version)?.get(resource)
    }
    pub fn has_group_version(&self, group: &str, version: &str) -> bool {
        self.groups.get(group).is_some_and(|g| g.contains_key(version))
    }
    /// A resource in whatever version is served, the stored one first.
    pub fn any_version(&self, group: &str, resource: &str) -> Option<&Arc<ResourceInfo>> {
        let all = self.groups.get(group)?.values().filter_map(|v| v.get(resource));
        let mut first = None;
        for i in all {
            if let Codec::Builtin(b) = &i.codec
                && b.row.storage == i.api_version
            {
                return Some(i);
            }
            first.get_or_insert(i);
        }
        first
    }
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<ResourceInfo>> {
        self.groups.get(group)?.get(version)?.values().find(|i| i.gvk.kind == kind)
    }
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ResourceInfo>> {
        self.groups.values().flat_map(BTreeMap::values).flat_map(BTreeMap::values)
    }
    /// Groups, their versions, their resources.
    pub fn groups(&self) -> &BTreeMap<String, Versions> {
        &self.groups
    }
}
