//! Raw objects to typed ones.

use crate::raw::{Error, RawObject};
use crate::typed::Kind;

/// Decodes stored bytes into a typed object that has the resource version it was delivered with.
pub fn decode<K: Kind>(o: &RawObject) -> Result<K, Error> {
    let bad = |e: &dyn std::fmt::Display| Error::Decode(format!("{} {}: {e}", K::KIND, o.key()));
    let version = if o.resource_version == 0 { String::new() } else { o.resource_version.to_string() };
    let mut k: K = if o.json {
        serde_json::from_slice(&o.body).map_err(|e| bad(&e))?
    } else {
        let ty = schema::facts::type_of(K::GROUP, K::VERSION, K::KIND)
            .ok_or_else(|| bad(&"the kind has no schema"))?;
        let mut json = Vec::with_capacity(o.body.len() * 2);
        schema::transcode::proto_to_json(&o.body, ty, None, &version, &mut json).map_err(|e| bad(&e))?;
        serde_json::from_slice(&json).map_err(|e| bad(&e))?
    };
    if !version.is_empty() {
        k.metadata_mut().resource_version = Some(version);
    }
    Ok(k)
}
