//! The static tables: types, fields and resources of v1.37.

use meta::Value;

/// A type of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(pub u16);

/// What one value is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    String,
    /// Base64 in JSON.
    Bytes,
    Bool,
    Int32,
    Int64,
    Double,
    /// RFC 3339 in whole seconds.
    Time,
    /// RFC 3339 in microseconds.
    MicroTime,
    /// Go's `1h2m3s`; nanoseconds in protobuf.
    Duration,
    Quantity,
    IntOrString,
    /// Any JSON, stored as text: RawExtension, FieldsV1, apiextensions `JSON`.
    Raw,
    /// `JSONSchemaPropsOrBool` and its two relatives; the type is `JSONSchemaProps`.
    SchemaOrBool(TypeId),
    SchemaOrArray(TypeId),
    SchemaOrStrings(TypeId),
    /// A list of strings that protobuf wraps in a message (`ExtraValue`, `Verbs`).
    Strings,
    Struct(TypeId),
}

/// How many of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Card {
    One,
    List,
    /// Keys are strings.
    Map,
}

/// What upstream's JSON shows for a field that is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Silent,
    Null,
    /// Its zero value: `""`, `0`, `{}`.
    Zero,
}

/// A field of a type.
#[derive(Debug)]
pub struct Field {
    /// Its JSON name.
    pub name: &'static str,
    /// The same, quoted and with its colon.
    pub(crate) key: &'static str,
    /// What upstream's JSON shows when it is not set.
    pub absent: Absent,
    pub wire: Wire,
    pub card: Card,
    /// A Go pointer: absent is not zero.
    pub pointer: bool,
    pub omit_empty: bool,
    pub omit_zero: bool,
    /// Required by OpenAPI.
    pub required: bool,
    /// Protobuf numbers, outer first: more than one where JSON inlines an embedded message; none: not in protobuf.
    pub path: &'static [u8],
    /// `apiVersion` and `kind` that upstream's server gives the items of this list, whatever the client sent: they are
    /// not in protobuf, but always in a decoded value and in JSON.
    pub template: Option<(&'static str, &'static str)>,
    pub meta: &'static FieldMeta,
}

/// The facts of a field that codecs do not need.
#[derive(Debug)]
pub struct FieldMeta {
    /// `x-kubernetes-list-type`: `atomic`, `set`, `map` or empty.
    pub list_type: &'static str,
    pub list_keys: &'static [&'static str],
    /// `x-kubernetes-map-type`: `atomic`, `granular` or empty.
    pub map_type: &'static str,
    /// `merge`, `retainKeys`, `merge,retainKeys`, `replace` or empty.
    pub patch_strategy: &'static str,
    pub patch_key: &'static str,
    /// For [`enum_values`]; empty when it is not an enumeration.
    pub enumeration: &'static str,
    /// OpenAPI v3 default as JSON text; empty when there is none.
    pub default: &'static str,
    /// Declarative validation markers, `+k8s:` cut off.
    pub markers: &'static [&'static str],
    /// Feature gates of the field, comma-separated; mostly empty.
    pub gates: &'static str,
    /// The type as the facts write it: `[]core.v1.Container`, `map:string`.
    pub go_type: &'static str,
    /// Go names of the embedded structs the field is inlined from.
    pub via: &'static [&'static str],
}

/// A type's own facts.
#[derive(Debug)]
pub struct Type {
    pub name: &'static str,
    start: u16,
    len: u16,
    /// Its fields by the hashes of their names: index + 1, or 0 for none; a field whose place is taken is in the next.
    by_name: &'static [u8],
    pub(crate) proto: u16,
    /// The fields (bits) that are [`Absent::Zero`], and those that are not [`Absent::Silent`].
    pub(crate) zeros: u64,
    pub(crate) shown: u64,
    /// Set where JSON is written by hand (`Quantity`, `Time`, …): such a type has no fields.
    pub special: Option<Wire>,
    /// `apps/v1/Deployment`, `v1/Pod`.
    pub gvks: &'static [&'static str],
    /// The type this one is another name of.
    pub alias: &'static str,
    /// `atomic` where server-side apply owns the struct as a whole.
    pub map_type: &'static str,
    /// Whether upstream's OpenAPI has it.
    pub openapi: bool,
    pub openapi_type: &'static str,
    pub openapi_format: &'static str,
    pub markers: &'static [&'static str],
    /// Discriminator (may be empty) and members of its unions.
    pub unions: &'static [(&'static str, &'static [&'static str])],
}

/// A message of a type's protobuf form. A slot of number n: 0 none, 0x8000|m the inlined message m, else field index + 1.
#[derive(Debug)]
pub(crate) struct ProtoNode {
    pub slots: &'static [u16],
    /// An embedded pointer: left out when nothing in it is set.
    pub pointer: bool,
}

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
    /// `metadata.generation` is set to 1 on create.
    pub generation: bool,
    /// An update of the main endpoint bumps it.
    pub generation_bumped: bool,
    pub delete_returns_object: bool,
    /// Default propagation policy where upstream's strategy names one: `Background`, `Orphan`, `Unsupported`; else
    /// empty.
    pub gc: &'static str,
    /// Fields that an endpoint throws away: (subresource or "", field paths).
    pub reset: &'static [(&'static str, &'static [&'static str])],
    /// Empty: the default converter (Name, Created At).
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
    pub type_id: Option<TypeId>,
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

/// A feature gate.
#[derive(Debug)]
pub struct Gate {
    pub name: &'static str,
    /// Its default in this version.
    pub on: bool,
    /// `Alpha`, `Beta`, `GA`, `Deprecated`.
    pub stage: &'static str,
    pub locked: bool,
}

/// A type, its defaulting functions, its fields with literal defaults.
type Defaults = (TypeId, &'static [&'static str], &'static [(&'static str, &'static str)]);

mod hash;
use hash::hash;

mod tables {
    use super::*;
    include!(concat!(env!("OUT_DIR"), "/tables.rs"));
}

/// The release the facts are of: `v1.37.2`.
pub const VERSION: &str = tables::VERSION;

/// All resources, served by default or not, in the order of the facts file.
pub fn resources() -> &'static [Resource] {
    tables::RESOURCES
}
/// Looks a resource up by group, version and plural name.
pub fn resource(group: &str, version: &str, resource: &str) -> Option<&'static Resource> {
    tables::RESOURCES.iter().find(|r| r.resource == resource && r.group == group && r.version == version)
}
/// Kinds of `meta/v1` that every group and version has.
const EVERYWHERE: [&str; 7] = [
    "CreateOptions",
    "DeleteOptions",
    "GetOptions",
    "ListOptions",
    "PatchOptions",
    "UpdateOptions",
    "WatchEvent",
];
/// The type of a group, version and kind (also of kinds that are no resource: `DeleteOptions`, `Scale`, `Status`, lists).
pub fn type_of(group: &str, version: &str, kind: &str) -> Option<TypeId> {
    let parts: [&str; 5] =
        if group.is_empty() { [version, "/", kind, "", ""] } else { [group, "/", version, "/", kind] };
    let wanted = || parts.iter().flat_map(|p| p.bytes());
    if let Ok(i) = tables::KINDS.binary_search_by(|(k, _)| k.bytes().cmp(wanted())) {
        return Some(tables::KINDS[i].1);
    }
    EVERYWHERE.contains(&kind).then(|| type_named(&format!("meta.v1.{kind}")))?
}
/// A type by its name in the facts: `core.v1.PodSpec`.
pub fn type_named(name: &str) -> Option<TypeId> {
    let i = tables::TYPES.binary_search_by(|t| t.name.cmp(name)).ok()?;
    Some(TypeId(u16::try_from(i).ok()?))
}
/// All types, in the order of their names.
pub fn types() -> impl Iterator<Item = TypeId> {
    (0..tables::TYPES.len()).map(|i| TypeId(i as u16))
}
/// The fields of a type in the order of its Go struct, which is the order of upstream's JSON.
pub fn fields(ty: TypeId) -> &'static [Field] {
    let t = ty.facts();
    &tables::FIELDS[usize::from(t.start)..usize::from(t.start) + usize::from(t.len)]
}
/// The values of an enumeration, sorted; none when there is no such one.
pub fn enum_values(name: &str) -> &'static [&'static str] {
    match tables::ENUMS.binary_search_by(|(k, _)| (*k).cmp(name)) {
        Ok(i) => tables::ENUMS[i].1,
        Err(_) => &[],
    }
}
/// How values of a type are defaulted: names of upstream's functions (`SetDefaults_` cut off), and fields that get a
/// literal (JSON text) when they are unset. Upstream's `SetDefaults_ResourceList` is not among them: it belongs to every
/// map of quantities in a type of `core.v1` (see [`Field::is_resource_list`]).
pub fn defaults_for(ty: TypeId) -> (&'static [&'static str], &'static [(&'static str, &'static str)]) {
    match tables::DEFAULTS.binary_search_by_key(&ty, |d| d.0) {
        Ok(i) => (tables::DEFAULTS[i].1, tables::DEFAULTS[i].2),
        Err(_) => (&[], &[]),
    }
}
/// The kinds that upstream defaults at all; below one of them [`defaults_for`] applies to every value.
pub fn defaulted_kinds() -> &'static [TypeId] {
    tables::DEFAULTED_KINDS
}
/// Whether a feature gate is on in v1.37 by default; unknown gates are off.
pub fn gate(name: &str) -> bool {
    gates().binary_search_by(|g| g.name.cmp(name)).is_ok_and(|i| gates()[i].on)
}
/// All feature gates, in the order of their names.
pub fn gates() -> &'static [Gate] {
    tables::GATES
}

impl TypeId {
    /// `core.v1.PodSpec`
    pub fn name(self) -> &'static str {
        self.facts().name
    }
    /// The type's own facts.
    pub fn facts(self) -> &'static Type {
        &tables::TYPES[usize::from(self.0)]
    }
    /// The index of a field in [`fields`].
    pub fn field_index(self, name: &str) -> Option<usize> {
        let fs = fields(self);
        let by = self.facts().by_name;
        let mut at = hash(name) & (by.len() - 1);
        loop {
            let i = usize::from(by[at]).checked_sub(1)?;
            if fs[i].name == name {
                return Some(i);
            }
            at = (at + 1) & (by.len() - 1);
        }
    }
    pub fn field(self, name: &str) -> Option<&'static Field> {
        self.field_index(name).map(|i| &fields(self)[i])
    }
    /// `Pod`, `PodSpec`: the name without its package.
    pub fn short_name(self) -> &'static str {
        let n = self.name();
        n.rsplit_once('.').map_or(n, |(_, t)| t)
    }
}

pub(crate) fn proto_node(i: u16) -> &'static ProtoNode {
    &tables::PROTOS[usize::from(i)]
}

impl Field {
    /// A `ResourceList`, given the type that has this field.
    pub fn is_resource_list(&self, owner: TypeId) -> bool {
        self.card == Card::Map && self.wire == Wire::Quantity && owner.name().starts_with("core.v1.")
    }
}

impl Wire {
    /// The struct whose fields a value of this type has.
    pub fn struct_type(self) -> Option<TypeId> {
        match self {
            Self::Struct(t) | Self::SchemaOrBool(t) | Self::SchemaOrArray(t) | Self::SchemaOrStrings(t) => {
                Some(t)
            }
            _ => None,
        }
    }
}

/// Calls the visitor on the value and on every struct below it, parent before child, in Go field order.
pub fn walk(ty: TypeId, v: &mut Value, visit: &mut dyn FnMut(TypeId, &mut Value)) {
    if !v.is_object() {
        return;
    }
    visit(ty, v);
    let Value::Object(m) = v else { return };
    let fs = fields(ty);
    // A value has few of the fields that its type has.
    let mut below = 0u64;
    for (k, _) in m.iter().filter(|(_, v)| v.is_object() || v.is_array()) {
        if let Some(i) = ty.field_index(k).filter(|i| fs[*i].wire.struct_type().is_some()) {
            below |= 1 << i;
        }
    }
    while below != 0 {
        let f = &fs[below.trailing_zeros() as usize];
        below &= below - 1;
        let (Some(t), Some(child)) = (f.wire.struct_type(), m.get_mut(f.name)) else { continue };
        match (f.card, child) {
            (Card::List, Value::Array(a)) => a.iter_mut().for_each(|x| walk_one(t, x, visit)),
            (Card::Map, Value::Object(m)) => m.values_mut().for_each(|x| walk_one(t, x, visit)),
            (Card::One, x) => walk_one(t, x, visit),
            _ => {}
        }
    }
}

/// The members of an object that its type has fields for, by the index of the field.
pub(crate) type Members<'v> = [Option<&'v Value>; 64];

pub(crate) fn members(m: Option<&meta::Map<String, Value>>, ty: TypeId) -> Members<'_> {
    let mut all = [None; 64];
    for (k, v) in m.into_iter().flatten() {
        if let Some(i) = ty.field_index(k) {
            all[i] = Some(v);
        }
    }
    all
}
fn walk_one(t: TypeId, v: &mut Value, visit: &mut dyn FnMut(TypeId, &mut Value)) {
    match v {
        // JSONSchemaPropsOrArray
        Value::Array(a) => a.iter_mut().for_each(|x| walk(t, x, visit)),
        x => walk(t, x, visit),
    }
}

#[cfg(test)]
mod tests;
