//! Server-side apply.

use super::conflict::Conflicts;
use super::entry::{self, Entry, Identity, Operation, Set};
use super::last_applied::{self, KUBECTL};
use super::update::{Failure, Settle, manager_name, reconcile, schema_of, settle, update};
use super::{EntryError, MANAGED, Request, managed_of, same_but_managed, set_managed, strip};
use crate::fieldset::FieldSet;
use crate::typed::{Invalid, ensure_named_fields, field_set, merge, remove_items, validate};
use meta::Status;
use meta::object::ObjectExt;
use serde_json::{Map, Value};

/// Why an apply was refused; [`ApplyError::status`] is upstream's answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ApplyError {
    #[error("failed to decode managed fields: {0}")]
    Entries(EntryError),
    #[error("invalid object type: {0}")]
    Kind(String),
    #[error("metadata.managedFields must be nil")]
    ManagedFields,
    /// The configuration does not fit the schema.
    #[error("failed to create typed patch object ({object}): {why}")]
    Config { object: String, why: Invalid },
    /// The live object does not.
    #[error("failed to create typed live object ({object}): {why}")]
    Live { object: String, why: Invalid },
    #[error(transparent)]
    Conflicts(Conflicts),
}

impl ApplyError {
    pub fn status(&self) -> Status {
        match self {
            Self::Conflicts(c) => c.status(),
            Self::Kind(_) | Self::ManagedFields => Status::bad_request(self.to_string()),
            _ => Status { code: 500, ..Status::failure(meta::Reason::Unknown, self.to_string()) },
        }
    }
}

/// Applies a configuration: the live object merged with it, without what this manager applied before and no longer
/// does, and with the managedFields that follow. The result still has to be decoded and defaulted; where nothing changed
/// it is the live object.
///
/// `kind` is that of the endpoint; the configuration's must be the same.
pub fn apply(
    req: &Request<'_>,
    kind: &str,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Value, ApplyError> {
    let (v, k) = (config.str_at("apiVersion"), config.str_at("kind"));
    if v != req.api_version || k != kind {
        return Err(ApplyError::Kind(gvk(v, k)));
    }
    if managed_of(config).is_some_and(|m| !m.is_null()) {
        return Err(ApplyError::ManagedFields);
    }
    let mut entries = match live.and_then(managed_of) {
        Some(m) => entry::decode(m, false).map_err(ApplyError::Entries)?,
        None => Vec::new(),
    };
    let mut base = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    if let Some(Value::Object(m)) = base.get_mut("metadata") {
        m.remove(MANAGED);
    }
    let about = |o: &Value| {
        let or = |s: &str| if s.is_empty() { String::new() } else { s.to_owned() };
        format!("{}/{}; {}", or(o.namespace()), or(o.name()), gvk(req.api_version, kind))
    };
    if entries.is_empty() && live.is_some() {
        // Whatever is there was there before.
        let nothing = Value::Object(Map::new());
        entries = match update(req, &nothing, &base, entries, "before-first-apply") {
            Ok(e) => e,
            Err(Failure::Invalid(why)) => return Err(ApplyError::Live { object: about(&base), why }),
            Err(Failure::Conflicts(c)) => return Err(ApplyError::Conflicts(c)),
        };
    }
    validate(config, req.schema).map_err(|why| ApplyError::Config { object: about(config), why })?;

    let run = |entries: Vec<Entry>, force: bool| -> Result<_, ApplyError> {
        once(req, &base, config, entries, force).map_err(|f| match f {
            Failure::Invalid(why) => ApplyError::Live { object: about(&base), why },
            Failure::Conflicts(c) => ApplyError::Conflicts(c),
        })
    };
    // kubectl may take over what its client-side apply had set.
    let (mut object, entries) = if req.manager == KUBECTL && !force {
        match run(entries.clone(), false) {
            Err(ApplyError::Conflicts(c)) => match last_applied::allowed_conflicts(req, &base) {
                None => return Err(ApplyError::Conflicts(c)),
                Some(allowed) if c.fields().difference(&allowed).is_empty() => run(entries, true)?,
                Some(allowed) => return Err(ApplyError::Conflicts(c.without(&allowed))),
            },
            r => r?,
        }
    } else {
        run(entries, force)?
    };
    if req.manager == KUBECTL {
        last_applied::refresh(&mut object, config);
    }
    set_managed(&mut object, entry::encode(entries));
    Ok(object)
}

fn gvk(api_version: &str, kind: &str) -> String {
    // Upstream prints group and version; the core group's is `/v1`.
    let gv = if api_version.contains('/') { api_version.to_owned() } else { format!("/{api_version}") };
    format!("{gv}, Kind={kind}")
}

fn once(
    req: &Request<'_>,
    live: &Value,
    config: &Value,
    mut entries: Vec<Entry>,
    force: bool,
) -> Result<(Value, Vec<Entry>), Failure> {
    let me = Identity {
        manager: manager_name(req.manager),
        operation: Operation::Apply,
        api_version: req.api_version,
        subresource: req.subresource,
    };
    reconcile(req, live, &mut entries);
    let merged = merge(live.clone(), config, req.schema)?;
    let applied = req.filter.apply(field_set(config, req.schema));
    let last = entries.iter().position(|e| e.is(&me)).map(|i| entries.remove(i));
    let old_time = last.as_ref().and_then(|e| e.time.clone());
    let last = last.map(|e| (e.api_version.clone(), e.set.parsed())).filter(|l| !l.1.is_empty());
    entries.push(Entry {
        manager: me.manager.to_owned(),
        operation: Operation::Apply,
        api_version: me.api_version.to_owned(),
        subresource: me.subresource.to_owned(),
        time: old_time,
        set: Set::Parsed(applied),
    });
    let merged = prune(req, merged, &entries, last);
    settle(req, live, &merged, &mut entries, Settle::Apply { me: &me, force })?;
    let changed = !same_but_managed(live, &merged);
    if let Some(e) = entries.iter_mut().find(|e| e.is(&me)) {
        let set = std::mem::take(e.set.parsed_mut());
        e.set = Set::Parsed(strip(set));
        if changed {
            e.time = Some(req.now.rfc3339());
        }
    }
    entries.retain(|e| !e.set.is_empty());
    Ok((if changed { merged } else { live.clone() }, entries))
}

/// An object in one of its versions.
struct Versioned {
    api_version: String,
    object: Value,
}

impl Versioned {
    /// In another version; itself, with `false`, where that version is gone.
    fn to(&self, req: &Request<'_>, version: &str) -> Option<Value> {
        if self.api_version == version {
            return Some(self.object.clone());
        }
        req.versions.convert(&self.object, version)
    }
}

/// Takes out what this manager applied last time, not this time, and nobody else owns.
fn prune(req: &Request<'_>, merged: Value, entries: &[Entry], last: Option<(String, FieldSet)>) -> Value {
    let Some((version, last)) = last else { return merged };
    // Nothing is given up: nothing to take out.
    if entries.last().is_some_and(|e| e.api_version == version && e.set.holds(&last)) {
        return merged;
    }
    let Some(node) = schema_of(req, &version) else { return merged };
    let here = Versioned { api_version: req.api_version.to_owned(), object: merged };
    let Some(merged) = here.to(req, &version) else { return here.object };
    let last = ensure_named_fields(last, node);
    let pruned = remove_items(merged.clone(), &last, node);

    // What others own comes back, first in the version of the last apply.
    let mut owned: Vec<(String, FieldSet)> = Vec::new();
    for e in entries {
        match owned.iter_mut().find(|(v, _)| *v == e.api_version) {
            Some((_, s)) => *s = std::mem::take(s).union(e.set.parsed()),
            None => owned.push((e.api_version.clone(), e.set.parsed())),
        }
    }
    owned.sort_by_key(|(v, _)| (*v != version, v.clone()));
    let mut all = Versioned { api_version: version.clone(), object: merged.clone() };
    let mut left = Versioned { api_version: version.clone(), object: pruned };
    for (v, set) in owned {
        let Some(node) = schema_of(req, &v) else { continue };
        let (Some(a), Some(l)) = (all.to(req, &v), left.to(req, &v)) else { continue };
        let keep = ensure_named_fields(field_set(&l, node), node).union(ensure_named_fields(set, node));
        let gone = ensure_named_fields(field_set(&a, node), node).difference(&keep);
        left = Versioned { api_version: v.clone(), object: remove_items(a.clone(), &gone, node) };
        all = Versioned { api_version: v, object: a };
    }

    // What this manager did not own before is not its to remove.
    let Some(left) = left.to(req, &version) else { return here.object };
    let left = ensure_named_fields(field_set(&left, node), node);
    let gone = ensure_named_fields(field_set(&merged, node), node).difference(&left).intersection(&last);
    let out = Versioned { api_version: version, object: remove_items(merged, &gone, node) };
    out.to(req, req.api_version).unwrap_or(here.object)
}
