//! PodSecurity: what pods of a namespace may do to their node, by the labels `pod-security.kubernetes.io/…`
//! (k8s.io/pod-security-admission). The checks are in `checks`, the levels and versions in `policy`.

mod checks;
mod checks_restricted;
mod policy;
#[cfg(test)]
mod tests;

pub use policy::{Level, LevelVersion, Policy, Version, evaluate};

use crate::{Attributes, Lookup, Operation, Plugin};
use meta::field::{aggregate, quote};
use meta::object::ObjectExt;
use meta::{Status, Value};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// Existing pods looked at when a namespace gets stricter.
const MAX_PODS: usize = 3000;

/// PodSecurityConfiguration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Of namespaces without labels; privileged where not configured.
    pub defaults: Policy,
    pub exempt_usernames: Vec<String>,
    pub exempt_namespaces: Vec<String>,
    pub exempt_runtime_classes: Vec<String>,
}

pub(crate) struct PodSecurity {
    config: Config,
}

/// Where a resource keeps its pod template; empty for pods themselves.
fn template_path(group: &str, resource: &str) -> Option<&'static str> {
    match (group, resource) {
        ("", "pods") => Some(""),
        ("", "podtemplates") => Some("template"),
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => Some("spec.template"),
        ("batch", "cronjobs") => Some("spec.jobTemplate.spec.template"),
        _ => None,
    }
}

const IGNORED_SUBRESOURCES: &[&str] =
    &["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

impl PodSecurity {
    pub(crate) fn new(config: Config) -> Self {
        Self { config }
    }

    /// Exempt users and namespaces get a note and nothing else.
    fn exempt(&self, a: &mut Attributes<'_>) -> bool {
        let c = &self.config;
        let why = if !a.namespace.is_empty() && c.exempt_namespaces.iter().any(|n| n == a.namespace) {
            "namespace"
        } else if !a.user.name.is_empty() && c.exempt_usernames.contains(&a.user.name) {
            "user"
        } else {
            return false;
        };
        a.effects.annotations.push((format!("{PREFIX}exempt"), why.into()));
        true
    }

    fn exempt_runtime_class(&self, spec: &Value) -> bool {
        let class = spec.str_at("runtimeClassName");
        !class.is_empty() && self.config.exempt_runtime_classes.iter().any(|c| c == class)
    }

    fn policy(&self, namespace: &Value) -> (Policy, meta::ErrorList) {
        policy::of_labels(namespace.labels(), &self.config.defaults)
    }

    fn namespace(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if !a.subresource.is_empty() {
            return Ok(());
        }
        let (new, errors) = self.policy(a.obj());
        let name = a.obj().name().to_owned();
        let invalid = || Err(Status::invalid(&a.kind.group_kind(), &name, &errors));
        let exempt =
            !a.namespace.is_empty() && self.config.exempt_namespaces.iter().any(|n| n == a.namespace);
        if a.creates() {
            if !errors.is_empty() {
                return invalid();
            }
        } else {
            let (old, old_errors) = self.policy(a.old());
            if !errors.is_empty() && errors != old_errors {
                return invalid();
            }
            let relaxed =
                new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
            if new.enforce == old.enforce || new.enforce.level == Level::Privileged || relaxed {
                return Ok(());
            }
            if !exempt {
                let warnings = self.existing_pods(&name, new.enforce, l);
                a.effects.warnings.extend(warnings);
                return Ok(());
            }
        }
        if exempt && let Some(w) = self.exempt_warning(&name, &new, a.obj()) {
            a.effects.warnings.push(w);
        }
        Ok(())
    }

    fn exempt_warning(&self, name: &str, p: &Policy, namespace: &Value) -> Option<String> {
        if p.fully_privileged() || p.equivalent(&self.config.defaults) {
            return None;
        }
        let set = |mode: &str| {
            ["", "-version"].iter().any(|s| namespace.label(&format!("{PREFIX}{mode}{s}")).is_some())
        };
        let parts: Vec<String> = [("enforce", p.enforce), ("audit", p.audit), ("warn", p.warn)]
            .into_iter()
            .filter(|(mode, lv)| lv.level != Level::Privileged && set(mode))
            .map(|(mode, lv)| format!("{mode}={lv}"))
            .collect();
        Some(format!(
            "namespace {} is exempt from Pod Security, and the policy ({}) will be ignored",
            quote(name),
            parts.join(", ")
        ))
    }

    /// What pods that are there would violate.
    fn existing_pods(&self, namespace: &str, enforce: LevelVersion, l: &dyn Lookup) -> Vec<String> {
        let mut seen: HashSet<String> = HashSet::new();
        let (mut first, mut more): (Vec<Arc<Value>>, Vec<Arc<Value>>) = (Vec::new(), Vec::new());
        for pod in l.list("", "pods", namespace) {
            if pod.get("spec").is_some_and(|s| self.exempt_runtime_class(s)) {
                continue;
            }
            let owner = pod.array_at("metadata.ownerReferences").iter().find(|o| o.bool_at("controller"));
            // One pod of each controller before the others.
            let repeated = owner.is_some_and(|o| !seen.insert(o.str_at("uid").to_owned()));
            if repeated { more.push(pod) } else { first.push(pod) }
        }
        first.extend(more);
        let total = first.len();
        first.truncate(MAX_PODS);
        let mut warnings = Vec::new();
        if first.len() < total {
            warnings.push(format!(
                "new PodSecurity enforce level only checked against the first {MAX_PODS} of {total} existing pods"
            ));
        }
        let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for pod in &first {
            let violations = evaluate(enforce, pod, pod.get("spec").unwrap_or(&Value::Null));
            if violations.is_empty() {
                continue;
            }
            let reasons: Vec<&str> = violations.iter().map(|v| v.reason).collect();
            let entry = found.entry(reasons.join(", ")).or_insert_with(|| (pod.name().to_owned(), 0));
            entry.1 += 1;
            if pod.name() < entry.0.as_str() {
                pod.name().clone_into(&mut entry.0);
            }
        }
        if found.is_empty() {
            return warnings;
        }
        warnings.push(format!(
            "existing pods in namespace {} violate the new PodSecurity enforce level {}",
            quote(namespace),
            quote(&enforce.to_string())
        ));
        let mut lines: Vec<String> = found
            .into_iter()
            .map(|(reasons, (pod, n))| match n {
                1 => format!("{pod}: {reasons}"),
                2 => format!("{pod} (and 1 other pod): {reasons}"),
                n => format!("{pod} (and {} other pods): {reasons}", n - 1),
            })
            .collect();
        lines.sort();
        warnings.extend(lines);
        warnings
    }

    /// A pod is held to the level that is enforced; what makes pods only gets warnings.
    fn pods(&self, a: &mut Attributes<'_>, l: &dyn Lookup, path: &str) -> Result<(), Status> {
        let enforce = path.is_empty();
        let ignored =
            if enforce { IGNORED_SUBRESOURCES.contains(&a.subresource) } else { !a.subresource.is_empty() };
        if ignored || self.exempt(a) {
            return Ok(());
        }
        let Some(namespace) = l.get("", "namespaces", "", a.namespace) else {
            let why = format!("failed to lookup namespace {}", quote(a.namespace));
            a.effects.annotations.push((format!("{PREFIX}error"), why.clone()));
            return if enforce { Err(Status::internal(why)) } else { Ok(()) };
        };
        let (policy, errors) = self.policy(&namespace);
        if errors.is_empty() {
            if enforce && policy.fully_privileged() {
                let level = "privileged:latest".to_owned();
                a.effects.annotations.push((format!("{PREFIX}enforce-policy"), level));
                return Ok(());
            }
            if !enforce && policy.warn.level == Level::Privileged && policy.audit.level == Level::Privileged {
                return Ok(());
            }
        }
        let new = a.obj();
        let Some(pod) = (if enforce { Some(new) } else { new.at(path) }) else { return Ok(()) };
        if enforce && a.updates() && !significant(new, a.old()) {
            return Ok(());
        }
        let none = Value::Null;
        let spec = pod.get("spec").unwrap_or(&none);
        if self.exempt_runtime_class(spec) {
            a.effects.annotations.push((format!("{PREFIX}exempt"), "runtimeClass".into()));
            return Ok(());
        }
        let mut annotations: Vec<(String, String)> = Vec::new();
        if !errors.is_empty() {
            annotations
                .push((format!("{PREFIX}error"), format!("Failed to parse policy: {}", aggregate(&errors))));
        }
        let detail = |lv: LevelVersion| {
            let v = evaluate(lv, pod, spec);
            (!v.is_empty()).then(|| policy::details(&v))
        };
        let mut refusal = None;
        if enforce {
            annotations.push((format!("{PREFIX}enforce-policy"), policy.enforce.to_string()));
            if let Some(d) = detail(policy.enforce) {
                let level = quote(&policy.enforce.to_string());
                refusal = Some(a.forbidden(format!("violates PodSecurity {level}: {d}")));
            }
        }
        let would = |lv: LevelVersion| {
            detail(lv).map(|d| format!("would violate PodSecurity {}: {d}", quote(&lv.to_string())))
        };
        annotations.extend(would(policy.audit).map(|w| (format!("{PREFIX}audit-violations"), w)));
        let warning = if refusal.is_none() { would(policy.warn) } else { None };
        a.effects.annotations.extend(annotations);
        a.effects.warnings.extend(warning);
        refusal.map_or(Ok(()), Err)
    }
}

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }
    fn handles(&self, op: Operation) -> bool {
        matches!(op, Operation::Create | Operation::Update)
    }
    fn validate(&self, a: &mut Attributes<'_>, l: &dyn Lookup) -> Result<(), Status> {
        if a.is("", "namespaces") {
            return self.namespace(a, l);
        }
        match template_path(&a.resource.group, &a.resource.resource) {
            Some(path) => self.pods(a, l, path),
            None => Ok(()),
        }
    }
}

/// Whether an update changes what the checks look at: images, or new ephemeral containers.
fn significant(new: &Value, old: &Value) -> bool {
    for list in ["spec.containers", "spec.initContainers"] {
        let (n, o) = (new.array_at(list), old.array_at(list));
        if n.len() != o.len() || n.iter().zip(o).any(|(a, b)| a.str_at("image") != b.str_at("image")) {
            return true;
        }
    }
    let before = old.array_at("spec.ephemeralContainers");
    new.array_at("spec.ephemeralContainers").iter().any(|c| {
        let same = before.iter().find(|b| b.str_at("name") == c.str_at("name"));
        same.is_none_or(|b| b.str_at("image") != c.str_at("image"))
    })
}
