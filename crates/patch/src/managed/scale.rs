//! Entries of a resource as entries of its scale subresource, and back (apimachinery `managedfields/scalehandler.go`).

use super::entry::{self, Entry, EntryError, Set};
use crate::fieldset::{FieldSet, PathElement};
use serde_json::Value;

/// The version of `Scale`.
const SCALE: &str = "autoscaling/v1";

/// Where each version of a resource has its replicas: (`apps/v1`, `Some("spec.replicas")`); `None` for a version of a
/// custom resource without scale.
pub type Replicas<'a> = &'a [(&'a str, Option<&'a str>)];

fn path(p: &str) -> Vec<PathElement> {
    p.split('.').map(PathElement::field).collect()
}
fn in_scale() -> FieldSet {
    FieldSet::of_paths(["spec.replicas"])
}
fn of<'a>(replicas: Replicas<'a>, version: &str) -> Option<Option<&'a str>> {
    replicas.iter().find(|r| r.0 == version).map(|r| r.1)
}

/// The resource's entries as the scale has them: those that own the replicas.
pub fn to_scale(parent: Option<&Value>, replicas: Replicas<'_>) -> Result<Option<Value>, EntryError> {
    let entries = parent.map(|p| entry::decode(p, false)).transpose()?.unwrap_or_default();
    let mut out = Vec::new();
    for e in entries {
        let Some(Some(p)) = of(replicas, &e.api_version) else { continue };
        if e.set.holds(&FieldSet::of_paths([p])) {
            out.push(Entry { api_version: SCALE.into(), set: Set::Parsed(in_scale()), ..e });
        }
    }
    Ok(entry::encode(out))
}

/// The resource's entries after its scale was written; `version` is the resource's in this request.
pub fn to_parent(
    parent: Option<&Value>,
    scale: Option<&Value>,
    version: &str,
    replicas: Replicas<'_>,
) -> Result<Option<Value>, EntryError> {
    let parents = parent.map(|p| entry::decode(p, false)).transpose()?.unwrap_or_default();
    let mut scales = scale.map(|p| entry::decode(p, false)).transpose()?.unwrap_or_default();
    // An entry keeps its identity but for the version.
    let same = |a: &Entry, b: &Entry| {
        a.manager == b.manager && a.operation == b.operation && a.subresource == b.subresource
    };
    let mut out = Vec::new();
    for mut e in parents {
        let Some(at) = of(replicas, &e.api_version) else { continue };
        let Some(p) = at.filter(|p| e.set.holds(&FieldSet::of_paths([*p]))) else {
            out.push(e);
            continue;
        };
        if let Some(i) = scales.iter().position(|s| same(s, &e)) {
            scales.remove(i);
            out.push(e);
            continue;
        }
        let mut gone = FieldSet::new();
        gone.insert(path(p));
        let set = std::mem::take(e.set.parsed_mut()).difference(&gone);
        if !set.is_empty() {
            out.push(Entry { set: Set::Parsed(set), ..e });
        }
    }
    let here = of(replicas, version).flatten();
    for s in scales.into_iter().filter(|s| s.set.holds(&in_scale())) {
        let Some(p) = here else { continue };
        let set = Set::Parsed(FieldSet::of_paths([p]));
        let e = Entry { api_version: version.to_owned(), set, ..s };
        match out.iter().position(|o| o.is(&e.identity())) {
            Some(i) => out[i] = e,
            None => out.push(e),
        }
    }
    Ok(entry::encode(out))
}
