//! The static tables: types, fields and resources of v1.37.

/// A type of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u16);

/// The facts of one served resource of one group and version.
#[derive(Debug)]
pub struct Resource {
    pub group: &'static str,
    pub version: &'static str,
    /// Plural: `pods`.
    pub resource: &'static str,
    pub singular: &'static str,
    pub kind: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    /// Name of subresource, kind it takes, that kind's group and version, verbs.
    pub subresources: &'static [Subresource],
    /// Served without `--runtime-config`.
    pub default: bool,
    /// `apiVersion` of the stored form; empty when it is never stored.
    pub storage: &'static str,
    pub storage_version_hash: &'static str,
    /// etcd prefix under `/registry/`: `minions`, `apps`-less `deployments`; empty when it is never stored.
    pub key: &'static str,
    pub create_on_update: bool,
    pub unconditional_update: bool,
    pub generation: bool,
    pub delete_returns_object: bool,
    /// Default propagation policy where it is not Background: `Orphan`, `Unsupported`; else empty.
    pub gc: &'static str,
    /// Fields that an endpoint throws away: (subresource or "", field paths).
    pub reset: &'static [(&'static str, &'static [&'static str])],
    pub columns: &'static [Column],
    /// Field labels accepted besides none; `a>b` = renamed.
    pub field_labels: &'static [&'static str],
    pub type_id: Option<TypeId>,
    pub list_type_id: Option<TypeId>,
}

#[derive(Debug)]
pub struct Subresource {
    pub name: &'static str,
    pub kind: &'static str,
    pub group: &'static str,
    pub version: &'static str,
    pub verbs: &'static [&'static str],
}

#[derive(Debug)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `date`, …
    pub ty: &'static str,
    /// `name` for the name column; else empty.
    pub format: &'static str,
    pub priority: i32,
}

/// All resources, served by default or not, in the order of the facts file.
pub fn resources() -> &'static [Resource] {
    todo!()
}
/// Looks a resource up by group, version and plural name.
pub fn resource(_group: &str, _version: &str, _resource: &str) -> Option<&'static Resource> {
    todo!()
}
/// The type of a group, version and kind (also of kinds that are no resource: `DeleteOptions`, `Scale`, `Status`, lists).
pub fn type_of(_group: &str, _version: &str, _kind: &str) -> Option<TypeId> {
    todo!()
}
/// A type by its name in the facts: `core.v1.PodSpec`.
pub fn type_named(_name: &str) -> Option<TypeId> {
    todo!()
}
impl TypeId {
    /// `core.v1.PodSpec`
    pub fn name(self) -> &'static str {
        todo!()
    }
}
/// Whether a feature gate is on in v1.37 by default; unknown gates are off.
pub fn gate(_name: &str) -> bool {
    todo!()
}
/// Calls `f` on `v` and on every value below it that has a type of the table, parent before child.
pub fn walk(_ty: TypeId, _v: &mut meta::Value, _f: &mut dyn FnMut(TypeId, &mut meta::Value)) {
    todo!()
}
