//! CustomResourceDefinitions (X/pkg/registry/customresourcedefinition, X/pkg/apis/apiextensions/validation).

use super::crd_schema;
use crate::kit::*;
use meta::names;
use meta::{FieldError, Path};
use structural::Schema;

const APPROVED: &str = "api-approved.kubernetes.io";
const MAX_SELECTABLE: usize = 8;

pub(crate) struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn prepare_create(&self, _cx: &Cx<'_>, o: &mut Value) {
        o.set_at(
            "status",
            json!({"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []}),
        );
        add_stored(o);
    }
    fn prepare_update(&self, cx: &Cx<'_>, o: &mut Value, _old: &Value) {
        if cx.subresource != "status" {
            add_stored(o);
        }
    }
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = ErrorList::new();
        let required = format!("{}.{}", o.str_at("spec.names.plural"), o.str_at("spec.group"));
        if o.name() != required {
            let why = "must be spec.names.plural+\".\"+spec.group";
            e.push(FieldError::invalid(&Path::new("metadata").child("name"), o.name(), why));
        }
        e.extend(spec(o, None));
        e.extend(status(o));
        e.extend(stored_versions(o));
        e.extend(approval(o, None));
        e.extend(preserve(o, None));
        e
    }
    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        if cx.subresource == "status" {
            return status(o);
        }
        let mut e = spec(o, Some(old));
        let mut immutable = |path: &str, field: Path| {
            if o.at(path) != old.at(path) {
                let v = o.at(path).cloned().unwrap_or_default();
                e.push(FieldError::invalid(&field, v, "field is immutable"));
            }
        };
        let at = Path::new("spec");
        let names = at.child("names");
        if established(old) {
            immutable("spec.scope", at.child("scope"));
            immutable("spec.names.kind", names.child("kind"));
        }
        immutable("spec.group", at.child("group"));
        immutable("spec.names.plural", names.child("plural"));
        e.extend(status(o));
        e.extend(stored_versions(o));
        e.extend(approval(o, Some(old)));
        e.extend(preserve(o, Some(old)));
        e
    }
    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        let before = old.map(|o| (formats(o), sets(o))).unwrap_or_default();
        let mut out: Vec<String> = formats(o)
            .into_iter()
            .filter(|f| !before.0.contains(f))
            .map(|f| format!("unrecognized format {f:?}"))
            .collect();
        out.extend(sets(o).into_iter().filter(|s| !before.1.contains(s)));
        out
    }
    fn row(&self, o: &Value, _now: Timestamp) -> Row {
        let s = o.v("spec");
        let mut versions: Vec<String> = s
            .list("versions")
            .iter()
            .filter(|v| v.b("served"))
            .map(|v| format!("{}{}", v.s("name"), if v.b("storage") { "(storage)" } else { "" }))
            .collect();
        versions.sort();
        row![
            o.name(),
            s.s("scope"),
            versions.join(","),
            o.str_at("metadata.creationTimestamp"),
            s.s("group"),
            s.v("names").s("kind"),
            s.v("names").strs("shortNames").join(","),
            rows::condition_true(o, "Established"),
        ]
    }
}

fn established(o: &Value) -> bool {
    o.array_at("status.conditions")
        .iter()
        .any(|c| c.str_at("type") == "Established" && c.str_at("status") == "True")
}

/// The version that is stored from now on is one of the stored versions.
fn add_stored(o: &mut Value) {
    let stored = o
        .array_at("spec.versions")
        .iter()
        .find(|v| v.bool_at("storage"))
        .map(|v| v.str_at("name").to_owned());
    let Some(stored) = stored else { return };
    let mut all = o.array_at("status.storedVersions").to_vec();
    if !all.iter().any(|v| *v == *stored) {
        all.push(stored.into());
        o.set_at("status.storedVersions", all);
    }
}

fn spec(o: &Value, old: Option<&Value>) -> ErrorList {
    let mut e = ErrorList::new();
    let at = Path::new("spec");
    let s = o.v("spec");
    let group = s.s("group");
    let bad = names::is_dns1123_subdomain(group);
    if group.is_empty() {
        e.push(FieldError::required(&at.child("group"), ""));
    } else if !bad.is_empty() {
        e.push(FieldError::invalid(&at.child("group"), group, bad.join(",")));
    } else if !group.contains('.') {
        e.push(FieldError::invalid(&at.child("group"), group, "should be a domain with at least one dot"));
    }
    choice(s.s("scope"), &["Cluster", "Namespaced"], &at.child("scope"), &mut e);

    let versions = s.list("versions");
    let of = at.child("versions");
    let preserving = s.b("preserveUnknownFields");
    // Old definitions that have versions without a schema may keep that.
    let loose = old.is_some_and(|o| {
        o.array_at("spec.versions").iter().any(|v| v.at("schema.openAPIV3Schema").is_none())
    });
    for (i, v) in versions.iter().enumerate() {
        if v.at("schema.openAPIV3Schema").is_none() {
            let schema = of.index(i).child("schema").child("openAPIV3Schema");
            if !loose {
                e.push(FieldError::required(&schema, ""));
            } else if !preserving && v.b("served") {
                e.push(FieldError::required(&schema, "because otherwise all fields are pruned"));
            }
        }
    }
    if preserving && versions.iter().any(|v| has_default(v.v("schema").v("openAPIV3Schema"))) {
        let why = "must be false in order to use defaults in the schema";
        e.push(FieldError::invalid(&at.child("preserveUnknownFields"), true, why));
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut unique = true;
    for (i, v) in versions.iter().enumerate() {
        unique &= !seen.contains(&v.s("name"));
        seen.push(v.s("name"));
        let bad = names::is_dns1035_label(v.s("name"));
        if !bad.is_empty() {
            e.push(FieldError::invalid(&of.index(i).child("name"), v.s("name"), bad.join(",")));
        }
        let before =
            old.and_then(|o| o.array_at("spec.versions").iter().find(|x| x.s("name") == v.s("name")));
        version(v, before, &of.index(i), &mut e);
    }
    if !unique {
        e.push(FieldError::invalid(&of, versions.to_vec(), "must contain unique version names"));
    }
    if versions.iter().filter(|v| v.b("storage")).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        e.push(FieldError::invalid(&of, versions.to_vec(), why));
    }
    let names = at.child("names");
    for k in ["plural", "singular", "kind", "listKind"] {
        if s.v("names").s(k).is_empty() {
            e.push(FieldError::required(&names.child(k), ""));
        }
    }
    names_of(s.v("names"), &names, &mut e);
    conversion(s, &at.child("conversion"), &mut e);
    e
}

fn choice(value: &str, all: &[&str], at: &Path, e: &mut ErrorList) {
    if value.is_empty() {
        e.push(FieldError::required(at, ""));
    } else if !all.contains(&value) {
        e.push(FieldError::not_supported(at, value, all));
    }
}

fn has_default(s: &Value) -> bool {
    match s {
        Value::Object(o) => {
            o.get("default").is_some_and(|d| !d.is_null())
                || o.iter().any(|(k, v)| match k.as_str() {
                    "properties" => v.as_object().is_some_and(|p| p.values().any(has_default)),
                    "items" | "additionalProperties" => has_default(v),
                    _ => false,
                })
        }
        _ => false,
    }
}

fn version(v: &Value, old: Option<&Value>, at: &Path, e: &mut ErrorList) {
    if let Some(w) = v.os("deprecationWarning") {
        let mut bad = |why: &str| e.push(FieldError::invalid(&at.child("deprecationWarning"), w, why));
        if !v.b("deprecated") {
            bad("can only be set for deprecated versions");
        } else {
            if w.len() > 256 {
                bad("must be <= 256 characters long");
            }
            if w.is_empty() {
                bad("must not be an empty string");
            }
            if let Some(i) = w.char_indices().find(|(_, c)| c.is_control()).map(|(i, _)| i) {
                bad(&format!(
                    "must only contain printable UTF-8 characters; non-printable character found at index {i}"
                ));
            }
        }
    }
    let raw = v.v("schema").v("openAPIV3Schema");
    let of_schema = at.child("schema").child("openAPIV3Schema");
    let status = v.at("subresources.status").is_some();
    // A schema that was accepted before stays so.
    let same =
        old.is_some_and(|o| o.at("schema") == v.at("schema") && o.at("subresources") == v.at("subresources"));
    if raw.is_object() && !same {
        e.extend(crd_schema::check(raw, &of_schema, status));
    }
    if let Some(s) = v.at("subresources.scale") {
        let of = at.child("subresources");
        scale_path(
            s.s("specReplicasPath"),
            &[".spec."],
            "specReplicasPath",
            "should be a json path under .spec",
            true,
            &of,
            e,
        );
        scale_path(
            s.s("statusReplicasPath"),
            &[".status."],
            "statusReplicasPath",
            "should be a json path under .status",
            true,
            &of,
            e,
        );
        let why = "should be a json path under either .spec or .status";
        scale_path(
            s.s("labelSelectorPath"),
            &[".spec.", ".status."],
            "labelSelectorPath",
            why,
            false,
            &of,
            e,
        );
    }
    for (i, c) in v.list("additionalPrinterColumns").iter().enumerate() {
        column(c, &at.child("additionalPrinterColumns").index(i), e);
    }
    let fields = v.list("selectableFields");
    if !fields.is_empty() {
        let unchanged = old.is_some_and(|o| o.at("selectableFields") == v.at("selectableFields"));
        selectable(fields, raw, unchanged, &at.child("selectableFields"), e);
    }
}

fn simple_path(s: &str, at: &Path, e: &mut ErrorList) -> bool {
    if s.starts_with('.') {
        return true;
    }
    e.push(FieldError::invalid(at, s, "must be a simple json path starting with ."));
    false
}

fn scale_path(s: &str, under: &[&str], field: &str, why: &str, required: bool, at: &Path, e: &mut ErrorList) {
    let at = at.child("scale").child(field);
    if s.is_empty() {
        if required {
            e.push(FieldError::required(&at, ""));
        }
    } else if simple_path(s, &at, e) && !under.iter().any(|u| s.starts_with(u)) {
        e.push(FieldError::invalid(&at, s, why));
    }
}

fn column(c: &Value, at: &Path, e: &mut ErrorList) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 8] = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
    if c.s("name").is_empty() {
        e.push(FieldError::required(&at.child("name"), ""));
    }
    let one_of = |all: &[&str]| format!("must be one of {}", all.join(","));
    if c.s("type").is_empty() {
        e.push(FieldError::required(&at.child("type"), one_of(&TYPES)));
    } else if !TYPES.contains(&c.s("type")) {
        e.push(FieldError::invalid(&at.child("type"), c.s("type"), one_of(&TYPES)));
    }
    if !c.s("format").is_empty() && !FORMATS.contains(&c.s("format")) {
        e.push(FieldError::invalid(&at.child("format"), c.s("format"), one_of(&FORMATS)));
    }
    let path = at.child("JSONPath");
    if c.s("jsonPath").is_empty() {
        e.push(FieldError::required(&path, ""));
    } else {
        simple_path(c.s("jsonPath"), &path, e);
    }
}

fn selectable(fields: &[Value], raw: &Value, unchanged: bool, at: &Path, e: &mut ErrorList) {
    let schema = Schema::parse(raw).unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for (i, f) in fields.iter().enumerate() {
        let at = at.index(i).child("jsonPath");
        let path = f.s("jsonPath");
        if path.is_empty() {
            e.push(FieldError::required(&at, ""));
            continue;
        }
        let mut place = Some(&schema);
        let parts: Vec<&str> = path.strip_prefix('.').map(|p| p.split('.').collect()).unwrap_or_default();
        for p in &parts {
            place = place.and_then(|s| s.properties.get(*p));
        }
        let Some(found) = place.filter(|_| !parts.is_empty()) else {
            let why = if path.starts_with('.') {
                "is an invalid path: does not refer to a valid field".to_owned()
            } else {
                "is an invalid path: must start with a dot".to_owned()
            };
            e.push(FieldError::invalid(&at, path, why));
            continue;
        };
        if parts.first() == Some(&"metadata") {
            e.push(FieldError::invalid(&at, path, "must not point to fields in metadata"));
        }
        if !matches!(found.ty.as_str(), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            e.push(FieldError::invalid(&at, path, why));
        }
        if seen.contains(&path) {
            e.push(FieldError::duplicate(&at, path));
        } else {
            seen.push(path);
        }
    }
    if seen.len() > MAX_SELECTABLE && !unchanged {
        e.push(FieldError::too_many(at, seen.len(), MAX_SELECTABLE));
    }
}

fn names_of(n: &Value, at: &Path, e: &mut ErrorList) {
    for k in ["plural", "singular"] {
        let bad = names::is_dns1035_label(n.s(k));
        if !n.s(k).is_empty() && !bad.is_empty() {
            e.push(FieldError::invalid(&at.child(k), n.s(k), bad.join(",")));
        }
    }
    for k in ["kind", "listKind"] {
        let bad = names::is_dns1035_label(&n.s(k).to_lowercase());
        if !n.s(k).is_empty() && !bad.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", bad.join(","));
            e.push(FieldError::invalid(&at.child(k), n.s(k), why));
        }
    }
    for k in ["shortNames", "categories"] {
        for (i, x) in n.strs(k).into_iter().enumerate() {
            let bad = names::is_dns1035_label(x);
            if !bad.is_empty() {
                e.push(FieldError::invalid(&at.child(k).index(i), x, bad.join(",")));
            }
        }
    }
    if !n.s("kind").is_empty() && n.s("kind") == n.s("listKind") {
        let why = "kind and listKind may not be the same";
        e.push(FieldError::invalid(&at.child("listKind"), n.s("listKind"), why));
    }
}

fn conversion(s: &Value, at: &Path, e: &mut ErrorList) {
    let c = s.v("conversion");
    if c.is_null() {
        return;
    }
    let strategy = c.s("strategy");
    if strategy != "None" && s.b("preserveUnknownFields") {
        let why = "must be None if spec.preserveUnknownFields is true";
        e.push(FieldError::invalid(&at.child("strategy"), strategy, why));
    }
    choice(strategy, &["None", "Webhook"], &at.child("strategy"), e);
    let (config, reviews) = (at.child("webhookClientConfig"), at.child("conversionReviewVersions"));
    let w = c.v("webhook");
    if strategy != "Webhook" {
        let why = "should not be set when strategy is not set to Webhook";
        if w.has("clientConfig") {
            e.push(FieldError::forbidden(&config, why));
        }
        if !w.list("conversionReviewVersions").is_empty() {
            e.push(FieldError::forbidden(&reviews, why));
        }
        return;
    }
    let cc = w.v("clientConfig");
    if !cc.is_object() {
        e.push(FieldError::required(&config, "required when strategy is set to Webhook"));
    } else {
        match (cc.os("url"), cc.o("service")) {
            (None, None) | (Some(_), Some(_)) => {
                e.push(FieldError::required(&config, "exactly one of url or service is required"));
            }
            (Some(u), None) => {
                let at = config.child("url");
                match u.strip_prefix("https://") {
                    None => {
                        let why =
                            "'https' is the only allowed URL scheme; desired format: https://host[/path]";
                        e.push(FieldError::invalid(&at, u, why));
                    }
                    Some(rest) => {
                        let host = rest.split(['/', '?', '#']).next().unwrap_or("");
                        if host.is_empty() {
                            let why = "host must be specified; desired format: https://host[/path]";
                            e.push(FieldError::invalid(&at, u, why));
                        }
                        for (c, what) in [
                            ('@', "user information is"),
                            ('?', "query parameters are"),
                            ('#', "fragments are"),
                        ] {
                            if rest.contains(c) {
                                let why = format!("{what} not permitted in the URL");
                                e.push(FieldError::invalid(&at, u, why));
                            }
                        }
                    }
                }
            }
            (None, Some(svc)) => {
                let at = config.child("service");
                for k in ["name", "namespace"] {
                    if svc.s(k).is_empty() {
                        e.push(FieldError::required(&at.child(k), format!("service {k} is required")));
                    }
                }
                let port = svc.oi("port").unwrap_or(443);
                for why in names::is_valid_port_num(port) {
                    e.push(FieldError::invalid(&at.child("port"), port, format!("port is not valid: {why}")));
                }
                if let Some(p) = svc.os("path").filter(|p| !p.is_empty() && !p.starts_with('/')) {
                    e.push(FieldError::invalid(&at.child("path"), p, "must start with a '/'"));
                }
            }
        }
    }
    let versions = w.strs("conversionReviewVersions");
    if versions.is_empty() {
        e.push(FieldError::required(&reviews, ""));
        return;
    }
    let mut seen: Vec<&str> = Vec::new();
    for (i, v) in versions.iter().enumerate() {
        if seen.contains(v) {
            e.push(FieldError::invalid(&reviews.index(i), *v, "duplicate version"));
            continue;
        }
        seen.push(v);
        for why in names::is_dns1035_label(v) {
            e.push(FieldError::invalid(&reviews.index(i), *v, why));
        }
    }
    if !versions.iter().any(|v| matches!(*v, "v1" | "v1beta1")) {
        let all = w.v("conversionReviewVersions").clone();
        e.push(FieldError::invalid(&reviews, all, "must include at least one of v1, v1beta1"));
    }
}

fn status(o: &Value) -> ErrorList {
    let mut e = ErrorList::new();
    names_of(o.v("status").v("acceptedNames"), &Path::new("status").child("acceptedNames"), &mut e);
    e
}

fn stored_versions(o: &Value) -> ErrorList {
    let mut e = ErrorList::new();
    let at = Path::new("status").child("storedVersions");
    let stored = o.v("status").strs("storedVersions");
    let all = || o.at("status.storedVersions").cloned().unwrap_or_default();
    if stored.is_empty() {
        e.push(FieldError::invalid(&at, all(), "must have at least one stored version"));
        return e;
    }
    let versions = o.array_at("spec.versions");
    for v in versions.iter().filter(|v| v.b("storage") && !stored.contains(&v.s("name"))) {
        e.push(FieldError::invalid(&at, all(), format!("must have the storage version {}", v.s("name"))));
    }
    for (i, v) in stored.iter().enumerate() {
        if !versions.iter().any(|x| x.s("name") == *v) {
            let why = format!(
                "missing from spec.versions; {v} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {v} and removes {v} from status.storedVersions"
            );
            e.push(FieldError::invalid(&at.index(i), *v, why));
        }
    }
    e
}

/// Groups of the Kubernetes community need an approval.
fn approval(o: &Value, old: Option<&Value>) -> ErrorList {
    let group = o.str_at("spec.group");
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|p| group.strip_suffix(p).is_some_and(|g| g.is_empty() || g.ends_with('.')));
    let state = |o: &Value| match o.annotation(APPROVED).unwrap_or("") {
        "" => "missing",
        a if a.starts_with("unapproved") => "bypassed",
        a if a.split_once("://").is_some_and(|(s, h)| !s.is_empty() && !h.is_empty()) => "approved",
        _ => "invalid",
    };
    if !protected || old.is_some_and(|x| state(x) == state(o)) {
        return ErrorList::new();
    }
    let at = Path::new("metadata").child("annotations").key(APPROVED);
    let rule = format!("protected groups must have approval annotation {APPROVED:?}");
    let see = "see https://github.com/kubernetes/enhancements/pull/1111";
    match state(o) {
        "missing" => vec![FieldError::required(&at, format!("{rule}, {see}"))],
        "invalid" => {
            let why = format!("{rule} with either a URL or a reason starting with \"unapproved\", {see}");
            vec![FieldError::invalid(&at, o.annotation(APPROVED).unwrap_or(""), why)]
        }
        _ => ErrorList::new(),
    }
}

fn preserve(o: &Value, old: Option<&Value>) -> ErrorList {
    let on = |o: &Value| o.bool_at("spec.preserveUnknownFields");
    if old.is_some_and(on) || !on(o) {
        return ErrorList::new();
    }
    let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
    vec![FieldError::invalid(&Path::new("spec").child("preserveUnknownFields"), true, why)]
}

/// Every schema of a definition.
fn each_schema(o: &Value, f: &mut dyn FnMut(&Value)) {
    fn walk(s: &Value, f: &mut dyn FnMut(&Value)) {
        f(s);
        s.v("properties").as_object().into_iter().flatten().for_each(|(_, p)| walk(p, f));
        for k in ["items", "additionalProperties", "not"] {
            if s.v(k).is_object() {
                walk(s.v(k), f);
            }
        }
        for k in ["allOf", "anyOf", "oneOf"] {
            s.list(k).iter().for_each(|p| walk(p, f));
        }
    }
    for v in o.array_at("spec.versions") {
        let s = v.v("schema").v("openAPIV3Schema");
        if s.is_object() {
            walk(s, f);
        }
    }
}

fn formats(o: &Value) -> Vec<String> {
    const KNOWN: [&str; 27] = [
        "bsonobjectid",
        "uri",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "cidr",
        "mac",
        "uuid",
        "uuid3",
        "uuid4",
        "uuid5",
        "isbn",
        "isbn10",
        "isbn13",
        "creditcard",
        "ssn",
        "hexcolor",
        "rgbcolor",
        "byte",
        "password",
        "date",
        "duration",
        "datetime",
        "date-time",
        "k8s-short-name",
        "k8s-long-name",
    ];
    const NUMBERS: [&str; 6] = ["int32", "int64", "uint32", "uint64", "float", "double"];
    let mut out = Vec::new();
    each_schema(o, &mut |s| {
        let f = s.s("format");
        let known = KNOWN.contains(&f) || NUMBERS.contains(&f) || matches!(f, "int-or-string" | "quantity");
        if !f.is_empty() && !known && !out.iter().any(|x| x == f) {
            out.push(f.to_owned());
        }
    });
    out
}

fn sets(o: &Value) -> Vec<String> {
    let mut out = Vec::new();
    each_schema(o, &mut |s| {
        let ty = s.v("items").s("type");
        if s.s("x-kubernetes-list-type") == "set" && matches!(ty, "object" | "array") {
            let w = format!(
                "x-kubernetes-list-type: set for items of type {ty:?} is not supported by server-side apply or CEL validation rules"
            );
            if !out.contains(&w) {
                out.push(w);
            }
        }
    });
    out.sort();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(version: Value) -> Value {
        let mut v = json!({"name": "v1", "served": true, "storage": true});
        for (k, x) in version.as_object().cloned().unwrap_or_default() {
            v[k.as_str()] = x;
        }
        json!({"metadata": {"name": "as.g.io"}, "spec": {"group": "g.io", "scope": "Cluster",
            "names": {"plural": "as", "singular": "a", "kind": "A", "listKind": "AList"}, "versions": [v]},
            "status": {"storedVersions": ["v1"]}})
    }
    fn check(o: &Value, want: &[&str]) {
        let user = meta::UserInfo::default();
        let cx = Cx { now: Timestamp { seconds: 0, nanos: 0 }, user: &user, subresource: "", seed: 0 };
        let e: Vec<String> =
            CustomResourceDefinition.validate(&cx, o).iter().map(ToString::to_string).collect();
        assert_eq!(e, want, "{o}");
    }
    fn schema(s: Value) -> Value {
        crd(json!({"schema": {"openAPIV3Schema": s}}))
    }

    #[test]
    fn what_is_wrong_with_a_definition() {
        let object = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "object"}}}}});
        check(&schema(object.clone()), &[]);
        check(&crd(json!({})), &["spec.versions[0].schema.openAPIV3Schema: Required value"]);
        let mut o = schema(object.clone());
        o["metadata"]["name"] = "x".into();
        o["spec"]["scope"] = "".into();
        o["spec"]["versions"][0]["storage"] = false.into();
        let got = {
            let user = meta::UserInfo::default();
            let cx = Cx { now: Timestamp { seconds: 0, nanos: 0 }, user: &user, subresource: "", seed: 0 };
            CustomResourceDefinition.validate(&cx, &o)
        };
        let fields: Vec<&str> = got.iter().map(|e| e.field.as_str()).collect();
        assert_eq!(fields, ["metadata.name", "spec.scope", "spec.versions"]);
        let mut o = schema(object.clone());
        o["spec"]["versions"][0]["subresources"] =
            json!({"scale": {"specReplicasPath": "spec.x", "statusReplicasPath": ".spec.x"}});
        o["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}, {"jsonPath": ".spec.n"}, {"jsonPath": ".spec.z"}]);
        check(
            &o,
            &[
                "spec.versions[0].subresources.scale.specReplicasPath: Invalid value: \"spec.x\": must be a simple json path starting with .",
                "spec.versions[0].subresources.scale.statusReplicasPath: Invalid value: \".spec.x\": should be a json path under .status",
                "spec.versions[0].selectableFields[1].jsonPath: Duplicate value: \".spec.a\"",
                "spec.versions[0].selectableFields[2].jsonPath: Invalid value: \".spec.n\": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                "spec.versions[0].selectableFields[3].jsonPath: Invalid value: \".spec.z\": is an invalid path: does not refer to a valid field",
            ],
        );
    }

    #[test]
    fn what_is_wrong_with_a_schema() {
        let prop = |p: Value| schema(json!({"type": "object", "properties": {"x": p}}));
        let at = |s: &str| format!("spec.versions[0].schema.openAPIV3Schema.properties[x]{s}");
        check(
            &prop(json!({"type": "string", "default": "a", "pattern": "^b"})),
            &[&at(
                ".default: Invalid value: \"a\": spec.versions[0].schema.openAPIV3Schema.properties[x].default in body should match '^b'",
            )],
        );
        check(
            &prop(json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}})),
            &[&at(
                ".uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            )],
        );
        check(
            &prop(json!({"type": "object", "$ref": "#/x"})),
            &[&at(".$ref: Forbidden: $ref is not supported")],
        );
        check(
            &prop(json!({"type": "object", "default": {"y": 1}})),
            &[&at(".default: Invalid value: {\"y\":1}: must not have unknown fields")],
        );
        check(
            &prop(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}}}}),
            ),
            &[&at(
                ".items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )],
        );
    }

    #[test]
    fn webhooks_of_conversion() {
        let mut o = schema(json!({"type": "object"}));
        o["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "http://x"}, "conversionReviewVersions": ["v3"]}});
        check(
            &o,
            &[
                "spec.conversion.webhookClientConfig.url: Invalid value: \"http://x\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                "spec.conversion.conversionReviewVersions: Invalid value: [\"v3\"]: must include at least one of v1, v1beta1",
            ],
        );
    }
}
