//! Finalizers that keep what is in use.

use super::meta::MetaExt;
use client::{Client, Error, Kind};

/// What to do about a protecting finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Add,
    /// Take it off, unless the object is in use.
    Check,
}

pub fn need<K: Kind>(o: &K, finalizer: &str) -> Need {
    match (o.deleting(), o.has_finalizer(finalizer)) {
        (false, false) => Need::Add,
        (true, true) => Need::Check,
        _ => Need::Nothing,
    }
}

pub async fn add<K: Kind>(c: &Client, o: &K, finalizer: &str) -> Result<(), Error> {
    let mut new = o.clone();
    new.metadata_mut().finalizers.get_or_insert_default().push(finalizer.into());
    c.replace(&new).await.map(drop)
}

pub async fn remove<K: Kind>(c: &Client, o: &K, finalizer: &str) -> Result<(), Error> {
    let mut new = o.clone();
    if let Some(all) = &mut new.metadata_mut().finalizers {
        all.retain(|f| f != finalizer);
    }
    match c.replace(&new).await {
        Err(e) if !e.is_not_found() => Err(e),
        _ => Ok(()),
    }
}
