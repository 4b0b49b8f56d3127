//! The variables of admission expressions and their types (apiserver `pkg/admission/plugin/cel/compile.go`).

use crate::env::Env;
use crate::types::{Provider, Type};
use std::sync::{Arc, Mutex, PoisonError};

/// Objects with fields that never change, as `type: field type, ...`.
const TABLE: &[(&str, &str)] = &[
    ("GroupVersionKind", "group string, version string, kind string"),
    ("GroupVersionResource", "group string, version string, resource string"),
    ("UserInfo", "username string, uid string, groups strings, extra lists"),
    (
        "AdmissionRequest",
        "kind GroupVersionKind, resource GroupVersionResource, subResource string, requestKind GroupVersionKind, requestResource GroupVersionResource, requestSubResource string, name string, namespace string, operation string, userInfo UserInfo, dryRun bool, options dyn",
    ),
    ("NamespaceSpec", "finalizers strings"),
    (
        "NamespaceCondition",
        "status string, type string, lastTransitionTime timestamp, message string, reason string",
    ),
    ("NamespaceStatus", "conditions conditions, phase string"),
    (
        "NamespaceMetadata",
        "name string, generateName string, namespace string, labels map, annotations map, UID string, creationTimestamp timestamp, deletionGracePeriodSeconds int, deletionTimestamp timestamp, generation int, resourceVersion string, finalizers strings",
    ),
    ("Namespace", "metadata NamespaceMetadata, spec NamespaceSpec, status NamespaceStatus"),
];

#[derive(Debug)]
struct Fixed;

impl Fixed {
    fn find(name: &str) -> Option<&'static str> {
        let short = name.strip_prefix("kubernetes.")?;
        TABLE.iter().find(|(n, _)| *n == short).map(|(_, f)| *f)
    }
}

impl Provider for Fixed {
    fn has(&self, name: &str) -> bool {
        Self::find(name).is_some()
    }
    fn field(&self, name: &str, field: &str) -> Option<Type> {
        let found = Self::find(name)?.split(", ").find_map(|f| f.strip_prefix(field)?.strip_prefix(' '))?;
        Some(match found {
            "string" => Type::String,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "timestamp" => Type::Timestamp,
            "dyn" => Type::Dyn,
            "strings" => Type::list(Type::String),
            "map" => Type::map(Type::String, Type::String),
            "lists" => Type::map(Type::String, Type::list(Type::String)),
            "conditions" => Type::list(Type::object("kubernetes.NamespaceCondition")),
            object => Type::object(&format!("kubernetes.{object}")),
        })
    }
}

const VARIABLES: &str = "kubernetes.variables";

/// The variables of a policy, as far as they are compiled.
#[derive(Debug, Default)]
pub struct Composed(Mutex<Vec<(String, Type)>>);

impl Composed {
    pub fn add(&self, name: &str, t: Type) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), t));
    }
}

impl Provider for Composed {
    fn has(&self, name: &str) -> bool {
        name == VARIABLES
    }
    fn field(&self, name: &str, field: &str) -> Option<Type> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find(|(n, _)| name == VARIABLES && n == field).map(|(_, t)| t.clone())
    }
}

/// `Object{...}`, `Object.spec{...}`, `JSONPatch{...}`: what mutations are made of.
#[derive(Debug)]
struct Made;

impl Provider for Made {
    fn has(&self, name: &str) -> bool {
        name == "JSONPatch" || name == "Object" || name.starts_with("Object.")
    }
    fn field(&self, name: &str, field: &str) -> Option<Type> {
        if !self.has(name) {
            return None;
        }
        match (name, field) {
            ("JSONPatch", "op" | "path" | "from") => Some(Type::String),
            ("JSONPatch", "value") => Some(Type::Dyn),
            ("JSONPatch", _) => None,
            _ => Some(Type::Dyn),
        }
    }
}

/// What the expressions of an admission configuration may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct May {
    pub params: bool,
    pub authorizer: bool,
    pub patch: bool,
}

/// The environment; `object` is the type of the objects (`dyn` when requests are judged).
pub fn env(may: May, object: &Type, params: &Type, variables: Option<&Arc<Composed>>) -> Env {
    let mut e = Env::new()
        .provider(Arc::new(Fixed))
        .var("object", object.clone())
        .var("oldObject", object.clone())
        .var("namespaceObject", Type::object("kubernetes.Namespace"))
        .var("request", Type::object("kubernetes.AdmissionRequest"));
    if may.params {
        e = e.var("params", params.clone());
    }
    if may.authorizer {
        e = e
            .var("authorizer", Type::object("kubernetes.authorization.Authorizer"))
            .var("authorizer.requestResource", Type::object("kubernetes.authorization.ResourceCheck"));
    }
    if may.patch {
        e = e.patches().provider(Arc::new(Made));
    }
    if let Some(v) = variables {
        e = e.provider(v.clone()).var("variables", Type::object(VARIABLES));
    }
    e
}
