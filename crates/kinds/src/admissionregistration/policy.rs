//! Validating- and MutatingAdmissionPolicies.

use super::rules;
use crate::kit::*;

pub(crate) struct Policy;

impl Strategy for Policy {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, false, &mut e);
        rules::static_name(o, &mut e);
        e.0
    }

    fn validate_update(&self, cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        if cx.subresource == "status" {
            status(o.v("status"), &mut e);
            return e.0;
        }
        let (s, was) = (o.v("spec"), old.v("spec"));
        let same = ["paramKind", "matchConditions"].iter().all(|f| opt_same(s.f(f), was.f(f)));
        validate(o, same, &mut e);
        e.0
    }

    fn warnings(&self, cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        if cx.subresource.is_empty() { rules::static_warnings(o, old) } else { Vec::new() }
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        let s = o.v("spec");
        let count = s.list("validations").len() + s.list("mutations").len();
        let param = s
            .set("paramKind")
            .map_or_else(|| "<unset>".to_owned(), |p| format!("{}/{}", p.s("apiVersion"), p.s("kind")));
        row![o.name(), count, param, age(o, now)]
    }
}

fn validate(o: &Value, ignore_conditions: bool, e: &mut Errs) {
    let (at, s) = (At::new("spec"), o.v("spec"));
    let mutating = o.s("kind") == "MutatingAdmissionPolicy";
    rules::choice(s, "failurePolicy", rules::FAILURE, true, &at, e);
    if let Some(p) = s.set("paramKind") {
        param_kind(p, &at.c("paramKind"), e);
    }
    let match_at = at.c("matchConstraints");
    match s.set("matchConstraints") {
        None => e.required(&match_at, ""),
        Some(m) => {
            rules::match_resources(m, &match_at, e);
            if m.list("resourceRules").is_empty() {
                e.required(&match_at.c("resourceRules"), "");
            }
            if mutating {
                rules::mutating_operations(m, &match_at, e);
            }
        }
    }
    if !ignore_conditions {
        rules::conditions(
            s.list("matchConditions"),
            s.set("paramKind").is_some(),
            &at.c("matchConditions"),
            e,
        );
    }
    let variables = at.c("variables");
    for (i, v) in s.list("variables").iter().enumerate() {
        variable(v, &variables.i(i), e);
    }
    if mutating {
        mutations(s, &at, e);
    } else {
        validations(o, s, &at, e);
    }
}

fn mutations(s: &Value, at: &At<'_>, e: &mut Errs) {
    let list_at = at.c("mutations");
    if s.list("mutations").is_empty() {
        e.required(&list_at, "mutations must contain at least one item");
    }
    for (i, m) in s.list("mutations").iter().enumerate() {
        let at = list_at.i(i);
        let (ty, mine, other) = match m.s("patchType") {
            "" => {
                e.required(&at.c("patchType"), "");
                continue;
            }
            t @ "JSONPatch" => (t, "jsonPatch", "applyConfiguration"),
            t @ "ApplyConfiguration" => (t, "applyConfiguration", "jsonPatch"),
            t => {
                e.unsupported(&at.c("patchType"), t, &["ApplyConfiguration", "JSONPatch"]);
                continue;
            }
        };
        match m.set(mine) {
            None => e.required(&at.c(mine), format!("must be specified when patchType is {ty}")),
            Some(p) => e.non_empty(&at.c(mine).c("expression"), p.s("expression").trim()),
        }
        if m.has(other) {
            let why = format!("must not be specified when patchType is {ty}");
            e.invalid(&at.c(other), format!("{{{other}}}"), why);
        }
    }
    e.required_one_of(&at.c("reinvocationPolicy"), s.s("reinvocationPolicy"), rules::REINVOCATION);
}

fn validations(o: &Value, s: &Value, at: &At<'_>, e: &mut Errs) {
    let (list, audit) = (s.list("validations"), s.list("auditAnnotations"));
    let (list_at, audit_at) = (at.c("validations"), at.c("auditAnnotations"));
    if list.is_empty() && audit.is_empty() {
        let why = "validations or auditAnnotations must contain at least one item";
        e.required(&list_at, why);
        e.required(&audit_at, why);
    }
    for (i, v) in list.iter().enumerate() {
        validation(v, &list_at.i(i), e);
    }
    if audit.len() > 20 {
        let shown = s.v("auditAnnotations").clone();
        e.invalid(&audit_at, shown, "must not have more than 20 auditAnnotations");
    }
    for (i, a) in audit.iter().enumerate() {
        let at = audit_at.i(i);
        let key = a.s("key");
        if o.name().is_empty() {
            e.invalid(&at.c("key"), key, "requires metadata.name be non-empty");
        } else {
            e.qualified(&at.c("key"), &format!("{}/{key}", o.name()));
        }
        let value = a.s("valueExpression").trim();
        if value.is_empty() {
            e.required(&at.c("valueExpression"), "valueExpression is not specified");
        } else if value.len() > 5 * 1024 {
            e.required(&at.c("valueExpression"), "must not exceed 5120 bytes in length");
        }
        if audit[..i].iter().any(|x| x.s("key") == key) {
            e.duplicate(&at.c("key"), key);
        }
    }
}

fn validation(v: &Value, at: &At<'_>, e: &mut Errs) {
    if v.s("expression").trim().is_empty() {
        e.required(&at.c("expression"), "expression is not specified");
    }
    for f in ["messageExpression", "message"] {
        if !v.s(f).is_empty() && v.s(f).trim().is_empty() {
            e.invalid(&at.c(f), v.s(f), "must be non-empty if specified");
        }
    }
    if v.s("message").trim().contains(['\n', '\r']) {
        e.invalid(&at.c("message"), v.s("message"), "must not contain line breaks");
    }
    // Sorted; the list is upstream's.
    rules::choice(v, "reason", &["Forbidden", "Invalid", "RequestEntityTooLarge"], false, at, e);
}

fn variable(v: &Value, at: &At<'_>, e: &mut Errs) {
    let name = v.s("name");
    if name.trim().is_empty() {
        e.required(&at.c("name"), "name is not specified");
    } else if !is_identifier(name) {
        e.invalid(&at.c("name"), name, "must be a valid CEL identifier");
    }
    if v.s("expression").trim().is_empty() {
        e.required(&at.c("expression"), "expression is not specified");
    }
}

fn is_identifier(n: &str) -> bool {
    const RESERVED: &[&str] = &[
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    let word = n.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
    word && !n.starts_with(|c: char| c.is_ascii_digit()) && !RESERVED.contains(&n)
}

fn param_kind(p: &Value, at: &At<'_>, e: &mut Errs) {
    let (version, version_at) = (p.s("apiVersion"), at.c("apiVersion"));
    match version.split('/').collect::<Vec<_>>()[..] {
        _ if version.is_empty() => e.required(&version_at, ""),
        [v] => self::version("", v, version, &version_at, e),
        [g, v] if version != "/" => self::version(g, v, version, &version_at, e),
        [_, _] => e.invalid(&version_at, version, "version must be specified"),
        _ => e.invalid(&version_at, version, format!("unexpected GroupVersion string: {version}")),
    }
    let kind = p.s("kind");
    let bad = names::is_dns1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        e.required(&at.c("kind"), "");
    } else if !bad.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", bad.join(","));
        e.invalid(&at.c("kind"), kind, why);
    }
}

fn version(group: &str, version: &str, all: &str, at: &At<'_>, e: &mut Errs) {
    if !group.is_empty() {
        let bad = names::is_dns1123_subdomain(group);
        if !bad.is_empty() {
            e.invalid(at, group, bad.join(","));
        }
    }
    if version.is_empty() {
        return e.invalid(at, all, "version must be specified");
    }
    let bad = names::is_dns1035_label(version);
    if !bad.is_empty() {
        e.invalid(at, version, bad.join(","));
    }
}

fn status(s: &Value, e: &mut Errs) {
    let at = At::new("status.typeChecking.expressionWarnings");
    for (i, w) in s.v("typeChecking").list("expressionWarnings").iter().enumerate() {
        let at = at.i(i);
        e.non_empty(&at.c("warning"), w.s("warning"));
        e.non_empty(&at.c("fieldRef"), w.s("fieldRef").trim());
    }
    e.conditions(&At::new("status.conditions"), s.list("conditions"));
}
