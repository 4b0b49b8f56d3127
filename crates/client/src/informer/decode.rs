//! Raw objects to typed ones.

use crate::kind::Kind;
use crate::raw::{Error, RawObject};
use schema::Header;
use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

/// Decodes stored bytes into a typed object that has the resource version it was delivered with, and no managed fields.
/// (An update without managed fields leaves them to the server.)
pub fn decode<K: Kind>(o: &RawObject) -> Result<K, Error> {
    read(o, false)
}
/// As [`decode`], with the managed fields.
pub fn whole<K: Kind>(o: &RawObject) -> Result<K, Error> {
    read(o, true)
}
fn read<K: Kind>(o: &RawObject, managed: bool) -> Result<K, Error> {
    let bad = |e: &dyn std::fmt::Display| Error::Decode(format!("{} {}: {e}", K::KIND, o.key()));
    let version = if o.resource_version == 0 { String::new() } else { o.resource_version.to_string() };
    let k = if o.json { K::from_json(&o.body) } else { K::from_proto(&o.body, Some(&version), managed) };
    let mut k = k.map_err(|e| bad(&e))?;
    if !version.is_empty() {
        k.metadata_mut().resource_version = Some(version);
    }
    Ok(k)
}

/// Objects that are kept decoded: the last few that somebody looked at of each of so many sets, by address. A burst of
/// changes passes from cache to cache in batches: as many have their place at a time.
const SETS: usize = 32;
const EACH: usize = 4;
/// Larger ones are not kept.
const LARGE: usize = 32 << 10;

struct Seen {
    kind: TypeId,
    /// Shared by all who have the object; kept, it stays the only one at its address.
    header: Arc<Header>,
    resource_version: u64,
    object: Arc<dyn Any + Send + Sync>,
}

static SEEN: [Mutex<Vec<Seen>>; SETS] = [const { Mutex::new(Vec::new()) }; SETS];

/// The set of an object. Headers are of one size: their addresses differ by multiples of it.
fn set_of(header: &Arc<Header>) -> &'static Mutex<Vec<Seen>> {
    let at = (Arc::as_ptr(header) as usize as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &SEEN[(at >> 32) as usize % SETS]
}

/// As [`decode`]; several who look at one object at about the same time share what the first decoded.
pub fn shared<K: Kind>(o: &RawObject) -> Result<Arc<K>, Error> {
    if o.body.len() > LARGE {
        return decode(o).map(Arc::new);
    }
    let kind = TypeId::of::<K>();
    let set = set_of(&o.header);
    {
        let seen = set.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |s: &&Seen| {
            s.kind == kind && s.resource_version == o.resource_version && Arc::ptr_eq(&s.header, &o.header)
        };
        if let Some(s) = seen.iter().find(same)
            && let Ok(k) = s.object.clone().downcast::<K>()
        {
            return Ok(k);
        }
    }
    let k = Arc::new(decode::<K>(o)?);
    let (header, resource_version) = (o.header.clone(), o.resource_version);
    let seen = Seen { kind, header, resource_version, object: k.clone() };
    // What it replaces is dropped without the lock.
    let old = {
        let mut all = set.lock().unwrap_or_else(PoisonError::into_inner);
        let old = (all.len() >= EACH).then(|| all.remove(0));
        all.push(seen);
        old
    };
    drop(old);
    Ok(k)
}
