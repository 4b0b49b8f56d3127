//! A definition of custom resources, read once when it arrives, and the resources that it makes the server serve.

use super::served::Served;
use super::webhook::{Hook, Target};
use crate::discovery::compare_versions;
use crate::registry::{Codec, Column, Gc, ResourceInfo, Sub};
use crate::server::ApiServer;
use base64::Engine;
use meta::object::ObjectExt;
use meta::{GroupVersion, GroupVersionKind, GroupVersionResource, Value};
use sha2::{Digest, Sha256};
use std::cmp::Ordering;
use std::sync::{Arc, Weak};
use structural::{JsonPath, Schema};

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];
/// What can be done while the definition itself is going away, as discovery tells it.
const LAST_VERBS: [&str; 5] = ["delete", "deletecollection", "get", "list", "watch"];

/// One definition.
pub struct Definition {
    /// `crontabs.stable.example.com`
    pub name: String,
    pub group: String,
    pub plural: String,
    pub kind: String,
    pub list_kind: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Old definitions keep what their schemas do not know.
    pub preserve: bool,
    pub terminating: bool,
    /// What is stored has gone through the stored version's schema and its defaults: the specification never changed, and
    /// no other version brings objects in without them.
    pub pristine: bool,
    /// Of the specification and the accepted names.
    pub identity: String,
    pub versions: Vec<Version>,
    /// Index of the version that is stored.
    pub storage: usize,
    /// The webhook that converts between versions; without it only `apiVersion` changes.
    pub webhook: Option<Arc<Hook>>,
    pub server: Weak<ApiServer>,
}

pub struct Version {
    pub name: String,
    pub api_version: String,
    pub served: bool,
    pub schema: Schema,
    /// The validation rules of the schema, if there are any.
    pub rules: Option<cel::crd::Rules>,
    /// The same as the schema of a whole object, with metadata: what patches and managed fields go by.
    pub rooted: Schema,
    /// The schema as the definition has it.
    pub raw: Value,
    pub status: bool,
    pub scale: Option<Scale>,
    pub columns: Vec<(Column, JsonPath)>,
    pub selectable: Vec<(String, JsonPath)>,
    /// What users of a deprecated version are told.
    pub warning: Option<String>,
}

/// Dotted paths without the dot in front.
pub struct Scale {
    pub spec: String,
    pub status: String,
    pub selector: String,
}

fn strings(v: &Value, at: &str) -> Vec<String> {
    v.array_at(at).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Definition {
    /// Reads a definition in its v1 form, with the names that were accepted. The error says what cannot be understood.
    pub fn parse(crd: &Value, server: Weak<ApiServer>) -> Result<Self, String> {
        let group = crd.str_at("spec.group").to_owned();
        let names = crd.at("status.acceptedNames").cloned().unwrap_or_default();
        let kind = names.str_at("kind").to_owned();
        let list = crd.array_at("spec.versions");
        let storage = list.iter().position(|v| v.bool_at("storage")).ok_or("no version is stored")?;
        let mut versions = Vec::with_capacity(list.len());
        for v in list {
            versions.push(Version::parse(v, &group, &kind, list)?);
        }
        let webhook = match crd.str_at("spec.conversion.strategy") {
            "Webhook" => {
                let c = crd.at("spec.conversion.webhook.clientConfig").cloned().unwrap_or_default();
                let mut t = Target::parse(&c)?;
                t.review_versions = strings(crd, "spec.conversion.webhook.conversionReviewVersions");
                Some(Arc::new(Hook::new(t)))
            }
            _ => None,
        };
        Ok(Self {
            name: crd.name().to_owned(),
            plural: names.str_at("plural").to_owned(),
            list_kind: names.str_at("listKind").to_owned(),
            singular: names.str_at("singular").to_owned(),
            short_names: strings(&names, "shortNames"),
            categories: strings(&names, "categories"),
            namespaced: crd.str_at("spec.scope") == "Namespaced",
            preserve: crd.bool_at("spec.preserveUnknownFields"),
            terminating: super::status::is_true(crd, "Terminating"),
            identity: format!(
                "{} {} {}",
                crd.uid(),
                crd.generation(),
                crd.at("status.acceptedNames").unwrap_or(&Value::Null)
            ),
            pristine: crd.generation() == 1
                && (versions.len() == 1 || !versions[storage].schema.has_defaults()),
            versions,
            storage,
            webhook,
            server,
            group,
            kind,
        })
    }

    pub fn stored(&self) -> &Version {
        &self.versions[self.storage]
    }
    pub fn version(&self, api_version: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.api_version == api_version)
    }
    /// `/registry/stable.example.com/crontabs/`
    pub fn prefix(&self) -> String {
        format!("/registry/{}/{}/", self.group, self.plural)
    }

    /// What the server serves by this definition. `all`: versions that are not served too (to clean up).
    pub fn resources(self: &Arc<Self>, all: bool) -> Vec<ResourceInfo> {
        let of = self.versions.iter().enumerate();
        of.filter(|(_, v)| all || v.served).map(|(i, v)| self.resource(i, v)).collect()
    }

    fn resource(self: &Arc<Self>, index: usize, v: &Version) -> ResourceInfo {
        let own = |s: &[&str]| -> Vec<String> { s.iter().map(|x| (*x).to_owned()).collect() };
        let mut subresources = Vec::new();
        let mut sub = |name: &str, kind: &str, group: &str, version: &str| {
            subresources.push(Sub {
                name: name.to_owned(),
                kind: kind.to_owned(),
                group: group.to_owned(),
                version: version.to_owned(),
                verbs: own(&["get", "patch", "update"]),
            });
        };
        if v.status {
            sub("status", &self.kind, &self.group, &v.name);
        }
        if v.scale.is_some() {
            sub("scale", "Scale", "autoscaling", "v1");
        }
        let hash = Sha256::digest(format!("{}/{}/{}", self.group, self.stored().name, self.kind));
        ResourceInfo {
            gvr: GroupVersionResource::new(&self.group, &v.name, &self.plural),
            gvk: GroupVersionKind::new(&self.group, &v.name, &self.kind),
            api_version: v.api_version.clone(),
            list_kind: self.list_kind.clone(),
            singular: self.singular.clone(),
            short_names: self.short_names.clone(),
            categories: self.categories.clone(),
            namespaced: self.namespaced,
            verbs: if self.terminating { own(&LAST_VERBS) } else { own(&VERBS) },
            subresources,
            prefix: self.prefix(),
            storage_version_hash: base64::engine::general_purpose::STANDARD.encode(&hash[..8]),
            create_on_update: false,
            unconditional_update: false,
            generation: true,
            delete_returns_object: false,
            gc: Gc::Background,
            reset: Vec::new(),
            columns: v.columns.iter().map(|(c, _)| c.clone()).collect(),
            field_labels: v.selectable.iter().map(|(l, _)| (l.clone(), l.clone())).collect(),
            codec: Codec::Custom(Arc::new(Served::new(self.clone(), index))),
            id: 0,
        }
    }
}

impl Version {
    fn parse(v: &Value, group: &str, kind: &str, all: &[Value]) -> Result<Self, String> {
        let name = v.str_at("name").to_owned();
        let raw = v.at("schema.openAPIV3Schema").cloned().unwrap_or_default();
        let schema = if raw.is_object() { Schema::parse(&raw)? } else { open_schema() };
        let path = |p: &str| p.trim_start_matches('.').to_owned();
        let scale = v.at("subresources.scale").map(|s| Scale {
            spec: path(s.str_at("specReplicasPath")),
            status: path(s.str_at("statusReplicasPath")),
            selector: path(s.str_at("labelSelectorPath")),
        });
        let mut selectable = Vec::new();
        for f in v.array_at("selectableFields") {
            let p = f.str_at("jsonPath");
            selectable.push((path(p), JsonPath::parse(p)?));
        }
        Ok(Self {
            api_version: GroupVersion::new(group, &name).to_string(),
            served: v.bool_at("served"),
            status: v.at("subresources.status").is_some(),
            columns: columns(v.array_at("additionalPrinterColumns")),
            warning: v.bool_at("deprecated").then(|| deprecation(v, group, kind, all)),
            rules: cel::crd::Rules::compile(&schema),
            rooted: Schema { embedded: true, ..schema.clone() },
            name,
            schema,
            raw,
            scale,
            selectable,
        })
    }
}

/// Without a schema nothing is known and everything kept (definitions from before schemas were required).
fn open_schema() -> Schema {
    Schema { ty: "object".into(), preserve: true, ..Schema::default() }
}

fn columns(of: &[Value]) -> Vec<(Column, JsonPath)> {
    let column = |name: &str, ty: &str, format: &str, description: &str, priority: i64| Column {
        name: name.to_owned(),
        ty: ty.to_owned(),
        format: format.to_owned(),
        description: description.to_owned(),
        priority: i32::try_from(priority).unwrap_or(0),
    };
    let mut out = Vec::with_capacity(of.len() + 1);
    let mut add = |c: Column, path: &str| match JsonPath::parse(path) {
        Ok(p) => {
            out.push((c, p));
            true
        }
        Err(_) => false,
    };
    add(column("Name", "string", "name", "Name of the object", 0), ".metadata.name");
    if of.is_empty() {
        add(column("Age", "date", "", "Time since creation", 0), ".metadata.creationTimestamp");
    }
    for c in of {
        let path = c.str_at("jsonPath");
        let about = match c.str_at("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            d => d.to_owned(),
        };
        let priority = c.i64_at("priority").unwrap_or(0);
        // As upstream: columns from one that cannot be parsed on are not shown.
        if !add(column(c.str_at("name"), c.str_at("type"), c.str_at("format"), &about, priority), path) {
            break;
        }
    }
    out
}

fn deprecation(v: &Value, group: &str, kind: &str, all: &[Value]) -> String {
    if let Some(w) = v.at("deprecationWarning").and_then(Value::as_str) {
        return w.to_owned();
    }
    let name = v.str_at("name");
    let text = format!("{group}/{name} {kind} is deprecated");
    let newer = all
        .iter()
        .filter(|o| o.bool_at("served") && !o.bool_at("deprecated"))
        .map(|o| o.str_at("name"))
        .filter(|n| compare_versions(n, name) == Ordering::Greater)
        .max_by(|a, b| compare_versions(a, b));
    match newer {
        Some(n) => format!("{text}; use {group}/{n} {kind}"),
        None => text,
    }
}
