//! The options of requests: parsed from the query (or the body of a delete) and validated with upstream's words.

use crate::Failure;
use crate::query::Query;
use crate::registry::ResourceInfo;
use meta::object::ObjectExt;
use meta::selector::{FieldSelector, Selector};
use meta::{ErrorList, FieldError, GroupKind, Path, Status, Value};
use schema::FieldValidation;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionMatch {
    Unset,
    NotOlderThan,
    Exact,
}

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug)]
pub struct ListOptions {
    pub labels: Selector,
    /// In stored labels (renames applied).
    pub fields: FieldSelector,
    pub bookmarks: bool,
    pub resource_version: String,
    pub version_match: VersionMatch,
    pub timeout_seconds: Option<i64>,
    pub limit: i64,
    pub continue_token: String,
    pub send_initial_events: Option<bool>,
}

fn bad(e: impl std::fmt::Display) -> Failure {
    Box::new(Status::bad_request(e.to_string()))
}

fn invalid(kind: &str, errors: &ErrorList) -> Failure {
    Box::new(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors))
}

fn int(q: &Query, key: &str) -> Result<Option<i64>, Failure> {
    match q.get(key) {
        None => Ok(None),
        Some(v) => match v.parse() {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(bad(format_args!("strconv.ParseInt: parsing {v:?}: invalid syntax"))),
        },
    }
}

/// Query booleans: anything but `false` and `0` is true, as upstream converts them.
fn flag(v: &str) -> bool {
    !matches!(v.to_ascii_lowercase().as_str(), "false" | "0")
}

impl ListOptions {
    pub fn parse(q: &Query, info: &ResourceInfo, watch: bool, name: Option<&str>) -> Result<Self, Failure> {
        let labels = Selector::parse(q.get("labelSelector").unwrap_or(""))
            .map_err(|e| bad(format_args!("unable to parse requirement: {e}")))?;
        let mut fields = FieldSelector::parse(q.get("fieldSelector").unwrap_or("")).map_err(bad)?;
        let mut o = Self {
            labels,
            fields: FieldSelector::default(),
            bookmarks: q.get("allowWatchBookmarks").is_some_and(flag),
            resource_version: q.get("resourceVersion").unwrap_or("").to_owned(),
            version_match: VersionMatch::Unset,
            timeout_seconds: int(q, "timeoutSeconds")?,
            limit: int(q, "limit")?.unwrap_or(0).max(0),
            continue_token: q.get("continue").unwrap_or("").to_owned(),
            send_initial_events: q.get("sendInitialEvents").map(flag),
        };
        let given = q.get("resourceVersionMatch").unwrap_or("");
        let legacy = matches!(o.resource_version.as_str(), "" | "0");
        let defaulted = o.send_initial_events.is_none() && given.is_empty() && watch && legacy;
        let errors = if watch { o.check_watch(given) } else { o.check_list(given) };
        if !errors.is_empty() {
            return Err(invalid("ListOptions", &errors));
        }
        if defaulted {
            o.send_initial_events = Some(true);
        }
        o.version_match = match given {
            "Exact" => VersionMatch::Exact,
            "NotOlderThan" => VersionMatch::NotOlderThan,
            _ if defaulted => VersionMatch::NotOlderThan,
            _ => VersionMatch::Unset,
        };
        for t in &mut fields.0 {
            t.field = info.field_label(&t.field).map_err(bad)?;
        }
        if let Some(name) = name {
            if !fields.0.is_empty() && fields.exact("metadata.name") != Some(name) {
                return Err(bad("fieldSelector metadata.name doesn't match requested name"));
            }
            if fields.0.is_empty() {
                fields.0.push(meta::selector::FieldTerm {
                    field: "metadata.name".into(),
                    value: name.into(),
                    negate: false,
                });
            }
        }
        o.fields = fields;
        Ok(o)
    }

    fn check_list(&self, given: &str) -> ErrorList {
        let mut e = ErrorList::new();
        let p = Path::new("resourceVersionMatch");
        if !given.is_empty() {
            if self.resource_version.is_empty() {
                e.push(FieldError::forbidden(
                    &p,
                    "resourceVersionMatch is forbidden unless resourceVersion is provided",
                ));
            }
            if !self.continue_token.is_empty() {
                e.push(FieldError::forbidden(
                    &p,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
            if !matches!(given, "Exact" | "NotOlderThan") {
                e.push(FieldError::not_supported(&p, given, &["Exact", "NotOlderThan", ""]));
            }
            if given == "Exact" && self.resource_version == "0" {
                e.push(FieldError::forbidden(
                    &p,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                ));
            }
        }
        if self.send_initial_events.is_some() {
            let p = Path::new("sendInitialEvents");
            e.push(FieldError::forbidden(&p, "sendInitialEvents is forbidden for list"));
        }
        e
    }

    fn check_watch(&self, given: &str) -> ErrorList {
        let mut e = ErrorList::new();
        let p = Path::new("resourceVersionMatch");
        if self.send_initial_events.is_some() && given != "NotOlderThan" {
            e.push(FieldError::forbidden(
                &p,
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if !given.is_empty() {
            if self.send_initial_events.is_none() {
                e.push(FieldError::forbidden(
                    &p,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                ));
            }
            if given != "NotOlderThan" {
                e.push(FieldError::not_supported(&p, given, &["NotOlderThan"]));
            }
            if !self.continue_token.is_empty() {
                e.push(FieldError::forbidden(
                    &p,
                    "resourceVersionMatch is forbidden when continue is provided",
                ));
            }
        }
        e
    }

    /// Whether everything in scope is selected.
    pub fn everything(&self) -> bool {
        self.labels.everything() && self.fields.everything()
    }
}

/// Options of create, update and patch.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub field_manager: String,
    pub field_validation: FieldValidation,
    /// Of an apply patch.
    pub force: Option<bool>,
}

impl WriteOptions {
    /// `kind` is `CreateOptions`, `UpdateOptions` or `PatchOptions`; `apply` for server-side apply.
    pub fn parse(q: &Query, kind: &str, apply: bool) -> Result<Self, Failure> {
        let mut e = ErrorList::new();
        let force = q.get("force").map(flag);
        let manager = q.get("fieldManager").unwrap_or("");
        if kind == "PatchOptions" {
            if apply && manager.is_empty() {
                e.push(FieldError::required(&Path::new("fieldManager"), "is required for apply patch"));
            }
            if !apply && force.is_some() {
                e.push(FieldError::forbidden(
                    &Path::new("force"),
                    "may not be specified for non-apply patch",
                ));
            }
        }
        check_manager(manager, &mut e);
        let dry: Vec<&str> = q.all("dryRun").collect();
        check_dry_run(&dry, &mut e);
        let fv = q.get("fieldValidation").unwrap_or("");
        let field_validation = match fv {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            "" | "Warn" => FieldValidation::Warn,
            _ => {
                let p = Path::new("fieldValidation");
                e.push(FieldError::not_supported(&p, fv, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if !e.is_empty() {
            return Err(invalid(kind, &e));
        }
        Ok(Self { dry_run: !dry.is_empty(), field_manager: manager.to_owned(), field_validation, force })
    }

    /// As admission is shown them; `kind` is `CreateOptions` or `UpdateOptions`, of patches too.
    pub fn shown(&self, q: &Query, kind: &str) -> Value {
        let mut v = serde_json::json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            v["dryRun"] = serde_json::json!(["All"]);
        }
        for (k, text) in [
            ("fieldManager", self.field_manager.as_str()),
            ("fieldValidation", q.get("fieldValidation").unwrap_or("")),
        ] {
            if !text.is_empty() {
                v[k] = text.into();
            }
        }
        v
    }

    /// The manager that owns what this request sets: as given, or from the user agent.
    pub fn manager(&self, user_agent: &str) -> String {
        if !self.field_manager.is_empty() {
            return self.field_manager.clone();
        }
        let mut out = String::new();
        for c in user_agent.split('/').next().unwrap_or("").chars() {
            if c.is_control() {
                continue;
            }
            if out.len() + c.len_utf8() > 128 {
                break;
            }
            out.push(c);
        }
        out
    }
}

fn check_manager(m: &str, e: &mut ErrorList) {
    let p = Path::new("fieldManager");
    if m.len() > 128 {
        e.push(FieldError::too_long(&p, 128));
    }
    for (i, c) in m.char_indices() {
        if c.is_control() {
            let n = c as u32;
            e.push(FieldError::invalid(&p, m, format!("invalid character U+{n:04X} (at position {i})")));
        }
    }
}

fn check_dry_run(dry: &[&str], e: &mut ErrorList) {
    if dry.iter().any(|d| *d != "All") {
        let v: Vec<Value> = dry.iter().map(|d| Value::from(*d)).collect();
        e.push(FieldError::not_supported(&Path::new("dryRun"), v, &["All"]));
    }
}

/// Options of a delete.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    pub grace: Option<i64>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub orphan_dependents: Option<bool>,
    pub propagation: Option<String>,
    pub dry_run: bool,
    pub ignore_store_read_error: bool,
}

impl DeleteOptions {
    /// From a decoded body.
    pub fn from_value(v: &Value) -> Result<Self, Failure> {
        let text = |p: &str| v.at(p).and_then(Value::as_str).map(str::to_owned);
        let dry: Vec<&str> = v.array_at("dryRun").iter().filter_map(Value::as_str).collect();
        let o = Self {
            grace: v.i64_at("gracePeriodSeconds"),
            uid: text("preconditions.uid"),
            resource_version: text("preconditions.resourceVersion"),
            orphan_dependents: v.get("orphanDependents").and_then(Value::as_bool),
            propagation: text("propagationPolicy"),
            dry_run: !dry.is_empty(),
            ignore_store_read_error: v.bool_at("ignoreStoreReadErrorWithClusterBreakingPotential"),
        };
        o.check(&dry)
    }

    pub fn from_query(q: &Query) -> Result<Self, Failure> {
        let dry: Vec<&str> = q.all("dryRun").collect();
        let o = Self {
            grace: int(q, "gracePeriodSeconds")?,
            uid: None,
            resource_version: None,
            orphan_dependents: q.get("orphanDependents").map(flag),
            propagation: q.get("propagationPolicy").map(str::to_owned),
            dry_run: !dry.is_empty(),
            ignore_store_read_error: q
                .get("ignoreStoreReadErrorWithClusterBreakingPotential")
                .is_some_and(flag),
        };
        o.check(&dry)
    }

    /// As admission is shown them.
    pub fn shown(&self) -> Value {
        let mut v = serde_json::json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        let mut put = |path: &str, x: Option<Value>| {
            if let Some(x) = x {
                v.set_at(path, x);
            }
        };
        put("gracePeriodSeconds", self.grace.map(Value::from));
        put("preconditions.uid", self.uid.clone().map(Value::from));
        put("preconditions.resourceVersion", self.resource_version.clone().map(Value::from));
        put("orphanDependents", self.orphan_dependents.map(Value::from));
        put("propagationPolicy", self.propagation.clone().map(Value::from));
        put("dryRun", self.dry_run.then(|| serde_json::json!(["All"])));
        let ignore = self.ignore_store_read_error;
        put("ignoreStoreReadErrorWithClusterBreakingPotential", ignore.then(|| true.into()));
        v
    }

    fn check(self, dry: &[&str]) -> Result<Self, Failure> {
        let mut e = ErrorList::new();
        let p = Path::new("propagationPolicy");
        if let Some(policy) = &self.propagation {
            if self.orphan_dependents.is_some() {
                e.push(FieldError::invalid(
                    &p,
                    policy.as_str(),
                    "orphanDependents and deletionPropagation cannot be both set",
                ));
            }
            if !matches!(policy.as_str(), "Foreground" | "Background" | "Orphan") {
                e.push(FieldError::not_supported(
                    &p,
                    policy.as_str(),
                    &["Foreground", "Background", "Orphan", "nil"],
                ));
            }
        }
        check_dry_run(dry, &mut e);
        if self.ignore_store_read_error {
            let p = Path::new("ignoreStoreReadErrorWithClusterBreakingPotential");
            let mut no = |on: bool, what: &str| {
                if on {
                    e.push(FieldError::invalid(&p, true, format!("cannot be set together with {what}")));
                }
            };
            no(self.propagation.is_some(), ".propagationPolicy");
            no(self.orphan_dependents.is_some(), ".orphanDependents");
            no(self.grace.is_some(), ".gracePeriodSeconds");
            no(self.uid.is_some() || self.resource_version.is_some(), ".preconditions");
        }
        if e.is_empty() { Ok(self) } else { Err(invalid("DeleteOptions", &e)) }
    }
}
