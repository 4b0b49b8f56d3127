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

/// Objects that are kept decoded: the last ones that somebody looked at.
const RECENT: usize = 32;
/// Larger ones are not kept.
const LARGE: usize = 32 << 10;

struct Seen {
    kind: TypeId,
    /// Shared by all who have the object; kept, it stays the only one at its address.
    header: Arc<Header>,
    resource_version: u64,
    object: Arc<dyn Any + Send + Sync>,
}

static SEEN: [Mutex<Option<Seen>>; RECENT] = [const { Mutex::new(None) }; RECENT];

/// As [`decode`]; several who look at one object at about the same time share what the first decoded.
pub fn shared<K: Kind>(o: &RawObject) -> Result<Arc<K>, Error> {
    if o.body.len() > LARGE {
        return decode(o).map(Arc::new);
    }
    let kind = TypeId::of::<K>();
    let slot = &SEEN[(Arc::as_ptr(&o.header) as usize >> 6) % RECENT];
    {
        let seen = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(s) = &*seen
            && s.kind == kind
            && s.resource_version == o.resource_version
            && Arc::ptr_eq(&s.header, &o.header)
            && let Ok(k) = s.object.clone().downcast::<K>()
        {
            return Ok(k);
        }
    }
    let k = Arc::new(decode::<K>(o)?);
    let (header, resource_version) = (o.header.clone(), o.resource_version);
    let seen = Seen { kind, header, resource_version, object: k.clone() };
    // What it replaces is dropped without the lock.
    let old = slot.lock().unwrap_or_else(PoisonError::into_inner).replace(seen);
    drop(old);
    Ok(k)
}
