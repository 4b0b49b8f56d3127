//! Ownership after a write: who lost what, and what the writer gained.

use super::conflict::{Conflict, Conflicts};
use super::entry::{Entry, Identity, Operation, Set};
use super::{Request, strip};
use crate::fieldset::FieldSet;
use crate::typed::{Comparison, Invalid, compare};
use schema::Node;
use serde_json::Value;

/// Entries of updates that are kept apart; older ones are folded.
const MAX_UPDATERS: usize = 10;
const FOLDED: &str = "ancient-changes";

/// What a write cannot account for.
#[derive(Debug)]
pub(super) enum Failure {
    Invalid(Invalid),
    Conflicts(Conflicts),
}
impl From<Invalid> for Failure {
    fn from(e: Invalid) -> Self {
        Self::Invalid(e)
    }
}

pub(super) fn manager_name(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
}

/// The entries after a create, update or patch by this manager.
pub(super) fn update(
    req: &Request<'_>,
    old: &Value,
    new: &Value,
    mut entries: Vec<Entry>,
    manager: &str,
) -> Result<Vec<Entry>, Failure> {
    let me = Identity {
        manager: manager_name(manager),
        operation: Operation::Update,
        api_version: req.api_version,
        subresource: req.subresource,
    };
    reconcile(req, old, &mut entries);
    let compared = settle(req, old, new, &mut entries, Settle::Update(&me))?;
    let mine = strip(compared.changed);
    if !mine.is_empty() {
        let now = Some(req.now.rfc3339());
        match entries.iter_mut().find(|e| e.is(&me)) {
            Some(e) => {
                e.time = now;
                if !e.set.holds(&mine) {
                    let had = std::mem::take(e.set.parsed_mut());
                    e.set = Set::Parsed(had.union(mine));
                }
            }
            None => entries.push(Entry {
                manager: me.manager.to_owned(),
                operation: Operation::Update,
                api_version: me.api_version.to_owned(),
                subresource: me.subresource.to_owned(),
                time: now,
                set: Set::Parsed(mine),
            }),
        }
    }
    entries.retain(|e| !e.set.is_empty());
    fold(&mut entries);
    Ok(entries)
}

/// Makes old sets fit the present schema; entries of versions that are gone are dropped.
pub(super) fn reconcile(req: &Request<'_>, _live: &Value, entries: &mut Vec<Entry>) {
    entries.retain_mut(|e| match schema_of(req, &e.api_version) {
        Some(n) => {
            e.reconcile(n);
            true
        }
        None => false,
    });
}

pub(super) fn schema_of<'a>(req: &Request<'a>, api_version: &str) -> Option<Node<'a>> {
    if api_version == req.api_version { Some(req.schema) } else { req.versions.schema(api_version) }
}

/// Whose write is settled.
pub(super) enum Settle<'a> {
    /// Takes what it changed from everybody; what it owned and changed again stays its own.
    Update(&'a Identity<'a>),
    Apply {
        me: &'a Identity<'a>,
        force: bool,
    },
}

/// Takes from everybody else what was changed, and what is gone. The comparison in the request's version comes back,
/// without what the endpoint cannot change.
pub(super) fn settle(
    req: &Request<'_>,
    old: &Value,
    new: &Value,
    entries: &mut Vec<Entry>,
    how: Settle<'_>,
) -> Result<Comparison, Failure> {
    let here = compare(old, new, req.schema)?.filter(req.filter);
    let mut others: Vec<(String, Option<Comparison>)> = Vec::new();
    for e in entries.iter() {
        let v = &e.api_version;
        if v == req.api_version || others.iter().any(|(o, _)| o == v) {
            continue;
        }
        others.push((v.clone(), in_version(req, old, new, v)?));
    }
    let of = |v: &str| {
        if v == req.api_version {
            return Some(&here);
        }
        others.iter().find(|(o, _)| o == v).and_then(|(_, c)| c.as_ref())
    };
    if let Settle::Apply { me, force: false } = how {
        let mut conflicts = Vec::new();
        for e in entries.iter().filter(|e| !e.is(me)) {
            let Some(c) = of(&e.api_version) else { continue };
            if !e.set.meets(&c.changed) {
                continue;
            }
            let paths = e.set.parsed().intersection(&c.changed);
            conflicts.push((e.identity().text(), Conflict::of(e, paths)));
        }
        if !conflicts.is_empty() {
            conflicts.sort_by(|a, b| a.0.cmp(&b.0));
            return Err(Failure::Conflicts(Conflicts(conflicts.into_iter().map(|c| c.1).collect())));
        }
    }
    entries.retain_mut(|e| {
        let Some(c) = of(&e.api_version) else { return false };
        let (mine, changed): (bool, &FieldSet) = match &how {
            Settle::Update(me) => {
                let mine = e.is(me);
                (false, if mine { FieldSet::EMPTY } else { &c.changed })
            }
            Settle::Apply { me, .. } => (e.is(me), &c.changed),
        };
        if mine {
            return true;
        }
        for gone in [changed, &c.removed] {
            if !gone.is_empty() && e.set.meets(gone) {
                let set = e.set.parsed_mut();
                *set = std::mem::take(set).difference(gone);
            }
        }
        !e.set.is_empty()
    });
    Ok(here)
}

/// The comparison in another version; `None` if there is none any more.
fn in_version(
    req: &Request<'_>,
    old: &Value,
    new: &Value,
    version: &str,
) -> Result<Option<Comparison>, Failure> {
    let Some(node) = req.versions.schema(version) else { return Ok(None) };
    let convert = |v: &Value| -> Option<Value> {
        // Nothing is nothing in every version.
        if v.as_object().is_some_and(serde_json::Map::is_empty) {
            return Some(v.clone());
        }
        req.versions.convert(v, version)
    };
    let (Some(old), Some(new)) = (convert(old), convert(new)) else { return Ok(None) };
    let c = compare(&old, &new, node)?;
    Ok(Some(match req.versions.filter(version) {
        Some(f) => c.filter(f),
        None => c,
    }))
}

/// Folds the oldest updates, version by version, until there are few enough.
fn fold(entries: &mut Vec<Entry>) {
    let mut count = entries.iter().filter(|e| !e.applied()).count();
    if count <= MAX_UPDATERS {
        return;
    }
    // Folding takes entries out one by one; the order is that of the beginning.
    let mut order: Vec<(i64, String)> =
        entries.iter().filter(|e| !e.applied()).map(|e| (e.seconds(), e.identity().text())).collect();
    order.sort();
    let at = |entries: &[Entry], id: &str| entries.iter().position(|e| e.identity().text() == id);
    // Version, identifier of the first entry seen of it.
    let mut first: Vec<(String, String)> = Vec::new();
    for (_, id) in order {
        if count <= MAX_UPDATERS {
            return;
        }
        let Some(i) = at(entries, &id) else { continue };
        let version = entries[i].api_version.clone();
        let bucket = Identity {
            manager: FOLDED,
            operation: Operation::Update,
            api_version: &version,
            subresource: "",
        }
        .text();
        let Some((_, first_id)) = first.iter().find(|(v, _)| *v == version) else {
            first.push((version.clone(), id));
            continue;
        };
        let b = match at(entries, &bucket) {
            Some(b) => b,
            None => {
                let Some(b) = at(entries, first_id) else { continue };
                FOLDED.clone_into(&mut entries[b].manager);
                entries[b].subresource.clear();
                b
            }
        };
        let Some(i) = at(entries, &id) else { continue };
        if i == b {
            continue;
        }
        let taken = entries.remove(i);
        let b = if i < b { b - 1 } else { b };
        let had = std::mem::take(entries[b].set.parsed_mut());
        entries[b].set = Set::Parsed(had.union(taken.set.parsed()));
        // The more recent of the two, being later in the order.
        entries[b].time = taken.time;
        count -= 1;
    }
}
