//! Mutating- and ValidatingWebhookConfigurations.

use super::rules;
use crate::kit::*;

pub(crate) struct WebhookConfiguration;

impl Strategy for WebhookConfiguration {
    fn validate(&self, _cx: &Cx<'_>, o: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(
            o,
            Rules { no_side_effects: true, known_versions: true, unique: true, ..Rules::default() },
            &mut e,
        );
        rules::static_name(o, &mut e);
        e.0
    }

    fn validate_update(&self, _cx: &Cx<'_>, o: &Value, old: &Value) -> ErrorList {
        let mut e = Errs::default();
        validate(o, Rules::of(o, old), &mut e);
        e.0
    }

    fn warnings(&self, _cx: &Cx<'_>, o: &Value, old: Option<&Value>) -> Vec<String> {
        let mut out = rules::static_warnings(o, old);
        if schema::facts::gate("ExcludeAdmissionWebhookVirtualResources") {
            let at = At::new("webhooks");
            for (i, h) in o.list("webhooks").iter().enumerate() {
                let at = at.i(i);
                let at = at.c("rules");
                for (j, r) in h.list("rules").iter().enumerate() {
                    rules::excluded_warnings(r, &at.i(j), &mut out);
                }
            }
        }
        out
    }

    fn row(&self, o: &Value, now: Timestamp) -> Row {
        row![o.name(), o.list("webhooks").len(), age(o, now)]
    }
}

/// What is asked of new configurations, and of others where they had it before.
#[derive(Clone, Copy, Default)]
struct Rules {
    no_side_effects: bool,
    known_versions: bool,
    unique: bool,
    invalid_selector: bool,
    ignore_conditions: bool,
}

fn harmless(h: &Value) -> bool {
    matches!(h.s("sideEffects"), "None" | "NoneOnDryRun")
}

fn known_version(h: &Value) -> bool {
    h.strs("admissionReviewVersions").iter().any(|v| matches!(*v, "v1" | "v1beta1"))
}

impl Rules {
    fn of(new: &Value, old: &Value) -> Self {
        let (now, was) = (new.list("webhooks"), old.list("webhooks"));
        let mut bad = Errs::default();
        for h in was {
            for f in ["namespaceSelector", "objectSelector"] {
                bad.label_selector(&At::new(""), h.set(f), false);
            }
        }
        let same = |(a, b): (&Value, &Value)| opt_same(a.f("matchConditions"), b.f("matchConditions"));
        let twice = |(i, h): (usize, &Value)| was[..i].iter().any(|x| x.s("name") == h.s("name"));
        Self {
            no_side_effects: was.iter().all(harmless),
            known_versions: was
                .iter()
                .all(|h| known_version(h) || h.list("admissionReviewVersions").is_empty()),
            unique: !was.iter().enumerate().any(twice),
            invalid_selector: !bad.is_empty(),
            ignore_conditions: now.len() == was.len() && now.iter().zip(was).all(same),
        }
    }
}

fn validate(o: &Value, r: Rules, e: &mut Errs) {
    let at = At::new("webhooks");
    let list = o.list("webhooks");
    for (i, h) in list.iter().enumerate() {
        let at = at.i(i);
        webhook(h, o.s("kind") == "MutatingWebhookConfiguration", r, &at, e);
        review_versions(h, r, &at.c("admissionReviewVersions"), e);
        let name = h.s("name");
        if r.unique && !name.is_empty() && list[..i].iter().any(|x| x.s("name") == name) {
            e.duplicate(&at.c("name"), name);
        }
    }
}

fn webhook(h: &Value, mutating: bool, r: Rules, at: &At<'_>, e: &mut Errs) {
    full_name(h.s("name"), &at.c("name"), e);
    let rules_at = at.c("rules");
    for (i, x) in h.list("rules").iter().enumerate() {
        rules::rule(x, &rules_at.i(i), e);
    }
    rules::choice(h, "failurePolicy", rules::FAILURE, false, at, e);
    rules::choice(h, "matchPolicy", rules::MATCH, false, at, e);
    let effects: &[&str] = if r.no_side_effects {
        &["None", "NoneOnDryRun"]
    } else {
        &["None", "NoneOnDryRun", "Some", "Unknown"]
    };
    match h.os("sideEffects") {
        None => e.required(&at.c("sideEffects"), format!("must specify one of {}", effects.join(", "))),
        Some(s) => drop(e.one_of(&at.c("sideEffects"), s, effects)),
    }
    if let Some(n) = h.oi("timeoutSeconds").filter(|n| !(1..=30).contains(n)) {
        e.invalid(&at.c("timeoutSeconds"), n, "the timeout value must be between 1 and 30 seconds");
    }
    for f in ["namespaceSelector", "objectSelector"] {
        e.label_selector(&at.c(f), h.set(f), r.invalid_selector);
    }
    if mutating {
        rules::choice(h, "reinvocationPolicy", rules::REINVOCATION, false, at, e);
    }
    let (config, at_config) = (h.v("clientConfig"), at.c("clientConfig"));
    match (config.os("url"), config.set("service")) {
        (Some(u), None) => url(u, &at_config.c("url"), e),
        (None, Some(s)) => service(s, &at_config.c("service"), e),
        _ => e.required(&at_config, "exactly one of url or service is required"),
    }
    if !r.ignore_conditions {
        rules::conditions(h.list("matchConditions"), false, &at.c("matchConditions"), e);
    }
}

fn full_name(n: &str, at: &At<'_>, e: &mut Errs) {
    if n.is_empty() {
        return e.required(at, "");
    }
    let bad = names::is_dns1123_subdomain(n);
    if !bad.is_empty() {
        e.invalid(at, n, bad.join(","));
    } else if n.split('.').count() < 3 {
        e.invalid(at, n, "should be a domain with at least three segments separated by dots");
    }
}

fn review_versions(h: &Value, r: Rules, at: &At<'_>, e: &mut Errs) {
    let list = h.strs("admissionReviewVersions");
    if list.is_empty() {
        return e.required(at, "must specify one of v1, v1beta1");
    }
    for (i, v) in list.iter().enumerate() {
        if list[..i].contains(v) {
            e.invalid(&at.i(i), *v, "duplicate version");
        } else {
            e.name(&at.i(i), v, names::is_dns1035_label);
        }
    }
    if r.known_versions && !known_version(h) {
        let shown = h.v("admissionReviewVersions").clone();
        e.invalid(at, shown, "must include at least one of v1, v1beta1");
    }
}

/// An address of a webhook: `https://host[/path]`.
pub(crate) fn url(u: &str, at: &At<'_>, e: &mut Errs) {
    const FORM: &str = "; desired format: https://host[/path]";
    if let Some(why) = unreadable(u) {
        let shown = meta::field::quote(u);
        return e.required(at, format!("url must be a valid URL: parse {shown}: {why}{FORM}"));
    }
    let (scheme, rest) = scheme_of(u).unwrap_or(("", u));
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.strip_prefix("//").map_or("", |r| r.split('/').next().unwrap_or(""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((u, h)) => (Some(u), h),
        None => (None, authority),
    };
    let scheme = scheme.to_lowercase();
    if scheme != "https" {
        e.invalid(at, scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if host.is_empty() {
        e.invalid(at, host, format!("host must be specified{FORM}"));
    }
    if let Some(u) = user {
        e.invalid(at, u, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        e.invalid(at, fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        e.invalid(at, query, "query parameters are not permitted in the URL");
    }
}

fn scheme_of(u: &str) -> Option<(&str, &str)> {
    let ok = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    let (s, rest) = u.split_once(':')?;
    (s.starts_with(|c: char| c.is_ascii_alphabetic()) && s.chars().all(ok)).then_some((s, rest))
}

/// What Go's parser does not take.
fn unreadable(u: &str) -> Option<String> {
    if u.bytes().any(|b| b < b' ' || b == 0x7f) {
        return Some("net/url: invalid control character in URL".to_owned());
    }
    if u.starts_with(':') {
        return Some("missing protocol scheme".to_owned());
    }
    let scheme = scheme_of(u);
    let first = u.split(['/', '?', '#']).next().unwrap_or("");
    if scheme.is_none() && first.contains(':') {
        return Some("first path segment in URL cannot contain colon".to_owned());
    }
    let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = u.as_bytes();
    let escape = |i: &usize| bytes[*i] == b'%' && !(hex(bytes.get(i + 1)) && hex(bytes.get(i + 2)));
    if let Some(i) = (0..bytes.len()).find(escape) {
        let shown: String = u[i..].chars().take(3).collect();
        return Some(format!("invalid URL escape {}", meta::field::quote(&shown)));
    }
    let host = scheme?.1.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    if let Some(c) = host.chars().find(|c| " <>\"".contains(*c)) {
        return Some(format!("invalid character {:?} in host name", c.to_string()));
    }
    let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or("", |p| p.1);
    let bad = !port.bytes().all(|b| b.is_ascii_digit());
    bad.then(|| format!("invalid port {} after host", meta::field::quote(&format!(":{port}"))))
}

/// A service in the cluster to call.
pub(crate) fn service(s: &Value, at: &At<'_>, e: &mut Errs) {
    // Upstream's caller confuses the two, so that each is missed at the other's place.
    let crossed = [("name", "namespace"), ("namespace", "name")];
    for (shown, f) in crossed {
        e.non_empty(&at.c(shown), s.s(f));
    }
    let port = s.i("port");
    let bad = names::is_valid_port_num(port);
    if !bad.is_empty() {
        e.invalid(&at.c("port"), port, format!("port is not valid: {}", bad.join(", ")));
    }
    path(s.s("path"), &at.c("path"), e);
}

fn path(p: &str, at: &At<'_>, e: &mut Errs) {
    if matches!(p, "" | "/") {
        return;
    }
    if p == "//" {
        return e.invalid(at, p, "segment[0] may not be empty");
    }
    if !p.starts_with('/') {
        e.invalid(at, p, "must start with a '/'");
    }
    // The first byte goes, whatever it is.
    let rest = p.char_indices().nth(1).map_or("", |(i, _)| &p[i..]);
    for (i, step) in rest.strip_suffix('/').unwrap_or(rest).split('/').enumerate() {
        if step.is_empty() {
            e.invalid(at, p, format!("segment[{i}] may not be empty"));
            continue;
        }
        for why in names::is_dns1123_subdomain(step) {
            e.invalid(at, p, format!("segment[{i}]: {why}"));
        }
    }
}
